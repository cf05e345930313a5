#include "server/retention/retention.h"

#include "server/clock.h"
#include "server/retention/removal.h"
#include "server/uploads/partials.h"

enum { MOST_AT_ONCE = 64 };

/* Lists what is due. */
typedef enum rejectd_status (*lister)(struct store *store, int64_t before,
                                      char (*ids)[RESOURCE_ID_SIZE], size_t capacity, size_t *n_ids,
                                      struct rejectd_error *error);

static void sweep_kind(struct service *service, int64_t seconds, lister list, bool are_datasets)
{
    char ids[MOST_AT_ONCE][RESOURCE_ID_SIZE];
    struct rejectd_error error;
    size_t n = 0;
    if (seconds == 0) {
        return;
    }
    const int64_t before = clock_milliseconds() - 1000 * seconds;
    enum rejectd_status status = list(service->store, before, ids, MOST_AT_ONCE, &n, &error);
    for (size_t i = 0; i < n; i++) {
        if (are_datasets && partials_is_busy(service->partials, ids[i])) {
            continue; /* an upload may take longer than datasets are kept */
        }
        status = are_datasets ? removal_of_dataset(service, ids[i], NULL, before, &error)
                              : removal_of_result(service, ids[i], &error);
        /* Used, or deleted, since it was listed. */
        if (status == REJECTD_CONFLICT || status == REJECTD_NOT_FOUND) {
            status = REJECTD_OK;
        }
        if (status != REJECTD_OK) {
            break;
        }
    }
    if (status != REJECTD_OK) {
        log_write(service->log, LOG_LEVEL_ERROR, "retention-failed", "%s", error.message);
    }
}

static void sweep(void *context)
{
    const struct retention *retention = context;
    struct service *service = retention->service;
    const struct config *config = service->config;
    const struct store_functions *functions = service->store->functions;
    sweep_kind(service, config->result_retention_seconds, functions->result_old, false);
    sweep_kind(service, config->dataset_retention_seconds, functions->dataset_unused, true);
}

static void forget(void *context)
{
    const struct retention *retention = context;
    struct store *store = retention->service->store;
    store->functions->forget(store);
}

void retention_init(struct retention *retention, struct service *service)
{
    *retention = (struct retention){.service = service};
    retention->sweep = (struct chore){.run = sweep, .context = retention};
    retention->forget = (struct chore){.run = forget, .context = retention};
}

void retention_tick(struct retention *retention, double now)
{
    static const double most_pause = 10.0;
    static const double forget_pause = 2.0;
    struct service *service = retention->service;
    const struct config *config = service->config;
    const int64_t datasets = config->dataset_retention_seconds;
    const int64_t results = config->result_retention_seconds;
    const int64_t shorter =
        datasets == 0 || (results != 0 && results < datasets) ? results : datasets;
    const double pause = (double)shorter / 4.0;
    chore_tick(&retention->forget, service->commits, now, forget_pause);
    if (shorter != 0) {
        chore_tick(&retention->sweep, service->commits, now,
                   pause < most_pause ? pause : most_pause);
    }
}

static void show(int64_t since, int64_t seconds, char out[RESOURCE_TIME_SIZE])
{
    if (since != 0 && seconds != 0) {
        clock_text(since + 1000 * seconds, out);
    }
}

void retention_show_dataset(const struct service *service, struct dataset_view *dataset)
{
    show(dataset->used_at, service->config->dataset_retention_seconds, dataset->expires_at);
}

void retention_show_job(const struct service *service, struct job_view *job)
{
    show(job->result_since, service->config->result_retention_seconds, job->expires_at);
}
