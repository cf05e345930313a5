/* The small parts of the daemon: who waits, who works, and which route answers. */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "run_suite.h"
#include "server/data_dir.h"
#include "server/http/addresses.h"
#include "server/http/request.h"
#include "server/http/waiters.h"

/* ---- waiters ---- */

static void count(void *context)
{
    ++*(int *)context;
}

static struct waiter waiter_for(const char *job, double deadline, int *woken)
{
    struct waiter waiter = {.deadline = deadline, .wake = count, .context = woken};
    strncpy(waiter.job, job, sizeof waiter.job - 1);
    return waiter;
}

START_TEST(test_waiters_wake_once)
{
    struct waiters waiters;
    int woken[4] = {0};
    struct waiter a = waiter_for("jb_a", 10.0, &woken[0]), b = waiter_for("jb_b", 20.0, &woken[1]);
    struct waiter also_a = waiter_for("jb_a", 30.0, &woken[2]);
    struct waiter gone = waiter_for("jb_a", 5.0, &woken[3]);
    waiters_init(&waiters);
    waiters_add(&waiters, &a);
    waiters_add(&waiters, &b);
    waiters_add(&waiters, &gone);
    waiters_add(&waiters, &also_a);
    waiters_remove(&waiters, &gone);
    waiters_remove(&waiters, &gone);
    waiters_wake_job(&waiters, "jb_c");
    waiters_wake_expired(&waiters, 9.9);
    ck_assert_int_eq(woken[0] + woken[1] + woken[2], 0);
    waiters_wake_expired(&waiters, 10.0);
    ck_assert_int_eq(woken[0], 1);
    waiters_wake_job(&waiters, "jb_a");
    ck_assert_int_eq(woken[0], 1);
    ck_assert_int_eq(woken[2], 1);
    waiters_add(&waiters, &a);
    waiters_wake_all(&waiters);
    waiters_wake_all(&waiters);
    ck_assert_int_eq(woken[0], 2);
    ck_assert_int_eq(woken[1], 1);
    ck_assert_int_eq(woken[3], 0);
    ck_assert_ptr_null(waiters.first);
    waiters_destroy(&waiters);
}
END_TEST

/* ---- executor ---- */

static void add_one(void *context)
{
    atomic_fetch_add((atomic_int *)context, 1);
}

START_TEST(test_executor_runs_all_before_it_closes)
{
    enum { N_TASKS = 500 };
    struct rejectd_error error = {0};
    struct executor *executor = NULL;
    static struct executor_task tasks[N_TASKS];
    atomic_int run = 0;
    ck_assert_int_eq(executor_open((size_t)_i, &executor, &error), REJECTD_OK);
    for (size_t i = 0; i < N_TASKS; i++) {
        tasks[i] = (struct executor_task){.run = add_one, .context = &run};
        executor_submit(executor, &tasks[i]);
    }
    executor_close(executor);
    ck_assert_int_eq(atomic_load(&run), N_TASKS);
    executor_close(NULL);
}
END_TEST

/* ---- routes ---- */

static const struct {
    const char *method, *path;
    void (*handle)(struct request *, struct response *);
    const char *id;
} found[] = {
    {"POST", "/v1/datasets", dataset_create, ""},
    {"GET", "/v1/datasets", dataset_list_all, ""},
    {"GET", "/v1/datasets/ds_1", dataset_show, "ds_1"},
    {"DELETE", "/v1/datasets/ds_1", dataset_remove, "ds_1"},
    {"PUT", "/v1/datasets/ds_1/samples", dataset_put_samples, "ds_1"},
    {"POST", "/v1/jobs", job_create, ""},
    {"GET", "/v1/jobs", job_list_all, ""},
    {"GET", "/v1/jobs/jb_1", job_show, "jb_1"},
    {"DELETE", "/v1/jobs/jb_1", job_remove, "jb_1"},
    {"GET", "/v1/jobs/jb_1/result", job_show_result, "jb_1"},
    {"GET", "/v1/jobs/jb_1/result/labels.npy", job_send_labels, "jb_1"},
    {"GET", "/v1/jobs/jb_1/result/cleaned.npy", job_send_cleaned, "jb_1"},
    {"GET", "/v1/models", model_list_all, ""},
    {"GET", "/v1/models/md_1", model_show, "md_1"},
    {"DELETE", "/v1/models/md_1", model_remove, "md_1"},
    {"GET", "/v1/devices", device_list_all, ""},
    {"GET", "/healthz", meta_health, ""},
    {"GET", "/readyz", meta_ready, ""},
    {"GET", "/openapi.yaml", meta_openapi, ""},
    {"GET", "/", meta_root, ""},
};

START_TEST(test_route_is_found)
{
    char id[RESOURCE_ID_SIZE], allow[64];
    const struct route *route = route_find(found[_i].method, found[_i].path, id, allow);
    ck_assert_ptr_nonnull(route);
    ck_assert(route->handle == found[_i].handle);
    ck_assert_str_eq(id, found[_i].id);
    ck_assert_str_eq(allow, "");
}
END_TEST

static const struct {
    const char *method, *path, *allow;
} lost[] = {
    {"PATCH", "/v1/datasets", "POST, GET, HEAD"},
    {"POST", "/v1/datasets/ds_1", "GET, HEAD, PATCH, DELETE"},
    {"GET", "/v1/datasets/ds_1/samples", "PUT, HEAD"},
    {"get", "/healthz", "GET, HEAD"},
    {"GET", "", ""},
    {"GET", "//", ""},
    {"GET", "/v1/datasets/", ""},
    {"GET", "/v1/datasets//samples", ""},
    {"GET", "/v1/datasets/ds_1/", ""},
    {"GET", "/v1/jobs/jb_1/result/", ""},
    {"GET", "/v1/jobs/a/b/result", ""},
    {"GET", "/v1/jobs/jb_1/result/labels.npyx", ""},
    {"GET", "/v1/jobs/0123456789012345678901234567890123456789", ""}, /* too long for an id */
    {"GET", "/HEALTHZ", ""},
};

START_TEST(test_route_is_not_found)
{
    char id[RESOURCE_ID_SIZE], allow[64];
    ck_assert_ptr_null(route_find(lost[_i].method, lost[_i].path, id, allow));
    ck_assert_str_eq(allow, lost[_i].allow);
}
END_TEST

/* ---- the data directory ---- */

START_TEST(test_data_directory_has_one_owner)
{
    struct rejectd_error error = {0};
    char path[] = "/tmp/rejectd-parts-XXXXXX", inner[64], middle[64];
    int first = -1, second = -1;
    ck_assert_ptr_nonnull(mkdtemp(path));
    snprintf(middle, sizeof middle, "%s/a", path);
    snprintf(inner, sizeof inner, "%s/a/b", path);
    ck_assert_int_eq(data_dir_take(inner, &first, &error), REJECTD_OK);
    ck_assert_int_eq(data_dir_take(inner, &second, &error), REJECTD_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(error.message, inner));
    ck_assert_int_eq(second, -1);
    close(first);
    ck_assert_int_eq(data_dir_take(inner, &second, &error), REJECTD_OK);
    close(second);
    ck_assert_int_eq(data_dir_take("/proc/none/here", &second, &error), REJECTD_STORAGE);
    ck_assert_str_eq(error.field, "data-dir");
    rmdir(inner);
    rmdir(middle);
    rmdir(path);
}
END_TEST

/* ---- addresses ---- */

static struct address address_from(const char *text)
{
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &four.sin_addr) == 1) {
        return address_of((const struct sockaddr *)&four);
    }
    ck_assert_int_eq(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
    return address_of((const struct sockaddr *)&six);
}

static const struct {
    const char *list, *address;
    bool is_in;
} listed[] = {
    {"", "127.0.0.1", false},
    {"127.0.0.0/8, ::1", "127.9.8.7", true},
    {"127.0.0.0/8, ::1", "128.0.0.1", false},
    {"127.0.0.0/8, ::1", "::1", true},
    {"127.0.0.0/8, ::1", "::2", false},
    {"10.0.0.7", "10.0.0.7", true},
    {"10.0.0.7", "10.0.0.6", false},
    {"10.0.0.7", "::ffff:10.0.0.7", true},
    {"172.16.0.0/12", "172.31.255.255", true},
    {"172.16.0.0/12", "172.32.0.0", false},
    {"0.0.0.0/0", "1.2.3.4", true},
    {"0.0.0.0/0", "2001:db8::1", false},
    {"::/0", "1.2.3.4", true},
    {" 10.0.0.1/31 ,,2001:db8::/33\t", "2001:db8:7fff::1", true},
    {" 10.0.0.1/31 ,,2001:db8::/33\t", "2001:db8:8000::1", false},
    {" 10.0.0.1/31 ,,2001:db8::/33\t", "10.0.0.0", true},
};

START_TEST(test_addresses_of_a_list)
{
    struct rejectd_error error = {0};
    struct address_list list;
    const struct address address = address_from(listed[_i].address);
    ck_assert_int_eq(address_list_read(listed[_i].list, "x", &list, &error), REJECTD_OK);
    ck_assert_int_eq(address_list_has(&list, &address), listed[_i].is_in);
}
END_TEST

START_TEST(test_lists_that_are_none)
{
    static const char *const texts[] = {
        "localhost",
        "10.0.0",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/8x",
        "::1/129",
        "1.2.3.4/08/8",
        "10.0.0.1;10.0.0.2",
        "1234567890123456789012345678901234567890123456789012345678901234567890"};
    struct rejectd_error error = {0};
    struct address_list list;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        ck_assert_int_eq(address_list_read(texts[i], "unlimited-addresses", &list, &error),
                         REJECTD_INVALID_VALUE);
        ck_assert_str_eq(error.field, "unlimited-addresses");
    }
}
END_TEST

START_TEST(test_addresses_of_one_site)
{
    const char *const same[][2] = {{"2001:db8:1:2:3::4", "2001:db8:1:2::5"},
                                   {"10.0.0.1", "10.0.0.1"}};
    const char *const other[][2] = {{"2001:db8:1:2::4", "2001:db8:1:3::4"},
                                    {"10.0.0.1", "10.0.0.2"}};
    for (size_t i = 0; i < 2; i++) {
        struct address a = address_from(same[i][0]), b = address_from(same[i][1]);
        struct address c = address_from(other[i][0]), d = address_from(other[i][1]);
        a = address_site(&a), b = address_site(&b), c = address_site(&c), d = address_site(&d);
        ck_assert_mem_eq(a.bytes, b.bytes, sizeof a.bytes);
        ck_assert_mem_ne(c.bytes, d.bytes, sizeof c.bytes);
    }
}
END_TEST

START_TEST(test_bytes_for_people)
{
    static const struct {
        double bytes;
        const char *text;
    } cases[] = {{0, "0 bytes"},  {999, "999 bytes"}, {1000, "1 kB"},       {999600, "1 MB"},
                 {80e9, "80 GB"}, {71.96e9, "72 GB"}, {1.234e12, "1.23 TB"}};
    char text[BYTES_TEXT_SIZE];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bytes_write(cases[i].bytes, text);
        ck_assert_str_eq(text, cases[i].text);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("server parts");
    TCase *tests = tcase_create("parts");
    tcase_add_test(tests, test_waiters_wake_once);
    tcase_add_loop_test(tests, test_executor_runs_all_before_it_closes, 1, 5);
    tcase_add_loop_test(tests, test_route_is_found, 0, sizeof found / sizeof found[0]);
    tcase_add_loop_test(tests, test_route_is_not_found, 0, sizeof lost / sizeof lost[0]);
    tcase_add_test(tests, test_data_directory_has_one_owner);
    tcase_add_loop_test(tests, test_addresses_of_a_list, 0, sizeof listed / sizeof listed[0]);
    tcase_add_test(tests, test_bytes_for_people);
    tcase_add_test(tests, test_lists_that_are_none);
    tcase_add_test(tests, test_addresses_of_one_site);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
