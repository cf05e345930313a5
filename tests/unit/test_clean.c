/*
 * The public library, after the fit: a model on the epochs that it was fitted on and on others,
 * and the repaired epochs of a reject log.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fit_fixture.h"
#include "run_suite.h"
#include "worker/algorithm/spline.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

enum { E = 24, C = 12, T = 50 };

static const char *const backends[] = {"cpu", "reference"};

static const struct rejectd_clean_parameters as_transform;

/* A sink that keeps what it is given. */
struct kept {
    size_t epochs;
    size_t bytes;   /* of one epoch */
    size_t fail_at; /* the epoch that cannot be written, counted from 1; 0: none */
    char samples[E * C * T * sizeof(double)];
};

static enum rejectd_status keep_epoch(void *context, const void *samples, size_t bytes,
                                      struct rejectd_error *error)
{
    struct kept *kept = context;
    ck_assert(kept->epochs == 0 || kept->bytes == bytes);
    ck_assert_uint_le((kept->epochs + 1) * bytes, sizeof kept->samples);
    if (kept->epochs + 1 == kept->fail_at)
        return REJECTD_FAIL(error, REJECTD_STORAGE_FULL, "sink", "no room");
    kept->bytes = bytes;
    memcpy(kept->samples + kept->epochs++ * bytes, samples, bytes);
    return REJECTD_OK;
}

static struct kept *clean(const struct rejectd_epochs *epochs, const struct rejectd_reject_log *log,
                          const struct rejectd_compute_options *options)
{
    static const struct rejectd_compute_options one_thread = {.n_threads = 1};
    struct kept *kept = calloc(1, sizeof *kept);
    ck_assert_ptr_nonnull(kept);
    const struct rejectd_sink sink = {keep_epoch, kept};
    struct rejectd_error error = {0};
    enum rejectd_status status = rejectd_clean(
        epochs, log, &as_transform, options != NULL ? options : &one_thread, &sink, &error);
    ck_assert_msg(status == REJECTD_OK, "%s: %s", error.field, error.message);
    return kept;
}

static struct rejectd_model *model_of(const struct rejectd_fit *fit,
                                      const struct rejectd_epochs *epochs)
{
    struct rejectd_model *model;
    struct rejectd_error error;
    ck_assert_int_eq(rejectd_model_from_fit(fit, epochs, &model, &error), REJECTD_OK);
    return model;
}

static struct rejectd_reject_log applied(const struct rejectd_epochs *epochs,
                                         const struct rejectd_model *model, const char *backend)
{
    const struct rejectd_compute_options options = {.backend = backend, .n_threads = 2};
    struct rejectd_reject_log log;
    struct rejectd_error error = {0};
    enum rejectd_status status = rejectd_apply(epochs, model, &options, &log, &error);
    ck_assert_msg(status == REJECTD_OK, "%s: %s", error.field, error.message);
    return log;
}

/* The same samples as float32; free() them. */
static float *as_float32(struct rejectd_epochs *epochs)
{
    const size_t n = epochs->n_epochs * epochs->n_channels * epochs->n_times;
    float *samples = malloc(n * sizeof *samples);
    ck_assert_ptr_nonnull(samples);
    for (size_t i = 0; i < n; i++)
        samples[i] = (float)((const double *)epochs->samples)[i];
    epochs->samples = samples;
    epochs->dtype = REJECTD_FLOAT32;
    return samples;
}

START_TEST(test_a_model_holds_the_picks_of_its_fit)
{
    struct simulated_epochs made = simulated(E, C, T);
    made.channels[2].bad = true;
    made.channels[7].type = REJECTD_CHANNEL_STIM;
    struct rejectd_fit *fit = fitted(&made.epochs, NULL, NULL);
    struct rejectd_model *model = model_of(fit, &made.epochs);
    ck_assert_uint_eq(model->n_channels, C - 2);
    for (size_t c = 0, i = 0; c < C; c++) {
        if (c == 2 || c == 7)
            continue;
        ck_assert_str_eq(model->channels[i].name, made.channels[c].name);
        ck_assert_int_eq(model->channels[i].type, REJECTD_CHANNEL_EEG);
        ck_assert_double_eq(model->channels[i++].threshold, fit->thresholds[c]);
    }
    ck_assert_uint_eq(model->n_types, 1);
    ck_assert_double_eq(model->types[0].consensus, fit->types[0].consensus);
    ck_assert_int_eq(model->types[0].n_interpolate, fit->types[0].n_interpolate);
    rejectd_model_free(model);
    rejectd_model_free(NULL);
    rejectd_fit_free(fit);
    simulate_free(&made);
}
END_TEST

/* Samples in either precision: the amplitudes that a fit compares are those that an apply sees. */
START_TEST(test_a_model_gives_its_fit_s_own_log_and_epochs)
{
    struct simulated_epochs made = simulated(E, C, T);
    made.channels[5].bad = true;
    struct rejectd_epochs epochs = made.epochs;
    float *samples = _i % 2 == 1 ? as_float32(&epochs) : NULL;
    struct rejectd_fit *fit = fitted(&epochs, NULL, NULL);
    struct rejectd_model *model = model_of(fit, &epochs);
    struct rejectd_reject_log log = applied(&epochs, model, backends[_i / 2]);
    same_log(&fit->log, &log);
    struct kept *expected = clean(&epochs, &fit->log, NULL), *found = clean(&epochs, &log, NULL);
    ck_assert_uint_eq(found->epochs, count_kept(&fit->log));
    ck_assert_mem_eq(found, expected, sizeof *found);
    free(expected);
    free(found);
    rejectd_reject_log_clear(&log);
    ck_assert_ptr_null(log.labels);
    rejectd_model_free(model);
    rejectd_fit_free(fit);
    free(samples);
    simulate_free(&made);
}
END_TEST

/* Channels are found by name: another order, and others between them, change nothing. */
START_TEST(test_a_model_finds_its_channels_by_name)
{
    struct simulated_epochs made = simulated(E, C, T), turned = simulated(E, C, T);
    struct rejectd_fit *fit = fitted(&made.epochs, NULL, NULL);
    struct rejectd_model *model = model_of(fit, &made.epochs);
    for (size_t c = 0; c < C; c++) {
        turned.channels[c] = made.channels[C - 1 - c];
        for (size_t e = 0; e < E; e++)
            memcpy(sample_at(&turned, e, c, 0), sample_at(&made, e, C - 1 - c, 0),
                   T * sizeof(double));
    }
    model->n_channels = C - 1; /* the last is not the model's any more: the first when turned */
    struct rejectd_reject_log straight = applied(&made.epochs, model, NULL);
    struct rejectd_reject_log log = applied(&turned.epochs, model, NULL);
    ck_assert_mem_eq(log.bad_epochs, straight.bad_epochs, E);
    for (size_t e = 0; e < E; e++) {
        ck_assert_int_eq(log.labels[e * C], REJECTD_LABEL_NOT_CONSIDERED);
        for (size_t c = 0; c < C; c++)
            ck_assert_int_eq(log.labels[e * C + c], straight.labels[e * C + C - 1 - c]);
    }
    rejectd_reject_log_clear(&straight);
    rejectd_reject_log_clear(&log);
    rejectd_model_free(model);
    rejectd_fit_free(fit);
    simulate_free(&made);
    simulate_free(&turned);
}
END_TEST

/* Of equal amplitudes the last channel of the dataset is repaired first, wherever the model lists
 * it. */
START_TEST(test_ties_go_by_the_order_of_the_dataset)
{
    struct simulated_epochs made = simulated(E, C, T);
    struct rejectd_fit *fit = fitted(&made.epochs, NULL, NULL);
    struct rejectd_model *model = model_of(fit, &made.epochs);
    model->types[0].consensus = 1.0;
    model->types[0].n_interpolate = 1;
    for (size_t c = 0; c < C; c++) {
        memcpy(model->channels[c].name, made.channels[C - 1 - c].name, REJECTD_NAME_SIZE);
        model->channels[c].threshold = c == C - 1 ? 1.0 : 0.0; /* V, of channel 0 */
        for (size_t e = 0; e < E; e++)
            memcpy(sample_at(&made, e, c, 0), sample_at(&made, e, 0, 0), T * sizeof(double));
    }
    struct rejectd_reject_log log = applied(&made.epochs, model, NULL);
    for (size_t i = 0; i < E * C; i++)
        ck_assert_int_eq(log.labels[i], i % C == 0       ? REJECTD_LABEL_GOOD
                                        : i % C == C - 1 ? REJECTD_LABEL_INTERPOLATED
                                                         : REJECTD_LABEL_BAD);
    rejectd_reject_log_clear(&log);
    rejectd_model_free(model);
    rejectd_fit_free(fit);
    simulate_free(&made);
}
END_TEST

/* Thresholds decide alone: epochs that never were in a fit, a single one at a time. */
START_TEST(test_a_model_judges_single_epochs)
{
    struct simulated_epochs made = simulated(E, C, T);
    struct rejectd_fit *fit = fitted(&made.epochs, NULL, NULL);
    struct rejectd_model *model = model_of(fit, &made.epochs);
    struct rejectd_epochs one = made.epochs;
    one.n_epochs = 1;
    for (size_t e = 0; e < E; e++) {
        one.samples = sample_at(&made, e, 0, 0);
        struct rejectd_reject_log log = applied(&one, model, NULL);
        ck_assert_mem_eq(log.labels, fit->log.labels + e * C, C);
        ck_assert_uint_eq(log.bad_epochs[0], fit->log.bad_epochs[e]);
        rejectd_reject_log_clear(&log);
    }
    rejectd_model_free(model);
    rejectd_fit_free(fit);
    simulate_free(&made);
}
END_TEST

/* A log in which epoch e repairs channel e % C alone, every fifth epoch is bad and channel 4 is
 * left out of everything. */
struct made_log {
    int8_t labels[E * C];
    uint8_t bad_epochs[E];
    struct rejectd_reject_log log;
};

static void make_log(struct made_log *made)
{
    memset(made, 0, sizeof *made);
    for (size_t e = 0; e < E; e++) {
        made->labels[e * C + e % C] = REJECTD_LABEL_INTERPOLATED;
        made->labels[e * C + (e + 1) % C] = REJECTD_LABEL_BAD;
        made->labels[e * C + 4] = REJECTD_LABEL_NOT_CONSIDERED;
        made->bad_epochs[e] = e % 5 == 2;
    }
    made->log = (struct rejectd_reject_log){E, C, made->labels, made->bad_epochs};
}

/* Leave-one-out weights [C][C] of all channels but the fifth, whose row and column are 0. */
static void weights_without_4(const struct rejectd_channel *channels, double *weights)
{
    double positions[C - 1][3], precision[(C - 1) * (C - 1)], among[(C - 1) * (C - 1)];
    struct rejectd_error error;
    for (size_t i = 0; i < C - 1; i++)
        memcpy(positions[i], channels[i < 4 ? i : i + 1].position, sizeof positions[i]);
    ck_assert_int_eq(spline_precision((const double(*)[3])positions, C - 1, 2, precision, &error),
                     REJECTD_OK);
    spline_leave_one_out(precision, C - 1, among);
    memset(weights, 0, (size_t)C * C * sizeof *weights);
    for (size_t i = 0; i < C - 1; i++)
        for (size_t j = 0; j < C - 1; j++)
            weights[(i < 4 ? i : i + 1) * C + (j < 4 ? j : j + 1)] = among[i * (C - 1) + j];
}

/* What has to come out for one row: the weighted sum where it is repaired, else what went in. */
static double expected_sample(struct simulated_epochs *made, const int8_t *labels,
                              const double *weights, size_t e, size_t c, size_t t)
{
    if (labels[e * C + c] != REJECTD_LABEL_INTERPOLATED)
        return *sample_at(made, e, c, t);
    double sum = 0.0;
    for (size_t j = 0; j < C; j++)
        sum += weights[c * C + j] * *sample_at(made, e, j, t);
    return sum;
}

START_TEST(test_repairs_by_the_definition)
{
    struct simulated_epochs made = simulated(E, C, T);
    struct made_log log;
    double weights[C * C];
    make_log(&log);
    weights_without_4(made.channels, weights);
    const struct rejectd_compute_options options = {.backend = backends[_i], .n_threads = 2};
    struct kept *kept = clean(&made.epochs, &log.log, &options);
    ck_assert_uint_eq(kept->epochs, 19);
    ck_assert_uint_eq(kept->bytes, C * T * sizeof(double));
    const double *row = (const double *)(const void *)kept->samples;
    for (size_t e = 0; e < E; e++)
        for (size_t c = 0; c < C && !log.bad_epochs[e]; c++, row += T)
            for (size_t t = 0; t < T; t++) {
                double expected = expected_sample(&made, log.labels, weights, e, c, t);
                if (log.labels[e * C + c] == REJECTD_LABEL_INTERPOLATED)
                    ck_assert_double_eq_tol(row[t], expected, 1e-14); /* V */
                else
                    ck_assert_double_eq(row[t], expected);
            }
    free(kept);
    simulate_free(&made);
}
END_TEST

/* A float32 dataset stays one: what is not repaired keeps its bits. */
START_TEST(test_float32_stays_float32)
{
    struct simulated_epochs made = simulated(E, C, T);
    struct rejectd_epochs epochs = made.epochs;
    struct made_log log;
    make_log(&log);
    struct kept *wide = clean(&epochs, &log.log, NULL);
    float *samples = as_float32(&epochs);
    struct kept *kept = clean(&epochs, &log.log, NULL);
    ck_assert_uint_eq(kept->epochs, 19);
    ck_assert_uint_eq(kept->bytes, C * T * sizeof(float));
    const float *found = (const float *)(const void *)kept->samples;
    const double *expected = (const double *)(const void *)wide->samples;
    for (size_t e = 0; e < E; e++)
        for (size_t i = 0; i < C * T && !log.bad_epochs[e]; i++, found++, expected++) {
            if (log.labels[e * C + i / T] == REJECTD_LABEL_INTERPOLATED)
                ck_assert_double_eq_tol(*found, *expected, 1e-9);
            else
                ck_assert_float_eq(*found, samples[e * C * T + i]);
        }
    free(wide);
    free(kept);
    free(samples);
    simulate_free(&made);
}
END_TEST

START_TEST(test_threads_do_not_change_repairs)
{
    struct simulated_epochs made = simulated(E, C, T);
    struct rejectd_fit *fit = fitted(&made.epochs, NULL, NULL);
    struct kept *first = clean(&made.epochs, &fit->log, NULL);
    for (int n_threads = 0; n_threads <= 8; n_threads += 2) {
        const struct rejectd_compute_options options = {.n_threads = n_threads};
        struct kept *other = clean(&made.epochs, &fit->log, &options);
        ck_assert_mem_eq(first, other, sizeof *first);
        free(other);
    }
    free(first);
    rejectd_fit_free(fit);
    simulate_free(&made);
}
END_TEST

/* Nothing to repair passes through untouched, and needs no positions; nothing kept writes none. */
START_TEST(test_nothing_to_repair)
{
    struct simulated_epochs made = simulated(E, C, T);
    int8_t labels[E * C] = {0};
    uint8_t bad_epochs[E] = {0};
    const struct rejectd_reject_log log = {E, C, labels, bad_epochs};
    for (size_t c = 0; c < C; c++)
        made.channels[c].has_position = false;
    struct kept *kept = clean(&made.epochs, &log, NULL);
    ck_assert_uint_eq(kept->epochs, E);
    ck_assert_mem_eq(kept->samples, made.samples, sizeof kept->samples);
    free(kept);
    memset(bad_epochs, 1, sizeof bad_epochs);
    memset(labels, REJECTD_LABEL_INTERPOLATED, sizeof labels); /* of epochs that nobody will see */
    kept = clean(&made.epochs, &log, NULL);
    ck_assert_uint_eq(kept->epochs, 0);
    free(kept);
    simulate_free(&made);
}
END_TEST

START_TEST(test_a_sink_that_fails_ends_the_clean)
{
    struct simulated_epochs made = simulated(E, C, T);
    struct made_log log;
    make_log(&log);
    struct kept *kept = calloc(1, sizeof *kept);
    ck_assert_ptr_nonnull(kept);
    kept->fail_at = 3;
    const struct rejectd_sink sink = {keep_epoch, kept};
    const struct rejectd_compute_options options = {.n_threads = 1};
    struct rejectd_error error = {0};
    ck_assert_int_eq(rejectd_clean(&made.epochs, &log.log, &as_transform, &options, &sink, &error),
                     REJECTD_STORAGE_FULL);
    ck_assert_str_eq(error.field, "sink");
    ck_assert_uint_eq(kept->epochs, 2);
    free(kept);
    simulate_free(&made);
}
END_TEST

/* Counts the reports, of which one answers no; fractions must not fall nor leave 0..1. */
struct watch {
    size_t calls, stop_at;
    double last;
    char stage[16];
};

static bool watch_report(void *context, const char *stage, double fraction)
{
    struct watch *watch = context;
    ck_assert_double_ge(fraction, watch->last);
    ck_assert_double_le(fraction, 1.0);
    watch->last = fraction;
    strncpy(watch->stage, stage, sizeof watch->stage - 1);
    return ++watch->calls != watch->stop_at;
}

START_TEST(test_an_apply_can_be_cancelled)
{
    struct simulated_epochs made = simulated(E, C, T);
    struct rejectd_fit *fit = fitted(&made.epochs, NULL, NULL);
    struct rejectd_model *model = model_of(fit, &made.epochs);
    for (size_t stop_at = 1;; stop_at++) {
        struct watch watch = {.stop_at = stop_at};
        const struct rejectd_compute_options options = {
            .backend = backends[_i], .n_threads = 1, .monitor = {watch_report, &watch}};
        struct rejectd_reject_log log;
        struct rejectd_error error = {0};
        enum rejectd_status status = rejectd_apply(&made.epochs, model, &options, &log, &error);
        if (status == REJECTD_OK) {
            ck_assert_uint_gt(stop_at, 1);
            ck_assert_double_eq(watch.last, 1.0);
            rejectd_reject_log_clear(&log);
            break;
        }
        ck_assert_int_eq(status, REJECTD_CANCELLED);
        ck_assert_uint_eq(watch.calls, stop_at);
        ck_assert_ptr_null(log.labels);
    }
    rejectd_model_free(model);
    rejectd_fit_free(fit);
    simulate_free(&made);
}
END_TEST

START_TEST(test_a_clean_can_be_cancelled)
{
    struct simulated_epochs made = simulated(E, C, T);
    struct made_log log;
    make_log(&log);
    for (size_t stop_at = 1;; stop_at++) {
        struct watch watch = {.stop_at = stop_at};
        const struct rejectd_compute_options options = {
            .backend = backends[_i], .n_threads = 1, .monitor = {watch_report, &watch}};
        struct kept *kept = calloc(1, sizeof *kept);
        ck_assert_ptr_nonnull(kept);
        const struct rejectd_sink sink = {keep_epoch, kept};
        struct rejectd_error error = {0};
        enum rejectd_status status =
            rejectd_clean(&made.epochs, &log.log, &as_transform, &options, &sink, &error);
        ck_assert_str_eq(watch.stage, "clean");
        free(kept);
        if (status == REJECTD_OK) {
            ck_assert_uint_gt(stop_at, 1);
            ck_assert_double_eq(watch.last, 1.0);
            break;
        }
        ck_assert_int_eq(status, REJECTD_CANCELLED);
        ck_assert_uint_eq(watch.calls, stop_at);
    }
    simulate_free(&made);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("clean");
    TCase *applying = tcase_create("apply");
    tcase_add_test(applying, test_a_model_holds_the_picks_of_its_fit);
    tcase_add_loop_test(applying, test_a_model_gives_its_fit_s_own_log_and_epochs, 0, 4);
    tcase_add_test(applying, test_a_model_finds_its_channels_by_name);
    tcase_add_test(applying, test_ties_go_by_the_order_of_the_dataset);
    tcase_add_test(applying, test_a_model_judges_single_epochs);
    tcase_add_loop_test(applying, test_an_apply_can_be_cancelled, 0, LENGTH(backends));
    suite_add_tcase(suite, applying);
    TCase *cleaning = tcase_create("clean");
    tcase_add_loop_test(cleaning, test_repairs_by_the_definition, 0, LENGTH(backends));
    tcase_add_test(cleaning, test_float32_stays_float32);
    tcase_add_test(cleaning, test_threads_do_not_change_repairs);
    tcase_add_test(cleaning, test_nothing_to_repair);
    tcase_add_test(cleaning, test_a_sink_that_fails_ends_the_clean);
    tcase_add_loop_test(cleaning, test_a_clean_can_be_cancelled, 0, LENGTH(backends));
    suite_add_tcase(suite, cleaning);
    /* OpenMP's threads do not survive a fork. */
    return run_suite_in_process(suite);
}
