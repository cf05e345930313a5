#include "client/ctl/tables.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/names.h"

/* ---- units ---- */

struct unit {
    double factor; /* from SI */
    const char *name;
};

static const struct unit si = {1.0, ""};

/* As people state amplitudes of such channels. */
static struct unit unit_of(enum rejectd_channel_type type)
{
    static const struct unit units[REJECTD_CHANNEL_TYPE_COUNT] = {
        [REJECTD_CHANNEL_EEG] = {1e6, " uV"},      [REJECTD_CHANNEL_MAG] = {1e15, " fT"},
        [REJECTD_CHANNEL_GRAD] = {1e13, " fT/cm"}, [REJECTD_CHANNEL_ECOG] = {1e6, " uV"},
        [REJECTD_CHANNEL_SEEG] = {1e6, " uV"},     [REJECTD_CHANNEL_HBO] = {1e6, " uM"},
        [REJECTD_CHANNEL_HBR] = {1e6, " uM"},      [REJECTD_CHANNEL_EOG] = {1e6, " uV"},
        [REJECTD_CHANNEL_ECG] = {1e6, " uV"},      [REJECTD_CHANNEL_EMG] = {1e6, " uV"},
    };
    return units[type].name != NULL ? units[type] : si;
}

/* What is printed when a newer server names a type that is not known here. */
static struct unit unit_of_name(const char *name)
{
    enum rejectd_channel_type type;
    return name != NULL && channel_type_from_name(name, &type) ? unit_of(type) : si;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

/* The unit of all analysed channels, which a validation curve is over; SI when they differ. */
static struct unit unit_of_analysed(const json_t *channels)
{
    struct unit unit = si;
    size_t i;
    const json_t *channel;
    json_array_foreach(channels, i, channel)
    {
        enum rejectd_channel_type type;
        if (!channel_type_from_name(text_of(channel, "type"), &type) ||
            !channel_type_is_analysed(type) || json_is_true(json_object_get(channel, "bad")))
            continue;
        const struct unit its = unit_of(type);
        if (unit.name[0] != '\0' && strcmp(unit.name, its.name) != 0)
            return si;
        unit = its;
    }
    return unit;
}

/* ---- reading ---- */

struct tables {
    json_t *result, *dataset;
};

static bool open_outcome(const struct job_outcome *outcome, struct tables *tables)
{
    tables->result = json_loadb(outcome->result, outcome->result_length, 0, NULL);
    tables->dataset = json_loadb(outcome->dataset, outcome->dataset_length, 0, NULL);
    if (tables->result != NULL && tables->dataset != NULL)
        return true;
    json_decref(tables->result);
    json_decref(tables->dataset);
    ctl_usage("the result cannot be read: it is no JSON");
    return false;
}

/* Every table ends with the times and with what the server warns of. */
static bool close_outcome(const struct job_outcome *outcome, struct tables *tables)
{
    const json_t *timings = json_object_get(tables->result, "timings"), *warning;
    size_t i;
    printf("  time                %.2f s in all, %.3f s of computing\n", outcome->seconds,
           json_number_value(json_object_get(timings, "running")));
    json_array_foreach(json_object_get(tables->result, "warnings"), i, warning)
        printf("  warning             %s\n", text_of(warning, "message"));
    json_decref(tables->result);
    json_decref(tables->dataset);
    return true;
}

/* ---- thresholds ---- */

static const char *type_of_channel(const json_t *channels, const char *name)
{
    size_t i;
    const json_t *channel;
    json_array_foreach(channels, i, channel)
    {
        if (strcmp(text_of(channel, "name"), name) == 0)
            return text_of(channel, "type");
    }
    return "";
}

static void print_range(const struct result_threshold *thresholds, const char *const *types,
                        size_t n, const char *type)
{
    const struct result_threshold *least = NULL, *most = NULL;
    const struct unit unit = unit_of_name(type);
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(types[i], type) != 0)
            continue;
        if (least == NULL || thresholds[i].threshold < least->threshold)
            least = &thresholds[i];
        if (most == NULL || thresholds[i].threshold > most->threshold)
            most = &thresholds[i];
        count++;
    }
    if (count > 0)
        printf("  thresholds          %.4g%s (%s) to %.4g%s (%s), %zu %s channels\n",
               least->threshold * unit.factor, unit.name, least->name,
               most->threshold * unit.factor, unit.name, most->name, count, type);
}

void thresholds_print(const struct result_threshold *thresholds, size_t n, const json_t *channels)
{
    const char **types = calloc(n + 1, sizeof *types);
    for (size_t i = 0; types != NULL && i < n; i++)
        types[i] = type_of_channel(channels, thresholds[i].name);
    for (int type = 0; types != NULL && type < REJECTD_CHANNEL_TYPE_COUNT; type++)
        print_range(thresholds, types, n, channel_type_names[type]);
    free(types);
}

bool tables_thresholds(const struct job_outcome *outcome)
{
    struct tables tables;
    if (!open_outcome(outcome, &tables))
        return false;
    json_t *named = json_object_get(tables.result, "thresholds"), *value;
    struct result_threshold *thresholds = calloc(json_object_size(named) + 1, sizeof *thresholds);
    size_t n = 0;
    const char *name;
    if (thresholds != NULL)
        json_object_foreach(named, name, value)
        {
            snprintf(thresholds[n].name, sizeof thresholds[n].name, "%s", name);
            thresholds[n++].threshold = json_number_value(value);
        }
    thresholds_print(thresholds, n, json_object_get(tables.dataset, "channels"));
    free(thresholds);
    return close_outcome(outcome, &tables);
}

/* ---- RANSAC ---- */

bool tables_ransac(const struct job_outcome *outcome)
{
    struct tables tables;
    if (!open_outcome(outcome, &tables))
        return false;
    const json_t *bad = json_object_get(tables.result, "bad_channels"), *name;
    size_t i;
    printf("  bad channels        %zu of %zu%s", json_array_size(bad),
           json_array_size(json_object_get(tables.result, "channels")),
           json_array_size(bad) > 0 ? ":" : "");
    json_array_foreach(bad, i, name) printf("%s %s", i == 0 ? "" : ",", json_string_value(name));
    printf("\n");
    return close_outcome(outcome, &tables);
}

/* ---- global thresholds ---- */

bool tables_global_thresholds(const struct job_outcome *outcome)
{
    struct tables tables;
    if (!open_outcome(outcome, &tables))
        return false;
    json_t *reject = json_object_get(tables.result, "reject"), *value;
    const char *type;
    json_object_foreach(reject, type, value)
    {
        const struct unit unit = unit_of_name(type);
        printf("  %-18.18s  %.4g%s\n", type, json_number_value(value) * unit.factor, unit.name);
    }
    if (json_object_size(reject) == 0)
        printf("  no channel of these types that is not marked bad\n");
    return close_outcome(outcome, &tables);
}

/* ---- validation curve ---- */

/* Mean over folds; minus infinity when no epoch was kept in one of them (null). */
static double mean_score(const json_t *folds)
{
    double sum = 0.0;
    size_t i;
    const json_t *score;
    json_array_foreach(folds, i, score) sum +=
        json_is_number(score) ? json_number_value(score) : -INFINITY;
    return json_array_size(folds) > 0 ? sum / (double)json_array_size(folds) : -INFINITY;
}

static void format_amount(char text[48], double value, struct unit unit)
{
    snprintf(text, 48, "%.4g%s", value * unit.factor, isfinite(value) ? unit.name : "");
}

/* The first of the best mean scores; n when no epoch is ever kept. */
static size_t best_score(const json_t *scores)
{
    const size_t n = json_array_size(scores);
    size_t best = n;
    double most = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        const double score = mean_score(json_array_get(scores, i));
        if (score > most) {
            most = score;
            best = i;
        }
    }
    return best;
}

bool tables_validation_curve(const struct job_outcome *outcome)
{
    struct tables tables;
    if (!open_outcome(outcome, &tables))
        return false;
    const json_t *range = json_object_get(tables.result, "param_range"), *value;
    const json_t *train = json_object_get(tables.result, "train_scores");
    const json_t *test = json_object_get(tables.result, "test_scores");
    const struct unit unit = unit_of_analysed(json_object_get(tables.dataset, "channels"));
    const size_t best = best_score(test);
    size_t i;
    printf("  %-18s  %-18s  mean test\n", "threshold", "mean train");
    json_array_foreach(range, i, value)
    {
        char threshold[48], trained[48], tested[48];
        format_amount(threshold, json_number_value(value), unit);
        format_amount(trained, mean_score(json_array_get(train, i)), unit);
        format_amount(tested, mean_score(json_array_get(test, i)), unit);
        printf("  %-18s  %-18s  %s%s\n", threshold, trained, tested, i == best ? "  best" : "");
    }
    return close_outcome(outcome, &tables);
}

/* ---- interpolation ---- */

bool tables_interpolate(const struct job_outcome *outcome)
{
    struct tables tables;
    if (!open_outcome(outcome, &tables))
        return false;
    json_t *interpolated = json_object_get(tables.result, "interpolated"), *value;
    const json_int_t n_epochs = json_integer_value(json_object_get(tables.dataset, "n_epochs"));
    const char *name;
    json_object_foreach(interpolated, name, value)
        printf("  %-18s  interpolated in %lld of %lld epochs\n", name,
               (long long)json_integer_value(value), (long long)n_epochs);
    return close_outcome(outcome, &tables);
}
