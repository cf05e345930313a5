/*
 * What a device keeps of datasets, and of what was computed from them: it serves again, it is never
 * stale, and it makes room in its order.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "every_backend.h"
#include "fit_fixture.h"
#include "run_suite.h"

/* A device of its own; NULL where there is none to test. */
static struct rejectd_device *device_within(size_t budget, struct rejectd_devices **devices)
{
    return cuda_backend_within(budget, devices).backend != NULL
               ? rejectd_devices_find(*devices, "cuda:0")
               : NULL;
}

static const char content[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

START_TEST(test_residents_serve_again)
{
    struct rejectd_devices *devices;
    struct rejectd_device *device = device_within(0, &devices);
    struct simulated_epochs made = simulated(40, 8, 48);
    struct simulated_epochs other = simulated(30, 8, 48);
    const int first[] = {1, 4}, second[] = {0, 2, 5};
    struct rejectd_fit_parameters parameters = {.random_state = 42,
                                                .precision = REJECTD_FLOAT64,
                                                .n_interpolate = first,
                                                .n_n_interpolate = 2};
    const struct rejectd_compute_options options = {.n_threads = 2, .device = device};
    struct rejectd_resident residents[4];
    if (device != NULL) {
        struct rejectd_fit *alone = fitted(&made.epochs, &parameters, &options);
        ck_assert_uint_eq(rejectd_device_residents(device, residents, 4), 0);
        made.epochs.content = content;
        for (int i = 0; i < 3; i++) {
            struct rejectd_fit *again = fitted(&made.epochs, &parameters, &options);
            same_fit(again, alone);
            rejectd_fit_free(again);
        }
        ck_assert_uint_eq(rejectd_device_residents(device, residents, 4), 1);
        ck_assert_str_eq(residents[0].content, content);
        ck_assert(!residents[0].in_use);
        ck_assert_uint_ge(residents[0].n_uses, 3);
        ck_assert_uint_ge(residents[0].bytes, 40 * 8 * 48 * sizeof(double));
        ck_assert_uint_gt(residents[0].table_bytes, 0);

        /* Other values of n_interpolate and another method, on what is there. */
        parameters.n_interpolate = second;
        parameters.n_n_interpolate = 3;
        parameters.thresh_method = REJECTD_THRESHOLD_EXACT;
        struct rejectd_fit *reused = fitted(&made.epochs, &parameters, &options);
        made.epochs.content = NULL;
        struct rejectd_fit *fresh = fitted(&made.epochs, &parameters, &options);
        same_fit(reused, fresh);

        other.epochs.content = "another";
        struct rejectd_fit *third = fitted(&other.epochs, &parameters, &options);
        ck_assert_uint_eq(rejectd_device_residents(device, residents, 4), 2);
        ck_assert_str_eq(residents[0].content, "another");
        rejectd_device_forget(device, content);
        ck_assert_uint_eq(rejectd_device_residents(device, residents, 4), 1);
        rejectd_device_forget(device, "unknown");
        rejectd_fit_free(alone);
        rejectd_fit_free(reused);
        rejectd_fit_free(fresh);
        rejectd_fit_free(third);
    }
    simulate_free(&made);
    simulate_free(&other);
    rejectd_devices_close(devices);
}
END_TEST

/* What the device did in a fit of the resident: marks of its trace, one a line. */
static void trace_of(const struct rejectd_epochs *epochs,
                     const struct rejectd_fit_parameters *parameters,
                     const struct rejectd_compute_options *options, char *text, size_t size)
{
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    fflush(stderr);
    const int before = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    rejectd_fit_free(fitted(epochs, parameters, options));
    fflush(stderr);
    dup2(before, STDERR_FILENO);
    close(before);
    rewind(file);
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
}

/* Predictions and losses stay, too, as long as nobody needs their memory. */
START_TEST(test_tables_serve_again)
{
    struct rejectd_devices *devices;
    char text[4096];
    struct rejectd_resident resident;
    setenv("REJECTD_CUDA_TRACE", "1", 1);
    struct rejectd_device *device = device_within((size_t)4 << 20, &devices);
    unsetenv("REJECTD_CUDA_TRACE");
    struct simulated_epochs made = simulated(40, 8, 48);
    struct rejectd_fit_parameters parameters = {.random_state = 42, .precision = REJECTD_FLOAT64};
    const struct rejectd_compute_options options = {.n_threads = 1, .device = device};
    made.epochs.content = content;
    if (device != NULL) {
        trace_of(&made.epochs, &parameters, &options, text, sizeof text);
        ck_assert_ptr_nonnull(strstr(text, "trace product "));
        ck_assert_ptr_nonnull(strstr(text, "trace walk_rows "));
        rejectd_device_residents(device, &resident, 1);
        ck_assert_uint_gt(resident.table_bytes, resident.bytes);
        parameters.thresh_method = REJECTD_THRESHOLD_EXACT;
        trace_of(&made.epochs, &parameters, &options, text, sizeof text);
        ck_assert_ptr_null(strstr(text, "trace product "));
        ck_assert_ptr_null(strstr(text, "trace walk_rows "));
        ck_assert_ptr_nonnull(strstr(text, "trace search "));
        parameters.random_state = 43;
        trace_of(&made.epochs, &parameters, &options, text, sizeof text);
        ck_assert_ptr_null(strstr(text, "trace product "));
        ck_assert_ptr_nonnull(strstr(text, "trace walk_rows "));
    }
    simulate_free(&made);
    rejectd_devices_close(devices);
}
END_TEST

/* A fit of what is resident is that of samples just brought, whichever of the parameters is another
 * one than before: what was kept for them serves no other. */
START_TEST(test_what_is_kept_is_never_stale)
{
    struct rejectd_devices *devices;
    struct rejectd_device *device = device_within(0, &devices);
    struct simulated_epochs made = simulated(40, 8, 48);
    const double narrow[] = {0.3, 0.5}, wide[] = {0.2, 0.4, 0.6, 1.0};
    const int few[] = {1, 2}, more[] = {0, 3, 5};
    double low[8], high[8];
    for (size_t c = 0; c < 8; c++) {
        low[c] = 6e-5 + 5e-6 * (double)c;
        high[c] = 1.1e-4;
    }
    const struct rejectd_fit_parameters base = {.precision = REJECTD_FLOAT64,
                                                .random_state = 42,
                                                .thresholds = low,
                                                .consensus = narrow,
                                                .n_consensus = 2,
                                                .n_interpolate = few,
                                                .n_n_interpolate = 2};
    struct rejectd_fit_parameters cases[] = {base, base, base, base, base, base};
    cases[1].n_interpolate = more;
    cases[1].n_n_interpolate = 3;
    cases[2].consensus = wide;
    cases[2].n_consensus = 4;
    cases[3].thresholds = high;
    cases[4].cv = 5;
    cases[5].precision = REJECTD_FLOAT32;
    const struct rejectd_compute_options options = {.n_threads = 2, .device = device};
    const size_t n = sizeof cases / sizeof cases[0];
    /* Each case after the first, and the first again. */
    for (size_t i = 0; i < n && device != NULL; i++) {
        made.epochs.content = NULL;
        struct rejectd_fit *first = fitted(&made.epochs, &cases[0], &options);
        struct rejectd_fit *fresh = fitted(&made.epochs, &cases[i], &options);
        made.epochs.content = content;
        struct rejectd_fit *before = fitted(&made.epochs, &cases[0], &options);
        struct rejectd_fit *kept = fitted(&made.epochs, &cases[i], &options);
        struct rejectd_fit *after = fitted(&made.epochs, &cases[0], &options);
        same_fit(before, first);
        same_fit(kept, fresh);
        same_fit(after, first);
        rejectd_fit_free(first);
        rejectd_fit_free(fresh);
        rejectd_fit_free(before);
        rejectd_fit_free(kept);
        rejectd_fit_free(after);
    }
    simulate_free(&made);
    rejectd_devices_close(devices);
}
END_TEST

/* Equal bytes may be samples of either type: what was kept of the one is not the other. */
START_TEST(test_residents_are_of_one_dtype)
{
    enum { EPOCHS = 3, CHANNELS = 4, TIMES = 40 };
    static float bytes[EPOCHS * 2 * CHANNELS * TIMES]; /* or doubles, in half the channels */
    static const size_t picks[CHANNELS] = {0, 1, 2, 3};
    struct rejectd_devices *devices;
    const struct tested_backend cuda = cuda_backend_within(0, &devices);
    const struct backend *backends[] = {backend_find("reference"), cuda.backend};
    double ptp[2][EPOCHS * CHANNELS];
    for (size_t i = 0; i < sizeof bytes / sizeof(float); i++)
        bytes[i] = 1.0f + (float)(i * i % 101);
    for (int dtype = REJECTD_FLOAT32; dtype <= REJECTD_FLOAT64 && cuda.backend != NULL; dtype++) {
        const struct backend_samples samples = {
            .data = bytes,
            .dtype = (enum rejectd_dtype)dtype,
            .n_epochs = EPOCHS,
            .n_channels = dtype == REJECTD_FLOAT32 ? 2 * CHANNELS : CHANNELS,
            .n_times = TIMES,
            .picks = picks,
            .n_picks = CHANNELS,
            .content = content,
            .content_epochs = EPOCHS,
        };
        for (int b = 0; b < 2; b++) {
            const struct backend_options options = {
                .device = b == 1 ? cuda.device : NULL,
                .n_threads = 1,
                .precision = REJECTD_FLOAT64,
            };
            struct backend_session *session;
            struct rejectd_error error;
            ck_assert_int_eq(backends[b]->open(&samples, &options, &session, &error), REJECTD_OK);
            ck_assert_int_eq(backends[b]->peak_to_peak(session, ptp[b], &error), REJECTD_OK);
            backends[b]->close(session);
        }
        ck_assert_mem_eq(ptp[1], ptp[0], sizeof ptp[0]);
    }
    rejectd_devices_close(devices);
}
END_TEST

/* What was kept in one precision is not taken for another. */
START_TEST(test_residents_are_of_one_precision)
{
    struct rejectd_devices *devices;
    struct rejectd_device *device = device_within(0, &devices);
    struct simulated_epochs made = simulated(40, 8, 48);
    const struct rejectd_compute_options options = {.n_threads = 2, .device = device};
    struct rejectd_resident residents[5];
    for (int turn = 0; turn < 2 && device != NULL; turn++)
        for (int p = REJECTD_FLOAT32; p <= REJECTD_BFLOAT16; p++) {
            const struct rejectd_fit_parameters parameters = {.random_state = 42,
                                                              .precision = (enum rejectd_dtype)p};
            made.epochs.content = NULL;
            struct rejectd_fit *alone = fitted(&made.epochs, &parameters, &options);
            made.epochs.content = content;
            struct rejectd_fit *kept = fitted(&made.epochs, &parameters, &options);
            same_fit(kept, alone);
            ck_assert_int_eq(kept->precision, parameters.precision);
            rejectd_fit_free(alone);
            rejectd_fit_free(kept);
            const size_t n = rejectd_device_residents(device, residents, 5);
            ck_assert_uint_eq(n, turn == 0 ? (size_t)p + 1 : 4);
            static const size_t bytes[] = {4, 8, 2, 2};
            ck_assert_uint_eq(residents[0].bytes, 40 * 8 * 64 * bytes[p]);
        }
    simulate_free(&made);
    rejectd_devices_close(devices);
}
END_TEST

/* Epochs of 16 KB, by name. */
static struct backend_session *opened(const struct tested_backend *cuda, const char *name)
{
    static double data[16][4][32];
    static const size_t picks[] = {0, 1, 2, 3};
    struct backend_session *session;
    struct rejectd_error error = {0};
    const struct backend_samples samples = {
        .data = data,
        .dtype = REJECTD_FLOAT64,
        .n_epochs = 16,
        .n_channels = 4,
        .n_times = 32,
        .picks = picks,
        .n_picks = 4,
        .content = name,
        .content_epochs = 16,
    };
    const struct backend_options options = {
        .device = cuda->device, .n_threads = 1, .precision = REJECTD_FLOAT64};
    ck_assert_msg(cuda->backend->open(&samples, &options, &session, &error) == REJECTD_OK, "%s",
                  error.message);
    return session;
}

/* The names of what a device holds, the latest used first. */
static void holds(const struct rejectd_device *device, const char *names)
{
    struct rejectd_resident residents[16];
    char found[17] = "";
    const size_t n = rejectd_device_residents(device, residents, 16);
    for (size_t i = 0; i < n && i < 16; i++)
        found[i] = residents[i].content[0];
    ck_assert_str_eq(found, names);
}

/* What is spare goes first, and without it a resident serves as before. */
START_TEST(test_spare_tables_make_room)
{
    struct rejectd_devices *devices;
    const struct tested_backend cuda = cuda_backend_within((size_t)2 << 20, &devices);
    struct rejectd_device *device = rejectd_devices_find(devices, "cuda:0");
    struct simulated_epochs made = simulated(40, 8, 48);
    const struct rejectd_fit_parameters parameters = {.random_state = 42,
                                                      .precision = REJECTD_FLOAT64};
    const struct rejectd_compute_options options = {.n_threads = 1, .device = device};
    enum { MOST = 140 };
    struct rejectd_resident residents[MOST];
    made.epochs.content = content;
    if (cuda.backend != NULL) {
        struct rejectd_fit *fit = fitted(&made.epochs, &parameters, &options);
        rejectd_device_residents(device, residents, MOST);
        const size_t before = residents[0].table_bytes;
        ck_assert_uint_gt(before, residents[0].bytes);
        size_t n = 1;
        while (n < MOST && residents[n - 1].table_bytes == before) {
            char name[8];
            snprintf(name, sizeof name, "%zu", n);
            cuda.backend->close(opened(&cuda, name));
            n = rejectd_device_residents(device, residents, MOST);
        }
        ck_assert_str_eq(residents[n - 1].content, content);
        ck_assert_uint_lt(residents[n - 1].table_bytes, before);
        ck_assert_uint_eq(rejectd_device_evictions(device), 0);
        struct rejectd_fit *again = fitted(&made.epochs, &parameters, &options);
        same_fit(again, fit);
        rejectd_fit_free(again);
        rejectd_fit_free(fit);
    }
    simulate_free(&made);
    rejectd_devices_close(devices);
}
END_TEST

/* Ten have room: the one that was used longest ago, and is not in use, makes room for another. */
START_TEST(test_residents_make_room)
{
    struct rejectd_devices *devices;
    const struct tested_backend cuda = cuda_backend_within((size_t)172000, &devices);
    struct rejectd_device *device = rejectd_devices_find(devices, "cuda:0");
    if (cuda.backend != NULL) {
        for (const char *name = "abcdefghij"; *name != '\0'; name++)
            cuda.backend->close(opened(&cuda, (const char[]){*name, '\0'}));
        holds(device, "jihgfedcba");
        cuda.backend->close(opened(&cuda, "a"));
        holds(device, "ajihgfedcb");
        ck_assert_uint_eq(rejectd_device_evictions(device), 0);
        cuda.backend->close(opened(&cuda, "k"));
        holds(device, "kajihgfedc");
        ck_assert_uint_eq(rejectd_device_evictions(device), 1);
        struct backend_session *used = opened(&cuda, "c");
        for (const char *name = "lmnopqrstuvw"; *name != '\0'; name++)
            cuda.backend->close(opened(&cuda, (const char[]){*name, '\0'}));
        holds(device, "wvutsrqpoc");
        ck_assert_uint_eq(rejectd_device_evictions(device), 13);
        cuda.backend->close(used);
        cuda.backend->close(opened(&cuda, "x"));
        holds(device, "xwvutsrqpo");
    }
    rejectd_devices_close(devices);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("residents");
    TCase *tests = tcase_create("residents");
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, test_residents_serve_again);
    tcase_add_test(tests, test_tables_serve_again);
    tcase_add_test(tests, test_what_is_kept_is_never_stale);
    tcase_add_test(tests, test_residents_are_of_one_dtype);
    tcase_add_test(tests, test_residents_make_room);
    tcase_add_test(tests, test_spare_tables_make_room);
    tcase_add_test(tests, test_residents_are_of_one_precision);
    suite_add_tcase(suite, tests);
    /* Neither OpenMP's threads nor a GPU survive a fork. */
    return run_suite_in_process(suite);
}
