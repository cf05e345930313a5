/*
 * Jobs that several GPUs share ("cuda:all").
 *
 * Who claims such a job leads it and offers shares of its search (split.h); a GPU that looks for a
 * job takes a share first. It then has a `running` of its own, which is in no list and looks into
 * that of the leader. The leader's goes when nobody looks into it any more: a leader that has
 * failed, or was cancelled, doesn't wait for others.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/jobs/scheduler_private.h"

static const char all_gpus[] = "cuda:all";
static const char processor[] = "cpu";

enum rejectd_status running_share_out(struct scheduler *scheduler, struct running *running,
                                      struct rejectd_error *error)
{
    struct claimed_job *claimed = &running->claimed;
    const size_t n_channels = claimed->inputs.description.n_channels;
    size_t place = 0;
    if (strcmp(claimed->claim.wish, all_gpus) != 0 || strcmp(running->device, processor) == 0 ||
        !task_can_be_shared(&running->job.task)) {
        return REJECTD_OK;
    }
    const size_t n_gpus = device_board_gpus(scheduler->options.board, running->device, &place);
    if (n_gpus < 2) {
        return REJECTD_OK;
    }
    struct split *split;
    const enum rejectd_status status =
        split_open(n_gpus < n_channels ? n_gpus : n_channels, n_channels, &split, error);
    if (status == REJECTD_OK) {
        pthread_mutex_lock(&scheduler->lock);
        claimed->place = place;
        claimed->split = split;
        pthread_cond_broadcast(&scheduler->changed);
        pthread_mutex_unlock(&scheduler->lock);
    }
    return status;
}

static struct running *help(struct running *leader, const char *device, size_t place)
{
    struct rejectd_share share;
    struct running *running = calloc(1, sizeof *running);
    if (running == NULL) {
        return NULL;
    }
    if (!split_take(leader->claimed.split, place, false, &share)) {
        free(running);
        return NULL;
    }
    leader->n_users++;
    running->leader = leader;
    running->job = (struct pool_job){.task = leader->job.task, .ticket = &running->claimed};
    running->claimed = leader->claimed;
    running->claimed.products = (struct job_products){0};
    running->claimed.share = share;
    snprintf(running->device, sizeof running->device, "%s", device);
    return running;
}

struct running *scheduler_take_share(struct scheduler *scheduler, const char *device)
{
    struct device_board *board = scheduler->options.board;
    struct running *running = NULL;
    size_t place = 0;
    if (strcmp(device, processor) == 0) {
        return NULL;
    }
    for (struct running *leader = scheduler->first; leader != NULL && running == NULL;
         leader = leader->next) {
        if (leader->claimed.split != NULL) {
            device_board_gpus(board, device, &place);
            running = help(leader, device, place);
        }
    }
    if (running != NULL) {
        device_board_begin_job(board, device, running->claimed.claim.job);
    }
    return running;
}

bool running_report_share(struct scheduler *scheduler, struct running *running, double fraction)
{
    struct split *split = running->claimed.split;
    split_set_progress(split, running->claimed.share.index, fraction);
    pthread_mutex_lock(&scheduler->lock);
    const bool goes_on = !running->leader->cancelled && running->leader->most_seconds == 0.0;
    pthread_mutex_unlock(&scheduler->lock);
    return goes_on && !split_has_ended(split);
}

void running_leave(struct scheduler *scheduler, struct running *running)
{
    pthread_mutex_lock(&scheduler->lock);
    const bool last = running->n_users-- == 0;
    pthread_mutex_unlock(&scheduler->lock);
    if (last) {
        running_free(running);
    }
}

void running_finish_share(struct scheduler *scheduler, struct running *running,
                          const struct pool_outcome *outcome)
{
    struct claimed_job *claimed = &running->claimed;
    struct split *split = claimed->split;
    const struct rejectd_share share = claimed->share;
    if (outcome->kind == POOL_SUCCEEDED) {
        running_log(scheduler, running, LOG_LEVEL_INFO, "share-ended",
                    "share %zu of %zu, for %s, after %.3f s", share.index + 1, share.n,
                    running->leader->device, outcome->seconds);
        split_give(split, share.index, running->device, claimed->products.found);
    } else {
        if (outcome->kind == POOL_FAILED) {
            running_log(scheduler, running, LOG_LEVEL_WARNING, "share-lost",
                        "share %zu of %zu: %s; it is left to %s", share.index + 1, share.n,
                        log_error_text(outcome->error), running->leader->device);
        }
        split_give_back(split, share.index);
    }
    device_board_end_job(scheduler->options.board, running->device, false);
    running_leave(scheduler, running->leader);
    job_products_clear(&claimed->products);
    free(running);
}
