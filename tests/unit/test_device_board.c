/* What the daemon says to the processes of its devices, and which jobs these take. */
#include <check.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "run_suite.h"
#include "server/devices/device_board.h"
#include "server/devices/worker_job.h"
#include "server/devices/worker_messages.h"

static struct rejectd_error error;

/* ---- channel ---- */

static struct worker_channel ends[2];

static void open_channel(void)
{
    int fds[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    for (int i = 0; i < 2; i++) {
        ends[i] = (struct worker_channel){.fd = fds[i], .patience = 0.2};
    }
}

static void close_channel(void)
{
    for (int i = 0; i < 2; i++) {
        if (ends[i].fd >= 0) {
            close(ends[i].fd);
        }
    }
}

START_TEST(test_a_message_with_parts_and_a_descriptor)
{
    char one[] = "abc", two[] = "", three[] = "defg", received[8] = "";
    const struct iovec parts[] = {{one, 3}, {two, 0}, {three, 4}};
    struct worker_header header;
    int pipe_ends[2], fd = -1;
    ck_assert_int_eq(pipe(pipe_ends), 0);
    ck_assert_int_eq(worker_channel_send(&ends[0], WORKER_JOB, parts, 3, pipe_ends[1], &error), 0);
    ck_assert(worker_channel_wait(&ends[1], 0.0));
    ck_assert_int_eq(worker_channel_receive_header(&ends[1], &header, &fd, &error), REJECTD_OK);
    ck_assert_uint_eq(header.type, WORKER_JOB);
    ck_assert_uint_eq(header.length, 7);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    ck_assert_int_eq(worker_channel_receive(&ends[1], received, 7, &error), REJECTD_OK);
    ck_assert_str_eq(received, "abcdefg");
    ck_assert_int_eq(write(fd, "x", 1), 1);
    ck_assert_int_eq(read(pipe_ends[0], received, 1), 1);
    close(fd);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    ck_assert(!worker_channel_wait(&ends[1], 0.0));
}
END_TEST

enum { LARGE = 5000000 };

static void *send_large(void *bytes)
{
    struct rejectd_error problem;
    const struct iovec part = {bytes, LARGE};
    return worker_channel_send(&ends[0], WORKER_CLEANED, &part, 1, -1, &problem) == REJECTD_OK
               ? NULL
               : bytes;
}

START_TEST(test_a_message_beyond_the_socket_buffer)
{
    unsigned char *sent = malloc(LARGE), *received = malloc(LARGE);
    pthread_t thread;
    struct worker_header header;
    int fd;
    void *failed;
    for (size_t i = 0; i < LARGE; i++) {
        sent[i] = (unsigned char)(i * 7 + i / 1000);
    }
    ck_assert_int_eq(pthread_create(&thread, NULL, send_large, sent), 0);
    ck_assert_int_eq(worker_channel_receive_header(&ends[1], &header, &fd, &error), REJECTD_OK);
    ck_assert_uint_eq(header.length, LARGE);
    ck_assert_int_eq(worker_channel_receive(&ends[1], received, LARGE, &error), REJECTD_OK);
    pthread_join(thread, &failed);
    ck_assert_ptr_null(failed);
    ck_assert_mem_eq(sent, received, LARGE);
    free(sent);
    free(received);
}
END_TEST

START_TEST(test_the_other_side_is_gone)
{
    struct worker_header header;
    int fd;
    close(ends[0].fd);
    ends[0].fd = -1;
    ck_assert(worker_channel_wait(&ends[1], 0.0));
    ck_assert_int_eq(worker_channel_receive_header(&ends[1], &header, &fd, &error), REJECTD_IO);
    ck_assert_int_eq(worker_channel_send(&ends[1], WORKER_PING, NULL, 0, -1, &error), REJECTD_IO);
}
END_TEST

START_TEST(test_silence_within_a_message)
{
    struct worker_header header;
    int fd;
    ck_assert_int_eq(write(ends[0].fd, "\1\0", 2), 2);
    ck_assert_int_eq(worker_channel_receive_header(&ends[1], &header, &fd, &error),
                     REJECTD_UNAVAILABLE);
}
END_TEST

START_TEST(test_a_side_that_takes_nothing)
{
    char *bytes = calloc(1, LARGE);
    const struct iovec part = {bytes, LARGE};
    ck_assert_int_eq(worker_channel_send(&ends[0], WORKER_CLEANED, &part, 1, -1, &error),
                     REJECTD_UNAVAILABLE);
    free(bytes);
}
END_TEST

START_TEST(test_nonsense)
{
    struct worker_header header = {.type = 1, .reserved = 1};
    int fd;
    ck_assert_int_eq(write(ends[0].fd, &header, sizeof header), sizeof header);
    ck_assert_int_eq(worker_channel_receive_header(&ends[1], &header, &fd, &error),
                     REJECTD_INVALID_REQUEST);
}
END_TEST

/* ---- messages ---- */

START_TEST(test_lengths)
{
    static const struct {
        struct worker_header header;
        bool fits;
    } cases[] = {
        {{WORKER_PING, 0, 0}, true},
        {{WORKER_PING, 0, 1}, false},
        {{0, 0, 0}, false},
        {{WORKER_LISTED + 1, 0, 0}, false},
        {{UINT32_MAX, 0, 0}, false},
        {{WORKER_DONE, 0, sizeof(struct worker_outcome)}, true},
        {{WORKER_DONE, 0, sizeof(struct worker_outcome) - 1}, false},
        {{WORKER_CLEANED, 0, WORKER_MAX_CLEANED}, true},
        {{WORKER_CLEANED, 0, WORKER_MAX_CLEANED + 1}, false},
        {{WORKER_RESULT, 0, UINT64_MAX}, false},
        {{WORKER_LABELS, 0, 3}, false},
        {{WORKER_FOUND, 0, 16}, true},
        {{WORKER_FOUND, 0, 8}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_msg(worker_message_fits(&cases[i].header) == cases[i].fits, "case %zu", i);
    }
}
END_TEST

START_TEST(test_outcomes)
{
    struct worker_outcome outcome;
    enum rejectd_status told = REJECTD_OK;
    struct rejectd_error sent = {.status = REJECTD_DEVICE_MEMORY, .field = "a", .message = "full"};
    worker_outcome_pack(sent.status, &sent, &outcome);
    ck_assert(worker_outcome_unpack(&outcome, &told, &error));
    ck_assert_int_eq(told, REJECTD_DEVICE_MEMORY);
    ck_assert_str_eq(error.message, "full");
    ck_assert_str_eq(error.field, "a");
    memset(outcome.message, '\x80', sizeof outcome.message); /* no UTF-8, and no end */
    ck_assert(worker_outcome_unpack(&outcome, &told, &error));
    ck_assert_str_eq(error.message + strlen(error.message) - 3, "???");
    outcome.status = REJECTD_STATUS_COUNT;
    ck_assert(!worker_outcome_unpack(&outcome, &told, &error));
}
END_TEST

START_TEST(test_statuses)
{
    static struct worker_status status;
    static struct device_view view;
    status = (struct worker_status){
        .free_bytes = 5, .budget = 9, .n_held = 70, .held_bytes = 90, .n_residents = 1};
    snprintf(status.residents[0].content, sizeof status.residents[0].content, "abc");
    status.residents[0].bytes = 7;
    ck_assert(worker_status_unpack(&status, &view));
    ck_assert_uint_eq(view.memory_free, 5);
    ck_assert_uint_eq(view.n_residents, 1);
    ck_assert_str_eq(view.residents[0].sha256, "abc");
    ck_assert_uint_eq(view.residents[0].bytes, 7);
    ck_assert_uint_eq(view.n_held, 70);
    ck_assert_uint_eq(view.held_bytes, 90);
    status.n_held = 0;
    ck_assert(!worker_status_unpack(&status, &view));
    status.n_held = 70;
    status.n_residents = DEVICE_MAX_RESIDENTS + 1;
    ck_assert(!worker_status_unpack(&status, &view));
}
END_TEST

/* What a worker takes for a job, and what not. */
START_TEST(test_orders)
{
    static const struct {
        uint64_t share, n_shares, n_found, more; /* bytes beyond what the head tells */
        enum rejectd_status status;
    } cases[] = {
        {0, 0, 0, 0, REJECTD_OK},
        {1, 2, 0, 0, REJECTD_OK},
        {0, 0, 3, 0, REJECTD_OK},
        {2, 2, 0, 0, REJECTD_IO},
        {0, 0, 0, 16, REJECTD_IO},
        {0, 0, 0, 8, REJECTD_IO},
        {0, 0, UINT64_MAX / 16 + 1, 0, REJECTD_IO},
        {0, 0, UINT64_MAX, 48, REJECTD_IO},
    };
    static double numbers[16];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct worker_job head = {
            .type = JOB_FIT,
            .lengths = {1, 2, 0},
            .share_index = cases[i].share,
            .n_shares = cases[i].n_shares,
            .n_found = cases[i].n_found,
        };
        const size_t n_found = cases[i].n_found > 8 ? 0 : (size_t)cases[i].n_found;
        const struct iovec parts[] = {{&head, sizeof head},
                                      {(char[]){'{'}, 1},
                                      {(char[]){'{', '}'}, 2},
                                      {numbers, 2 * n_found * sizeof(double) + cases[i].more}};
        struct worker_header header;
        struct worker_order *order;
        int fd;
        open_channel();
        ck_assert_int_eq(worker_channel_send(&ends[0], WORKER_JOB, parts, 4, -1, &error), 0);
        ck_assert_int_eq(worker_channel_receive_header(&ends[1], &header, &fd, &error), 0);
        ck_assert_msg(worker_order_receive(&ends[1], header.length, fd, &order, &error) ==
                          cases[i].status,
                      "case %zu", i);
        ck_assert_int_eq(order == NULL, cases[i].status != REJECTD_OK);
        worker_order_free(order);
        close_channel();
    }
}
END_TEST

START_TEST(test_progress)
{
    struct worker_progress progress = {"thresholds", 0.5};
    ck_assert(worker_progress_check(&progress));
    progress.fraction = 1.5;
    ck_assert(!worker_progress_check(&progress));
    progress.fraction = NAN;
    ck_assert(!worker_progress_check(&progress));
}
END_TEST

/* ---- board ---- */

static struct device_board *board;
static int n_changes;

static void count_change(void *context)
{
    (void)context;
    n_changes++;
}

static void open_board(void)
{
    n_changes = 0;
    ck_assert_int_eq(device_board_open("a note", &board, &error), REJECTD_OK);
    ck_assert_int_eq(device_board_add(board, "cpu", "processor", 0, DEVICE_READY, &error), 0);
    ck_assert_int_eq(device_board_add(board, "cuda:0", "one", 10, DEVICE_OPENING, &error), 0);
    ck_assert_int_eq(device_board_add(board, "cuda:1", "two", 10, DEVICE_OPENING, &error), 0);
    device_board_tell(board, count_change, NULL);
}

static void close_board(void)
{
    device_board_close(board);
}

static void free_texts(struct buffer held[3])
{
    for (int i = 0; i < 3; i++) {
        buffer_free(&held[i]);
    }
}

/* The wishes in the taker of a device, "!" before those that it leaves to others. */
static const char *wishes(const char *id)
{
    static char text[256];
    struct store_taker taker;
    struct buffer held[3];
    ck_assert(device_board_taker(board, id, &taker, held));
    snprintf(text, sizeof text, "%s%s", taker.others ? "!" : "", taker.wishes);
    free_texts(held);
    return text;
}

static bool avoids_lost(const char *id)
{
    struct store_taker taker;
    struct buffer held[3];
    ck_assert(device_board_taker(board, id, &taker, held));
    free_texts(held);
    return taker.avoids_lost;
}

START_TEST(test_the_processor_takes_what_the_gpus_cannot)
{
    ck_assert_str_eq(wishes("cuda:1"), " auto cuda cuda:all cuda:1 ");
    /* They are expected. */
    ck_assert_str_eq(wishes("cpu"), "! cuda:0 cuda:1 auto cuda cuda:all ");
    device_board_set_state(board, "cuda:0", DEVICE_READY, true, "");
    ck_assert_str_eq(wishes("cpu"), "! cuda:0 cuda:1 auto cuda cuda:all ");
    device_board_set_state(board, "cuda:1", DEVICE_RESTARTING, false, "broken");
    ck_assert_str_eq(wishes("cpu"), "! cuda:0 auto cuda cuda:all ");
    device_board_set_state(board, "cuda:0", DEVICE_FAILED, false, "broken");
    ck_assert_str_eq(wishes("cpu"), "! ");
    ck_assert_int_eq(n_changes, 3);
}
END_TEST

START_TEST(test_lost_jobs_are_avoided_where_another_gpu_is)
{
    device_board_set_state(board, "cuda:0", DEVICE_READY, true, "");
    ck_assert(!avoids_lost("cuda:0"));
    device_board_set_state(board, "cuda:1", DEVICE_READY, true, "");
    ck_assert(avoids_lost("cuda:0"));
}
END_TEST

/* What the taker of a device takes for GPUs that have jobs of their own. */
static const char *gpus(const char *id)
{
    static char text[256];
    struct store_taker taker;
    struct buffer held[3];
    ck_assert(device_board_taker(board, id, &taker, held));
    snprintf(text, sizeof text, "%s", taker.gpus);
    free_texts(held);
    return text;
}

START_TEST(test_jobs_of_gpus_that_are_away_are_for_others)
{
    static const char both[] = " cuda:0 cuda:1 auto cuda cuda:all ";
    static const char first[] = " cuda:0 auto cuda cuda:all ";
    device_board_set_state(board, "cuda:0", DEVICE_READY, true, "");
    ck_assert_str_eq(gpus("cuda:0"), both);
    ck_assert_str_eq(gpus("cpu"), both);
    ck_assert(device_board_serves(board, "cuda:1"));
    /* Expected in a moment. */
    device_board_set_state(board, "cuda:1", DEVICE_RESTARTING, true, "broken");
    ck_assert_str_eq(gpus("cuda:0"), both);
    ck_assert(device_board_serves(board, "cuda:1"));
    device_board_set_state(board, "cuda:1", DEVICE_RESTARTING, false, "broken");
    ck_assert_str_eq(gpus("cuda:0"), first);
    ck_assert_str_eq(gpus("cpu"), first);
    ck_assert(!device_board_serves(board, "cuda:1"));
    ck_assert(device_board_serves(board, "cuda:0"));
    ck_assert(device_board_serves(board, "auto") && device_board_serves(board, "cpu"));
}
END_TEST

START_TEST(test_evictions_add_up_over_processes)
{
    static struct device_view contents;
    static const uint64_t told[] = {0, 2, 5, 1, 1};
    struct device_view *views = NULL;
    size_t n = 0;
    for (size_t i = 0; i < 5; i++) {
        contents.evictions = told[i]; /* the fourth is a new process */
        device_board_set_contents(board, "cuda:0", &contents);
    }
    device_board_count_restart(board, "cuda:0");
    contents.evictions = 3; /* of another one again */
    device_board_set_contents(board, "cuda:0", &contents);
    ck_assert_int_eq(device_board_copy(board, &views, &n, &error), REJECTD_OK);
    ck_assert_uint_eq(views[1].evictions, 5 + 1 + 3);
    ck_assert_uint_eq(views[2].evictions, 0);
    free(views);
}
END_TEST

START_TEST(test_datasets_on_idle_gpus)
{
    static struct device_view contents;
    struct store_taker taker;
    struct buffer held[3];
    contents.n_residents = 1;
    snprintf(contents.residents[0].sha256, sizeof contents.residents[0].sha256, "abc");
    device_board_set_state(board, "cuda:0", DEVICE_READY, true, "");
    device_board_set_contents(board, "cuda:0", &contents);
    ck_assert(device_board_taker(board, "cuda:1", &taker, held));
    ck_assert_str_eq(taker.elsewhere, " abc ");
    free_texts(held);
    device_board_begin_job(board, "cuda:0", "jb_1");
    ck_assert(device_board_taker(board, "cuda:1", &taker, held));
    ck_assert_str_eq(taker.elsewhere, " ");
    free_texts(held);
}
END_TEST

/* The datasets that the first GPU's only resident is shown with. */
static void check_datasets(const char *const *expected, size_t n_expected)
{
    struct device_view *views = NULL;
    size_t n = 0;
    ck_assert_int_eq(device_board_copy(board, &views, &n, &error), REJECTD_OK);
    ck_assert_uint_eq(views[1].n_residents, 1);
    ck_assert_uint_eq(views[1].residents[0].n_datasets, n_expected);
    for (size_t i = 0; i < n_expected; i++) {
        ck_assert_str_eq(views[1].residents[0].datasets[i], expected[i]);
    }
    free(views);
}

/* What the process tells of its one resident. */
static void tell_resident(const char *sha256, uint64_t serial, uint64_t n_uses)
{
    static struct device_view contents;
    contents.n_residents = 1;
    contents.residents[0].serial = serial;
    contents.residents[0].n_uses = n_uses;
    snprintf(contents.residents[0].sha256, sizeof contents.residents[0].sha256, "%s", sha256);
    device_board_set_contents(board, "cuda:0", &contents);
}

static void begin_on_first(const char *sha256, const char *dataset)
{
    device_board_begin_job(board, "cuda:0", "jb_1");
    device_board_use(board, "cuda:0", sha256, dataset);
}

START_TEST(test_a_resident_is_of_those_who_used_it)
{
    device_board_set_state(board, "cuda:0", DEVICE_READY, true, "");
    begin_on_first("abc", "ds_1");
    tell_resident("xyz", 1, 1); /* it has not got the samples yet */
    check_datasets(NULL, 0);
    tell_resident("abc", 2, 1);
    device_board_end_job(board, "cuda:0", true);
    check_datasets((const char *[]){"ds_1"}, 1);
    begin_on_first("abc", "ds_2");
    tell_resident("abc", 2, 1);
    check_datasets((const char *[]){"ds_1"}, 1);
    tell_resident("abc", 2, 3);
    device_board_end_job(board, "cuda:0", false);
    check_datasets((const char *[]){"ds_1", "ds_2"}, 2);
    tell_resident("abc", 2, 4); /* for nobody that is known */
    check_datasets((const char *[]){"ds_1", "ds_2"}, 2);
    /* The same samples, brought again. */
    begin_on_first("abc", "ds_2");
    tell_resident("abc", 3, 1);
    device_board_end_job(board, "cuda:0", true);
    check_datasets((const char *[]){"ds_2"}, 1);
    device_board_set_state(board, "cuda:0", DEVICE_RESTARTING, true, "");
    begin_on_first("abc", "ds_1");
    tell_resident("abc", 1, 1);
    check_datasets((const char *[]){"ds_1"}, 1);
}
END_TEST

/* Once in float64, for one dataset, and once in float32 for another. */
START_TEST(test_the_same_samples_may_be_there_twice)
{
    static struct device_view contents;
    struct device_view *views = NULL;
    size_t n = 0;
    device_board_set_state(board, "cuda:0", DEVICE_READY, true, "");
    begin_on_first("abc", "ds_1");
    tell_resident("abc", 1, 1);
    device_board_end_job(board, "cuda:0", true);
    begin_on_first("abc", "ds_2");
    contents.n_residents = 2;
    for (size_t i = 0; i < 2; i++) {
        struct resident_view *resident = &contents.residents[i];
        snprintf(resident->sha256, sizeof resident->sha256, "abc");
        resident->serial = 2 - i;
        resident->n_uses = 1;
    }
    device_board_set_contents(board, "cuda:0", &contents);
    ck_assert_int_eq(device_board_copy(board, &views, &n, &error), REJECTD_OK);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_uint_eq(views[1].residents[i].n_datasets, 1);
        ck_assert_str_eq(views[1].residents[i].datasets[0], i == 0 ? "ds_2" : "ds_1");
    }
    /* One that was not listed for a while is not new. */
    tell_resident("abc", 2, 1);
    tell_resident("abc", 1, 1);
    check_datasets(NULL, 0);
    free(views);
}
END_TEST

START_TEST(test_the_latest_users_of_a_resident)
{
    const char *expected[RESIDENT_MAX_DATASETS];
    char ids[RESIDENT_MAX_DATASETS + 1][RESOURCE_ID_SIZE];
    device_board_set_state(board, "cuda:0", DEVICE_READY, true, "");
    for (uint64_t i = 0; i < RESIDENT_MAX_DATASETS + 2; i++) {
        const size_t id = i < RESIDENT_MAX_DATASETS ? i : (i == RESIDENT_MAX_DATASETS ? 0 : i - 1);
        snprintf(ids[id], sizeof ids[id], "ds_%zu", id);
        begin_on_first("abc", ids[id]);
        tell_resident("abc", 1, i + 1);
        device_board_end_job(board, "cuda:0", true);
    }
    /* All but the second: the first came again. */
    for (size_t i = 0; i + 2 < RESIDENT_MAX_DATASETS; i++) {
        expected[i] = ids[i + 2];
    }
    expected[RESIDENT_MAX_DATASETS - 2] = ids[0];
    expected[RESIDENT_MAX_DATASETS - 1] = ids[RESIDENT_MAX_DATASETS];
    check_datasets(expected, RESIDENT_MAX_DATASETS);
}
END_TEST

START_TEST(test_gpus_that_may_share_a_job)
{
    size_t place;
    /* One that asks is there, whatever is known of it. */
    ck_assert_uint_eq(device_board_gpus(board, "cuda:1", &place), 1);
    ck_assert_uint_eq(place, 0);
    device_board_set_state(board, "cuda:0", DEVICE_READY, true, "");
    device_board_set_state(board, "cuda:1", DEVICE_READY, true, "");
    device_board_begin_job(board, "cuda:0", "jb_1");
    ck_assert_uint_eq(device_board_gpus(board, "cuda:1", &place), 2);
    ck_assert_uint_eq(place, 1);
    device_board_set_state(board, "cuda:1", DEVICE_FAILED, false, "broken");
    ck_assert_uint_eq(device_board_gpus(board, "cuda:0", &place), 1);
    ck_assert_uint_eq(place, 0);
}
END_TEST

START_TEST(test_wishes_are_checked)
{
    static const char *const known[] = {"auto", "cpu", "cuda", "cuda:0", "cuda:1", "cuda:all"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        ck_assert_int_eq(device_board_check_wish(board, known[i], &error), REJECTD_OK);
    }
    ck_assert_int_eq(device_board_check_wish(board, "cuda:2", &error), REJECTD_INVALID_VALUE);
    ck_assert_str_eq(error.field, "device");
    ck_assert_ptr_nonnull(
        strstr(error.message, "accepted: auto, cpu, cuda, cuda:all, cuda:0, cuda:1"));
}
END_TEST

START_TEST(test_what_is_shown)
{
    struct device_view *views = NULL;
    size_t n = 0;
    device_board_set_state(board, "cuda:0", DEVICE_READY, true, "");
    device_board_begin_job(board, "cuda:0", "jb_1");
    device_board_set_state(board, "cuda:1", DEVICE_FAILED, false, "it is \"broken\"");
    ck_assert_int_eq(device_board_copy(board, &views, &n, &error), REJECTD_OK);
    ck_assert_uint_eq(n, 3);
    ck_assert_int_eq(views[1].state, DEVICE_BUSY);
    views[1].n_residents = 1;
    snprintf(views[1].residents[0].sha256, sizeof views[1].residents[0].sha256, "abc");
    views[1].residents[0].n_datasets = 2;
    views[1].n_held = 70;
    views[1].held_bytes = 90;
    views[2].hides_held = true;
    snprintf(views[1].residents[0].datasets[0], RESOURCE_ID_SIZE, "ds_1");
    snprintf(views[1].residents[0].datasets[1], RESOURCE_ID_SIZE, "ds_2");
    char *text = device_list_to_json(views, n, device_board_note(board));
    ck_assert_str_eq(
        text,
        "{\"devices\":[{\"id\":\"cpu\",\"name\":\"processor\",\"kind\":\"cpu\",\"state\":\"ready\","
        "\"reason\":null,\"memory\":null,\"job\":null,\"jobs_done\":0,\"restarts\":0,"
        "\"residents\":[],\"residents_total\":{\"datasets\":0,\"bytes\":0}},"
        "{\"id\":\"cuda:0\",\"name\":\"one\",\"kind\":\"cuda\",\"state\":\"busy\",\"reason\":null,"
        "\"memory\":{\"total\":10,\"budget\":0,\"free\":0},\"job\":\"jb_1\",\"jobs_done\":0,"
        "\"restarts\":0,\"residents\":[{\"sha256\":\"abc\",\"datasets\":[\"ds_1\",\"ds_2\"],"
        "\"bytes\":0,\"table_bytes\":0,\"in_use\":false}],"
        "\"residents_total\":{\"datasets\":70,\"bytes\":90}},"
        "{\"id\":\"cuda:1\",\"name\":\"two\",\"kind\":\"cuda\",\"state\":\"failed\","
        "\"reason\":\"it is \\\"broken\\\"\",\"memory\":{\"total\":10,\"budget\":0,\"free\":0},"
        "\"job\":null,\"jobs_done\":0,\"restarts\":0,\"residents\":[],"
        "\"residents_total\":null}],\"cuda\":\"a note\"}");
    free(text);
    text = readiness_to_json(views, n, "ok");
    ck_assert_str_eq(text, "{\"status\":\"ok\",\"devices\":{\"cpu\":\"ready\",\"cuda:0\":\"busy\","
                           "\"cuda:1\":\"failed\"}}");
    free(text);
    free(views);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("device board");
    TCase *channel = tcase_create("channel");
    tcase_add_checked_fixture(channel, open_channel, close_channel);
    tcase_add_test(channel, test_a_message_with_parts_and_a_descriptor);
    tcase_add_test(channel, test_a_message_beyond_the_socket_buffer);
    tcase_add_test(channel, test_the_other_side_is_gone);
    tcase_add_test(channel, test_silence_within_a_message);
    tcase_add_test(channel, test_a_side_that_takes_nothing);
    tcase_add_test(channel, test_nonsense);
    suite_add_tcase(suite, channel);

    TCase *messages = tcase_create("messages");
    tcase_add_test(messages, test_lengths);
    tcase_add_test(messages, test_outcomes);
    tcase_add_test(messages, test_orders);
    tcase_add_test(messages, test_statuses);
    tcase_add_test(messages, test_progress);
    suite_add_tcase(suite, messages);

    TCase *board_tests = tcase_create("board");
    tcase_add_checked_fixture(board_tests, open_board, close_board);
    tcase_add_test(board_tests, test_the_processor_takes_what_the_gpus_cannot);
    tcase_add_test(board_tests, test_lost_jobs_are_avoided_where_another_gpu_is);
    tcase_add_test(board_tests, test_datasets_on_idle_gpus);
    tcase_add_test(board_tests, test_jobs_of_gpus_that_are_away_are_for_others);
    tcase_add_test(board_tests, test_evictions_add_up_over_processes);
    tcase_add_test(board_tests, test_a_resident_is_of_those_who_used_it);
    tcase_add_test(board_tests, test_the_same_samples_may_be_there_twice);
    tcase_add_test(board_tests, test_the_latest_users_of_a_resident);
    tcase_add_test(board_tests, test_gpus_that_may_share_a_job);
    tcase_add_test(board_tests, test_wishes_are_checked);
    tcase_add_test(board_tests, test_what_is_shown);
    suite_add_tcase(suite, board_tests);

    return run_suite(suite);
}
