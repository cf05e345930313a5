/*
 * Times complete fits on a GPU: from host memory, of a resident dataset, and again with other
 * consensus and n_interpolate; compared with the processor where asked.
 *
 *   bench_cuda [--epochs N] [--channels C] [--times T] [--precision NAME]
 *              [--repeat N] [--compare] [--refits] [--module PATH] [--device ID]
 *
 * --precision: float64, float32, float16 or bfloat16; samples are float64 for the first, float32
 * for the others. --refits: with given thresholds, so that nothing is searched; of few samples this
 * runs on emulated devices, too, and their marks "until_..." and "lists_of_..." tell the host's own
 * work. Prints one JSON object. With REJECTD_CUDA_TRACE=1 in the environment the module adds lines
 * about its kernels to stderr, of the fit that the line before ("fit KIND") names.
 */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rejectd/compute.h>

#include "client/simulate/simulate.h"
#include "machine.h"

struct settings {
    size_t n_epochs, n_channels, n_times;
    enum rejectd_dtype precision;
    int repeat;
    bool compare, refits;
    const char *module, *device;
};

static size_t parse_count(const char *text)
{
    char *end;
    const unsigned long value = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value == 0) {
        fprintf(stderr, "bench_cuda: \"%s\" is not a count\n", text);
        exit(2);
    }
    return value;
}

static const char *const precisions[] = {
    [REJECTD_FLOAT32] = "float32",
    [REJECTD_FLOAT64] = "float64",
    [REJECTD_FLOAT16] = "float16",
    [REJECTD_BFLOAT16] = "bfloat16",
};

static enum rejectd_dtype parse_precision(const char *text)
{
    for (size_t i = 0; i < sizeof precisions / sizeof precisions[0]; i++)
        if (strcmp(text, precisions[i]) == 0)
            return (enum rejectd_dtype)i;
    fprintf(stderr, "bench_cuda: there is no precision \"%s\"\n", text);
    exit(2);
}

/* What samples are made in. */
static enum rejectd_dtype sample_type(const struct settings *s)
{
    return s->precision == REJECTD_FLOAT64 ? REJECTD_FLOAT64 : REJECTD_FLOAT32;
}

static struct settings parse_arguments(int argc, char **argv)
{
    struct settings s = {
        300, 128, 1000, REJECTD_FLOAT64, 5, false, false, getenv("REJECTD_CUDA_MODULE"), "cuda:0"};
    static const struct option options[] = {
        {"epochs", required_argument, NULL, 'e'}, {"channels", required_argument, NULL, 'c'},
        {"times", required_argument, NULL, 't'},  {"precision", required_argument, NULL, 'p'},
        {"repeat", required_argument, NULL, 'r'}, {"compare", no_argument, NULL, 'C'},
        {"refits", no_argument, NULL, 'R'},       {"module", required_argument, NULL, 'm'},
        {"device", required_argument, NULL, 'd'}, {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'e':
            s.n_epochs = parse_count(optarg);
            break;
        case 'c':
            s.n_channels = parse_count(optarg);
            break;
        case 't':
            s.n_times = parse_count(optarg);
            break;
        case 'p':
            s.precision = parse_precision(optarg);
            break;
        case 'r':
            s.repeat = (int)parse_count(optarg);
            break;
        case 'R':
            s.refits = true;
            break;
        case 'C':
            s.compare = true;
            break;
        case 'm':
            s.module = optarg;
            break;
        case 'd':
            s.device = optarg;
            break;
        default:
            exit(2);
        }
    }
    return s;
}

/* Simulated epochs, and copies of them at other amplitudes until there are enough: simulating
 * thousands would take longer than all fits. */
static struct rejectd_epochs make_epochs(const struct settings *s, struct simulated_epochs *made,
                                         void **samples)
{
    enum { SIMULATED = 300 };
    const size_t n = s->n_epochs < SIMULATED ? s->n_epochs : SIMULATED;
    const struct simulate_request request = {.n_epochs = n,
                                             .n_channels = s->n_channels,
                                             .n_times = s->n_times,
                                             .sfreq = 500.0,
                                             .tmin = -0.2,
                                             .dtype = sample_type(s),
                                             .seed = 1};
    struct rejectd_error error;
    if (simulate_epochs(&request, made, &error) != REJECTD_OK) {
        fprintf(stderr, "bench_cuda: %s\n", error.message);
        exit(1);
    }
    const size_t per_epoch = s->n_channels * s->n_times;
    const size_t item = s->precision == REJECTD_FLOAT64 ? sizeof(double) : sizeof(float);
    *samples = malloc(s->n_epochs * per_epoch * item);
    if (*samples == NULL)
        exit(1);
#pragma omp parallel for schedule(static)
    for (size_t e = 0; e < s->n_epochs; e++) {
        const double scale = 0.8 + 0.4 * fmod((double)(e / n) * 0.6180339887, 1.0);
        for (size_t i = 0; i < per_epoch; i++) {
            const size_t from = e % n * per_epoch + i, to = e * per_epoch + i;
            if (s->precision == REJECTD_FLOAT64)
                ((double *)*samples)[to] = ((const double *)made->epochs.samples)[from] * scale;
            else
                ((float *)*samples)[to] =
                    (float)(((const float *)made->epochs.samples)[from] * scale);
        }
    }
    struct rejectd_epochs epochs = made->epochs;
    epochs.n_epochs = s->n_epochs;
    epochs.samples = *samples;
    return epochs;
}

static struct rejectd_fit *fit(const struct rejectd_epochs *epochs,
                               const struct rejectd_fit_parameters *parameters,
                               const struct rejectd_compute_options *options, const char *kind,
                               double *seconds)
{
    struct rejectd_fit *made;
    struct rejectd_error error;
    fprintf(stderr, "fit %s\n", kind);
    const double start = monotonic_seconds();
    if (rejectd_fit(epochs, parameters, options, &made, &error) != REJECTD_OK) {
        fprintf(stderr, "bench_cuda: %s: %s\n", kind, error.message);
        exit(1);
    }
    *seconds = monotonic_seconds() - start;
    return made;
}

static double timed_fit(const struct rejectd_epochs *epochs,
                        const struct rejectd_fit_parameters *parameters,
                        const struct rejectd_compute_options *options, const char *kind)
{
    double seconds;
    rejectd_fit_free(fit(epochs, parameters, options, kind, &seconds));
    return seconds;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_times(const char *name, double *seconds, size_t n)
{
    qsort(seconds, n, sizeof *seconds, by_value);
    printf(", \"%s\": {\"least\": %.6f, \"median\": %.6f, \"most\": %.6f}", name, seconds[0],
           seconds[n / 2], seconds[n - 1]);
}

static void print_comparison(const struct rejectd_fit *gpu, const struct rejectd_fit *cpu,
                             double cpu_seconds)
{
    size_t same = 0, picked = 0, labels = 0, bad = 0;
    for (size_t c = 0; c < cpu->n_channels; c++) {
        picked += !isnan(cpu->thresholds[c]);
        same += fabs(gpu->thresholds[c] - cpu->thresholds[c]) <= 1e-6 * cpu->thresholds[c];
    }
    for (size_t i = 0; i < cpu->log.n_epochs * cpu->log.n_channels; i++)
        labels += gpu->log.labels[i] != cpu->log.labels[i];
    for (size_t e = 0; e < cpu->log.n_epochs; e++)
        bad += gpu->log.bad_epochs[e] != cpu->log.bad_epochs[e];
    printf(", \"cpu_seconds\": %.4f, \"picks\": %zu, \"thresholds_equal\": %zu, "
           "\"labels_differ\": %zu, \"bad_epochs_differ\": %zu",
           cpu_seconds, picked, same, labels, bad);
}

static double amplitude(const struct rejectd_epochs *epochs, size_t row)
{
    double least = INFINITY, most = -INFINITY;
    for (size_t t = 0; t < epochs->n_times; t++) {
        const size_t at = row * epochs->n_times + t;
        const double value = epochs->dtype == REJECTD_FLOAT64
                                 ? ((const double *)epochs->samples)[at]
                                 : (double)((const float *)epochs->samples)[at];
        least = fmin(least, value);
        most = fmax(most, value);
    }
    return most - least;
}

/* What the default grid, 1, 4 and 32 sensors repaired one after the other, has to repair: how many
 * epochs and rows, and of the sets of sensors the sums of squares and cubes of their sizes, which
 * their cost follows. */
static void print_repairs(const struct rejectd_epochs *epochs, const struct rejectd_fit *fit)
{
    static const size_t most[] = {1, 1 + 4, 1 + 4 + 32};
    double n_epochs = 0.0, rows = 0.0, squares = 0.0, cubes = 0.0;
#pragma omp parallel for schedule(static) reduction(+ : n_epochs, rows, squares, cubes)
    for (size_t e = 0; e < epochs->n_epochs; e++) {
        size_t bad = 0;
        for (size_t c = 0; c < epochs->n_channels; c++)
            bad += amplitude(epochs, e * epochs->n_channels + c) > fit->thresholds[c];
        if (bad == epochs->n_channels)
            bad = 0; /* nothing is left to repair it from */
        n_epochs += bad > 0;
        for (size_t v = 0; v < sizeof most / sizeof most[0]; v++) {
            const double size = (double)(bad < most[v] ? bad : most[v]);
            rows += size;
            squares += size * size;
            cubes += size * size * size;
        }
    }
    printf(", \"repairs\": {\"epochs\": %.0f, \"rows\": %.0f, \"squares\": %.0f, "
           "\"cubes\": %.0f}",
           n_epochs, rows, squares, cubes);
}

/* For each channel the amplitude that nine epochs in ten are below. free() it. */
static double *usual_amplitudes(const struct rejectd_epochs *epochs)
{
    const size_t n = epochs->n_epochs, c = epochs->n_channels;
    double *thresholds = malloc(c * sizeof *thresholds),
           *amplitudes = malloc(n * sizeof *amplitudes);
    if (thresholds == NULL || amplitudes == NULL)
        exit(1);
    for (size_t i = 0; i < c; i++) {
        for (size_t e = 0; e < n; e++)
            amplitudes[e] = amplitude(epochs, e * c + i);
        qsort(amplitudes, n, sizeof *amplitudes, by_value);
        thresholds[i] = amplitudes[n * 9 / 10];
    }
    free(amplitudes);
    return thresholds;
}

static void run_refits(const struct settings *s, struct rejectd_device *device)
{
    struct simulated_epochs made;
    void *samples;
    struct rejectd_epochs epochs = make_epochs(s, &made, &samples);
    epochs.content = "bench";
    double *thresholds = usual_amplitudes(&epochs);
    const int values[] = {1, 4, 32}, other_values[] = {2, 8};
    const struct rejectd_compute_options gpu = {.device = device};
    struct rejectd_fit_parameters parameters = {.precision = s->precision,
                                                .thresholds = thresholds,
                                                .n_interpolate = values,
                                                .n_n_interpolate = 3};
    printf("{\"first\": %.6f", timed_fit(&epochs, &parameters, &gpu, "first"));
    parameters.n_interpolate = other_values;
    parameters.n_n_interpolate = 2;
    for (int i = 0; i < s->repeat; i++)
        printf(", \"again\": %.6f", timed_fit(&epochs, &parameters, &gpu, "again"));
    printf("}\n");
    free(thresholds);
    free(samples);
    simulate_free(&made);
}

static void run(const struct settings *s, struct rejectd_device *device)
{
    enum { MOST_REPEATS = 50 };
    struct simulated_epochs made;
    void *samples;
    struct rejectd_epochs epochs = make_epochs(s, &made, &samples);
    const int repeat = s->repeat < MOST_REPEATS ? s->repeat : (int)MOST_REPEATS;
    const int other_values[] = {2, 8};
    const struct rejectd_compute_options gpu = {.device = device};
    struct rejectd_fit_parameters parameters = {.precision = s->precision, .random_state = 42};
    double from_host[MOST_REPEATS], resident[MOST_REPEATS], again[MOST_REPEATS];
    printf("{\"epochs\": %zu, \"channels\": %zu, \"times\": %zu, \"precision\": \"%s\", "
           "\"device\": \"%s\", \"bytes\": %zu",
           s->n_epochs, s->n_channels, s->n_times, precisions[s->precision],
           rejectd_device_info(device)->name,
           s->n_epochs * s->n_channels * s->n_times *
               (s->precision == REJECTD_FLOAT64 ? sizeof(double) : sizeof(float)));
    double seconds;
    struct rejectd_fit *first = fit(&epochs, &parameters, &gpu, "first", &seconds);
    printf(", \"first_seconds\": %.6f", seconds);
    print_repairs(&epochs, first);
    rejectd_fit_free(first);
    for (int i = 0; i < repeat; i++)
        from_host[i] = timed_fit(&epochs, &parameters, &gpu, "from-host");
    epochs.content = "bench";
    timed_fit(&epochs, &parameters, &gpu, "to-stay");
    for (int i = 0; i < repeat; i++) {
        /* Another seed and, in between, other folds: the tables of before are of no use. */
        parameters.random_state = (uint32_t)(1000 + i);
        parameters.cv = 9;
        timed_fit(&epochs, &parameters, &gpu, "between");
        parameters.random_state = (uint32_t)(2000 + i);
        parameters.cv = 10;
        resident[i] = timed_fit(&epochs, &parameters, &gpu, "resident");
    }
    parameters.n_interpolate = other_values;
    parameters.n_n_interpolate = 2;
    for (int i = 0; i < repeat; i++)
        again[i] = timed_fit(&epochs, &parameters, &gpu, "again");
    print_times("from_host", from_host, (size_t)repeat);
    print_times("resident", resident, (size_t)repeat);
    print_times("again", again, (size_t)repeat);
    if (s->compare) {
        const struct rejectd_compute_options cpu = {.backend = "cpu"};
        parameters = (struct rejectd_fit_parameters){.precision = s->precision, .random_state = 42};
        struct rejectd_fit *by_gpu = fit(&epochs, &parameters, &gpu, "compared", &seconds);
        struct rejectd_fit *by_cpu = fit(&epochs, &parameters, &cpu, "cpu", &seconds);
        print_comparison(by_gpu, by_cpu, seconds);
        rejectd_fit_free(by_gpu);
        rejectd_fit_free(by_cpu);
    }
    printf("}\n");
    simulate_free(&made);
    free(samples);
}

int main(int argc, char **argv)
{
    const struct settings settings = parse_arguments(argc, argv);
    struct rejectd_devices *devices;
    struct rejectd_error error;
    if (rejectd_devices_open(settings.module, &devices, &error) != REJECTD_OK) {
        fprintf(stderr, "bench_cuda: %s\n", error.message);
        return 1;
    }
    struct rejectd_device *device = rejectd_devices_find(devices, settings.device);
    if (device == NULL || rejectd_device_open(device, 0, &error) != REJECTD_OK) {
        fprintf(stderr, "bench_cuda: %s\n",
                device == NULL ? rejectd_devices_note(devices) : error.message);
        return 1;
    }
    (settings.refits ? run_refits : run)(&settings, device);
    rejectd_devices_close(devices);
    return 0;
}
