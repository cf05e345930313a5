/*
 * A thread of its own asks the store, so that one that doesn't answer holds up nothing else; the
 * loop looks at its answers. A question is asked every quarter of the watchdog's time.
 */
#include "server/pulse.h"

#include <stdlib.h>

enum answer { NOT_ASKED, ASKED, ANSWERED_WELL, ANSWERED_BADLY };

struct pulse {
    const struct notify *notify;
    struct service *service;
    const struct http_server *http;
    struct executor *executor;
    struct executor_task task;
    atomic_int answer; /* enum answer */
    double next;       /* question; clock_monotonic() */
};

static void ask_store(void *context)
{
    struct pulse *pulse = context;
    struct store *store = pulse->service->store;
    struct rejectd_error error = {0};
    const bool well = store->functions->check(store, &error) == REJECTD_OK;
    if (!well) {
        log_write(pulse->service->log, LOG_LEVEL_ERROR, "store-unwell", "%s", error.message);
    }
    atomic_store(&pulse->answer, well ? ANSWERED_WELL : ANSWERED_BADLY);
}

enum rejectd_status pulse_open(const struct notify *notify, struct service *service,
                               const struct http_server *http, struct pulse **pulse,
                               struct rejectd_error *error)
{
    *pulse = NULL;
    if (notify->watchdog <= 0.0) {
        return REJECTD_OK;
    }
    struct pulse *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    *made = (struct pulse){.notify = notify, .service = service, .http = http};
    const enum rejectd_status status = executor_open(1, &made->executor, error);
    if (status != REJECTD_OK) {
        free(made);
        return status;
    }
    *pulse = made;
    return REJECTD_OK;
}

void pulse_close(struct pulse *pulse)
{
    if (pulse != NULL) {
        executor_close(pulse->executor);
        free(pulse);
    }
}

static void take_answer(struct pulse *pulse, bool store_is_well)
{
    const double stuck = http_longest_handler(pulse->http);
    if (stuck > pulse->notify->watchdog / 2.0) {
        log_write(pulse->service->log, LOG_LEVEL_ERROR, "http-stuck",
                  "a thread of HTTP has been busy for %.1f s", stuck);
    } else if (store_is_well) {
        notify_send(pulse->notify, "WATCHDOG=1");
    }
}

void pulse_tick(struct pulse *pulse, double now)
{
    if (pulse == NULL) {
        return;
    }
    const int answer = atomic_load(&pulse->answer);
    if (answer == ANSWERED_WELL || answer == ANSWERED_BADLY) {
        take_answer(pulse, answer == ANSWERED_WELL);
        atomic_store(&pulse->answer, NOT_ASKED);
    }
    if (answer != ASKED && now >= pulse->next) {
        pulse->next = now + pulse->notify->watchdog / 4.0;
        atomic_store(&pulse->answer, ASKED);
        pulse->task = (struct executor_task){.run = ask_store, .context = pulse};
        executor_submit(pulse->executor, &pulse->task);
    }
}
