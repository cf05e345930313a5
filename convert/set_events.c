/* Events and epochs of a .set, read: which event each epoch is about. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "convert/set_parts.h"
#include "protocol/json_text.h"
#include "protocol/utf8.h"

enum { NAME_SIZE = 256, MAX_NAMES = 10000 }; /* what dataset_from_json() accepts */

size_t set_list_count(const matvar_t *list)
{
    if (list == NULL)
        return 0;
    return list->class_type == MAT_C_CHAR ? 1 : matlab_count(list);
}

bool set_list_number(const matvar_t *list, size_t i, double *value)
{
    if (list != NULL && list->class_type == MAT_C_CELL)
        return matlab_number(matlab_cell(list, i), value);
    if (!matlab_is_numeric(list) || i >= matlab_count(list))
        return false;
    *value = matlab_number_at(list, i);
    return true;
}

size_t set_locking_event(const matvar_t *epochs, size_t epoch)
{
    const matvar_t *latencies = matlab_member(epochs, "eventlatency", epoch);
    size_t nearest = 0;
    double least = INFINITY, latency;
    for (size_t i = 0; i < set_list_count(latencies); i++)
        if (set_list_number(latencies, i, &latency) && fabs(latency) < least) {
            least = fabs(latency);
            nearest = i;
        }
    return nearest;
}

/* The name of entry i of a list of types. */
static bool list_name(const matvar_t *types, size_t i, char *out, size_t size)
{
    double number;
    if (types->class_type == MAT_C_CELL)
        return set_name(matlab_cell(types, i), out, size);
    if (types->class_type == MAT_C_CHAR)
        return matlab_text(types, out, size);
    if (!set_list_number(types, i, &number))
        return false;
    snprintf(out, size, "%.15g", number);
    return true;
}

/* The types of an epoch's events, joined; cut between characters where they are too long. */
static void epoch_name(const matvar_t *epochs, size_t epoch, char out[NAME_SIZE])
{
    const matvar_t *types = matlab_member(epochs, "eventtype", epoch);
    char name[NAME_SIZE];
    size_t length = 0;
    out[0] = 0;
    for (size_t i = 0; i < set_list_count(types) && length < NAME_SIZE; i++)
        if (list_name(types, i, name, sizeof name))
            length +=
                (size_t)snprintf(out + length, NAME_SIZE - length, "%s%s", i > 0 ? "/" : "", name);
    for (size_t n = strlen(out); n > 0 && !utf8_is_valid(out); n--)
        out[n - 1] = 0;
    if (out[0] == 0)
        snprintf(out, NAME_SIZE, "unknown");
}

/* The sample, from 0, of the event that an epoch is about; `next` counts events where epochs don't
 * say which are theirs. */
static long long epoch_sample(const matvar_t *events, const matvar_t *epochs, size_t epoch,
                              size_t *next)
{
    const size_t locking = set_locking_event(epochs, epoch);
    const size_t n = set_list_count(matlab_member(epochs, "eventtype", epoch));
    double number = (double)(*next + locking) + 1, latency = NAN;
    *next += n > 0 ? n : 1;
    (void)set_list_number(matlab_member(epochs, "event", epoch), locking, &number);
    if (number >= 1 && number <= (double)matlab_count(events))
        (void)matlab_number(matlab_member(events, "latency", (size_t)number - 1), &latency);
    /* Latencies are 1-based and may lie between samples. */
    return fabs(latency) < 1e15 ? (long long)(latency - 1) : 0;
}

struct names {
    char (*names)[NAME_SIZE]; /* [MAX_NAMES], owned */
    size_t n;
    bool too_many;
};

/* Numbers from 1, in order of appearance; all that are too many share one. */
static size_t number_of(struct names *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++)
        if (strcmp(names->names[i], name) == 0)
            return i + 1;
    if (names->n == MAX_NAMES) {
        names->too_many = true;
        return MAX_NAMES + 1;
    }
    snprintf(names->names[names->n++], NAME_SIZE, "%s", name);
    return names->n;
}

static char *names_json(const struct names *names)
{
    struct buffer text;
    buffer_init(&text, (size_t)1 << 28);
    for (size_t i = 0; i < names->n; i++) {
        buffer_append_text(&text, i == 0 ? "{" : ",");
        json_append_string(&text, names->names[i]);
        buffer_append_format(&text, ":%zu", i + 1);
    }
    buffer_append_text(&text, "}");
    return buffer_take(&text, NULL);
}

enum rejectd_status set_read_events(struct matlab_file *file, struct dataset_description *d,
                                    struct rejectd_error *error)
{
    const matvar_t *events = matlab_field(file, "event"), *epochs = matlab_field(file, "epoch");
    const bool known = matlab_is_struct(events) && matlab_is_struct(epochs);
    if (known && matlab_count(epochs) != d->n_epochs)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "epoch",
                            "has %zu entries; one for each of the %zu trials is expected",
                            matlab_count(epochs), d->n_epochs);
    struct names names = {.names = calloc(MAX_NAMES, sizeof *names.names)};
    if (names.names == NULL)
        return REJECTD_FAIL_MEMORY(error, MAX_NAMES * sizeof *names.names);
    struct buffer text;
    size_t next = 0;
    buffer_init(&text, (size_t)1 << 28);
    for (size_t e = 0; e < d->n_epochs; e++) {
        char name[NAME_SIZE] = "unknown";
        long long sample = (long long)e;
        if (known) {
            epoch_name(epochs, e, name);
            sample = epoch_sample(events, epochs, e, &next);
        }
        buffer_append_format(&text, "%s[%lld,0,%zu]", e == 0 ? "[" : ",", sample,
                             number_of(&names, name));
    }
    buffer_append_text(&text, "]");
    d->events_json = buffer_take(&text, NULL);
    if (!names.too_many)
        d->event_id_json = names_json(&names);
    free(names.names);
    if (d->events_json == NULL || (!names.too_many && d->event_id_json == NULL))
        return REJECTD_FAIL_MEMORY(error, d->n_epochs * 16);
    return REJECTD_OK;
}
