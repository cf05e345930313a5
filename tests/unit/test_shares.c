/*
 * A search for thresholds that is shared out: whatever the shares and whoever searches them, the
 * joined result is to the last bit that of one search, and a fit goes on from it as from its own.
 *
 * On several devices of the CUDA module at once ($REJECTD_EMULATED_DEVICES of them, in CI), each
 * with a thread of its own, and on every backend by itself.
 */
#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "every_backend.h"
#include "fit_fixture.h"
#include "run_suite.h"

enum { MOST_DEVICES = 3 };

static const char content[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/* Opened; NULL beyond the last, and for all where there is no CUDA module. */
static void open_gpus(struct rejectd_devices **devices, size_t budget,
                      struct rejectd_device *gpus[MOST_DEVICES])
{
    struct rejectd_error error = {0};
    ck_assert_int_eq(rejectd_devices_open(getenv("REJECTD_CUDA_MODULE"), devices, &error),
                     REJECTD_OK);
    for (size_t i = 0; i < MOST_DEVICES; i++) {
        gpus[i] = rejectd_devices_at(*devices, 1 + i);
        if (gpus[i] != NULL)
            ck_assert_msg(rejectd_device_open(gpus[i], budget, &error) == REJECTD_OK, "%s",
                          error.message);
    }
    ck_assert_msg(gpus[MOST_DEVICES - 1] != NULL || getenv("REJECTD_EMULATED_DEVICES") == NULL,
                  "%s", rejectd_devices_note(*devices));
}

/* Two types of sensors that are predicted from others of their type, and one that isn't. */
static struct simulated_epochs two_types(size_t n_epochs, size_t n_channels, size_t n_times)
{
    struct simulated_epochs made = simulated(n_epochs, n_channels, n_times);
    made.channels[3].type = REJECTD_CHANNEL_ECOG;
    made.channels[n_channels - 1].type = REJECTD_CHANNEL_ECOG;
    return made;
}

struct search {
    pthread_t thread;
    const struct rejectd_epochs *epochs;
    const struct rejectd_thresholds_parameters *parameters;
    struct rejectd_compute_options options;
    struct rejectd_thresholds *found;
    enum rejectd_status status;
    struct rejectd_error error;
};

static void *search_main(void *argument)
{
    struct search *search = argument;
    search->status = rejectd_thresholds(search->epochs, search->parameters, &search->options,
                                        &search->found, &search->error);
    return NULL;
}

/* Searches share i of n with options i % n_options, all at once, and joins what was found. */
static struct rejectd_thresholds *search_shares(const struct rejectd_epochs *epochs,
                                                const struct rejectd_thresholds_parameters *p,
                                                const struct rejectd_compute_options *options,
                                                size_t n_options, size_t n)
{
    struct search searches[16];
    struct rejectd_thresholds *joined = NULL;
    ck_assert_uint_le(n, 16);
    for (size_t i = 0; i < n; i++) {
        searches[i] = (struct search){.epochs = epochs, .parameters = p};
        searches[i].options = options[i % n_options];
        searches[i].options.share = (struct rejectd_share){i, n};
    }
    /* A device works for one at a time. */
    for (size_t first = 0; first < n; first += n_options) {
        const size_t end = first + n_options < n ? first + n_options : n;
        for (size_t i = first; i < end; i++)
            ck_assert_int_eq(pthread_create(&searches[i].thread, NULL, search_main, &searches[i]),
                             0);
        for (size_t i = first; i < end; i++)
            pthread_join(searches[i].thread, NULL);
    }
    for (size_t i = 0; i < n; i++) {
        struct rejectd_thresholds *found = searches[i].found;
        ck_assert_msg(searches[i].status == REJECTD_OK, "share %zu of %zu: %s", i, n,
                      searches[i].error.message);
        if (joined == NULL) {
            joined = found;
            continue;
        }
        for (size_t c = 0; c < found->n_channels; c++) {
            if (isnan(found->thresholds[c]))
                continue;
            ck_assert_msg(isnan(joined->thresholds[c]), "channel %zu is in two shares", c);
            joined->thresholds[c] = found->thresholds[c];
            joined->losses[c] = found->losses[c];
        }
        rejectd_thresholds_free(found);
    }
    return joined;
}

static void same_thresholds(const struct rejectd_thresholds *a, const struct rejectd_thresholds *b)
{
    ck_assert_uint_eq(a->n_channels, b->n_channels);
    for (size_t c = 0; c < a->n_channels; c++)
        ck_assert_msg(memcmp(&a->thresholds[c], &b->thresholds[c], sizeof(double)) == 0 &&
                          memcmp(&a->losses[c], &b->losses[c], sizeof(double)) == 0,
                      "channel %zu: %.17g of loss %.17g, expected %.17g of %.17g", c,
                      a->thresholds[c], a->losses[c], b->thresholds[c], b->losses[c]);
}

/* On what is given, shared and whole: thresholds, and a fit that goes on from them. */
static void compare(const struct rejectd_epochs *epochs,
                    const struct rejectd_thresholds_parameters *parameters,
                    const struct rejectd_compute_options *options, size_t n_options, size_t n)
{
    const struct rejectd_fit_parameters fit_parameters = {
        .thresh_method = parameters->thresh_method,
        .random_state = parameters->random_state,
        .precision = parameters->precision,
        .cv = 4,
    };
    struct rejectd_thresholds *joined = search_shares(epochs, parameters, options, n_options, n);
    struct rejectd_compute_options last = options[0];
    struct rejectd_thresholds *whole = NULL, *taken = NULL;
    struct rejectd_error error = {0};
    ck_assert_int_eq(rejectd_thresholds(epochs, parameters, &options[0], &whole, &error),
                     REJECTD_OK);
    same_thresholds(joined, whole);
    last.found = joined;
    ck_assert_int_eq(rejectd_thresholds(epochs, parameters, &last, &taken, &error), REJECTD_OK);
    same_thresholds(taken, whole);
    if (!parameters->without_augmentation) {
        struct rejectd_fit *expected = fitted(epochs, &fit_parameters, &options[0]);
        struct rejectd_fit *fit = fitted(epochs, &fit_parameters, &last);
        same_fit(fit, expected);
        rejectd_fit_free(expected);
        rejectd_fit_free(fit);
    }
    rejectd_thresholds_free(joined);
    rejectd_thresholds_free(whole);
    rejectd_thresholds_free(taken);
}

static const struct rejectd_thresholds_parameters searches[] = {
    {.thresh_method = REJECTD_THRESHOLD_BAYESIAN_OPTIMIZATION, .precision = REJECTD_FLOAT64},
    {.thresh_method = REJECTD_THRESHOLD_RANDOM_SEARCH,
     .random_state = 42,
     .precision = REJECTD_FLOAT32},
    {.thresh_method = REJECTD_THRESHOLD_EXACT,
     .precision = REJECTD_FLOAT64,
     .without_augmentation = true},
};
enum { N_SEARCHES = sizeof searches / sizeof searches[0] };

/* More shares than a type has channels: some are empty. */
START_TEST(test_shares_on_a_processor)
{
    static const size_t numbers[] = {2, 11};
    struct simulated_epochs made = two_types(24, 9, 32);
    for (size_t b = 0; backend_at(b) != NULL; b++) {
        const struct rejectd_compute_options options = {.backend = backend_at(b)->name,
                                                        .n_threads = 2};
        for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
            compare(&made.epochs, &searches[_i], &options, 1, numbers[i]);
    }
    simulate_free(&made);
}
END_TEST

START_TEST(test_shares_on_several_gpus)
{
    struct rejectd_devices *devices;
    struct rejectd_device *gpus[MOST_DEVICES];
    struct rejectd_compute_options options[MOST_DEVICES];
    struct simulated_epochs made = two_types(20, 9, 32);
    const size_t n_gpus = _i % 2 == 0 ? 2 : MOST_DEVICES;
    open_gpus(&devices, 0, gpus);
    for (size_t i = 0; i < n_gpus; i++)
        options[i] = (struct rejectd_compute_options){.device = gpus[i], .n_threads = 1};
    if (gpus[n_gpus - 1] != NULL)
        compare(&made.epochs, &searches[_i], options, n_gpus, n_gpus);
    simulate_free(&made);
    rejectd_devices_close(devices);
}
END_TEST

/* 132 sensors are two panels of products: shares begin within them, and there are more than
 * devices. Then once more with samples and searches that the devices keep. */
START_TEST(test_many_shares_on_few_gpus)
{
    struct rejectd_devices *devices;
    struct rejectd_device *gpus[MOST_DEVICES];
    struct simulated_epochs made = simulated(8, 132, 16);
    struct rejectd_compute_options options[2];
    made.epochs.content = content;
    open_gpus(&devices, 0, gpus);
    for (int i = 0; i < 2; i++)
        options[i] = (struct rejectd_compute_options){.device = gpus[i], .n_threads = 1};
    if (gpus[1] != NULL) {
        struct rejectd_thresholds *first = search_shares(&made.epochs, &searches[1], options, 2, 3);
        struct rejectd_thresholds *again = search_shares(&made.epochs, &searches[1], options, 2, 3);
        struct rejectd_thresholds *whole = NULL;
        struct rejectd_error error;
        ck_assert_int_eq(
            rejectd_thresholds(&made.epochs, &searches[1], &options[1], &whole, &error),
            REJECTD_OK);
        same_thresholds(first, whole);
        same_thresholds(again, whole);
        rejectd_thresholds_free(first);
        rejectd_thresholds_free(again);
        rejectd_thresholds_free(whole);
    }
    simulate_free(&made);
    rejectd_devices_close(devices);
}
END_TEST

/* What several GPUs find together is what the processor finds. */
START_TEST(test_several_gpus_equal_the_processor)
{
    struct rejectd_devices *devices;
    struct rejectd_device *gpus[MOST_DEVICES];
    struct simulated_epochs made = two_types(24, 9, 32);
    const struct rejectd_compute_options cpu = {.n_threads = 1};
    struct rejectd_compute_options options[MOST_DEVICES];
    struct rejectd_thresholds *expected = NULL;
    struct rejectd_error error = {0};
    open_gpus(&devices, 0, gpus);
    for (size_t i = 0; i < MOST_DEVICES; i++)
        options[i] = (struct rejectd_compute_options){.device = gpus[i], .n_threads = 1};
    ck_assert_int_eq(rejectd_thresholds(&made.epochs, &searches[0], &cpu, &expected, &error),
                     REJECTD_OK);
    if (gpus[MOST_DEVICES - 1] != NULL) {
        struct rejectd_thresholds *joined =
            search_shares(&made.epochs, &searches[0], options, MOST_DEVICES, MOST_DEVICES);
        for (size_t c = 0; c < made.epochs.n_channels; c++) {
            const double threshold = expected->thresholds[c], loss = expected->losses[c];
            ck_assert_double_le(fabs(joined->thresholds[c] - threshold), 1e-9 * threshold);
            ck_assert_double_le(fabs(joined->losses[c] - loss), 1e-9 * loss);
        }
        rejectd_thresholds_free(joined);
    }
    rejectd_thresholds_free(expected);
    simulate_free(&made);
    rejectd_devices_close(devices);
}
END_TEST

/* A device with little room searches its share in smaller blocks. */
START_TEST(test_shares_within_little_memory)
{
    struct simulated_epochs made = simulated(70, 8, 40);
    const struct rejectd_compute_options cpu = {.n_threads = 1};
    struct rejectd_thresholds *expected = NULL;
    struct rejectd_error error = {0};
    size_t n_searched = 0;
    ck_assert_int_eq(rejectd_thresholds(&made.epochs, &searches[0], &cpu, &expected, &error),
                     REJECTD_OK);
    for (size_t budget = (size_t)2 << 20; budget > 150000; budget = budget / 10 * 7) {
        struct rejectd_devices *devices;
        struct rejectd_device *gpus[MOST_DEVICES];
        struct rejectd_thresholds *found = NULL;
        open_gpus(&devices, budget, gpus);
        const struct rejectd_compute_options options = {
            .device = gpus[0], .n_threads = 1, .share = {1, 3}};
        if (gpus[0] != NULL) {
            const enum rejectd_status status =
                rejectd_thresholds(&made.epochs, &searches[0], &options, &found, &error);
            ck_assert_msg(status == REJECTD_OK || status == REJECTD_DEVICE_MEMORY, "%s",
                          error.message);
            n_searched += status == REJECTD_OK;
        }
        for (size_t c = 0; c < made.epochs.n_channels && found != NULL; c++) {
            ck_assert_int_eq(isnan(found->thresholds[c]), c < 8 / 3 || c >= 16 / 3);
            if (!isnan(found->thresholds[c]))
                ck_assert_double_le(fabs(found->thresholds[c] - expected->thresholds[c]),
                                    1e-9 * expected->thresholds[c]);
        }
        rejectd_thresholds_free(found);
        rejectd_devices_close(devices);
    }
    ck_assert(n_searched >= 4 || getenv("REJECTD_CUDA_MODULE") == NULL);
    rejectd_thresholds_free(expected);
    simulate_free(&made);
}
END_TEST

START_TEST(test_a_share_that_is_missing_is_told)
{
    struct simulated_epochs made = simulated(12, 8, 16);
    struct rejectd_compute_options options = {.n_threads = 1, .share = {1, 2}};
    struct rejectd_thresholds *half = NULL, *taken = NULL;
    const struct rejectd_fit_parameters parameters = {.precision = REJECTD_FLOAT64, .cv = 3};
    struct rejectd_fit *fit = NULL;
    struct rejectd_error error = {0};
    ck_assert_int_eq(rejectd_thresholds(&made.epochs, &searches[0], &options, &half, &error),
                     REJECTD_OK);
    options = (struct rejectd_compute_options){.n_threads = 1, .found = half};
    ck_assert_int_eq(rejectd_thresholds(&made.epochs, &searches[0], &options, &taken, &error),
                     REJECTD_INTERNAL);
    ck_assert_ptr_null(taken);
    ck_assert_int_eq(rejectd_fit(&made.epochs, &parameters, &options, &fit, &error),
                     REJECTD_INTERNAL);
    ck_assert_ptr_null(fit);
    ck_assert_ptr_nonnull(strstr(error.message, made.channels[0].name));
    rejectd_thresholds_free(half);
    simulate_free(&made);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shares");
    TCase *tests = tcase_create("shares");
    tcase_set_timeout(tests, 300);
    tcase_add_loop_test(tests, test_shares_on_a_processor, 0, N_SEARCHES);
    tcase_add_loop_test(tests, test_shares_on_several_gpus, 0, N_SEARCHES);
    tcase_add_test(tests, test_several_gpus_equal_the_processor);
    tcase_add_test(tests, test_shares_within_little_memory);
    tcase_add_test(tests, test_a_share_that_is_missing_is_told);
    suite_add_tcase(suite, tests);
    /* CK_RUN_CASE=shares leaves it out where it takes long. */
    TCase *panels = tcase_create("panels");
    tcase_set_timeout(panels, 300);
    tcase_add_test(panels, test_many_shares_on_few_gpus);
    suite_add_tcase(suite, panels);
    /* Neither OpenMP's threads nor a GPU survive a fork. */
    return run_suite_in_process(suite);
}
