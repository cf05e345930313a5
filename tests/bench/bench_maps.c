/*
 * Times field maps of many sets of MEG sensors: on a device, and on the processor.
 *
 *   bench_maps [--sensors N] [--sets K] [--left-out B] [--projectors V] [--repeat N] [--threads N]
 *              [--module PATH] [--device ID]
 *
 * Prints one JSON object, with sets per second of both and how far the weights differ. With
 * REJECTD_CUDA_TRACE=1 in the environment the module adds lines about its kernels to stderr.
 */
#include <getopt.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rejectd/devices.h>

#include "machine.h"
#include "worker/backend.h"
#include "worker/blas_threads.h"
#include "worker/devices.h"
#include "worker/meg/field_map.h"

struct settings {
    size_t n, n_sets, left_out, projectors, repeat, n_threads;
    const char *module, *device;
};

static void *need(void *pointer)
{
    if (pointer == NULL) {
        fprintf(stderr, "bench_maps: no memory\n");
        exit(1);
    }
    return pointer;
}

static void must(enum rejectd_status status, const struct rejectd_error *error)
{
    if (status == REJECTD_OK)
        return;
    fprintf(stderr, "bench_maps: %s\n", error->message);
    exit(1);
}

static struct settings parse_arguments(int argc, char **argv)
{
    struct settings s = {.n = 204,
                         .n_sets = 1024,
                         .left_out = 4,
                         .repeat = 3,
                         .n_threads = (size_t)omp_get_max_threads(),
                         .module = getenv("REJECTD_CUDA_MODULE"),
                         .device = "cuda:0"};
    static const struct option options[] = {{"sensors", required_argument, NULL, 'n'},
                                            {"sets", required_argument, NULL, 's'},
                                            {"left-out", required_argument, NULL, 'b'},
                                            {"repeat", required_argument, NULL, 'r'},
                                            {"projectors", required_argument, NULL, 'p'},
                                            {"threads", required_argument, NULL, 't'},
                                            {"module", required_argument, NULL, 'm'},
                                            {"device", required_argument, NULL, 'd'},
                                            {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        size_t *const counts[128] = {
            ['n'] = &s.n,      ['s'] = &s.n_sets,     ['b'] = &s.left_out,
            ['r'] = &s.repeat, ['p'] = &s.projectors, ['t'] = &s.n_threads};
        if (option == 'm')
            s.module = optarg;
        else if (option == 'd')
            s.device = optarg;
        else if (option < 128 && option > 0 && counts[option] != NULL)
            *counts[option] = strtoul(optarg, NULL, 10);
        else
            exit(2);
    }
    if (s.n < 2 || s.n > 2000 || s.left_out < 1 || s.left_out >= s.n || s.n_sets < 1 ||
        s.repeat < 1 || s.n_threads < 1 || s.n_threads > 1024 || s.projectors >= s.n) {
        fprintf(stderr,
                "bench_maps: 2 to 2000 sensors, fewer left out and projectors than those\n");
        exit(2);
    }
    return s;
}

/* Magnetometers over the upper part of a sphere. */
static void place(struct rejectd_channel *channels, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const double theta = acos(1.0 - 0.9 * ((double)i + 0.5) / (double)n);
        const double phi = 2.399963 * (double)i;
        const double out[3] = {sin(theta) * cos(phi), sin(theta) * sin(phi), cos(theta)};
        const double x[3] = {cos(theta) * cos(phi), cos(theta) * sin(phi), -sin(theta)};
        const double y[3] = {-sin(phi), cos(phi), 0.0};
        channels[i] = (struct rejectd_channel){
            .type = REJECTD_CHANNEL_MAG, .has_loc = true, .has_coil_type = true, .coil_type = 3024};
        for (int k = 0; k < 3; k++)
            channels[i].loc[k] = (k == 2 ? 0.04 : 0.0) + 0.12 * out[k];
        memcpy(channels[i].loc + 3, x, sizeof x);
        memcpy(channels[i].loc + 6, y, sizeof y);
        memcpy(channels[i].loc + 9, out, sizeof out);
    }
}

/* Set s leaves out every (n / left_out)th sensor from the sth on. */
static void fill_sets(const struct settings *s, size_t *offsets, uint16_t *left_out)
{
    for (size_t set = 0; set <= s->n_sets; set++)
        offsets[set] = set * s->left_out;
    for (size_t set = 0; set < s->n_sets; set++) {
        uint8_t out[2000] = {0};
        uint16_t *to = left_out + offsets[set];
        for (size_t b = 0; b < s->left_out; b++)
            out[(set + b * (s->n / s->left_out)) % s->n] = 1;
        for (size_t i = 0; i < s->n; i++)
            if (out[i] != 0)
                *to++ = (uint16_t)i;
    }
}

/* All sets on the processor, as the repairs have them solved. */
static void solve_on_host(const struct settings *s, const struct field_map *map,
                          const size_t *offsets, const uint16_t *left_out, double *rows)
{
    const size_t n = s->n, n_from = n - s->left_out;
#pragma omp parallel num_threads((int)s->n_threads)
    {
        size_t *from = need(malloc(n * sizeof *from)), *to = need(malloc(n * sizeof *to));
        double *weights = need(malloc(s->left_out * n * sizeof *weights));
#pragma omp for schedule(dynamic, 1)
        for (size_t set = 0; set < s->n_sets; set++) {
            const uint16_t *out = left_out + offsets[set];
            struct rejectd_error error = {0};
            size_t at = 0;
            for (size_t i = 0; i < n; i++)
                if (at < s->left_out && out[at] == i)
                    to[at++] = i;
                else
                    from[i - at] = i;
            must(field_map_between(map, from, n_from, to, s->left_out, weights, &error), &error);
            for (size_t b = 0; b < s->left_out; b++)
                for (size_t i = 0; i < n_from; i++)
                    rows[(offsets[set] + b) * n + from[i]] = weights[b * n_from + i];
        }
        free(from);
        free(to);
        free(weights);
    }
}

static double largest_difference(const double *a, const double *b, size_t n)
{
    double worst = 0.0, largest = 0.0;
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs(a[i] - b[i]));
        largest = fmax(largest, fabs(a[i]));
    }
    return worst / largest;
}

static void run(const struct settings *s, const struct field_map *map,
                const struct backend *backend, struct backend_session *session,
                const char *device_name)
{
    const size_t n_rows = s->n_sets * s->left_out;
    size_t *offsets = need(malloc((s->n_sets + 1) * sizeof *offsets)), n_solved = 0;
    uint16_t *left_out = need(malloc(n_rows * sizeof *left_out));
    uint8_t *solved = need(malloc(s->n_sets));
    double *by_device = need(calloc(n_rows * s->n, sizeof(double)));
    double *by_host = need(calloc(n_rows * s->n, sizeof(double)));
    double device_seconds = INFINITY, worst = 0.0;
    const size_t slice = field_map_slice(map);
    struct rejectd_error error = {0};
    fill_sets(s, offsets, left_out);
    const int threads_before = blas_threads_pin();
    for (size_t i = 0; i < s->repeat; i++) {
        const double start = monotonic_seconds();
        for (size_t first = 0; first < s->n_sets; first += slice) {
            const size_t left = s->n_sets - first;
            must(field_map_sets(map, backend, session, offsets, left_out + offsets[first],
                                left < slice ? left : slice, (int)s->n_threads,
                                by_device + offsets[first] * s->n, solved + first, &error),
                 &error);
        }
        device_seconds = fmin(device_seconds, monotonic_seconds() - start);
    }
    const double start = monotonic_seconds();
    solve_on_host(s, map, offsets, left_out, by_host);
    const double host_seconds = monotonic_seconds() - start;
    blas_threads_restore(threads_before);
    for (size_t set = 0; set < s->n_sets; set++) {
        const size_t at = offsets[set] * s->n;
        n_solved += solved[set];
        if (solved[set] != 0)
            worst =
                fmax(worst, largest_difference(by_host + at, by_device + at, s->left_out * s->n));
    }
    printf("{\"sensors\": %zu, \"sets\": %zu, \"left_out\": %zu, \"projectors\": %zu, "
           "\"threads\": %zu, \"device\": \"%s\", \"device_sets_per_s\": %.1f, "
           "\"host_sets_per_s\": %.1f, \"left_to_the_host\": %zu, \"largest_difference\": %.2e}\n",
           s->n, s->n_sets, s->left_out, s->projectors, s->n_threads, device_name,
           (double)s->n_sets / device_seconds, (double)s->n_sets / host_seconds,
           s->n_sets - n_solved, worst);
    free(offsets);
    free(left_out);
    free(solved);
    free(by_device);
    free(by_host);
}

int main(int argc, char **argv)
{
    const struct settings s = parse_arguments(argc, argv);
    struct rejectd_error error = {0};
    struct rejectd_devices *devices;
    must(rejectd_devices_open(s.module, &devices, &error), &error);
    struct rejectd_device *device = rejectd_devices_find(devices, s.device);
    if (device == NULL) {
        fprintf(stderr, "bench_maps: %s\n", rejectd_devices_note(devices));
        return 1;
    }
    must(rejectd_device_open(device, 0, &error), &error);
    const struct backend *backend;
    struct backend_options options = {.n_threads = 1, .precision = REJECTD_FLOAT64};
    must(device_backend(device, &backend, &options.device, &error), &error);
    if (backend->map_sets == NULL) {
        fprintf(stderr, "bench_maps: the module leaves maps to the host\n");
        return 1;
    }
    struct rejectd_channel *channels = need(calloc(s.n, sizeof *channels));
    double *samples = need(calloc(s.n, sizeof *samples));
    double *vectors = need(calloc(s.projectors * s.n + 1, sizeof *vectors));
    size_t *picks = need(calloc(s.n, sizeof *picks));
    place(channels, s.n);
    for (size_t i = 0; i < s.n; i++)
        picks[i] = i;
    for (size_t i = 0; i < s.projectors * s.n; i++)
        vectors[i] = sin(1.0 + (double)(i * i % 7919));
    const struct rejectd_projector projector = {.n_vectors = s.projectors, .vectors = vectors};
    const struct rejectd_epochs epochs = {.n_epochs = 1,
                                          .n_channels = s.n,
                                          .n_times = 1,
                                          .dtype = REJECTD_FLOAT64,
                                          .samples = samples,
                                          .channels = channels,
                                          .projectors = &projector,
                                          .n_projectors = s.projectors > 0};
    const struct backend_samples view = {.data = samples,
                                         .dtype = REJECTD_FLOAT64,
                                         .n_epochs = 1,
                                         .n_channels = s.n,
                                         .n_times = 1,
                                         .picks = picks,
                                         .n_picks = s.n};
    struct field_map *map;
    struct backend_session *session;
    must(field_map_open(&epochs, picks, s.n, REJECTD_MEG_LEGENDRE_TABLE, (int)s.n_threads, &map,
                        &error),
         &error);
    must(backend->open(&view, &options, &session, &error), &error);
    run(&s, map, backend, session, rejectd_device_info(device)->name);
    backend->close(session);
    field_map_close(map);
    rejectd_devices_close(devices);
    free(channels);
    free(samples);
    free(vectors);
    free(picks);
    return 0;
}
