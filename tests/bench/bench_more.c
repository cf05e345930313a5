/*
 * Times RANSAC, global thresholds and the validation curve, the same work again and again.
 *
 *   bench_more [--dataset FILE --samples FILE | --epochs N --channels N --times N]
 *              [--threads N] [--repeat N] [--float32] [--json FILE]
 *
 * --threads 0 (the default) takes all processors; --float32 is the arithmetic, not the dtype.
 */
#include <getopt.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <rejectd/compute.h>

#include "machine.h"
#include "recording.h"

struct settings {
    struct recording_request recording;
    struct rejectd_compute_options compute;
    enum rejectd_dtype precision;
    int repeat;
    const char *json_path;
};

static struct settings parse_arguments(int argc, char **argv)
{
    static const struct option options[] = {
        {"dataset", required_argument, NULL, 'd'}, {"samples", required_argument, NULL, 's'},
        {"epochs", required_argument, NULL, 'e'},  {"channels", required_argument, NULL, 'c'},
        {"times", required_argument, NULL, 't'},   {"threads", required_argument, NULL, 'p'},
        {"repeat", required_argument, NULL, 'r'},  {"float32", no_argument, NULL, 'f'},
        {"json", required_argument, NULL, 'j'},    {0}};
    struct settings s = {.recording = {.n_epochs = 100,
                                       .n_channels = 128,
                                       .n_times = 1000,
                                       .dtype = REJECTD_FLOAT64,
                                       .seed = 1},
                         .precision = REJECTD_FLOAT64,
                         .repeat = 5};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        const size_t number = optarg != NULL ? strtoul(optarg, NULL, 10) : 0;
        switch (option) {
        case 'd':
            s.recording.dataset_path = optarg;
            break;
        case 's':
            s.recording.samples_path = optarg;
            break;
        case 'e':
            s.recording.n_epochs = number;
            break;
        case 'c':
            s.recording.n_channels = number;
            break;
        case 't':
            s.recording.n_times = number;
            break;
        case 'p':
            s.compute.n_threads = (int)number;
            break;
        case 'r':
            s.repeat = number > 0 ? (int)number : 1;
            break;
        case 'f':
            s.precision = REJECTD_FLOAT32;
            break;
        case 'j':
            s.json_path = optarg;
            break;
        default:
            exit(2);
        }
    }
    return s;
}

/* One job, run once; adds to `result` what is to be compared. */
typedef enum rejectd_status job(const struct settings *s, const struct rejectd_epochs *epochs,
                                json_t *result, struct rejectd_error *error);

static enum rejectd_status run_ransac(const struct settings *s, const struct rejectd_epochs *epochs,
                                      json_t *result, struct rejectd_error *error)
{
    struct rejectd_ransac_parameters parameters = REJECTD_RANSAC_DEFAULTS;
    struct rejectd_ransac *ransac;
    parameters.precision = s->precision;
    const enum rejectd_status status =
        rejectd_ransac(epochs, &parameters, &s->compute, &ransac, error);
    if (status != REJECTD_OK)
        return status;
    json_t *names = json_array();
    for (size_t i = 0; i < ransac->n_picks; i++)
        if (ransac->bad[i])
            json_array_append_new(names, json_string(epochs->channels[ransac->picks[i]].name));
    json_object_set_new(result, "bad_channels", names);
    rejectd_ransac_free(ransac);
    return REJECTD_OK;
}

static enum rejectd_status run_global(const struct settings *s, const struct rejectd_epochs *epochs,
                                      json_t *result, struct rejectd_error *error)
{
    const struct rejectd_global_thresholds_parameters parameters = {.precision = s->precision};
    struct rejectd_global_thresholds *thresholds;
    const enum rejectd_status status =
        rejectd_global_thresholds(epochs, &parameters, &s->compute, &thresholds, error);
    if (status != REJECTD_OK)
        return status;
    if (thresholds->n_types > 0)
        json_object_set_new(result, "threshold", json_real(thresholds->types[0].threshold));
    rejectd_global_thresholds_free(thresholds);
    return REJECTD_OK;
}

static enum rejectd_status run_validation(const struct settings *s,
                                          const struct rejectd_epochs *epochs, json_t *result,
                                          struct rejectd_error *error)
{
    const struct rejectd_validation_curve_parameters parameters = {.precision = s->precision};
    struct rejectd_validation_curve *curve;
    const enum rejectd_status status =
        rejectd_validation_curve(epochs, &parameters, &s->compute, &curve, error);
    if (status != REJECTD_OK)
        return status;
    /* The largest threshold keeps every epoch: this score is finite. */
    json_object_set_new(result, "last_test_score",
                        json_real(curve->test_scores[curve->n_params * curve->n_folds - 1]));
    rejectd_validation_curve_free(curve);
    return REJECTD_OK;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Runs a job s->repeat times; NULL when it fails. */
static json_t *time_job(const struct settings *s, const struct rejectd_epochs *epochs,
                        const char *name, job *run)
{
    json_t *result = json_object();
    double *seconds = malloc((size_t)s->repeat * sizeof *seconds);
    struct rejectd_error error = {.message = "no memory"};
    bool ok = result != NULL && seconds != NULL;
    for (int i = 0; ok && i < s->repeat; i++) {
        const double start = monotonic_seconds();
        ok = run(s, epochs, result, &error) == REJECTD_OK;
        seconds[i] = monotonic_seconds() - start;
    }
    if (ok) {
        qsort(seconds, (size_t)s->repeat, sizeof *seconds, by_value);
        json_object_set_new(result, "seconds", json_real(seconds[0]));
        json_object_set_new(result, "seconds_median", json_real(seconds[s->repeat / 2]));
        printf("%-18s %.4f s (median %.4f of %d), %.3f ms per epoch\n", name, seconds[0],
               seconds[s->repeat / 2], s->repeat, 1e3 * seconds[0] / (double)epochs->n_epochs);
    } else {
        fprintf(stderr, "bench_more: %s: %s %s\n", name, error.field, error.message);
        json_decref(result);
        result = NULL;
    }
    free(seconds);
    return result;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        job *run;
    } jobs[] = {{"ransac", run_ransac},
                {"global_thresholds", run_global},
                {"validation_curve", run_validation}};
    const struct settings settings = parse_arguments(argc, argv);
    struct recording recording;
    struct rejectd_error error;
    if (recording_open(&settings.recording, &recording, &error) != REJECTD_OK) {
        fprintf(stderr, "bench_more: %s: %s\n", error.field, error.message);
        return 2;
    }
    const struct rejectd_epochs *epochs = &recording.epochs;
    printf("%zu x %zu x %zu, %s\n", epochs->n_epochs, epochs->n_channels, epochs->n_times,
           rejectd_compute_description(NULL));
    json_t *all = json_object();
    bool ok = all != NULL;
    for (size_t i = 0; ok && i < sizeof jobs / sizeof jobs[0]; i++) {
        json_t *result = time_job(&settings, epochs, jobs[i].name, jobs[i].run);
        ok = result != NULL && json_object_set_new(all, jobs[i].name, result) == 0;
    }
    if (ok && settings.json_path != NULL)
        ok = json_dump_file(all, settings.json_path, JSON_INDENT(2)) == 0;
    json_decref(all);
    recording_close(&recording);
    return ok ? 0 : 1;
}
