/*
 * Cleaning where every sensor is predicted from all the others, and EEG on a sphere whose centre is
 * given.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fit_fixture.h"
#include "run_suite.h"
#include "worker/algorithm/spline.h"

enum { E = 24, C = 12, T = 50, ALONE = 4, BAD_EPOCH = 7 };

static const char *const backends[] = {"cpu", "reference"};

/* Kept epochs of any dtype, one after the other. */
struct kept {
    size_t bytes;
    char samples[E * C * T * sizeof(double)];
};

static enum rejectd_status keep_epoch(void *context, const void *samples, size_t bytes,
                                      struct rejectd_error *error)
{
    struct kept *kept = context;
    (void)error;
    ck_assert_uint_le(kept->bytes + bytes, sizeof kept->samples);
    memcpy(kept->samples + kept->bytes, samples, bytes);
    kept->bytes += bytes;
    return REJECTD_OK;
}

/* Channel ALONE is left out of everything, one epoch is bad; all the rest is to be replaced. */
struct each_log {
    int8_t labels[E * C];
    uint8_t bad_epochs[E];
    struct rejectd_reject_log log;
};

static void make_log(struct each_log *made)
{
    memset(made->bad_epochs, 0, sizeof made->bad_epochs);
    for (size_t i = 0; i < E * C; i++)
        made->labels[i] =
            i % C == ALONE ? REJECTD_LABEL_NOT_CONSIDERED : REJECTD_LABEL_INTERPOLATED;
    made->bad_epochs[BAD_EPOCH] = 1;
    made->log = (struct rejectd_reject_log){E, C, made->labels, made->bad_epochs};
}

/* On success *kept is what was written; free() it. */
static enum rejectd_status clean(const struct rejectd_epochs *epochs,
                                 const struct rejectd_reject_log *log,
                                 const struct rejectd_clean_parameters *parameters,
                                 const char *backend, int n_threads, struct kept **kept,
                                 struct rejectd_error *error)
{
    *kept = calloc(1, sizeof **kept);
    ck_assert_ptr_nonnull(*kept);
    const struct rejectd_sink sink = {keep_epoch, *kept};
    const struct rejectd_compute_options options = {.backend = backend, .n_threads = n_threads};
    enum rejectd_status status = rejectd_clean_check(epochs, log, parameters, error);
    if (status == REJECTD_OK)
        status = rejectd_clean(epochs, log, parameters, &options, &sink, error);
    if (status != REJECTD_OK)
        free(*kept);
    return status;
}

static struct kept *cleaned(const struct rejectd_epochs *epochs,
                            const struct rejectd_reject_log *log,
                            const struct rejectd_clean_parameters *parameters, const char *backend,
                            int n_threads)
{
    struct kept *kept;
    struct rejectd_error error = {0};
    enum rejectd_status status = clean(epochs, log, parameters, backend, n_threads, &kept, &error);
    ck_assert_msg(status == REJECTD_OK, "%s: %s", error.field, error.message);
    return kept;
}

/* Leave-one-out weights [C][C] around an origin; the row and the column of ALONE are 0. */
static void expected_weights(const struct rejectd_channel *channels, const double origin[3],
                             double *weights)
{
    double positions[C - 1][3], precision[(C - 1) * (C - 1)], among[(C - 1) * (C - 1)];
    struct rejectd_error error;
    for (size_t i = 0; i < C - 1; i++)
        for (int axis = 0; axis < 3; axis++)
            positions[i][axis] = channels[i + (i >= ALONE)].position[axis] - origin[axis];
    ck_assert_int_eq(spline_precision((const double(*)[3])positions, C - 1, 2, precision, &error),
                     REJECTD_OK);
    spline_leave_one_out(precision, C - 1, among);
    memset(weights, 0, (size_t)C * C * sizeof *weights);
    for (size_t i = 0; i < C - 1; i++)
        for (size_t j = 0; j < C - 1; j++)
            weights[(i + (i >= ALONE)) * C + j + (j >= ALONE)] = among[i * (C - 1) + j];
}

static void expect_predictions(struct simulated_epochs *made, const double origin[3],
                               const struct kept *kept)
{
    double weights[C * C];
    const double *found = (const double *)(const void *)kept->samples;
    expected_weights(made->channels, origin, weights);
    ck_assert_uint_eq(kept->bytes, (size_t)(E - 1) * C * T * sizeof(double));
    for (size_t e = 0; e < E; e++)
        for (size_t c = 0; c < C && e != BAD_EPOCH; c++)
            for (size_t t = 0; t < T; t++, found++) {
                double expected = c == ALONE ? *sample_at(made, e, c, t) : 0.0;
                for (size_t j = 0; j < C; j++)
                    expected += weights[c * C + j] * *sample_at(made, e, j, t);
                ck_assert_double_eq_tol(*found, expected, 1e-14); /* V */
            }
}

START_TEST(test_each_from_all_others)
{
    static const double head[3] = {0};
    static const double elsewhere[3] = {0.004, -0.01, 0.03};
    struct simulated_epochs made = simulated(E, C, T);
    struct each_log log;
    make_log(&log);
    const double *const origins[2] = {head, elsewhere};
    for (int i = 0; i < 2; i++) {
        struct rejectd_clean_parameters parameters = {.leave_one_out = true};
        memcpy(parameters.origin, origins[i], sizeof parameters.origin);
        struct kept *kept = cleaned(&made.epochs, &log.log, &parameters, backends[_i], 2);
        expect_predictions(&made, origins[i], kept);
        free(kept);
    }
    simulate_free(&made);
}
END_TEST

/* A sensor with a label other than 2 is a source, and stays. */
START_TEST(test_only_what_is_labelled)
{
    static const struct rejectd_clean_parameters each = {.leave_one_out = true};
    struct simulated_epochs made = simulated(E, C, T);
    struct each_log log;
    make_log(&log);
    struct kept *all = cleaned(&made.epochs, &log.log, &each, backends[_i], 1);
    for (size_t i = 0; i < E * C; i++)
        log.labels[i] = log.labels[i] == REJECTD_LABEL_INTERPOLATED && i % 5 < 3
                            ? (int8_t)(i % 2) /* good or bad */
                            : log.labels[i];
    struct kept *some = cleaned(&made.epochs, &log.log, &each, backends[_i], 1);
    const char *from_all = all->samples, *found = some->samples;
    for (size_t e = 0; e < E; e++)
        for (size_t c = 0; c < C && e != BAD_EPOCH; c++) {
            const bool replaced = log.labels[e * C + c] == REJECTD_LABEL_INTERPOLATED;
            ck_assert_mem_eq(found, replaced ? from_all : (void *)sample_at(&made, e, c, 0),
                             T * sizeof(double));
            found += T * sizeof(double);
            from_all += T * sizeof(double);
        }
    free(all);
    free(some);
    simulate_free(&made);
}
END_TEST

/* Alone in its epoch a sensor is repaired as it always is: the two ways agree. */
START_TEST(test_one_sensor_is_a_repair)
{
    struct simulated_epochs made = simulated(E, C, T);
    struct each_log log;
    make_log(&log);
    for (size_t i = 0; i < E * C; i++)
        if (i % C != ALONE && i % C != 5 + i / C % 3)
            log.labels[i] = REJECTD_LABEL_GOOD;
    struct rejectd_clean_parameters parameters = {.origin = {0.0, 0.01, 0.02}};
    struct kept *repaired = cleaned(&made.epochs, &log.log, &parameters, backends[_i], 1);
    parameters.leave_one_out = true;
    struct kept *predicted = cleaned(&made.epochs, &log.log, &parameters, backends[_i], 1);
    const double *a = (const double *)(const void *)repaired->samples;
    const double *b = (const double *)(const void *)predicted->samples;
    for (size_t i = 0; i < repaired->bytes / sizeof *a; i++)
        ck_assert_double_eq_tol(a[i], b[i], 1e-14); /* V */
    free(repaired);
    free(predicted);
    simulate_free(&made);
}
END_TEST

START_TEST(test_threads_do_not_change_it)
{
    static const struct rejectd_clean_parameters each = {.leave_one_out = true};
    struct simulated_epochs made = simulated(E, C, T);
    struct each_log log;
    make_log(&log);
    struct kept *first = cleaned(&made.epochs, &log.log, &each, NULL, 1);
    for (int n_threads = 2; n_threads <= 8; n_threads *= 2) {
        struct kept *other = cleaned(&made.epochs, &log.log, &each, NULL, n_threads);
        ck_assert_mem_eq(first, other, sizeof *first);
        free(other);
    }
    free(first);
    simulate_free(&made);
}
END_TEST

/* One electrode at the centre; a centre that is none; nobody to predict the only sensor from. */
START_TEST(test_refusals)
{
    struct simulated_epochs made = simulated(E, C, T);
    struct each_log log;
    struct kept *kept;
    struct rejectd_clean_parameters parameters = {.leave_one_out = true};
    struct rejectd_error error = {0};
    make_log(&log);
    memcpy(parameters.origin, made.channels[3].position, sizeof parameters.origin);
    ck_assert_int_eq(clean(&made.epochs, &log.log, &parameters, NULL, 1, &kept, &error),
                     REJECTD_UNSUITABLE_DATASET);
    ck_assert_str_eq(error.field, "channels[3].position");
    parameters.origin[1] = NAN;
    ck_assert_int_eq(clean(&made.epochs, &log.log, &parameters, NULL, 1, &kept, &error),
                     REJECTD_INVALID_VALUE);
    ck_assert_str_eq(error.field, "origin");
    parameters.origin[1] = 0.0;
    for (size_t i = 0; i < E * C; i++)
        if (i % C != 2)
            log.labels[i] = REJECTD_LABEL_NOT_CONSIDERED;
    ck_assert_int_eq(clean(&made.epochs, &log.log, &parameters, NULL, 1, &kept, &error),
                     REJECTD_INVALID_VALUE);
    ck_assert_str_eq(error.field, "labels");
    simulate_free(&made);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("leave one out");
    TCase *tests = tcase_create("leave_one_out");
    tcase_add_loop_test(tests, test_each_from_all_others, 0, 2);
    tcase_add_loop_test(tests, test_only_what_is_labelled, 0, 2);
    tcase_add_loop_test(tests, test_one_sensor_is_a_repair, 0, 2);
    tcase_add_test(tests, test_threads_do_not_change_it);
    tcase_add_test(tests, test_refusals);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
