#include "client/ctl/summary.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/ctl.h"
#include "client/ctl/tables.h"
#include "protocol/resource_json.h"
#include "protocol/result_json.h"

static size_t count_label(const struct rejectd_reject_log *log, int label)
{
    size_t n = 0;
    for (size_t i = 0; i < log->n_epochs * log->n_channels; i++)
        n += log->labels[i] == label;
    return n;
}

static size_t count_bad_epochs(const struct rejectd_reject_log *log)
{
    size_t n = 0;
    for (size_t e = 0; e < log->n_epochs; e++)
        n += log->bad_epochs[e] != 0;
    return n;
}

static void print_table(const struct result_view *result, double seconds)
{
    const struct rejectd_reject_log *log = &result->log;
    for (size_t i = 0; i < result->n_types; i++)
        printf("  consensus           %.2f of the sensors\n"
               "  n_interpolate       %d\n",
               result->types[i].consensus, result->types[i].n_interpolate);
    printf("  bad epochs          %zu of %zu\n", count_bad_epochs(log), log->n_epochs);
    printf("  repaired sensors    %zu (sensor in one epoch)\n",
           count_label(log, REJECTD_LABEL_INTERPOLATED));
    printf("  left bad            %zu\n", count_label(log, REJECTD_LABEL_BAD));
    printf("  time                %.2f s in all, %.3f s of computing\n", seconds,
           result->seconds_running);
    for (size_t i = 0; i < result->n_warnings; i++)
        printf("  warning             %s\n", result->warnings[i].message);
}

/* Index of a channel of the dataset by name, or n_channels. */
static size_t channel_index(const json_t *channels, const char *name)
{
    size_t i = 0;
    for (; i < json_array_size(channels); i++) {
        const char *other = json_string_value(json_object_get(json_array_get(channels, i), "name"));
        if (other != NULL && name != NULL && strcmp(other, name) == 0)
            break;
    }
    return i;
}

/* A planted artefact is found in an epoch when the epoch is bad, or any of its sensors is not
 * good there. */
static bool is_found(const struct rejectd_reject_log *log, const json_t *channels,
                     const json_t *artefact, size_t epoch)
{
    if (log->bad_epochs[epoch])
        return true;
    const json_t *names = json_object_get(artefact, "channels");
    for (size_t i = 0; i < json_array_size(names); i++) {
        size_t c = channel_index(channels, json_string_value(json_array_get(names, i)));
        if (c < log->n_channels && log->labels[epoch * log->n_channels + c] > 0)
            return true;
    }
    return false;
}

/* Found and planted epochs of every artefact of one kind. */
static void score_kind(const struct rejectd_reject_log *log, const json_t *channels,
                       const json_t *artefacts, const char *kind, size_t *found, size_t *planted)
{
    *found = *planted = 0;
    size_t i;
    const json_t *artefact;
    json_array_foreach(artefacts, i, artefact)
    {
        const char *its_kind = json_string_value(json_object_get(artefact, "kind"));
        if (its_kind == NULL || strcmp(its_kind, kind) != 0)
            continue;
        json_int_t first = json_integer_value(json_object_get(artefact, "first_epoch"));
        json_int_t last = json_integer_value(json_object_get(artefact, "last_epoch"));
        for (json_int_t e = first < 0 ? 0 : first; e <= last && (size_t)e < log->n_epochs; e++) {
            (*planted)++;
            *found += is_found(log, channels, artefact, (size_t)e);
        }
    }
}

static bool print_score(const struct rejectd_reject_log *log, const json_t *channels,
                        const char *truth_path)
{
    static const struct {
        const char *kind, *text;
    } kinds[] = {
        {"blink", "blinks"},        {"muscle", "muscle bursts"}, {"jump", "jumps"},
        {"noisy", "noisy sensors"}, {"dead", "dead sensors"},
    };
    json_error_t problem;
    json_t *truth = json_load_file(truth_path, 0, &problem);
    if (truth == NULL) {
        ctl_usage("%s: %s", truth_path, problem.text);
        return false;
    }
    printf("  planted artefacts found\n");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t found, planted;
        score_kind(log, channels, json_object_get(truth, "artefacts"), kinds[i].kind, &found,
                   &planted);
        if (planted > 0)
            printf("    %-18s%zu of %zu epochs%s\n", kinds[i].text, found, planted,
                   strcmp(kinds[i].kind, "dead") == 0 && found < planted
                       ? " (autoreject looks for large amplitudes only)"
                       : "");
    }
    json_decref(truth);
    return true;
}

bool summary_print(const char *result, size_t length, const char *dataset, size_t dataset_length,
                   const char *truth_path, double seconds)
{
    struct result_view view = {0};
    struct rejectd_error error;
    if (result_view_from_json(result, length, &view, &error) != REJECTD_OK) {
        ctl_usage("the result cannot be read: %s", error.message);
        return false;
    }
    json_t *root = json_loadb(dataset, dataset_length, 0, NULL);
    const json_t *channels = json_object_get(root, "channels");
    thresholds_print(view.thresholds, view.n_thresholds, channels);
    print_table(&view, seconds);
    const bool ok = truth_path == NULL || print_score(&view.log, channels, truth_path);
    json_decref(root);
    result_view_clear(&view);
    return ok;
}
