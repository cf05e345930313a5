/* What operators see: figures, logs, notices to the service manager, settings that change. */
#include <check.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "run_suite.h"
#include "server/config.h"
#include "server/http/account.h"
#include "server/http/handlers.h"
#include "server/log.h"
#include "server/metrics/metrics.h"
#include "server/metrics/nvml.h"
#include "server/metrics/process.h"
#include "server/metrics/text.h"
#include "server/notify.h"

static struct rejectd_error error;

static struct buffer new_text(void)
{
    struct buffer text;
    buffer_init(&text, 1 << 20);
    return text;
}

/* ---- figures as text ---- */

START_TEST(test_samples)
{
    static const struct {
        double value;
        const char *text;
    } numbers[] = {{0.0, "0"},
                   {0.1, "0.1"},
                   {1.0 / 3.0, "0.3333333333333333"},
                   {1e21, "1e+21"},
                   {INFINITY, "+Inf"},
                   {-INFINITY, "-Inf"},
                   {NAN, "NaN"},
                   {9007199254740993.0, "9.00719925474099e+15"}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct buffer text = new_text();
        char wanted[80];
        metric_text_sample(&text, "x_total", NULL, 0, numbers[i].value);
        if (i == 7) {
            ck_assert(strtod(text.data + strlen("x_total "), NULL) == numbers[i].value);
        } else {
            snprintf(wanted, sizeof wanted, "x_total %s\n", numbers[i].text);
            ck_assert_str_eq(text.data, wanted);
        }
        buffer_free(&text);
    }
}
END_TEST

START_TEST(test_label_values_are_escaped)
{
    struct buffer text = new_text();
    const struct metric_label labels[] = {
        {"a", "back\\slash"}, {"b", "\"quoted\""}, {"c", "two\nlines"}, {"d", "\xc3\xa4{},="}};
    metric_text_family(&text, "x", METRIC_GAUGE, "What it is.");
    metric_text_sample(&text, "x", labels, 4, 2.0);
    ck_assert_str_eq(text.data, "# HELP x What it is.\n# TYPE x gauge\n"
                                "x{a=\"back\\\\slash\",b=\"\\\"quoted\\\"\",c=\"two\\nlines\","
                                "d=\"\xc3\xa4{},=\"} 2\n");
    buffer_free(&text);
}
END_TEST

START_TEST(test_histogram)
{
    static const struct metric_bounds bounds = {2, {0.1, 1.0}};
    static const double seen[] = {0.05, 0.1, 0.5, 1.0, 1.5, 30.0, -1.0, NAN};
    struct metric_histogram histogram = {0};
    struct buffer text = new_text();
    for (size_t i = 0; i < sizeof seen / sizeof seen[0]; i++) {
        metric_observe(&histogram, &bounds, seen[i]);
    }
    ck_assert_uint_eq(metric_observed(&histogram), 8);
    metric_text_histogram(&text, "x", &(struct metric_label){"a", "b"}, 1, &bounds, &histogram);
    ck_assert_str_eq(text.data, "x_bucket{a=\"b\",le=\"0.1\"} 4\nx_bucket{a=\"b\",le=\"1\"} 6\n"
                                "x_bucket{a=\"b\",le=\"+Inf\"} 8\nx_sum{a=\"b\"} 33.15\n"
                                "x_count{a=\"b\"} 8\n");
    buffer_free(&text);
}
END_TEST

/* ---- what the daemon counts ---- */

static void has_line(const struct buffer *text, const char *line)
{
    char wanted[256];
    snprintf(wanted, sizeof wanted, "\n%s\n", line);
    ck_assert_msg(strstr(text->data, wanted) != NULL, "%s is not there", line);
}

START_TEST(test_requests_are_counted)
{
    static const struct metrics_route routes[] = {{"GET", "/a/{}"}, {"POST", "/b"}};
    struct metrics *metrics = NULL;
    struct buffer text = new_text();
    ck_assert_int_eq(metrics_open(routes, 2, &metrics, &error), REJECTD_OK);
    static const struct metrics_request requests[] = {
        {.route = 0, .status = 200, .seconds = 0.002, .bytes_out = 7},
        {.route = 0, .status = 200, .seconds = 0.2, .bytes_out = 5},
        {.route = 0, .status = 404, .seconds = -1.0},
        {.route = 0, .is_head = true, .status = 200, .seconds = 0.0},
        {.route = 1, .status = 201, .seconds = 90.0, .bytes_in = 1000},
        {.route = 1, .status = 799, .seconds = 0.0},
        {.route = SIZE_MAX, .is_head = true, .status = 404, .seconds = 0.0},
        {.route = 2, .status = 0, .seconds = 0.0},
    };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        metrics_count_request(metrics, &requests[i]);
    }
    metrics_write(metrics, &text);
    has_line(&text, "rejectd_http_requests_total{route=\"/a/{}\",method=\"GET\",status=\"200\"} 2");
    has_line(&text, "rejectd_http_requests_total{route=\"/a/{}\",method=\"GET\",status=\"404\"} 1");
    has_line(&text,
             "rejectd_http_requests_total{route=\"/a/{}\",method=\"HEAD\",status=\"200\"} 1");
    has_line(&text, "rejectd_http_requests_total{route=\"/b\",method=\"POST\",status=\"other\"} 1");
    has_line(&text,
             "rejectd_http_requests_total{route=\"unmatched\",method=\"other\",status=\"404\"} 1");
    has_line(&text,
             "rejectd_http_requests_total{route=\"unmatched\",method=\"other\",status=\"none\"} 1");
    has_line(&text,
             "rejectd_http_request_duration_seconds_count{route=\"/a/{}\",method=\"GET\"} 2");
    has_line(&text, "rejectd_http_request_duration_seconds_bucket{route=\"/b\",method=\"POST\","
                    "le=\"60\"} 1");
    has_line(&text, "rejectd_http_response_body_bytes_total{route=\"/a/{}\",method=\"GET\"} 12");
    has_line(&text, "rejectd_http_request_body_bytes_total{route=\"/b\",method=\"POST\"} 1000");
    buffer_free(&text);
    metrics_close(metrics);
}
END_TEST

START_TEST(test_jobs_are_counted)
{
    struct metrics *metrics = NULL;
    struct buffer text = new_text();
    ck_assert_int_eq(metrics_open(&(struct metrics_route){"GET", "/"}, 0, &metrics, &error),
                     REJECTD_OK);
    metrics_count_claim(metrics, -5, 2.0);
    metrics_count_claim(metrics, JOB_MAX_PRIORITY + 1, 2.0); /* there is no such priority */
    metrics_count_job(metrics, JOB_FIT, JOB_STATE_SUCCEEDED, "cuda:0", 0.3);
    metrics_count_job(metrics, JOB_FIT, JOB_STATE_FAILED, "cpu", 0.3);
    metrics_count_job(metrics, JOB_RANSAC, JOB_STATE_CANCELLED, NULL, 0.0);
    metrics_write(metrics, &text);
    has_line(&text, "rejectd_jobs_finished_total{type=\"fit\",state=\"succeeded\"} 1");
    has_line(&text, "rejectd_jobs_finished_total{type=\"fit\",state=\"failed\"} 1");
    has_line(&text, "rejectd_jobs_finished_total{type=\"ransac\",state=\"cancelled\"} 1");
    has_line(&text, "rejectd_jobs_finished_total{type=\"apply\",state=\"failed\"} 0");
    has_line(&text, "rejectd_job_queue_wait_seconds_sum{priority=\"-5\"} 2");
    has_line(&text, "rejectd_job_duration_seconds_sum{type=\"fit\",device=\"cuda:0\"} 0.3");
    ck_assert_ptr_null(strstr(text.data, "device=\"cpu\""));
    ck_assert_ptr_null(strstr(text.data, "priority=\"101\""));
    buffer_free(&text);
    metrics_close(metrics);
}
END_TEST

START_TEST(test_this_process)
{
    struct buffer text = new_text();
    process_metrics_write(process_start_time(), &text);
    const char *resident = strstr(text.data, "\nprocess_resident_memory_bytes ");
    const char *started = strstr(text.data, "\nprocess_start_time_seconds ");
    ck_assert_ptr_nonnull(resident);
    ck_assert_ptr_nonnull(started);
    ck_assert_double_gt(strtod(strchr(resident, ' '), NULL), 1e5);
    ck_assert_double_le(fabs(strtod(strchr(started, ' '), NULL) - (double)time(NULL)), 600.0);
    buffer_free(&text);
}
END_TEST

START_TEST(test_without_a_driver)
{
    static const char *const paths[] = {"", "none", "libnothing-of-this-name.so", "libm.so.6"};
    static struct nvml_gpu gpus[NVML_MOST_GPUS];
    struct nvml *nvml = NULL;
    ck_assert_int_eq(nvml_open(paths[_i], &nvml, &error), REJECTD_OK);
    ck_assert_uint_eq(nvml_read(nvml, gpus), 0);
    ck_assert_uint_eq(nvml_read(nvml, gpus), 0);
    nvml_close(nvml);
}
END_TEST

START_TEST(test_with_a_driver)
{
    static struct nvml_gpu gpus[NVML_MOST_GPUS];
    struct nvml *nvml = NULL;
    ck_assert_int_eq(setenv("REJECTD_FAKE_NVML_GPUS", "2", 1), 0);
    ck_assert_int_eq(nvml_open(FAKE_NVML, &nvml, &error), REJECTD_OK);
    ck_assert_uint_eq(nvml_read(nvml, gpus), 2);
    ck_assert_str_eq(gpus[1].uuid, "GPU-fake-1");
    ck_assert_double_eq_tol(gpus[0].busy, 0.25, 1e-12);
    ck_assert_double_eq_tol(gpus[1].memory_busy, 0.11, 1e-12);
    ck_assert(gpus[0].has_memory && gpus[0].memory_total == (uint64_t)80 << 30);
    ck_assert_uint_eq(gpus[1].memory_used, (uint64_t)2 << 30);
    ck_assert(gpus[0].has_temperature && !gpus[1].has_temperature);
    ck_assert_double_eq(gpus[0].celsius, 40.0);
    nvml_close(nvml);
}
END_TEST

/* ---- requests ---- */

START_TEST(test_request_ids)
{
    enum { N = 2000 };
    static char ids[N][RESOURCE_REQUEST_SIZE];
    struct request_ids maker;
    request_ids_init(&maker);
    for (size_t i = 0; i < N; i++) {
        request_ids_make(&maker, ids[i]);
        ck_assert_uint_eq(strlen(ids[i]), 16);
        ck_assert(request_id_is_acceptable(ids[i]));
        bool is_new = true; /* an assertion for each pair would take seconds */
        for (size_t k = 0; k < i; k++) {
            is_new = is_new && strcmp(ids[i], ids[k]) != 0;
        }
        ck_assert(is_new);
    }
    char longest[RESOURCE_REQUEST_SIZE + 1];
    memset(longest, 'a', sizeof longest);
    longest[RESOURCE_REQUEST_SIZE - 1] = '\0';
    ck_assert(request_id_is_acceptable(longest));
    longest[RESOURCE_REQUEST_SIZE - 1] = 'a';
    longest[RESOURCE_REQUEST_SIZE] = '\0';
    static const char *const bad[] = {"", " ", "a b", "a\"b", "a\nb", "\xc3\xa4", "a{b}"};
    ck_assert(!request_id_is_acceptable(longest));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert(!request_id_is_acceptable(bad[i]));
    }
}
END_TEST

START_TEST(test_handlers_that_are_stuck)
{
    static struct handlers handlers;
    ck_assert_double_eq(handlers_longest(&handlers, 100.0), 0.0);
    const size_t first = handlers_enter(&handlers, 100.0);
    const size_t second = handlers_enter(&handlers, 101.0);
    ck_assert_uint_ne(first, second);
    ck_assert_double_eq_tol(handlers_longest(&handlers, 103.0), 3.0, 0.01);
    handlers_leave(&handlers, first);
    ck_assert_double_eq_tol(handlers_longest(&handlers, 103.0), 2.0, 0.01);
    for (int i = 0; i < 2 * HANDLERS_MOST; i++) {
        handlers_leave(&handlers, handlers_enter(&handlers, 103.0));
    }
    handlers_leave(&handlers, second);
    ck_assert_double_eq(handlers_longest(&handlers, 104.0), 0.0);
    for (int i = 0; i < HANDLERS_MOST; i++) {
        handlers_enter(&handlers, 0.0);
    }
    ck_assert_uint_eq(handlers_enter(&handlers, 1.0), HANDLERS_MOST);
    handlers_leave(&handlers, HANDLERS_MOST);
}
END_TEST

/* ---- the log ---- */

static char log_text[8192];

/* What is written to a log by `write`. */
static void read_log(const char *journal, enum log_level least, void (*write)(const struct log *))
{
    char path[] = "/tmp/rejectd-log-XXXXXX";
    struct stat file;
    struct log log;
    const int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    unlink(path);
    char stream[64] = "";
    ck_assert_int_eq(fstat(fd, &file), 0);
    if (journal != NULL) {
        snprintf(stream, sizeof stream, "%llu:%llu%s", (unsigned long long)file.st_dev,
                 (unsigned long long)file.st_ino, journal);
    }
    log_init(&log, fd, least, journal == NULL ? NULL : stream);
    write(&log);
    const ssize_t n = pread(fd, log_text, sizeof log_text - 1, 0);
    ck_assert_int_ge(n, 0);
    log_text[n] = '\0';
    close(fd);
}

static void write_fields(const struct log *log)
{
    log_write_fields(log, LOG_LEVEL_WARNING, "odd",
                     LOG_FIELDS(LOG_TEXT("a", "x\"y\\\n\xc3\xa4"), LOG_TEXT("none", NULL),
                                LOG_TEXT("empty", ""), LOG_NUMBER("n", 3), LOG_NUMBER("s", 0.25),
                                LOG_NUMBER("nan", NAN)),
                     "%s %d", "m", 7);
}

START_TEST(test_log_fields)
{
    static const char after[] = "\"level\":\"warning\",\"event\":\"odd\",\"a\":\"x\\\"y\\\\???\","
                                "\"n\":3,\"s\":0.25,\"nan\":null,\"message\":\"m 7\"}\n";
    read_log(NULL, LOG_LEVEL_DEBUG, write_fields);
    ck_assert_int_eq(strncmp(log_text, "{\"time\":\"", 9), 0);
    ck_assert_ptr_nonnull(strstr(log_text, after));
    read_log(NULL, LOG_LEVEL_ERROR, write_fields);
    ck_assert_str_eq(log_text, "");
}
END_TEST

START_TEST(test_log_for_the_journal)
{
    read_log("", LOG_LEVEL_DEBUG, write_fields);
    ck_assert_int_eq(strncmp(log_text, "<4>{\"time\":\"", 12), 0);
    read_log("1", LOG_LEVEL_DEBUG, write_fields); /* another file's */
    ck_assert_int_eq(log_text[0], '{');
}
END_TEST

static void write_much(const struct log *log)
{
    static char much[9000];
    memset(much, '"', sizeof much - 1);
    log_write_fields(log, LOG_LEVEL_INFO, "much",
                     LOG_FIELDS(LOG_TEXT("a", much), LOG_TEXT("b", much)), "%s", much);
    log_write(log, LOG_LEVEL_INFO, "much", "%s", much);
}

START_TEST(test_long_lines_stay_lines)
{
    read_log(NULL, LOG_LEVEL_DEBUG, write_much);
    char *line = log_text;
    for (int i = 0; i < 2; i++) {
        char *end = strchr(line, '\n');
        ck_assert_ptr_nonnull(end);
        ck_assert_int_le(end - line, 4096);
        ck_assert_int_eq(end[-1], '}');
        ck_assert_int_eq(end[-2], '"');
        line = end + 1;
    }
    ck_assert_str_eq(line, "");
}
END_TEST

START_TEST(test_what_of_an_error_is_logged)
{
    struct rejectd_error theirs = {.status = REJECTD_UNSUITABLE_DATASET, .message = "channel Fp1"};
    struct rejectd_error ours = {.status = REJECTD_STORAGE, .message = "the disk"};
    ck_assert_str_eq(log_error_text(&theirs), "unsuitable-dataset");
    ck_assert_str_eq(log_error_text(&ours), "the disk");
}
END_TEST

/* ---- the service manager ---- */

static void expect_notice(int fd, const char *wanted)
{
    char notice[600];
    const ssize_t n = recv(fd, notice, sizeof notice - 1, MSG_DONTWAIT);
    if (wanted == NULL) {
        ck_assert_int_lt(n, 0);
        return;
    }
    ck_assert_int_ge(n, 0);
    notice[n] = '\0';
    ck_assert_msg(strncmp(notice, wanted, strlen(wanted)) == 0, "%s", notice);
}

START_TEST(test_notices)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[64], variable[96], watchdog[64], pid[64];
    struct notify notify;
    snprintf(path, sizeof path, _i == 0 ? "/tmp/rejectd-notify-%d" : "@rejectd-notify-%d",
             (int)getpid());
    snprintf(variable, sizeof variable, "NOTIFY_SOCKET=%s", path);
    snprintf(watchdog, sizeof watchdog, "WATCHDOG_USEC=2500000");
    snprintf(pid, sizeof pid, "WATCHDOG_PID=%d", (int)getpid() + (_i == 2));
    char *environment[] = {variable, watchdog, pid, NULL};
    const int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    memcpy(address.sun_path, path, strlen(path));
    if (_i > 0) {
        address.sun_path[0] = '\0';
    }
    const socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, length), 0);
    notify_open(&notify, environment);
    ck_assert_double_eq_tol(notify.watchdog, _i == 2 ? 0.0 : 2.5, 1e-9);
    notify_send(&notify, "READY=1\nSTATUS=%s", "here");
    expect_notice(fd, "READY=1\nSTATUS=here");
    notify_reloading(&notify);
    expect_notice(fd, "RELOADING=1\nMONOTONIC_USEC=");
    notify_close(&notify);
    notify_send(&notify, "READY=1");
    expect_notice(fd, NULL);
    close(fd);
    unlink(path);
}
END_TEST

START_TEST(test_nobody_to_notify)
{
    static char relative[] = "NOTIFY_SOCKET=here", gone[] = "NOTIFY_SOCKET=/tmp/there/is/none";
    char longest[300];
    struct notify notify;
    memset(longest, 'a', sizeof longest - 1);
    memcpy(longest, "NOTIFY_SOCKET=/", 15);
    longest[sizeof longest - 1] = '\0';
    char *const none[] = {relative, longest, NULL};
    for (int i = 0; i < 2; i++) {
        char *environment[] = {none[i], NULL};
        notify_open(&notify, environment);
        ck_assert_int_eq(notify.fd, -1);
    }
    char *environment[] = {gone, NULL};
    notify_open(&notify, environment);
    notify_send(&notify, "READY=1"); /* which nobody hears */
    notify_close(&notify);
}
END_TEST

/* ---- settings ---- */

struct told {
    char applied[256];
    char not_applied[256];
};

static void tell(void *context, const char *name, bool applied)
{
    struct told *told = context;
    char *list = applied ? told->applied : told->not_applied;
    const size_t length = strlen(list);
    snprintf(list + length, 256 - length, "%s ", name);
}

static struct config settings(const char *level, const char *uploads, const char *listen)
{
    struct config config;
    enum config_action action;
    char program[] = "rejectd", l1[] = "--log-level", l2[32], u1[] = "--max-uploads", u2[32],
         a1[] = "--listen", a2[64], d1[] = "--data-dir", d2[] = "/x";
    snprintf(l2, sizeof l2, "%s", level);
    snprintf(u2, sizeof u2, "%s", uploads);
    snprintf(a2, sizeof a2, "%s", listen);
    char *argv[] = {program, l1, l2, u1, u2, a1, a2, d1, d2};
    char *environment[] = {NULL};
    ck_assert_int_eq(config_load(9, argv, environment, &config, &action, &error), REJECTD_OK);
    return config;
}

START_TEST(test_reload)
{
    const struct config old = settings("info", "16", "127.0.0.1:1");
    const struct config fresh = settings("debug", "3", "127.0.0.1:2");
    struct config merged;
    struct told told = {"", ""};
    ck_assert(config_reload(&old, &fresh, &merged, tell, &told));
    ck_assert_str_eq(told.applied, "max-uploads log-level ");
    ck_assert_str_eq(told.not_applied, "listen ");
    ck_assert_str_eq(merged.log_level, "debug");
    ck_assert_int_eq(merged.max_uploads, 3);
    ck_assert_str_eq(merged.listen, "127.0.0.1:1");
    ck_assert_int_eq(merged.drain_seconds, old.drain_seconds);
    told = (struct told){"", ""};
    ck_assert(!config_reload(&old, &old, &merged, tell, &told));
    ck_assert_str_eq(told.applied, "");
    ck_assert_str_eq(told.not_applied, "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("operations");
    TCase *tests = tcase_create("operations");
    tcase_add_test(tests, test_samples);
    tcase_add_test(tests, test_label_values_are_escaped);
    tcase_add_test(tests, test_histogram);
    tcase_add_test(tests, test_requests_are_counted);
    tcase_add_test(tests, test_jobs_are_counted);
    tcase_add_test(tests, test_this_process);
    tcase_add_loop_test(tests, test_without_a_driver, 0, 4);
    tcase_add_test(tests, test_with_a_driver);
    tcase_add_test(tests, test_request_ids);
    tcase_add_test(tests, test_handlers_that_are_stuck);
    tcase_add_test(tests, test_log_fields);
    tcase_add_test(tests, test_log_for_the_journal);
    tcase_add_test(tests, test_long_lines_stay_lines);
    tcase_add_test(tests, test_what_of_an_error_is_logged);
    tcase_add_loop_test(tests, test_notices, 0, 3);
    tcase_add_test(tests, test_nobody_to_notify);
    tcase_add_test(tests, test_reload);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
