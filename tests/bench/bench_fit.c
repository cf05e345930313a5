/*
 * Times a complete fit, step by step, against what the machine can do.
 *
 *   bench_fit [--epochs N] [--channels C] [--times T] [--dtype float64|float32]
 *             [--precision float64|float32] [--threads N] [--instruction-set NAME]
 *             [--backend cpu|reference] [--method NAME] [--repeat N] [--seed N]
 *             [--dataset dataset.json --samples epochs.npy] [--no-limits] [--json FILE]
 *             [--device cuda:0 [--module rejectd_cuda.so]]
 *
 * Without --dataset it fits simulated epochs (client/simulate). Prints a table; with --json writes
 * the same as JSON. Bytes and operations of a step are what the formulation needs (each array that
 * does not fit a cache counted once), so that achieved rates compare with the machine's limits. On
 * a GPU the fit is timed as a whole, samples sent there each time; its steps are bench_cuda's. Ends
 * with 3 where there is no such device.
 */
#include <getopt.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rejectd/compute.h>

#include "machine.h"
#include "recording.h"
#include "timed_backend.h"
#include "worker/algorithm/fit.h"
#include "worker/backend.h"

struct settings {
    struct recording_request recording;
    struct rejectd_compute_options compute;
    struct rejectd_fit_parameters parameters;
    int repeat;
    bool measure_limits;
    const char *json_path;
    const char *device, *module;
};

static size_t parse_count(const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0') {
        fprintf(stderr, "bench_fit: \"%s\" is not a count\n", text);
        exit(2);
    }
    return value;
}

static enum rejectd_dtype parse_dtype(const char *text)
{
    if (strcmp(text, "float32") == 0)
        return REJECTD_FLOAT32;
    if (strcmp(text, "float64") == 0)
        return REJECTD_FLOAT64;
    fprintf(stderr, "bench_fit: dtype is float32 or float64, not \"%s\"\n", text);
    exit(2);
}

static enum rejectd_threshold_method parse_method(const char *text)
{
    static const char *const names[] = {
#define METHOD_NAME(symbol, name) name,
        REJECTD_THRESHOLD_METHOD_LIST(METHOD_NAME)
#undef METHOD_NAME
    };
    for (int i = 0; i < REJECTD_THRESHOLD_METHOD_COUNT; i++)
        if (strcmp(text, names[i]) == 0)
            return (enum rejectd_threshold_method)i;
    fprintf(stderr, "bench_fit: unknown method \"%s\"\n", text);
    exit(2);
}

static struct settings parse_arguments(int argc, char **argv)
{
    struct settings s = {
        .recording = {.n_epochs = 100,
                      .n_channels = 128,
                      .n_times = 1000,
                      .dtype = REJECTD_FLOAT64,
                      .seed = 1},
        .compute = {.backend = "cpu", .n_threads = (int)sysconf(_SC_NPROCESSORS_ONLN)},
        .parameters = {.precision = REJECTD_FLOAT64, .random_state = 42},
        .repeat = 3,
        .measure_limits = true,
        .module = getenv("REJECTD_CUDA_MODULE"),
    };
    static const struct option options[] = {{"epochs", required_argument, NULL, 'e'},
                                            {"channels", required_argument, NULL, 'c'},
                                            {"times", required_argument, NULL, 't'},
                                            {"dtype", required_argument, NULL, 'd'},
                                            {"precision", required_argument, NULL, 'p'},
                                            {"threads", required_argument, NULL, 'n'},
                                            {"instruction-set", required_argument, NULL, 'i'},
                                            {"backend", required_argument, NULL, 'b'},
                                            {"method", required_argument, NULL, 'm'},
                                            {"repeat", required_argument, NULL, 'r'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"dataset", required_argument, NULL, 'D'},
                                            {"samples", required_argument, NULL, 'S'},
                                            {"no-limits", no_argument, NULL, 'L'},
                                            {"json", required_argument, NULL, 'j'},
                                            {"device", required_argument, NULL, 'G'},
                                            {"module", required_argument, NULL, 'M'},
                                            {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'e':
            s.recording.n_epochs = parse_count(optarg);
            break;
        case 'c':
            s.recording.n_channels = parse_count(optarg);
            break;
        case 't':
            s.recording.n_times = parse_count(optarg);
            break;
        case 'd':
            s.recording.dtype = parse_dtype(optarg);
            break;
        case 'p':
            s.parameters.precision = parse_dtype(optarg);
            break;
        case 'n':
            s.compute.n_threads = (int)parse_count(optarg);
            if (s.compute.n_threads == 0)
                s.compute.n_threads = (int)sysconf(_SC_NPROCESSORS_ONLN);
            break;
        case 'i':
            s.compute.instruction_set = optarg;
            break;
        case 'b':
            s.compute.backend = optarg;
            break;
        case 'm':
            s.parameters.thresh_method = parse_method(optarg);
            break;
        case 'r':
            s.repeat = (int)parse_count(optarg);
            break;
        case 's':
            s.recording.seed = parse_count(optarg);
            break;
        case 'D':
            s.recording.dataset_path = optarg;
            break;
        case 'S':
            s.recording.samples_path = optarg;
            break;
        case 'L':
            s.measure_limits = false;
            break;
        case 'G':
            s.device = optarg;
            break;
        case 'M':
            s.module = optarg;
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

struct outcome {
    double best_seconds;
    double median_seconds;
    struct timed_step steps[TIMED_STEPS]; /* of the best run */
    double other_seconds;                 /* of the best run: outside the backend */
    size_t n_bad_epochs;
    size_t n_interpolated;
    double consensus;
    int n_interpolate;
    size_t peak_bytes;
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void describe_fit(const struct rejectd_fit *fit, struct outcome *outcome)
{
    outcome->n_bad_epochs = outcome->n_interpolated = 0;
    for (size_t e = 0; e < fit->log.n_epochs; e++)
        outcome->n_bad_epochs += fit->log.bad_epochs[e];
    for (size_t i = 0; i < fit->log.n_epochs * fit->log.n_channels; i++)
        outcome->n_interpolated += fit->log.labels[i] == REJECTD_LABEL_INTERPOLATED;
    outcome->consensus = fit->types[0].consensus;
    outcome->n_interpolate = fit->types[0].n_interpolate;
}

/* A device's fit is not wrapped: the wrapper would take from it what it does in fewer steps. */
static enum rejectd_status run_fit(const struct settings *s, const struct rejectd_epochs *epochs,
                                   struct rejectd_fit **fit, struct rejectd_error *error)
{
    if (s->compute.device != NULL)
        return rejectd_fit(epochs, &s->parameters, &s->compute, fit, error);
    return fit_run(timed_backend(), epochs, &s->parameters, &s->compute, fit, error);
}

static bool run_fits(const struct settings *s, const struct rejectd_epochs *epochs,
                     struct outcome *outcome)
{
    struct rejectd_error error;
    double *seconds = malloc((size_t)s->repeat * sizeof *seconds);
    if (seconds == NULL || !timed_backend_wrap(s->compute.backend))
        return false;
    outcome->best_seconds = INFINITY;
    for (int i = 0; i < s->repeat; i++) {
        struct rejectd_fit *fit;
        timed_backend_reset();
        double start = monotonic_seconds();
        if (run_fit(s, epochs, &fit, &error) != REJECTD_OK) {
            fprintf(stderr, "bench_fit: %s: %s\n", error.field, error.message);
            free(seconds);
            return false;
        }
        seconds[i] = monotonic_seconds() - start;
        if (seconds[i] < outcome->best_seconds) {
            outcome->best_seconds = outcome->other_seconds = seconds[i];
            for (int step = 0; step < TIMED_STEPS; step++) {
                outcome->steps[step] = timed_backend_steps()[step];
                outcome->other_seconds -= outcome->steps[step].seconds;
            }
            describe_fit(fit, outcome);
        }
        rejectd_fit_free(fit);
    }
    qsort(seconds, (size_t)s->repeat, sizeof *seconds, by_value);
    outcome->median_seconds = seconds[s->repeat / 2];
    free(seconds);
    return true;
}

/* What computes, in a line. */
static const char *describe(const struct settings *s)
{
    if (s->compute.device != NULL)
        return rejectd_device_info(s->compute.device)->name;
    return s->compute.instruction_set != NULL ? s->compute.instruction_set
                                              : rejectd_compute_description(s->compute.backend);
}

/* Section 10 of the cost model: nine passes over the samples at the copy rate. */
static double traffic_bound(const struct rejectd_epochs *epochs,
                            const struct machine_limits *limits)
{
    double item = epochs->dtype == REJECTD_FLOAT64 ? 8.0 : 4.0;
    double bytes =
        item * (double)epochs->n_epochs * (double)epochs->n_channels * (double)epochs->n_times;
    return 9.0 * bytes / limits->copy_bytes_per_s;
}

static void print_table(const struct settings *s, const struct rejectd_epochs *epochs,
                        const struct machine_limits *limits, const struct outcome *o)
{
    printf("%zu x %zu x %zu %s, arithmetic %s, %s, %d threads\n", epochs->n_epochs,
           epochs->n_channels, epochs->n_times,
           epochs->dtype == REJECTD_FLOAT64 ? "float64" : "float32",
           s->parameters.precision == REJECTD_FLOAT64 ? "float64" : "float32", describe(s),
           s->compute.n_threads);
    printf("fit %.4f s (median %.4f of %d); consensus %.1f, n_interpolate %d, %zu bad epochs, "
           "%zu repaired sensors\n",
           o->best_seconds, o->median_seconds, s->repeat, o->consensus, o->n_interpolate,
           o->n_bad_epochs, o->n_interpolated);
    printf("%-20s %9s %7s %9s %9s\n", "step", "seconds", "share", "GB/s", "Gflop/s");
    for (int i = 0; i < TIMED_STEPS; i++)
        if (o->steps[i].calls > 0)
            printf("%-20s %9.4f %6.1f%% %9.2f %9.2f\n", timed_step_name(i), o->steps[i].seconds,
                   100.0 * o->steps[i].seconds / o->best_seconds,
                   o->steps[i].bytes / o->steps[i].seconds / 1e9,
                   o->steps[i].flop / o->steps[i].seconds / 1e9);
    printf("%-20s %9.4f %6.1f%%\n", "search and rest", o->other_seconds,
           100.0 * o->other_seconds / o->best_seconds);
    printf("peak memory %.2f GB, samples %.2f GB\n", (double)o->peak_bytes / 1e9,
           (double)(epochs->n_epochs * epochs->n_channels * epochs->n_times) *
               (epochs->dtype == REJECTD_FLOAT64 ? 8e-9 : 4e-9));
    if (limits->copy_bytes_per_s > 0)
        printf("machine: copy %.1f GB/s, read %.1f GB/s, gemm %.1f Gflop/s; 9 passes at the copy "
               "rate take %.3f s: fit / bound = %.2f\n",
               limits->copy_bytes_per_s / 1e9, limits->read_bytes_per_s / 1e9,
               limits->gemm_flop_per_s / 1e9, traffic_bound(epochs, limits),
               o->best_seconds / traffic_bound(epochs, limits));
}

static bool write_json(const struct settings *s, const struct rejectd_epochs *epochs,
                       const struct machine_limits *limits, const struct outcome *o)
{
    json_t *steps = json_array();
    for (int i = 0; i < TIMED_STEPS; i++)
        if (o->steps[i].calls > 0)
            json_array_append_new(steps,
                                  json_pack("{s:s, s:f, s:f, s:f}", "step", timed_step_name(i),
                                            "seconds", o->steps[i].seconds, "bytes",
                                            o->steps[i].bytes, "flop", o->steps[i].flop));
    json_t *root = json_pack(
        "{s:I, s:I, s:I, s:s, s:s, s:s, s:i, s:f, s:f, s:f, s:o, s:I, s:f, s:i, s:I, s:I}",
        "n_epochs", (json_int_t)epochs->n_epochs, "n_channels", (json_int_t)epochs->n_channels,
        "n_times", (json_int_t)epochs->n_times, "dtype",
        epochs->dtype == REJECTD_FLOAT64 ? "float64" : "float32", "precision",
        s->parameters.precision == REJECTD_FLOAT64 ? "float64" : "float32", "kernels", describe(s),
        "threads", s->compute.n_threads, "seconds", o->best_seconds, "seconds_median",
        o->median_seconds, "seconds_search_and_rest", o->other_seconds, "steps", steps,
        "peak_resident_bytes", (json_int_t)o->peak_bytes, "consensus", o->consensus,
        "n_interpolate", o->n_interpolate, "bad_epochs", (json_int_t)o->n_bad_epochs,
        "repaired_sensors", (json_int_t)o->n_interpolated);
    if (root != NULL && limits->copy_bytes_per_s > 0)
        json_object_set_new(root, "machine",
                            json_pack("{s:f, s:f, s:f, s:f}", "copy_bytes_per_s",
                                      limits->copy_bytes_per_s, "read_bytes_per_s",
                                      limits->read_bytes_per_s, "gemm_flop_per_s",
                                      limits->gemm_flop_per_s, "traffic_bound_seconds",
                                      traffic_bound(epochs, limits)));
    bool ok = root != NULL && json_dump_file(root, s->json_path, JSON_INDENT(2)) == 0;
    json_decref(root);
    return ok;
}

/* Opens the device that was asked for, if any; false where it can't be had. */
static bool open_device(struct settings *s, struct rejectd_devices **devices)
{
    struct rejectd_error error = {0};
    *devices = NULL;
    if (s->device == NULL)
        return true;
    if (rejectd_devices_open(s->module, devices, &error) != REJECTD_OK) {
        fprintf(stderr, "bench_fit: %s\n", error.message);
        return false;
    }
    s->compute.device = rejectd_devices_find(*devices, s->device);
    if (s->compute.device != NULL &&
        rejectd_device_open(s->compute.device, 0, &error) == REJECTD_OK)
        return true;
    fprintf(stderr, "bench_fit: %s\n",
            s->compute.device != NULL ? error.message : rejectd_devices_note(*devices));
    rejectd_devices_close(*devices);
    return false;
}

int main(int argc, char **argv)
{
    struct settings settings = parse_arguments(argc, argv);
    struct recording recording;
    struct rejectd_devices *devices;
    struct rejectd_error error;
    if (!open_device(&settings, &devices))
        return 3;
    if (recording_open(&settings.recording, &recording, &error) != REJECTD_OK) {
        fprintf(stderr, "bench_fit: %s: %s\n", error.field, error.message);
        return 2;
    }
    struct outcome outcome = {0};
    peak_resident_reset(); /* reading or making the samples isn't the fit's */
    bool ok = run_fits(&settings, &recording.epochs, &outcome);
    if (ok) {
        /* The limits need memory of their own: after the peak of the fit was read. */
        outcome.peak_bytes = peak_resident_bytes();
        struct machine_limits limits = {0};
        if (settings.measure_limits)
            limits = machine_measure(settings.compute.n_threads);
        print_table(&settings, &recording.epochs, &limits, &outcome);
        if (settings.json_path != NULL)
            ok = write_json(&settings, &recording.epochs, &limits, &outcome);
    }
    recording_close(&recording);
    rejectd_devices_close(devices);
    return ok ? 0 : 1;
}
