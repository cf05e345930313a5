/* Events of jobs: what a listener gets, misses, and is told of having missed. */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run_suite.h"
#include "server/http/events.h"

enum { FIRST = 1000 };

static struct events *events;

static void set_up(void)
{
    struct rejectd_error error = {0};
    ck_assert_int_eq(events_open(FIRST, 2, &events, &error), REJECTD_OK);
}

static void tear_down(void)
{
    events_close(events);
}

static void count(void *context)
{
    ++*(int *)context;
}

static struct listener *join(const char *job, uint64_t last, int *woken)
{
    struct rejectd_error error = {0};
    struct listener *listener = NULL;
    ck_assert_int_eq(events_join(events, job, last, count, woken, &listener, &error), REJECTD_OK);
    return listener;
}

/* The next event must be this one. */
static uint64_t expect(struct listener *listener, enum event_kind kind, const char *text)
{
    uint64_t id = 0;
    enum event_kind found = EVENT_JOB;
    char *copy = NULL;
    ck_assert_int_eq(events_next(events, listener, &id, &found, &copy), EVENTS_EVENT);
    ck_assert_int_eq(found, kind);
    ck_assert_str_eq(copy, text);
    free(copy);
    return id;
}

static uint64_t expect_none(struct listener *listener, enum events_next next)
{
    uint64_t id = 0;
    enum event_kind kind;
    char *text = NULL;
    ck_assert_int_eq(events_next(events, listener, &id, &kind, &text), next);
    ck_assert_ptr_null(text);
    return id;
}

START_TEST(test_from_gap_to_end)
{
    int woken = 0, other = 0;
    events_publish(events, "jb_a", EVENT_JOB, "nobody");
    ck_assert(!events_wanted(events, "jb_a"));
    struct listener *listener = join("jb_a", 0, &woken), *of_b = join("jb_b", 0, &other);
    ck_assert(events_wanted(events, "jb_a"));
    ck_assert_uint_eq(expect_none(listener, EVENTS_GAP), FIRST);
    expect_none(listener, EVENTS_NONE);
    events_publish(events, "jb_a", EVENT_PROGRESS, "{\n\r1}");
    events_publish(events, "jb_a", EVENT_END, "2");
    ck_assert_int_eq(woken, 2);
    ck_assert_int_eq(other, 0);
    const uint64_t first = expect(listener, EVENT_PROGRESS, "{  1}");
    ck_assert_uint_gt(first, FIRST);
    ck_assert(!events_are_over(events, listener));
    ck_assert_uint_gt(expect(listener, EVENT_END, "2"), first);
    ck_assert(events_are_over(events, listener) && !events_are_over(events, of_b));
    expect_none(listener, EVENTS_OVER);
    events_leave(events, listener);
    /* Comes back, and gets what it has missed. */
    listener = join("jb_a", first, &woken);
    expect(listener, EVENT_END, "2");
    expect_none(listener, EVENTS_OVER);
    events_leave(events, listener);
    events_leave(events, of_b);
}
END_TEST

START_TEST(test_log_begun_after_the_end)
{
    int woken = 0;
    struct listener *listener = join("jb_a", FIRST, &woken), *other;
    events_begin_ended(events, listener);
    ck_assert(!events_are_over(events, listener));
    const uint64_t last = expect_none(listener, EVENTS_GAP);
    ck_assert(events_are_over(events, listener));
    events_leave(events, listener);
    listener = join("jb_a", last, &woken);
    ck_assert(events_are_over(events, listener));
    events_leave(events, listener);
    /* Who is told by the events themselves has them first. */
    listener = join("jb_b", FIRST, &woken);
    other = join("jb_b", 0, &woken);
    events_begin_ended(events, other);
    events_publish(events, "jb_b", EVENT_PROGRESS, "1");
    events_begin_ended(events, listener);
    expect(listener, EVENT_PROGRESS, "1");
    expect_none(listener, EVENTS_NONE);
    events_publish(events, "jb_b", EVENT_END, "2");
    expect(listener, EVENT_END, "2");
    expect_none(listener, EVENTS_OVER);
    events_leave(events, listener);
    events_leave(events, other);
}
END_TEST

START_TEST(test_queue_was_shown)
{
    int woken = 0;
    struct rejectd_error error = {0};
    struct listener *listener = NULL;
    ck_assert_int_eq(events_join_queue(events, 0, count, NULL, &woken, &listener, &error),
                     REJECTD_OK);
    ck_assert(!events_queue_was_shown(events));
    expect_none(listener, EVENTS_GAP);
    ck_assert(events_queue_was_shown(events));
    ck_assert(!events_queue_was_shown(events));
    struct listener *of_job = join("jb_a", 0, &woken);
    expect_none(of_job, EVENTS_GAP);
    ck_assert(!events_queue_was_shown(events));
    events_leave(events, of_job);
    events_leave(events, listener);
}
END_TEST

START_TEST(test_what_is_not_kept_is_a_gap)
{
    int woken = 0;
    char text[32];
    struct listener *listener = join("jb_a", 0, &woken);
    const uint64_t begin = expect_none(listener, EVENTS_GAP);
    for (int i = 0; i < EVENTS_KEPT; i++) {
        snprintf(text, sizeof text, "%d", i);
        events_publish(events, "jb_a", EVENT_PROGRESS, text);
    }
    struct listener *second = join("jb_a", begin, &woken);
    expect(second, EVENT_PROGRESS, "0");
    events_publish(events, "jb_a", EVENT_PROGRESS, "one more");
    expect(second, EVENT_PROGRESS, "1");
    const uint64_t now = expect_none(listener, EVENTS_GAP);
    events_publish(events, "jb_a", EVENT_JOB, "after it");
    ck_assert_uint_gt(expect(listener, EVENT_JOB, "after it"), now);
    events_leave(events, second);
    second = join("jb_a", UINT64_MAX, &woken);
    expect_none(second, EVENTS_GAP);
    expect_none(second, EVENTS_NONE);
    events_leave(events, second);
    events_leave(events, listener);
}
END_TEST

START_TEST(test_long_texts_push_out_old_ones)
{
    enum { LENGTH = EVENTS_JOB_BYTES / 2 + 1 };
    int woken = 0;
    char *text = calloc(1, LENGTH + 1);
    memset(text, 'x', LENGTH);
    struct listener *listener = join("jb_a", 0, &woken);
    const uint64_t begin = expect_none(listener, EVENTS_GAP);
    events_publish(events, "jb_a", EVENT_JOB, text);
    events_publish(events, "jb_a", EVENT_JOB, text);
    events_publish(events, "jb_a", EVENT_JOB, "last");
    events_leave(events, listener);
    listener = join("jb_a", begin, &woken);
    expect_none(listener, EVENTS_GAP);
    events_leave(events, listener);
    listener = join("jb_a", begin + 1, &woken);
    expect(listener, EVENT_JOB, text);
    expect(listener, EVENT_JOB, "last");
    events_leave(events, listener);
    free(text);
}
END_TEST

START_TEST(test_logs_without_listeners_are_forgotten)
{
    enum { MANY = 5000 };
    int woken = 0;
    char job[16];
    struct listener *stays = join("jb_stays", 0, &woken);
    for (int i = 0; i < MANY; i++) {
        snprintf(job, sizeof job, "jb_%d", i);
        events_leave(events, join(job, 0, &woken));
    }
    ck_assert(events_wanted(events, "jb_stays"));
    ck_assert(!events_wanted(events, "jb_0"));
    ck_assert(events_wanted(events, job));
    events_leave(events, stays);
}
END_TEST

START_TEST(test_limit_and_times)
{
    struct rejectd_error error = {0};
    struct listener *third = NULL;
    int woken[2] = {0};
    struct listener *a = join("jb_a", 0, &woken[0]), *b = join("jb_b", 0, &woken[1]);
    ck_assert_int_eq(events_join(events, "jb_a", 0, count, woken, &third, &error),
                     REJECTD_UNAVAILABLE);
    ck_assert_ptr_null(third);
    events_wake_due(events, 1e9);
    ck_assert_int_eq(woken[0] + woken[1], 0);
    events_set_due(events, a, 10.0);
    events_wake_due(events, 9.9);
    ck_assert_int_eq(woken[0], 0);
    events_wake_due(events, 10.0);
    ck_assert_int_eq(woken[0], 1);
    events_wake_all(events);
    ck_assert_int_eq(woken[0], 2);
    ck_assert_int_eq(woken[1], 1);
    events_leave(events, a);
    events_publish(events, "jb_a", EVENT_JOB, "left");
    ck_assert_int_eq(woken[0], 2);
    events_leave(events, join("jb_a", 0, &woken[0]));
    events_leave(events, b);
}
END_TEST

static bool sees_own(void *context, const struct ownership *ownership)
{
    (void)context;
    return strcmp(ownership->owner, "anna") == 0 || ownership->visibility == VISIBILITY_LAB;
}

START_TEST(test_queue_tells_what_may_be_seen)
{
    struct rejectd_error error = {0};
    const struct ownership anna = {.owner = "anna"}, bert = {.owner = "bert"};
    const struct ownership lab = {.owner = "bert", .visibility = VISIBILITY_LAB};
    struct listener *listener = NULL;
    int woken = 0;
    events_publish_queue(events, &anna, EVENT_JOB, "nobody");
    ck_assert(!events_queue_wanted(events) && events_n_listeners(events) == 0);
    ck_assert_int_eq(events_join_queue(events, 0, count, sees_own, &woken, &listener, &error),
                     REJECTD_OK);
    ck_assert(events_queue_wanted(events) && events_n_listeners(events) == 1);
    ck_assert(!events_wanted(events, "jb_a"));
    const uint64_t begin = expect_none(listener, EVENTS_GAP);
    events_publish(events, "jb_a", EVENT_JOB, "of a job that nobody listens to");
    events_publish_queue(events, &bert, EVENT_JOB, "1");
    events_publish_queue(events, &anna, EVENT_POSITION, "2");
    events_publish_queue(events, &bert, EVENT_PROGRESS, "3");
    events_publish_queue(events, &lab, EVENT_PROGRESS, "4");
    events_publish_queue(events, NULL, EVENT_QUEUE, "5");
    events_publish_queue(events, &bert, EVENT_JOB, "6");
    ck_assert_int_eq(woken, 6);
    const uint64_t first = expect(listener, EVENT_POSITION, "2");
    ck_assert_uint_eq(first, begin + 2);
    expect(listener, EVENT_PROGRESS, "4");
    expect(listener, EVENT_QUEUE, "5");
    ck_assert_uint_eq(expect_none(listener, EVENTS_NONE), begin + 6);
    events_leave(events, listener);
    ck_assert_int_eq(events_join_queue(events, first, count, sees_own, &woken, &listener, &error),
                     REJECTD_OK);
    expect(listener, EVENT_PROGRESS, "4");
    for (int i = 0; i < EVENTS_QUEUE_KEPT; i++) {
        events_publish_queue(events, &bert, EVENT_PROGRESS, "many");
    }
    expect_none(listener, EVENTS_GAP);
    expect_none(listener, EVENTS_NONE);
    events_leave(events, listener);
}
END_TEST

enum { N_THREADS = 4, N_EACH = 500 };

static void *publish_many(void *context)
{
    const char *job = context;
    char text[16];
    for (int i = 0; i < N_EACH; i++) {
        snprintf(text, sizeof text, "%d", i);
        events_publish(events, job, EVENT_PROGRESS, text);
        events_publish_queue(events, NULL, EVENT_PROGRESS, job);
    }
    return NULL;
}

static void count_atomically(void *context)
{
    atomic_fetch_add((atomic_int *)context, 1);
}

/* Several threads publish while one reads: ids grow, texts come in order, and nothing is missed
 * without a gap. */
START_TEST(test_many_threads)
{
    struct rejectd_error error = {0};
    atomic_int woken = 0;
    struct listener *listener = NULL;
    pthread_t threads[N_THREADS];
    ck_assert_int_eq(events_join(events, "jb_a", 0, count_atomically, &woken, &listener, &error),
                     REJECTD_OK);
    for (int i = 0; i < N_THREADS; i++) {
        static char jobs[N_THREADS][8];
        snprintf(jobs[i], sizeof jobs[i], "jb_%c", 'a' + i);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, publish_many, jobs[i]), 0);
    }
    uint64_t id = 0, before = 0;
    int last = -1;
    while (last != N_EACH - 1) {
        enum event_kind kind;
        char *text = NULL;
        const enum events_next next = events_next(events, listener, &id, &kind, &text);
        ck_assert_uint_ge(id, before);
        if (next == EVENTS_EVENT) {
            const int number = (int)strtol(text, NULL, 10);
            ck_assert_uint_gt(id, before);
            ck_assert_int_gt(number, last);
            last = number;
        } else if (next == EVENTS_GAP && atomic_load(&woken) == N_EACH) {
            break; /* the last of them may be what was missed */
        }
        before = id;
        free(text);
    }
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    ck_assert_int_eq(atomic_load(&woken), N_EACH);
    events_leave(events, listener);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("events");
    TCase *tests = tcase_create("events");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, test_from_gap_to_end);
    tcase_add_test(tests, test_log_begun_after_the_end);
    tcase_add_test(tests, test_queue_was_shown);
    tcase_add_test(tests, test_what_is_not_kept_is_a_gap);
    tcase_add_test(tests, test_long_texts_push_out_old_ones);
    tcase_add_test(tests, test_logs_without_listeners_are_forgotten);
    tcase_add_test(tests, test_limit_and_times);
    tcase_add_test(tests, test_queue_tells_what_may_be_seen);
    tcase_add_test(tests, test_many_threads);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
