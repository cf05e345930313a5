/* How long work takes, as it is learnt; how much memory there is; and the jobs that have room. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folder.h"
#include "run_suite.h"
#include "server/jobs/forecast.h"
#include "server/memory.h"

static char folder[FOLDER_SIZE];
static struct store *store;
static struct rejectd_error error;

static void set_up(void)
{
    char path[128];
    folder_make("forecast", folder);
    snprintf(path, sizeof path, "%s/store.sqlite", folder);
    ck_assert_int_eq(store_sqlite_open(path, &store, &error), REJECTD_OK);
}

static void tear_down(void)
{
    store->functions->close(store);
    folder_remove(folder);
}

static struct rates *opened(void)
{
    struct rates *rates;
    ck_assert_int_eq(rates_open(store, &rates, &error), REJECTD_OK);
    return rates;
}

static double ask(struct rates *rates, const char *device, const char *kind, double work,
                  enum rate_basis expected)
{
    enum rate_basis basis;
    const double seconds = rates_seconds(rates, device, kind, work, &basis);
    ck_assert_msg(basis == expected, "%s instead of %s", rate_basis_name(basis),
                  rate_basis_name(expected));
    ck_assert(isfinite(seconds) && seconds > 0.0);
    return seconds;
}

/* ---- rates ---- */

START_TEST(nothing_is_known_at_first)
{
    struct rates *rates = opened();
    ck_assert(!rates_know(rates, "cpu"));
    const double seconds = ask(rates, "cpu", "fit eeg float64", 1e9, RATE_ASSUMED);
    ck_assert_double_ge(seconds, 1.0); /* on the slow side */
    ck_assert_double_eq_tol(ask(rates, "cpu", "fit eeg float64", 1e12, RATE_ASSUMED),
                            1000.0 * (seconds - 0.01) + 0.01, 1e-6);
    rates_close(rates);
}
END_TEST

START_TEST(what_was_measured_is_told)
{
    struct rates *rates = opened();
    for (int i = 0; i < 10; i++)
        ck_assert(rates_learn(rates, "cpu", "fit eeg float64", 1e9, 0.5, NULL));
    ck_assert(rates_know(rates, "cpu") && !rates_know(rates, "cuda:0"));
    ck_assert_double_eq_tol(ask(rates, "cpu", "fit eeg float64", 1e9, RATE_MEASURED), 0.5, 1e-4);
    /* Beyond it at the same rate; other kinds go by it; other devices don't. */
    ck_assert_double_eq_tol(ask(rates, "cpu", "fit eeg float64", 1e11, RATE_MEASURED), 50.0, 1e-2);
    ck_assert_double_eq_tol(ask(rates, "cpu", "ransac eeg float64", 1e9, RATE_SIMILAR), 0.51, 1e-4);
    ask(rates, "cuda:0", "fit eeg float64", 1e9, RATE_ASSUMED);
    rates_close(rates);
}
END_TEST

START_TEST(small_jobs_have_their_own_rate)
{
    struct rates *rates = opened();
    const char *kind = "fit eeg float64";
    rates_learn(rates, "cpu", kind, 1e6, 0.02, NULL); /* twenty times its work: mostly the disk */
    rates_learn(rates, "cpu", kind, 1e10, 10.0, NULL);
    ck_assert_double_eq_tol(ask(rates, "cpu", kind, 1e6, RATE_MEASURED), 0.02, 1e-4);
    ck_assert_double_eq_tol(ask(rates, "cpu", kind, 1e10, RATE_MEASURED), 10.0, 1e-2);
    double before = 0.0;
    for (double work = 1e4; work < 1e13; work *= 1.3) {
        const double seconds = ask(rates, "cpu", kind, work, RATE_MEASURED);
        ck_assert_double_gt(seconds, before);
        before = seconds;
    }
    rates_close(rates);
}
END_TEST

/* A machine that has become slower is believed after some jobs; a single slow one is not. */
START_TEST(memory_is_moderate)
{
    struct rates *rates = opened();
    const char *kind = "fit eeg float64";
    for (int i = 0; i < 50; i++)
        rates_learn(rates, "cpu", kind, 1e9, 1.0, NULL);
    rates_learn(rates, "cpu", kind, 1e9, 8.0, NULL);
    ck_assert_double_lt(ask(rates, "cpu", kind, 1e9, RATE_MEASURED), 1.6);
    for (int i = 0; i < 20; i++)
        rates_learn(rates, "cpu", kind, 1e9, 8.0, NULL);
    ck_assert_double_gt(ask(rates, "cpu", kind, 1e9, RATE_MEASURED), 7.0);
    rates_close(rates);
}
END_TEST

START_TEST(a_trial_counts_until_the_first_job)
{
    struct rates *rates = opened();
    rates_try(rates, "cpu", 1e7, 0.02);
    ck_assert(rates_know(rates, "cpu"));
    ck_assert_double_eq_tol(ask(rates, "cpu", "fit eeg float64", 1e9, RATE_SIMILAR), 2.01, 1e-3);
    rates_learn(rates, "cpu", "ransac eeg float64", 1e9, 1.0, NULL);
    ck_assert_double_eq_tol(ask(rates, "cpu", "fit eeg float64", 1e7, RATE_SIMILAR), 0.02, 1e-4);
    rates_close(rates);
}
END_TEST

START_TEST(nonsense_teaches_nothing)
{
    struct rates *rates = opened();
    struct store_rate rate;
    char name[64];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    ck_assert(!rates_learn(rates, "cpu", "fit", 0.0, 1.0, &rate));
    ck_assert(!rates_learn(rates, "cpu", "fit", NAN, 1.0, &rate));
    ck_assert(!rates_learn(rates, "cpu", "fit", 1e9, INFINITY, &rate));
    ck_assert(!rates_learn(rates, name, "fit", 1e9, 1.0, &rate));
    ck_assert(!rates_learn(rates, "cpu", name, 1e9, 1.0, &rate));
    ck_assert(rates_learn(rates, "cpu", "fit", 1e9, -3.0, &rate)); /* a clock; it took nothing */
    ck_assert_double_gt(ask(rates, "cpu", "fit", 1e9, RATE_MEASURED), 0.0);
    rates_close(rates);
}
END_TEST

/* ---- kept by the store ---- */

static void add_job(const char *device, int64_t bytes, int64_t gpu_bytes, char id[RESOURCE_ID_SIZE])
{
    static const char sha[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    struct dataset_view dataset = {.bytes = 8, .description_json = strdup("{}")};
    struct job_view job = {
        .type = JOB_FIT,
        .parameters_json = strdup("{}"),
        .needs = {bytes, gpu_bytes, 1000, 100, "fit eeg float64"},
    };
    memcpy(dataset.sha256, sha, sizeof sha);
    ck_assert_int_eq(store->functions->dataset_insert(store, &dataset, NULL, 0, &error),
                     REJECTD_OK);
    memcpy(job.dataset, dataset.id, sizeof job.dataset);
    snprintf(job.device, sizeof job.device, "%s", device);
    ck_assert_int_eq(store->functions->job_insert(store, NULL, &job, &error), REJECTD_OK);
    ck_assert_int_eq(job.needs.host_bytes, bytes);
    memcpy(id, job.id, RESOURCE_ID_SIZE);
    dataset_view_clear(&dataset);
    job_view_clear(&job);
}

static struct store_claim claim(struct store_room *room)
{
    const struct store_taker taker = {
        .device = "cpu", .wishes = " none ", .others = true, .room = room};
    struct store_claim claimed;
    bool found;
    ck_assert_int_eq(store->functions->job_claim(store, &taker, &found, &claimed, &error),
                     REJECTD_OK);
    free(claimed.parameters_json);
    claimed.parameters_json = NULL;
    return claimed;
}

START_TEST(rates_survive)
{
    char id[RESOURCE_ID_SIZE];
    struct rates *rates = opened();
    struct store_rate rate;
    add_job("cpu", 10, 5, id);
    const struct store_claim claimed = claim(NULL);
    ck_assert_str_eq(claimed.needs.kind, "fit eeg float64");
    ck_assert_int_eq(claimed.needs.work, 1000);
    ck_assert_int_eq(claimed.needs.gpu_work, 100);
    ck_assert(rates_learn(rates, "cpu", claimed.needs.kind, 1e9, 3.0, &rate));
    const struct store_outcome outcome = {
        .state = JOB_STATE_SUCCEEDED, .result_json = "{}", .rate = &rate};
    ck_assert_int_eq(store->functions->job_finish(store, id, claimed.fence, &outcome, &error),
                     REJECTD_OK);
    rates_close(rates);
    rates = opened();
    ck_assert_double_eq_tol(ask(rates, "cpu", "fit eeg float64", 1e9, RATE_MEASURED), 3.0, 1e-4);
    rates_close(rates);
}
END_TEST

START_TEST(jobs_without_room_are_passed_over)
{
    char large[RESOURCE_ID_SIZE], small[RESOURCE_ID_SIZE], last[RESOURCE_ID_SIZE];
    add_job("cpu", 1000, 100, large);
    add_job("cpu", 200, 2000, small);
    add_job("cpu", 10, 10, last);

    struct store_room room = {.most = 5};
    ck_assert_str_eq(claim(&room).job, "");
    ck_assert_str_eq(room.passed, large);
    ck_assert_int_eq(room.passed_bytes, 1000);

    room = (struct store_room){.most = 999, .first = large, .most_for_first = 999};
    ck_assert_str_eq(claim(&room).job, small);
    ck_assert_str_eq(room.passed, large);
    ck_assert(room.first_is_there);

    /* One that memory was reserved for comes first, whatever the others may have. */
    room = (struct store_room){.most = -1, .first = last, .most_for_first = 10};
    ck_assert_str_eq(claim(&room).job, last);
    ck_assert_str_eq(room.passed, "");

    room = (struct store_room){.most = -1, .first = small, .most_for_first = 10000};
    ck_assert_str_eq(claim(&room).job, "");
    ck_assert(!room.first_is_there); /* it runs */

    /* On a GPU other bytes count. */
    room = (struct store_room){.on_gpu = true, .most = 100};
    ck_assert_str_eq(claim(&room).job, large);
}
END_TEST

/* ---- memory ---- */

static void write_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    for (char *slash = strchr(path + strlen(folder) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

START_TEST(memory_of_machines_and_groups)
{
    ck_assert_uint_eq(memory_of_machine(folder), 0); /* nothing tells */
    write_file("proc/meminfo", "MemTotal:       16000000 kB\nMemFree: 5 kB\n");
    ck_assert_uint_eq(memory_of_machine(folder), 16000000ULL * 1024);
    write_file("proc/self/cgroup", "0::/a/b\n");
    ck_assert_uint_eq(memory_of_machine(folder), 16000000ULL * 1024);
    write_file("sys/fs/cgroup/a/b/memory.max", "max\n");
    ck_assert_uint_eq(memory_of_machine(folder), 16000000ULL * 1024);
    write_file("sys/fs/cgroup/a/memory.max", "5000000\n");
    ck_assert_uint_eq(memory_of_machine(folder), 5000000);
    write_file("sys/fs/cgroup/a/b/memory.max", "4000000\n");
    ck_assert_uint_eq(memory_of_machine(folder), 4000000);
    /* In a container the group itself is the root. */
    write_file("proc/self/cgroup", "0::/elsewhere\n");
    write_file("sys/fs/cgroup/memory.max", "3000000\n");
    ck_assert_uint_eq(memory_of_machine(folder), 3000000);
    write_file("proc/self/cgroup", "9:cpu:/\n7:memory:/old\n");
    write_file("sys/fs/cgroup/memory/old/memory.limit_in_bytes", "2000000\n");
    ck_assert_uint_eq(memory_of_machine(folder), 2000000);
    write_file("proc/self/cgroup", "garbage\n:\n0::\n");
    ck_assert_uint_eq(memory_of_machine(folder), 3000000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("forecast");
    TCase *test_case = tcase_create("forecast");
    tcase_add_checked_fixture(test_case, set_up, tear_down);
    tcase_add_test(test_case, nothing_is_known_at_first);
    tcase_add_test(test_case, what_was_measured_is_told);
    tcase_add_test(test_case, small_jobs_have_their_own_rate);
    tcase_add_test(test_case, memory_is_moderate);
    tcase_add_test(test_case, a_trial_counts_until_the_first_job);
    tcase_add_test(test_case, nonsense_teaches_nothing);
    tcase_add_test(test_case, rates_survive);
    tcase_add_test(test_case, jobs_without_room_are_passed_over);
    tcase_add_test(test_case, memory_of_machines_and_groups);
    suite_add_tcase(suite, test_case);
    return run_suite(suite);
}
