/*
 * Events and epochs of the epochs that were kept.
 *
 * From the original file every field of the kept ones is copied, and the three that count are
 * renumbered: event.epoch, event.latency (samples of the concatenated epochs) and epoch.event.
 */
#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "convert/set_parts.h"

/* ---- from the original ---- */

struct selection {
    const matvar_t *events, *epochs;
    size_t n_times;
    size_t *new_epoch;   /* [n epochs] 1-based, 0 where dropped */
    size_t *new_event;   /* [n events] likewise */
    size_t *kept_events; /* [n_kept_events] indices */
    size_t n_kept_events;
};

/* The epoch of an event, from 0; SIZE_MAX when it has none. */
static size_t epoch_of(const struct selection *s, size_t event)
{
    double epoch = NAN, latency;
    if (!matlab_number(matlab_member(s->events, "epoch", event), &epoch) &&
        matlab_number(matlab_member(s->events, "latency", event), &latency))
        epoch = floor((latency - 1) / (double)s->n_times) + 1;
    return epoch >= 1 && epoch <= (double)matlab_count(s->epochs) ? (size_t)epoch - 1 : SIZE_MAX;
}

static enum rejectd_status select_events(struct selection *s, const struct set_epochs *epochs,
                                         struct rejectd_error *error)
{
    const size_t n_events = matlab_count(s->events), n_epochs = matlab_count(s->epochs);
    s->new_epoch = calloc(n_epochs + 1, sizeof *s->new_epoch);
    s->new_event = calloc(n_events + 1, sizeof *s->new_event);
    s->kept_events = calloc(n_events + 1, sizeof *s->kept_events);
    if (s->new_epoch == NULL || s->new_event == NULL || s->kept_events == NULL)
        return REJECTD_FAIL_MEMORY(error, n_events * sizeof *s->kept_events);
    for (size_t i = 0; i < epochs->n_kept; i++)
        s->new_epoch[epochs->kept[i]] = i + 1;
    for (size_t i = 0; i < n_events; i++) {
        const size_t epoch = epoch_of(s, i);
        if (epoch == SIZE_MAX || s->new_epoch[epoch] == 0)
            continue;
        s->kept_events[s->n_kept_events++] = i;
        s->new_event[i] = s->n_kept_events;
    }
    return REJECTD_OK;
}

static void add_field(matvar_t *structs, const char *name)
{
    char *const *names = Mat_VarGetStructFieldnames(structs);
    const unsigned n = Mat_VarGetNumberOfFields(structs);
    for (unsigned f = 0; f < n; f++)
        if (strcmp(names[f], name) == 0)
            return;
    (void)Mat_VarAddStructField(structs, name);
}

static matvar_t *write_event(const struct selection *s)
{
    matvar_t *event = matlab_copy_structs(s->events, s->kept_events, s->n_kept_events);
    if (event == NULL)
        return NULL;
    add_field(event, "epoch");
    for (size_t i = 0; i < s->n_kept_events; i++) {
        const size_t old = epoch_of(s, s->kept_events[i]), new = s->new_epoch[old] - 1;
        double latency = 1;
        (void)matlab_number(matlab_member(s->events, "latency", s->kept_events[i]), &latency);
        set_put(event, "epoch", i, set_new_number((double)new + 1));
        set_put(event, "latency", i,
                set_new_number(latency - (double)(old - new) * (double)s->n_times));
    }
    return event;
}

/* The list of an epoch's events under their new numbers; NULL, [], when one of them is none. */
static matvar_t *renumber(const struct selection *s, size_t epoch)
{
    const matvar_t *list = matlab_member(s->epochs, "event", epoch);
    const size_t n = set_list_count(list);
    double *numbers = calloc(n + 1, sizeof *numbers);
    bool good = numbers != NULL && n > 0;
    for (size_t i = 0; i < n && good; i++) {
        double old;
        good = set_list_number(list, i, &old) && old >= 1 &&
               old <= (double)matlab_count(s->events) && s->new_event[(size_t)old - 1] > 0;
        if (good)
            numbers[i] = (double)s->new_event[(size_t)old - 1];
    }
    matvar_t *value = good ? set_new_matrix(MAT_C_DOUBLE, 1, n, numbers) : set_new_empty();
    free(numbers);
    return value;
}

static enum rejectd_status write_selected(struct selection *s, const struct set_epochs *epochs,
                                          matvar_t **event, matvar_t **epoch,
                                          struct rejectd_error *error)
{
    enum rejectd_status status = select_events(s, epochs, error);
    if (status == REJECTD_OK) {
        *event = write_event(s);
        *epoch = matlab_copy_structs(s->epochs, epochs->kept, epochs->n_kept);
        for (size_t i = 0; i < epochs->n_kept && *epoch != NULL; i++)
            set_put(*epoch, "event", i, renumber(s, epochs->kept[i]));
        if (*event == NULL || *epoch == NULL)
            status = REJECTD_FAIL_MEMORY(error, s->n_kept_events);
    }
    free(s->new_epoch);
    free(s->new_event);
    free(s->kept_events);
    return status;
}

/* ---- from the description ---- */

/* The name of an id, or its digits. */
static void name_of(json_t *event_id, json_int_t id, char *out, size_t size)
{
    const char *name;
    json_t *value;
    snprintf(out, size, "%lld", (long long)id);
    json_object_foreach(event_id, name, value)
    {
        if (json_integer_value(value) != id)
            continue;
        snprintf(out, size, "%s", name);
        return;
    }
}

/* One event for each epoch, at time 0 or as near as the epoch comes. */
static void describe_events(const struct set_epochs *epochs, json_t *rows, json_t *event_id,
                            matvar_t *event, matvar_t *epoch)
{
    const struct dataset_description *d = epochs->description;
    double zero = round(-d->tmin * d->sfreq);
    zero = zero < 0 ? 0 : zero > (double)(d->n_times - 1) ? (double)(d->n_times - 1) : zero;
    const double milliseconds = (d->tmin + zero / d->sfreq) * 1000;
    for (size_t i = 0; i < epochs->n_kept; i++) {
        char name[256];
        const json_t *row = json_array_get(rows, epochs->kept[i]);
        name_of(event_id, json_integer_value(json_array_get(row, 2)), name, sizeof name);
        set_put(event, "type", i, set_new_text(name));
        set_put(event, "latency", i, set_new_number((double)i * (double)d->n_times + zero + 1));
        set_put(event, "duration", i, set_new_number(0));
        set_put(event, "epoch", i, set_new_number((double)i + 1));
        set_put(epoch, "event", i, set_new_number((double)i + 1));
        set_put(epoch, "eventtype", i, set_new_text(name));
        /* A rounding error of tmin is no reason not to be at 0. */
        set_put(epoch, "eventlatency", i,
                set_new_number(fabs(milliseconds) < 1e-6 ? 0 : milliseconds));
    }
}

static enum rejectd_status write_described(const struct set_epochs *epochs, matvar_t **event,
                                           matvar_t **epoch, struct rejectd_error *error)
{
    static const char *const event_fields[] = {"type", "latency", "duration", "epoch"};
    static const char *const epoch_fields[] = {"event", "eventtype", "eventlatency"};
    const struct dataset_description *d = epochs->description;
    json_t *rows = d->events_json != NULL ? json_loads(d->events_json, 0, NULL) : NULL;
    json_t *event_id = d->event_id_json != NULL ? json_loads(d->event_id_json, 0, NULL) : NULL;
    *event = set_new_structs(epochs->n_kept, event_fields, 4);
    *epoch = set_new_structs(epochs->n_kept, epoch_fields, 3);
    if (*event != NULL && *epoch != NULL)
        describe_events(epochs, rows, event_id, *event, *epoch);
    json_decref(rows);
    json_decref(event_id);
    return *event != NULL && *epoch != NULL ? REJECTD_OK
                                            : REJECTD_FAIL_MEMORY(error, epochs->n_kept);
}

enum rejectd_status set_write_events(struct matlab_file *original, const struct set_epochs *epochs,
                                     matvar_t **event, matvar_t **epoch,
                                     struct rejectd_error *error)
{
    struct selection selection = {.n_times = epochs->description->n_times};
    *event = *epoch = NULL;
    if (original->is_open) {
        selection.events = matlab_field(original, "event");
        selection.epochs = matlab_field(original, "epoch");
    }
    if (!matlab_is_struct(selection.events) || !matlab_is_struct(selection.epochs))
        return write_described(epochs, event, epoch, error);
    if (matlab_count(selection.epochs) != epochs->description->n_epochs)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "epoch",
                            "of original.set has %zu entries but the dataset %zu epochs",
                            matlab_count(selection.epochs), epochs->description->n_epochs);
    return write_selected(&selection, epochs, event, epoch, error);
}
