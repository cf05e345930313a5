/*
 * The conformance suite's second part: the operations of RANSAC and of global thresholds, on every
 * backend and instruction set, over samples that are easy to get wrong.
 */
#include <check.h>
#include <math.h>
#include <rejectd/devices.h>
#include <stdlib.h>
#include <string.h>

#include "every_backend.h"
#include "run_suite.h"
#include "worker/algorithm/folds.h"
#include "worker/backend.h"
#include "worker/cpu/kernels.h"

enum flavour {
    ORDINARY, /* microvolts with a few large artefacts */
    INTEGERS, /* many exact ties */
    TINY,     /* the scale of magnetometers */
    FLAT,     /* some channels are zero */
    DRIFT,    /* folds lie far apart */
};

struct shape {
    size_t n_epochs, n_channels, n_times;
    size_t n_picks; /* the last ones */
    enum rejectd_dtype dtype;
    enum flavour flavour;
    size_t n_resample, n_samples, n_folds;
};

static const struct shape shapes[] = {
    {2, 3, 1, 3, REJECTD_FLOAT64, ORDINARY, 1, 1, 2},
    {7, 6, 20, 4, REJECTD_FLOAT64, INTEGERS, 2, 2, 3},
    {12, 14, 133, 13, REJECTD_FLOAT64, ORDINARY, 50, 3, 5},
    {9, 9, 70, 9, REJECTD_FLOAT32, ORDINARY, 31, 4, 9},
    {30, 8, 65, 7, REJECTD_FLOAT64, TINY, 50, 2, 4},
    {11, 7, 40, 7, REJECTD_FLOAT64, FLAT, 20, 3, 5},
    {260, 3, 33, 3, REJECTD_FLOAT64, INTEGERS, 7, 2, 2},
    {6, 33, 260, 30, REJECTD_FLOAT32, INTEGERS, 50, 8, 3},
    {5, 4, 9, 4, REJECTD_FLOAT64, ORDINARY, 200, 4, 2},
    /* Folds of so many epochs that their medians are bounded by a sample first. */
    {3000, 2, 5, 2, REJECTD_FLOAT64, ORDINARY, 1, 1, 3},
    {2600, 2, 3, 2, REJECTD_FLOAT64, INTEGERS, 1, 1, 4},
    {1500, 2, 20, 2, REJECTD_FLOAT32, DRIFT, 1, 1, 5},
    {1300, 3, 4, 3, REJECTD_FLOAT64, FLAT, 1, 1, 2},
    {420, 25, 9, 25, REJECTD_FLOAT64, ORDINARY, 1, 1, 3},
    {600, 25, 9, 25, REJECTD_FLOAT64, DRIFT, 1, 1, 2},
};

enum { N_SHAPES = sizeof shapes / sizeof shapes[0], N_CANDIDATES = 9 };

static uint64_t random_state;

static double random_value(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(random_state >> 11) * 0x1p-53 - 0.5;
}

static double draw_sample(enum flavour flavour, size_t epoch, size_t channel)
{
    switch (flavour) {
    case INTEGERS:
        return floor(4.0 * random_value());
    case TINY:
        return 3e-13 * random_value();
    case FLAT:
        return channel % 3 == 1 ? 0.0 : 1e-5 * random_value();
    case DRIFT:
        /* Folds whose medians have nothing to do with each other. */
        return 1e-6 * random_value() + 1e-4 * (double)(epoch / 300 * 7 % 5);
    default:
        return 1e-5 * random_value() * (random_value() > 0.497 ? 40.0 : 1.0);
    }
}

static void *allocate(size_t bytes)
{
    void *memory = malloc(bytes > 0 ? bytes : 1);
    ck_assert_ptr_nonnull(memory);
    return memory;
}

struct fixture {
    const struct shape *shape;
    void *data;
    size_t picks[64];
    uint32_t *subsets;
    double *weights;
    uint16_t *fold;
    uint32_t *order;
    uint32_t kept[N_CANDIDATES];
    struct backend_samples samples;
    struct backend_mappings mappings;
    struct backend_global global;
};

static void fill_samples(struct fixture *f)
{
    const struct shape *s = f->shape;
    const size_t n = s->n_epochs * s->n_channels * s->n_times;
    f->data = allocate(n * sizeof(double));
    for (size_t i = 0; i < n; i++) {
        const double value = draw_sample(s->flavour, i / (s->n_times * s->n_channels),
                                         i / s->n_times % s->n_channels);
        if (s->dtype == REJECTD_FLOAT64)
            ((double *)f->data)[i] = value;
        else
            ((float *)f->data)[i] = (float)value;
    }
    for (size_t i = 0; i < s->n_picks; i++)
        f->picks[i] = s->n_channels - s->n_picks + i;
}

static void draw_mappings(struct fixture *f)
{
    const struct shape *s = f->shape;
    const size_t drawn = s->n_resample * s->n_samples;
    f->subsets = allocate(drawn * sizeof *f->subsets);
    f->weights = allocate(drawn * s->n_picks * sizeof *f->weights);
    for (size_t i = 0; i < drawn; i++) /* neighbours in a circle: no repeats in a subset */
        f->subsets[i] = (uint32_t)((i / s->n_samples * 7 + i % s->n_samples) % s->n_picks);
    for (size_t i = 0; i < drawn * s->n_picks; i++)
        f->weights[i] = s->flavour == INTEGERS ? floor(3.0 * random_value()) : random_value();
}

static void draw_folds(struct fixture *f)
{
    const size_t n = f->shape->n_epochs;
    f->fold = allocate(n * sizeof *f->fold);
    f->order = allocate(n * sizeof *f->order);
    folds_contiguous(n, f->shape->n_folds, f->fold);
    for (size_t e = 0; e < n; e++)
        f->order[e] = (uint32_t)e;
    for (size_t e = n; e-- > 1;) {
        const size_t other = (size_t)((random_value() + 0.5) * (double)e);
        const uint32_t swapped = f->order[e];
        f->order[e] = f->order[other];
        f->order[other] = swapped;
    }
    for (size_t i = 0; i < N_CANDIDATES; i++) /* none, all, and some in between */
        f->kept[i] = (uint32_t)(i * n / (N_CANDIDATES - 1));
}

static void fixture_open(struct fixture *f, const struct shape *shape)
{
    *f = (struct fixture){.shape = shape};
    random_state = 11 + shape->n_resample;
    fill_samples(f);
    draw_mappings(f);
    draw_folds(f);
    f->samples = (struct backend_samples){.data = f->data,
                                          .dtype = shape->dtype,
                                          .n_epochs = shape->n_epochs,
                                          .n_channels = shape->n_channels,
                                          .n_times = shape->n_times,
                                          .picks = f->picks,
                                          .n_picks = shape->n_picks};
    f->mappings =
        (struct backend_mappings){shape->n_resample, shape->n_samples, f->subsets, f->weights};
    f->global = (struct backend_global){shape->n_folds, f->fold, f->order, N_CANDIDATES, f->kept};
}

static void fixture_close(struct fixture *f)
{
    free(f->data);
    free(f->subsets);
    free(f->weights);
    free(f->fold);
    free(f->order);
}

struct results {
    size_t n_corr, n_losses;
    double *corr;         /* [E][C] */
    double *test, *train; /* [N_CANDIDATES][n_folds] */
};

static void run_backend(const struct fixture *f, const struct backend *backend,
                        const struct backend_options *options, struct results *r)
{
    struct rejectd_error error = {0};
    struct backend_session *session;
    r->n_corr = f->shape->n_epochs * f->shape->n_picks;
    r->n_losses = N_CANDIDATES * f->shape->n_folds;
    r->corr = allocate(r->n_corr * sizeof(double));
    r->test = allocate(r->n_losses * sizeof(double));
    r->train = allocate(r->n_losses * sizeof(double));
    double *alone = allocate(r->n_losses * sizeof(double));
    ck_assert_int_eq(backend->open(&f->samples, options, &session, &error), REJECTD_OK);
    ck_assert_int_eq(backend->ransac_correlations(session, &f->mappings, r->corr, &error),
                     REJECTD_OK);
    ck_assert_int_eq(backend->global_losses(session, &f->global, r->test, r->train, &error),
                     REJECTD_OK);
    ck_assert_int_eq(backend->global_losses(session, &f->global, alone, NULL, &error), REJECTD_OK);
    ck_assert_mem_eq(alone, r->test, r->n_losses * sizeof(double));
    backend->close(session);
    free(alone);
}

static void results_free(struct results *r)
{
    free(r->corr);
    free(r->test);
    free(r->train);
}

static void assert_near(const char *what, const double *a, const double *b, size_t n,
                        double tolerance)
{
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(a[i]) || !isfinite(b[i]))
            ck_assert_msg(a[i] == b[i] || (isnan(a[i]) && isnan(b[i])), "%s[%zu]: %g, expected %g",
                          what, i, a[i], b[i]);
        else
            ck_assert_msg(fabs(a[i] - b[i]) <= tolerance, "%s[%zu]: %.17g, expected %.17g", what, i,
                          a[i], b[i]);
    }
}

static void compare(const struct results *a, const struct results *b, double precision)
{
    double largest = 0.0;
    for (size_t i = 0; i < b->n_losses; i++)
        if (isfinite(b->test[i]))
            largest = fmax(largest, b->test[i]);
    assert_near("correlations", a->corr, b->corr, b->n_corr, 100 * precision);
    assert_near("test losses", a->test, b->test, b->n_losses, precision * largest);
    assert_near("train losses", a->train, b->train, b->n_losses, precision * largest);
}

static void run_reference(const struct fixture *f, struct results *r)
{
    const struct backend_options options = {.n_threads = 1, .precision = REJECTD_FLOAT64};
    run_backend(f, backend_find("reference"), &options, r);
}

START_TEST(test_every_backend_equals_the_reference)
{
    struct fixture f;
    struct results expected, found;
    fixture_open(&f, &shapes[_i]);
    run_reference(&f, &expected);
    for (size_t b = 0; every_backend(b).backend != NULL; b++) {
        struct backend_options options = {
            .device = every_backend(b).device, .n_threads = 2, .precision = REJECTD_FLOAT64};
        run_backend(&f, every_backend(b).backend, &options, &found);
        compare(&found, &expected, 1e-13);
        results_free(&found);
        if (options.device == NULL)
            continue;
        options.precision = REJECTD_FLOAT32;
        run_backend(&f, every_backend(b).backend, &options, &found);
        compare(&found, &expected, 2e-6);
        results_free(&found);
    }
    results_free(&expected);
    fixture_close(&f);
}
END_TEST

static double largest_sample(const struct fixture *f)
{
    const size_t n = f->shape->n_epochs * f->shape->n_channels * f->shape->n_times;
    double largest = 0.0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, f->shape->dtype == REJECTD_FLOAT64
                                    ? fabs(((const double *)f->data)[i])
                                    : fabs((double)((const float *)f->data)[i]));
    return largest;
}

/*
 * Samples are kept in 16 bits: with unit round-off u each is off by u X at most, X being the
 * largest, so that a median, or a mean, is off by u X and a loss by 2 u X. A correlation is that of
 * two vectors, each off by some share d of its length: by 2 d at most, and d is u for a channel
 * whose samples are rounded (each by u of itself), and for its prediction, a median over weighed
 * sums of w times that where those are w times as long as what comes of them.
 */
START_TEST(test_mixed_precisions_are_near)
{
    static const enum rejectd_dtype mixed[] = {REJECTD_FLOAT16, REJECTD_BFLOAT16};
    static const double units[] = {0x1p-11, 0x1p-8};
    struct fixture f;
    struct results expected, found;
    fixture_open(&f, &shapes[_i]);
    run_reference(&f, &expected);
    const double largest = largest_sample(&f);
    for (size_t b = 0; every_backend(b).backend != NULL; b++)
        for (size_t i = 0; i < 2; i++) {
            const struct backend_options options = {
                .device = every_backend(b).device, .n_threads = 2, .precision = mixed[i]};
            if (options.device == NULL)
                continue;
            run_backend(&f, every_backend(b).backend, &options, &found);
            const double bound = 1.01 * 2.0 * units[i] * largest;
            assert_near("correlations", found.corr, expected.corr, expected.n_corr, 40 * units[i]);
            assert_near("test losses", found.test, expected.test, expected.n_losses, bound);
            assert_near("train losses", found.train, expected.train, expected.n_losses, bound);
            results_free(&found);
        }
    results_free(&expected);
    fixture_close(&f);
}
END_TEST

START_TEST(test_every_instruction_set_equals_the_reference)
{
    struct fixture f;
    struct results expected, found;
    fixture_open(&f, &shapes[_i]);
    run_reference(&f, &expected);
    for (size_t i = 0; kernels_name_at(i) != NULL; i++)
        for (int precision = REJECTD_FLOAT32; precision <= REJECTD_FLOAT64; precision++) {
            const struct backend_options options = {.n_threads = 2,
                                                    .precision = (enum rejectd_dtype)precision,
                                                    .instruction_set = kernels_name_at(i)};
            run_backend(&f, backend_find("cpu"), &options, &found);
            compare(&found, &expected, precision == REJECTD_FLOAT64 ? 1e-13 : 2e-6);
            results_free(&found);
        }
    results_free(&expected);
    fixture_close(&f);
}
END_TEST

START_TEST(test_results_do_not_depend_on_threads)
{
    static const int threads[] = {2, 3, 8};
    struct fixture f;
    struct results first, other;
    fixture_open(&f, &shapes[_i]);
    struct backend_options options = {.n_threads = 1, .precision = REJECTD_FLOAT64};
    run_backend(&f, backend_find("cpu"), &options, &first);
    for (size_t i = 0; i < 3; i++) {
        options.n_threads = threads[i];
        run_backend(&f, backend_find("cpu"), &options, &other);
        ck_assert_mem_eq(first.corr, other.corr, first.n_corr * sizeof(double));
        ck_assert_mem_eq(first.test, other.test, first.n_losses * sizeof(double));
        ck_assert_mem_eq(first.train, other.train, first.n_losses * sizeof(double));
        results_free(&other);
    }
    results_free(&first);
    fixture_close(&f);
}
END_TEST

/* Of many resamples a device keeps the predictions of as many epochs as it has room for. */
START_TEST(test_many_resamples_with_little_room)
{
    static const struct shape many = {70, 4, 9, 4, REJECTD_FLOAT64, ORDINARY, 400, 3, 2};
    struct fixture f;
    struct results expected;
    struct rejectd_devices *devices;
    struct backend_session *session;
    struct rejectd_error error;
    const struct tested_backend cuda = cuda_backend_within((size_t)4 << 20, &devices);
    fixture_open(&f, &many);
    run_reference(&f, &expected);
    if (cuda.backend != NULL) {
        const struct backend_options options = {
            .device = cuda.device, .n_threads = 1, .precision = REJECTD_FLOAT64};
        double *corr = allocate(expected.n_corr * sizeof *corr);
        ck_assert_int_eq(cuda.backend->open(&f.samples, &options, &session, &error), REJECTD_OK);
        ck_assert_msg(cuda.backend->ransac_correlations(session, &f.mappings, corr, &error) ==
                          REJECTD_OK,
                      "%s", error.message);
        assert_near("correlations", corr, expected.corr, expected.n_corr, 1e-11);
        cuda.backend->close(session);
        free(corr);
    }
    results_free(&expected);
    fixture_close(&f);
    rejectd_devices_close(devices);
}
END_TEST

/* Samples so large that sums of them overflow: values are of no use, but the search ends. */
static void ends_in_spite_of_overflow(const struct backend *backend,
                                      const struct backend_options *options)
{
    struct fixture f;
    struct rejectd_error error;
    struct backend_session *session;
    fixture_open(&f, &shapes[2]);
    const size_t n = f.shape->n_epochs * f.shape->n_channels * f.shape->n_times;
    for (size_t i = 0; i < n; i++)
        ((double *)f.data)[i] = random_value() > 0.0 ? 1.7e308 : -1.7e308;
    for (size_t i = 0; i < f.shape->n_resample * f.shape->n_samples * f.shape->n_picks; i++)
        f.weights[i] = 3.0;
    double *corr = allocate(f.shape->n_epochs * f.shape->n_picks * sizeof *corr);
    ck_assert_int_eq(backend->open(&f.samples, options, &session, &error), REJECTD_OK);
    ck_assert_int_eq(backend->ransac_correlations(session, &f.mappings, corr, &error), REJECTD_OK);
    backend->close(session);
    free(corr);
    fixture_close(&f);
}

START_TEST(test_overflow_ends)
{
    for (size_t b = 0; every_backend(b).backend != NULL; b++) {
        const struct backend_options options = {
            .device = every_backend(b).device, .n_threads = 1, .precision = REJECTD_FLOAT64};
        ends_in_spite_of_overflow(every_backend(b).backend, &options);
    }
}
END_TEST

START_TEST(test_overflow_ends_with_every_instruction_set)
{
    for (size_t i = 0; kernels_name_at(i) != NULL; i++) {
        const struct backend_options options = {
            .n_threads = 1, .precision = REJECTD_FLOAT64, .instruction_set = kernels_name_at(i)};
        ends_in_spite_of_overflow(backend_find("cpu"), &options);
    }
}
END_TEST

static bool stop_at_once(void *context, double fraction)
{
    (void)context;
    (void)fraction;
    return false;
}

START_TEST(test_a_cancelled_call_ends)
{
    struct fixture f;
    struct results r;
    fixture_open(&f, &shapes[2]);
    run_reference(&f, &r);
    for (size_t b = 0; every_backend(b).backend != NULL; b++) {
        const struct backend *backend = every_backend(b).backend;
        const struct backend_options options = {.device = every_backend(b).device,
                                                .n_threads = 2,
                                                .precision = REJECTD_FLOAT64,
                                                .progress = {stop_at_once, NULL}};
        struct backend_session *session;
        struct rejectd_error error;
        ck_assert_int_eq(backend->open(&f.samples, &options, &session, &error), REJECTD_OK);
        ck_assert_int_eq(backend->ransac_correlations(session, &f.mappings, r.corr, &error),
                         REJECTD_CANCELLED);
        backend->close(session);
        ck_assert_int_eq(backend->open(&f.samples, &options, &session, &error), REJECTD_OK);
        ck_assert_int_eq(backend->global_losses(session, &f.global, r.test, NULL, &error),
                         REJECTD_CANCELLED);
        backend->close(session);
    }
    results_free(&r);
    fixture_close(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("backend, ransac and global thresholds");
    TCase *operations = tcase_create("operations");
    tcase_set_timeout(operations, 300);
    tcase_add_loop_test(operations, test_every_backend_equals_the_reference, 0, N_SHAPES);
    tcase_add_test(operations, test_many_resamples_with_little_room);
    tcase_add_test(operations, test_overflow_ends);
    tcase_add_test(operations, test_a_cancelled_call_ends);
    suite_add_tcase(suite, operations);
    TCase *mixed_case = tcase_create("mixed");
    tcase_set_timeout(mixed_case, 300);
    tcase_add_loop_test(mixed_case, test_mixed_precisions_are_near, 1, 4);
    suite_add_tcase(suite, mixed_case);
    TCase *processor = tcase_create("processor");
    tcase_set_timeout(processor, 300);
    tcase_add_loop_test(processor, test_every_instruction_set_equals_the_reference, 0, N_SHAPES);
    tcase_add_loop_test(processor, test_results_do_not_depend_on_threads, 0, N_SHAPES);
    tcase_add_test(processor, test_overflow_ends_with_every_instruction_set);
    suite_add_tcase(suite, processor);
    /* OpenMP's threads do not survive a fork. */
    return run_suite_in_process(suite);
}
