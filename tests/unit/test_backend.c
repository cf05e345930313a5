/*
 * One conformance suite for every backend: each operation, over shapes and samples that are easy
 * to get wrong, compared with the reference backend; and bitwise equality over threads, blocks and
 * runs.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "every_backend.h"
#include "run_suite.h"
#include "worker/algorithm/fit.h"
#include "worker/algorithm/folds.h"
#include "worker/algorithm/threshold_search.h"
#include "worker/backend.h"
#include "worker/cpu/kernels.h"

/* What the samples of a case are like. */
enum flavour {
    ORDINARY, /* microvolts with a few large artefacts */
    INTEGERS, /* many exact ties */
    CONSTANT, /* some channels never move */
    OFFSET,   /* a large constant on top */
    FLAVOURS
};

struct shape {
    size_t n_epochs, n_channels, n_times;
    size_t n_picks; /* every second channel is left out until this many remain */
    enum rejectd_dtype dtype;
    enum flavour flavour;
};

static const struct shape shapes[] = {
    {3, 5, 1, 5, REJECTD_FLOAT64, ORDINARY},      {7, 6, 20, 4, REJECTD_FLOAT64, INTEGERS},
    {20, 12, 200, 12, REJECTD_FLOAT64, ORDINARY}, {33, 9, 333, 7, REJECTD_FLOAT32, ORDINARY},
    {70, 8, 65, 8, REJECTD_FLOAT64, CONSTANT},    {41, 10, 129, 6, REJECTD_FLOAT64, OFFSET},
    {12, 70, 40, 66, REJECTD_FLOAT64, ORDINARY},  {16, 5, 64, 5, REJECTD_FLOAT32, INTEGERS},
    {150, 5, 30, 5, REJECTD_FLOAT64, INTEGERS},
};

enum {
    N_SHAPES = sizeof shapes / sizeof shapes[0],
    N_FOLDS = 4,
    N_CONSENSUS = 5,
    N_VALUES = 3,
    N_ROWS = 29
};

static uint64_t random_state;

static double random_value(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(random_state >> 11) * 0x1p-53 - 0.5;
}

static double draw_sample(enum flavour flavour, size_t channel)
{
    switch (flavour) {
    case INTEGERS:
        return floor(4.0 * random_value());
    case CONSTANT:
        return channel % 3 == 0 ? 2e-5 : 1e-5 * random_value();
    case OFFSET:
        return 0.1 + 2e-5 * random_value();
    default:
        return 1e-5 * random_value() * (random_value() > 0.497 ? 40.0 : 1.0);
    }
}

/* A dataset of a shape, with everything that the operations need. */
struct fixture {
    const struct shape *shape;
    void *data;
    size_t picks[128];
    double *weights;   /* [C][C] */
    double *precision; /* [C][C] positive definite */
    uint8_t *is_test;  /* [N_FOLDS][M] */
    size_t *offsets;   /* repairs */
    uint16_t *channels, *prefix;
    double *rows;  /* [N_ROWS][C] of weights */
    uint32_t *row; /* [N_VALUES][offsets[E]] */
    uint16_t *fold, *first_good;
    struct backend_samples samples;
    struct backend_repairs repairs;
};

static void *allocate(size_t bytes)
{
    void *memory = malloc(bytes > 0 ? bytes : 1);
    ck_assert_ptr_nonnull(memory);
    return memory;
}

static void fill_samples(struct fixture *f)
{
    const struct shape *s = f->shape;
    const size_t n = s->n_epochs * s->n_channels * s->n_times;
    f->data = allocate(n * sizeof(double));
    for (size_t i = 0; i < n; i++) {
        double value = draw_sample(s->flavour, i / s->n_times % s->n_channels);
        if (s->dtype == REJECTD_FLOAT64)
            ((double *)f->data)[i] = value;
        else
            ((float *)f->data)[i] = (float)value;
    }
}

static void choose_picks(struct fixture *f)
{
    const struct shape *s = f->shape;
    size_t skip = s->n_channels - s->n_picks, n = 0;
    for (size_t c = 0; c < s->n_channels; c++) {
        if (skip > 0 && c % 2 == 1)
            skip--;
        else if (n < s->n_picks)
            f->picks[n++] = c;
    }
    ck_assert_uint_eq(n, s->n_picks);
}

static void make_matrices(struct fixture *f)
{
    const size_t c = f->shape->n_picks;
    f->weights = allocate(c * c * sizeof(double));
    f->precision = allocate(c * c * sizeof(double));
    for (size_t i = 0; i < c * c; i++)
        f->weights[i] = random_value() / sqrt((double)c);
    for (size_t i = 0; i < c; i++)
        for (size_t j = 0; j < c; j++) {
            double sum = i == j ? 0.5 : 0.0;
            for (size_t k = 0; k < c; k++)
                sum += f->weights[i * c + k] * f->weights[j * c + k];
            f->precision[i * c + j] = sum;
        }
}

static void make_plans(struct fixture *f)
{
    const size_t n = f->shape->n_epochs, c = f->shape->n_picks, m = 2 * n;
    f->is_test = allocate(N_FOLDS * m);
    for (size_t i = 0; i < N_FOLDS * m; i++)
        f->is_test[i] = i % m % N_FOLDS == i / m || random_value() > 0.4;
    for (size_t fold = 0; fold < N_FOLDS; fold++)
        f->is_test[fold * m + (fold + 1) % m] = 0; /* at least one train row */
    f->offsets = allocate((n + 1) * sizeof(size_t));
    f->channels = allocate(n * c * sizeof(uint16_t));
    f->prefix = allocate(N_VALUES * n * sizeof(uint16_t));
    f->fold = allocate(n * sizeof(uint16_t));
    f->first_good = allocate(n * sizeof(uint16_t));
    size_t at = 0;
    for (size_t e = 0; e < n; e++) {
        size_t listed = (size_t)((random_value() + 0.5) * (double)c);
        f->offsets[e] = at;
        for (size_t i = 0; i < listed; i++)
            f->channels[at++] = (uint16_t)((e + i * 1) % c);
        f->prefix[e] = (uint16_t)(listed < 1 ? listed : 1);
        f->prefix[n + e] = (uint16_t)(listed < 3 ? listed : 3);
        f->prefix[2 * n + e] = (uint16_t)listed;
        f->first_good[e] = (uint16_t)((random_value() + 0.5) * (N_CONSENSUS + 1));
    }
    f->offsets[n] = at;
    folds_contiguous(n, 3, f->fold);
    f->repairs = (struct backend_repairs){n, N_VALUES, f->offsets, f->channels, f->prefix};
}

/* Weights to repair with; equal prefixes are the same repair. */
static void make_weights(struct fixture *f)
{
    const size_t n = f->shape->n_epochs, c = f->shape->n_picks, listed = f->offsets[n];
    f->rows = allocate(N_ROWS * c * sizeof(double));
    f->row = allocate(N_VALUES * listed * sizeof(uint32_t));
    for (size_t i = 0; i < N_ROWS * c; i++)
        f->rows[i] = i % 7 == 0 ? 0.0 : random_value() / sqrt((double)c);
    for (size_t v = 0; v < N_VALUES; v++)
        for (size_t e = 0; e < n; e++)
            for (size_t i = f->offsets[e]; i < f->offsets[e + 1]; i++)
                f->row[v * listed + i] = (uint32_t)((f->prefix[v * n + e] * 5 + i * 3) % N_ROWS);
}

static void fixture_open(struct fixture *f, const struct shape *shape)
{
    *f = (struct fixture){.shape = shape};
    random_state = 1 + (uint64_t)(shape - shapes);
    fill_samples(f);
    choose_picks(f);
    make_matrices(f);
    make_plans(f);
    make_weights(f);
    f->samples = (struct backend_samples){.data = f->data,
                                          .dtype = shape->dtype,
                                          .n_epochs = shape->n_epochs,
                                          .n_channels = shape->n_channels,
                                          .n_times = shape->n_times,
                                          .picks = f->picks,
                                          .n_picks = shape->n_picks};
}

static void fixture_close(struct fixture *f)
{
    free(f->data);
    free(f->weights);
    free(f->precision);
    free(f->is_test);
    free(f->offsets);
    free(f->channels);
    free(f->prefix);
    free(f->rows);
    free(f->row);
    free(f->fold);
    free(f->first_good);
}

/* Everything that one backend gives for a fixture. */
struct results {
    double *ptp, *predicted_ptp, *predictions; /* [E][C], [E][C], [C][E][T] */
    double *losses;                            /* [C][M] */
    double *asked;     /* the same, one at a time; NULL where a backend does not tell them so */
    double *repaired;  /* [N_VALUES] rows of all epochs, concatenated */
    size_t n_repaired; /* values in it */
    double *weighed;   /* the same, repaired with given weights */
    double grid[N_CONSENSUS * N_VALUES * 3];
    double weighed_grid[N_CONSENSUS * N_VALUES * 3];
};

static const double *ranked;

static int by_ptp(const void *a, const void *b)
{
    double x = ranked[*(const uint32_t *)a], y = ranked[*(const uint32_t *)b];
    if (x != y)
        return x < y ? -1 : 1;
    return *(const uint32_t *)a < *(const uint32_t *)b ? -1 : 1;
}

/* Order of the rows of a block of picks. The amplitudes are given, so that every backend ranks
 * alike even where two differ by a rounding error. */
static void rank_block(const struct fixture *f, const struct results *r, size_t first, size_t count,
                       uint32_t *order, double *candidates)
{
    const size_t n = f->shape->n_epochs, c = f->shape->n_picks, m = 2 * n;
    double *values = allocate(m * sizeof *values);
    for (size_t i = 0; i < count; i++) {
        for (size_t e = 0; e < n; e++) {
            values[e] = r->ptp[e * c + first + i];
            values[n + e] = r->predicted_ptp[e * c + first + i];
        }
        for (size_t row = 0; row < m; row++)
            order[i * m + row] = (uint32_t)row;
        ranked = values;
        qsort(order + i * m, m, sizeof *order, by_ptp);
        for (size_t rank = 0; rank < m; rank++)
            candidates[i * m + rank] = values[order[i * m + rank]];
    }
    free(values);
}

/* The repaired rows of all values and epochs, one after the other; returns how many values. */
static size_t read_repairs(const struct fixture *f, const struct backend *backend,
                           struct backend_session *session, double *out)
{
    const size_t n = f->shape->n_epochs;
    struct rejectd_error error = {0};
    size_t at = 0;
    for (size_t v = 0; v < N_VALUES; v++)
        for (size_t e = 0; e < n; e++) {
            ck_assert_int_eq(backend->read_repaired(session, e, v, out + at, &error), REJECTD_OK);
            at += f->prefix[v * n + e] * f->shape->n_times;
        }
    return at;
}

static void results_free(struct results *r)
{
    free(r->ptp);
    free(r->predicted_ptp);
    free(r->predictions);
    free(r->losses);
    free(r->asked);
    free(r->repaired);
    free(r->weighed);
}

/* A search that asks for every loss, in no order, some of them twice. */
struct asking {
    size_t m;
    double *losses; /* [picks][m] */
};

static void ask_for_all(void *context, size_t pick, int thread, const struct backend_losses *losses)
{
    const struct asking *asking = context;
    (void)thread;
    for (size_t i = 0; i < asking->m; i++) {
        const size_t rank = i * 7919 % asking->m;
        asking->losses[pick * asking->m + rank] = losses->at(losses->context, rank);
    }
    for (size_t rank = 0; rank < asking->m; rank += 5)
        ck_assert(losses->at(losses->context, rank) == asking->losses[pick * asking->m + rank]);
}

static void ask_for_losses(const struct backend *backend, struct backend_session *session,
                           const struct backend_splits *splits, const uint32_t *order,
                           const double *candidates, double *losses)
{
    const size_t m = splits->n_rows, likely[] = {0, 1, m / 3, m / 2, m - 1};
    struct asking asking = {m, losses};
    struct rejectd_error error = {0};
    for (size_t i = 0; i < m; i++)
        losses[i] = NAN;
    const struct backend_candidate_search search = {ask_for_all, &asking, likely,
                                                    sizeof likely / sizeof likely[0]};
    ck_assert_int_eq(
        backend->search_candidates(session, splits, order, candidates, &search, &error),
        REJECTD_OK);
}

/* Runs every operation; `ranking` (or NULL: its own) gives the amplitudes to rank rows by. */
static void run_backend(const struct fixture *f, const struct backend *backend,
                        const struct backend_options *options, size_t block,
                        const struct results *ranking, struct results *r)
{
    const size_t n = f->shape->n_epochs, c = f->shape->n_picks, t = f->shape->n_times, m = 2 * n;
    struct rejectd_error error = {0};
    struct backend_session *session;
    *r = (struct results){.ptp = allocate(n * c * sizeof(double)),
                          .predicted_ptp = allocate(n * c * sizeof(double)),
                          .predictions = allocate(c * n * t * sizeof(double)),
                          .losses = allocate(c * m * sizeof(double)),
                          .repaired = allocate(N_VALUES * n * c * t * sizeof(double)),
                          .weighed = allocate(N_VALUES * n * c * t * sizeof(double))};
    if (backend->search_candidates != NULL)
        r->asked = allocate(c * m * sizeof(double));
    double *block_ptp = allocate(n * block * sizeof(double));
    uint32_t *order = allocate(block * m * sizeof(uint32_t));
    double *candidates = allocate(block * m * sizeof(double));
    ck_assert_msg(backend->open(&f->samples, options, &session, &error) == REJECTD_OK, "%s",
                  error.message);
    ck_assert_int_eq(backend->peak_to_peak(session, r->ptp, &error), REJECTD_OK);
    for (size_t first = 0; first < c; first += block) {
        const size_t count = c - first < block ? c - first : block;
        ck_assert_int_eq(
            backend->predict(session, f->weights + first * c, first, count, block_ptp, &error),
            REJECTD_OK);
        for (size_t i = 0; i < count; i++) {
            for (size_t e = 0; e < n; e++)
                r->predicted_ptp[e * c + first + i] = block_ptp[e * count + i];
            ck_assert_int_eq(backend->read_predictions(
                                 session, first + i, r->predictions + (first + i) * n * t, &error),
                             REJECTD_OK);
        }
        rank_block(f, ranking != NULL ? ranking : r, first, count, order, candidates);
        const struct backend_splits splits = {N_FOLDS, m, f->is_test};
        ck_assert_int_eq(backend->threshold_losses(session, &splits, order, candidates,
                                                   r->losses + first * m, &error),
                         REJECTD_OK);
        if (r->asked != NULL)
            ask_for_losses(backend, session, &splits, order, candidates, r->asked + first * m);
    }
    ck_assert_int_eq(backend->interpolate_epochs(session, f->precision, &f->repairs, &error),
                     REJECTD_OK);
    r->n_repaired = read_repairs(f, backend, session, r->repaired);
    const struct backend_local_cv cv = {3, f->fold, N_CONSENSUS, f->first_good};
    ck_assert_int_eq(backend->local_cv_losses(session, &cv, r->grid, &error), REJECTD_OK);
    const struct backend_weights weights = {N_ROWS, f->rows, f->row};
    ck_assert_int_eq(backend->weigh_epochs(session, &weights, &f->repairs, &error), REJECTD_OK);
    ck_assert_uint_eq(read_repairs(f, backend, session, r->weighed), r->n_repaired);
    ck_assert_int_eq(backend->local_cv_losses(session, &cv, r->weighed_grid, &error), REJECTD_OK);
    backend->close(session);
    free(block_ptp);
    free(order);
    free(candidates);
}

static double largest_magnitude(const double *values, size_t n)
{
    double largest = 0.0;
    for (size_t i = 0; i < n; i++)
        if (!isinf(values[i]))
            largest = fmax(largest, fabs(values[i]));
    return largest;
}

/* Every |a - b| is at most `tolerance`, and the same values are infinite. */
static void assert_near(const char *what, const double *a, const double *b, size_t n,
                        double tolerance)
{
    for (size_t i = 0; i < n; i++) {
        if (isinf(a[i]) || isinf(b[i]))
            ck_assert_msg(a[i] == b[i], "%s[%zu]: %g, expected %g", what, i, a[i], b[i]);
        else
            ck_assert_msg(fabs(a[i] - b[i]) <= tolerance, "%s[%zu]: %.17g, expected %.17g", what, i,
                          a[i], b[i]);
    }
}

static void compare_within(const struct fixture *f, const struct results *a,
                           const struct results *b, double tolerance)
{
    const size_t n = f->shape->n_epochs, c = f->shape->n_picks, t = f->shape->n_times;
    assert_near("ptp", a->ptp, b->ptp, n * c, tolerance);
    assert_near("predicted ptp", a->predicted_ptp, b->predicted_ptp, n * c, tolerance);
    assert_near("predictions", a->predictions, b->predictions, c * n * t, tolerance);
    assert_near("losses", a->losses, b->losses, c * 2 * n, tolerance);
    if (a->asked != NULL)
        assert_near("losses asked for", a->asked, b->losses, c * 2 * n, tolerance);
    ck_assert_uint_eq(a->n_repaired, b->n_repaired);
    /* Repairs solve with matrices of condition up to about 100. */
    assert_near("repaired", a->repaired, b->repaired, a->n_repaired, 100 * tolerance);
    assert_near("weighed", a->weighed, b->weighed, a->n_repaired, tolerance);
    assert_near("weighed grid", a->weighed_grid, b->weighed_grid, N_CONSENSUS * N_VALUES * 3,
                tolerance);
    assert_near("grid", a->grid, b->grid, N_CONSENSUS * N_VALUES * 3, 100 * tolerance);
}

/* Rounding errors are a share of the samples that went into a value, not of the value. */
static void compare(const struct fixture *f, const struct results *a, const struct results *b,
                    double precision)
{
    const size_t n = f->shape->n_epochs, c = f->shape->n_picks, t = f->shape->n_times;
    const double samples =
        largest_magnitude(b->predictions, c * n * t) + largest_magnitude(b->ptp, n * c);
    compare_within(f, a, b, precision * samples);
}

static void identical(const struct fixture *f, const struct results *a, const struct results *b)
{
    const size_t n = f->shape->n_epochs, c = f->shape->n_picks, t = f->shape->n_times;
    ck_assert_mem_eq(a->ptp, b->ptp, n * c * sizeof(double));
    ck_assert_mem_eq(a->predictions, b->predictions, c * n * t * sizeof(double));
    ck_assert_mem_eq(a->losses, b->losses, c * 2 * n * sizeof(double));
    ck_assert_mem_eq(a->asked, b->asked, c * 2 * n * sizeof(double));
    ck_assert_mem_eq(a->repaired, b->repaired, a->n_repaired * sizeof(double));
    ck_assert_mem_eq(a->grid, b->grid, sizeof a->grid);
    ck_assert_mem_eq(a->weighed, b->weighed, a->n_repaired * sizeof(double));
    ck_assert_mem_eq(a->weighed_grid, b->weighed_grid, sizeof a->weighed_grid);
}

static void run_reference(const struct fixture *f, struct results *r)
{
    const struct backend_options options = {.n_threads = 1, .precision = REJECTD_FLOAT64};
    run_backend(f, backend_find("reference"), &options, f->shape->n_picks, NULL, r);
}

START_TEST(test_every_backend_equals_the_reference)
{
    struct fixture f;
    struct results expected, found;
    fixture_open(&f, &shapes[_i]);
    run_reference(&f, &expected);
    for (size_t b = 0; every_backend(b).backend != NULL; b++) {
        const struct backend_options options = {
            .device = every_backend(b).device, .n_threads = 2, .precision = REJECTD_FLOAT64};
        run_backend(&f, every_backend(b).backend, &options, f.shape->n_picks, &expected, &found);
        compare(&f, &found, &expected, 1e-13);
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
    for (size_t i = 0; kernels_name_at(i) != NULL; i++) {
        const struct backend_options options = {
            .n_threads = 2, .precision = REJECTD_FLOAT64, .instruction_set = kernels_name_at(i)};
        run_backend(&f, backend_find("cpu"), &options, f.shape->n_picks, &expected, &found);
        compare(&f, &found, &expected, 1e-13);
        results_free(&found);
    }
    results_free(&expected);
    fixture_close(&f);
}
END_TEST

/* Options for backend b in a precision; false for those of the processor. */
static bool device_options(size_t b, enum rejectd_dtype precision, struct backend_options *options)
{
    *options = (struct backend_options){
        .device = every_backend(b).device, .n_threads = 2, .precision = precision};
    return options->device != NULL;
}

/* float32 arithmetic is what was asked for: 24 bits, and sums of a few hundred rows. */
START_TEST(test_float32_arithmetic_is_near)
{
    struct fixture f;
    struct results expected, found;
    fixture_open(&f, &shapes[_i]);
    if (f.shape->flavour != OFFSET) {
        run_reference(&f, &expected);
        for (size_t b = 0; every_backend(b).backend != NULL; b++) {
            struct backend_options options;
            if (!device_options(b, REJECTD_FLOAT32, &options))
                continue;
            run_backend(&f, every_backend(b).backend, &options, f.shape->n_picks, &expected,
                        &found);
            compare(&f, &found, &expected, 1e-6);
            results_free(&found);
        }
        results_free(&expected);
    }
    fixture_close(&f);
}
END_TEST

/* The mixed precisions, and how far the nearest value that they keep may be, as a share. */
static const struct mixed {
    enum rejectd_dtype precision;
    int bits;
    double unit;
} mixed[] = {{REJECTD_FLOAT16, 11, 0x1p-11}, {REJECTD_BFLOAT16, 8, 0x1p-8}};

enum { N_MIXED = sizeof mixed / sizeof mixed[0] };

static double sample_of(const struct fixture *f, size_t i)
{
    return f->shape->dtype == REJECTD_FLOAT64 ? ((const double *)f->data)[i]
                                              : (double)((const float *)f->data)[i];
}

static double largest_sample(const struct fixture *f)
{
    const size_t n = f->shape->n_epochs * f->shape->n_channels * f->shape->n_times;
    double largest = 0.0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(sample_of(f, i)));
    return largest;
}

/* The largest sum of magnitudes of a row of weights, of those to predict and to repair with. */
static double largest_row(const struct fixture *f)
{
    const size_t c = f->shape->n_picks;
    double largest = 0.0;
    for (size_t i = 0; i < c + N_ROWS; i++) {
        const double *row = i < c ? f->weights + i * c : f->rows + (i - c) * c;
        double sum = 0.0;
        for (size_t j = 0; j < c; j++)
            sum += fabs(row[j]);
        largest = fmax(largest, sum);
    }
    return largest;
}

/*
 * With unit round-off u, the largest sample X and the largest row of weights W (the sum of its
 * magnitudes): samples are off by u X; predictions and repaired rows, of W X at most, by u W X for
 * the samples that went into them and once more for their own rounding. Amplitudes are differences
 * of two, losses means of differences of two: 4 u max(1, W) X bounds them all. One per cent is for
 * the weights, of which 16 bits or more are kept, and for sums in float32.
 */
START_TEST(test_mixed_precisions_are_near)
{
    struct fixture f;
    struct results expected, found;
    fixture_open(&f, &shapes[_i]);
    run_reference(&f, &expected);
    const double rows = fmax(1.0, largest_row(&f)) * largest_sample(&f);
    for (size_t b = 0; every_backend(b).backend != NULL; b++)
        for (size_t i = 0; i < N_MIXED; i++) {
            struct backend_options options;
            if (!device_options(b, mixed[i].precision, &options))
                continue;
            run_backend(&f, every_backend(b).backend, &options, f.shape->n_picks, &expected,
                        &found);
            compare_within(&f, &found, &expected, 1.01 * 4.0 * mixed[i].unit * rows);
            /* Integers lose nothing. */
            if (f.shape->flavour == INTEGERS)
                ck_assert_mem_eq(found.ptp, expected.ptp,
                                 f.shape->n_epochs * f.shape->n_picks * sizeof(double));
            results_free(&found);
        }
    results_free(&expected);
    fixture_close(&f);
}
END_TEST

/* To the nearest number of so many bits; ties to even. */
static double rounded(double x, int bits)
{
    int exponent;
    const double fraction = frexp(x, &exponent);
    return ldexp(nearbyint(ldexp(fraction, bits)), exponent - bits);
}

static void round_samples(struct fixture *f, int bits)
{
    const size_t n = f->shape->n_epochs * f->shape->n_channels * f->shape->n_times;
    for (size_t i = 0; i < n; i++) {
        const double x = rounded(sample_of(f, i), bits);
        if (f->shape->dtype == REJECTD_FLOAT64)
            ((double *)f->data)[i] = x;
        else
            ((float *)f->data)[i] = (float)x;
    }
}

/*
 * Samples that 16 bits hold exactly, whatever their unit: then a prediction is rounded once. What
 * its weights lose, u u W X at most, was there before: that is what their second part is for.
 */
START_TEST(test_mixed_precisions_round_once)
{
    for (size_t i = 0; i < N_MIXED; i++) {
        struct fixture f;
        struct results expected, found;
        fixture_open(&f, &shapes[_i]);
        round_samples(&f, mixed[i].bits);
        run_reference(&f, &expected);
        const double u = mixed[i].unit, single = 0x1p-23 * largest_sample(&f);
        const double rest = 4.0 * (u * u + 0x1p-22) * largest_row(&f) * largest_sample(&f);
        const size_t n = f.shape->n_epochs * f.shape->n_picks, t = f.shape->n_times;
        for (size_t b = 0; every_backend(b).backend != NULL; b++) {
            struct backend_options options;
            if (!device_options(b, mixed[i].precision, &options))
                continue;
            run_backend(&f, every_backend(b).backend, &options, f.shape->n_picks, &expected,
                        &found);
            assert_near("ptp", found.ptp, expected.ptp, n, single);
            for (size_t at = 0; at < n * t; at++) {
                const double right = expected.predictions[at], is = found.predictions[at];
                ck_assert_msg(fabs(is - right) <= u * fabs(right) + rest,
                              "prediction %zu: %.17g, expected %.17g", at, is, right);
            }
            results_free(&found);
        }
        results_free(&expected);
        fixture_close(&f);
    }
}
END_TEST

/* The processor has no use for 16 bits: it reckons in float32, to the bit. */
START_TEST(test_the_processor_takes_float32_for_mixed)
{
    struct fixture f;
    struct results expected, found;
    fixture_open(&f, &shapes[_i]);
    struct backend_options options = {.n_threads = 2, .precision = REJECTD_FLOAT32};
    run_backend(&f, backend_find("cpu"), &options, f.shape->n_picks, NULL, &expected);
    for (size_t i = 0; i < N_MIXED; i++) {
        options.precision = mixed[i].precision;
        run_backend(&f, backend_find("cpu"), &options, f.shape->n_picks, NULL, &found);
        identical(&f, &found, &expected);
        results_free(&found);
        ck_assert_int_eq(backend_find("cpu")->precision(&options), REJECTD_FLOAT32);
        ck_assert_int_eq(backend_find("reference")->precision(&options), REJECTD_FLOAT64);
    }
    results_free(&expected);
    fixture_close(&f);
}
END_TEST

START_TEST(test_float32_arithmetic_of_every_instruction_set_is_near)
{
    struct fixture f;
    struct results expected, found;
    fixture_open(&f, &shapes[_i]);
    if (f.shape->flavour != OFFSET) {
        run_reference(&f, &expected);
        for (size_t i = 0; kernels_name_at(i) != NULL; i++) {
            const struct backend_options options = {.n_threads = 2,
                                                    .precision = REJECTD_FLOAT32,
                                                    .instruction_set = kernels_name_at(i)};
            run_backend(&f, backend_find("cpu"), &options, f.shape->n_picks, &expected, &found);
            compare(&f, &found, &expected, 1e-6);
            results_free(&found);
        }
        results_free(&expected);
    }
    fixture_close(&f);
}
END_TEST

START_TEST(test_results_do_not_depend_on_threads_or_blocks)
{
    static const int threads[] = {1, 2, 8};
    struct fixture f;
    struct results first, other;
    fixture_open(&f, &shapes[_i]);
    const struct backend *backend = backend_find("cpu");
    for (int precision = REJECTD_FLOAT32; precision <= REJECTD_FLOAT64; precision++) {
        struct backend_options options = {.n_threads = 1,
                                          .precision = (enum rejectd_dtype)precision};
        run_backend(&f, backend, &options, f.shape->n_picks, NULL, &first);
        for (size_t i = 0; i < 3; i++) {
            options.n_threads = threads[i];
            run_backend(&f, backend, &options, 64, NULL, &other);
            identical(&f, &first, &other);
            results_free(&other);
        }
        results_free(&first);
    }
    fixture_close(&f);
}
END_TEST

/* What a device finds for the picks of a block, against the host's search among the losses that the
 * device itself gives: to the last bit, because the last bits decide. */
static void compare_searches(const struct fixture *f, struct tested_backend tested,
                             enum rejectd_dtype precision)
{
    const size_t n = f->shape->n_epochs, c = f->shape->n_picks, m = 2 * n;
    const struct backend *backend = tested.backend;
    const struct backend_options options = {
        .device = tested.device, .n_threads = 2, .precision = precision};
    const struct backend_splits splits = {N_FOLDS, m, f->is_test};
    struct results r = {.ptp = allocate(n * c * sizeof(double)),
                        .predicted_ptp = allocate(n * c * sizeof(double))};
    double *losses = allocate(c * m * sizeof(double));
    double *candidates = allocate(c * m * sizeof(double));
    double *thresholds = allocate(2 * c * sizeof(double)), *chosen = thresholds + c;
    uint32_t *order = allocate(c * m * sizeof(uint32_t));
    double draws[THRESHOLD_SEARCH_DRAWS];
    struct gaussian_process process;
    struct backend_session *session;
    struct rejectd_error error = {0};
    ck_assert_int_eq(gaussian_process_init(&process, m), 0);
    ck_assert_int_eq(backend->open(&f->samples, &options, &session, &error), REJECTD_OK);
    ck_assert_int_eq(backend->peak_to_peak(session, r.ptp, &error), REJECTD_OK);
    ck_assert_int_eq(backend->predict(session, f->weights, 0, c, r.predicted_ptp, &error),
                     REJECTD_OK);
    rank_block(f, &r, 0, c, order, candidates);
    ck_assert_int_eq(backend->threshold_losses(session, &splits, order, candidates, losses, &error),
                     REJECTD_OK);
    threshold_search_draw(7, draws);
    for (int method = 0; method < REJECTD_THRESHOLD_METHOD_COUNT; method++) {
        const struct backend_search search = {(enum rejectd_threshold_method)method, 7, draws,
                                              THRESHOLD_SEARCH_DRAWS};
        ck_assert_int_eq(backend->predict(session, f->weights, 0, c, NULL, &error), REJECTD_OK);
        ck_assert(!backend->recall_thresholds(session, &search, thresholds, chosen));
        ck_assert_int_eq(
            backend->search_thresholds(session, &splits, &search, thresholds, chosen, &error),
            REJECTD_OK);
        for (size_t i = 0; i < c; i++) {
            const double *own = candidates + i * m, *table = losses + i * m;
            const struct threshold expected =
                method == REJECTD_THRESHOLD_EXACT ? threshold_search_exact(own, table, m)
                : method == REJECTD_THRESHOLD_RANDOM_SEARCH
                    ? threshold_search_random(own, table, m, 7)
                    : threshold_search_bayesian(own, table, m, &process);
            ck_assert_msg(thresholds[i] == expected.value && chosen[i] == expected.loss,
                          "method %d, pick %zu: %.17g of loss %.17g, expected %.17g of %.17g",
                          method, i, thresholds[i], chosen[i], expected.value, expected.loss);
        }
    }
    backend->close(session);
    gaussian_process_free(&process);
    free(r.ptp);
    free(r.predicted_ptp);
    free(losses);
    free(candidates);
    free(thresholds);
    free(order);
}

static void compare_searches_of_all(const struct shape *shape, enum rejectd_dtype precision)
{
    struct fixture f;
    fixture_open(&f, shape);
    for (size_t b = 0; every_backend(b).backend != NULL; b++)
        if (every_backend(b).backend->search_thresholds != NULL)
            compare_searches(&f, every_backend(b), precision);
    fixture_close(&f);
}

START_TEST(test_searches_on_a_device_are_the_hosts)
{
    compare_searches_of_all(&shapes[_i], REJECTD_FLOAT32);
    compare_searches_of_all(&shapes[_i], REJECTD_FLOAT64);
}
END_TEST

START_TEST(test_searches_of_mixed_precisions_are_the_hosts)
{
    for (size_t i = 0; i < N_MIXED; i++)
        compare_searches_of_all(&shapes[_i], mixed[i].precision);
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
    fixture_open(&f, &shapes[2]);
    double *ptp = allocate(f.shape->n_epochs * f.shape->n_picks * sizeof *ptp);
    for (size_t b = 0; every_backend(b).backend != NULL; b++) {
        const struct backend *backend = every_backend(b).backend;
        const struct backend_options options = {.device = every_backend(b).device,
                                                .n_threads = 2,
                                                .precision = REJECTD_FLOAT64,
                                                .progress = {stop_at_once, NULL}};
        struct backend_session *session;
        struct rejectd_error error;
        ck_assert_int_eq(backend->open(&f.samples, &options, &session, &error), REJECTD_OK);
        ck_assert_int_eq(backend->peak_to_peak(session, ptp, &error), REJECTD_CANCELLED);
        backend->close(session);
    }
    free(ptp);
    fixture_close(&f);
}
END_TEST

START_TEST(test_backends_are_found_by_name)
{
    ck_assert_str_eq(backend_find("cpu")->name, "cpu");
    ck_assert_str_eq(backend_find("numba")->name, "cpu");
    ck_assert_str_eq(backend_find("numpy")->name, "reference");
    ck_assert_ptr_null(backend_find("abacus"));
    for (size_t b = 0; backend_at(b) != NULL; b++)
        ck_assert_int_eq(backend_at(b)->version, BACKEND_VERSION);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("backend");
    TCase *operations = tcase_create("operations");
    tcase_set_timeout(operations, 300);
    tcase_add_loop_test(operations, test_every_backend_equals_the_reference, 0, N_SHAPES);
    tcase_add_loop_test(operations, test_float32_arithmetic_is_near, 0, N_SHAPES);
    tcase_add_loop_test(operations, test_searches_on_a_device_are_the_hosts, 0, N_SHAPES);
    tcase_add_test(operations, test_a_cancelled_call_ends);
    suite_add_tcase(suite, operations);
    /* Apart from the rest: what they add is the rounding of loads and stores, for which some of the
     * shapes and one order of threads will do. */
    TCase *mixed_case = tcase_create("mixed");
    tcase_set_timeout(mixed_case, 300);
    tcase_add_loop_test(mixed_case, test_mixed_precisions_are_near, 1, 5);
    tcase_add_loop_test(mixed_case, test_mixed_precisions_round_once, 1, 5);
    tcase_add_loop_test(mixed_case, test_searches_of_mixed_precisions_are_the_hosts, 1, 5);
    suite_add_tcase(suite, mixed_case);
    TCase *processor = tcase_create("processor");
    tcase_set_timeout(processor, 300);
    tcase_add_loop_test(processor, test_every_instruction_set_equals_the_reference, 0, N_SHAPES);
    tcase_add_loop_test(processor, test_float32_arithmetic_of_every_instruction_set_is_near, 0,
                        N_SHAPES);
    tcase_add_loop_test(processor, test_the_processor_takes_float32_for_mixed, 0, N_SHAPES);
    tcase_add_loop_test(processor, test_results_do_not_depend_on_threads_or_blocks, 0, N_SHAPES);
    tcase_add_test(processor, test_backends_are_found_by_name);
    suite_add_tcase(suite, processor);
    /* OpenMP's threads do not survive a fork. */
    return run_suite_in_process(suite);
}
