#include "server/devices/worker_messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/utf8.h"

bool worker_message_fits(const struct worker_header *header)
{
    static const uint64_t most_text = (uint64_t)1 << 30;
    static const struct {
        uint64_t least, most;
    } lengths[] = {
        [WORKER_JOB] = {sizeof(struct worker_job), (uint64_t)1 << 32},
        [WORKER_CANCEL] = {0, 0},
        [WORKER_PING] = {0, 0},
        [WORKER_FORGET] = {0, FORGET_MOST * REJECTD_CONTENT_SIZE},
        [WORKER_OPENED] = {sizeof(struct worker_outcome), sizeof(struct worker_outcome)},
        [WORKER_STATUS] = {sizeof(struct worker_status), sizeof(struct worker_status)},
        [WORKER_PROGRESS] = {sizeof(struct worker_progress), sizeof(struct worker_progress)},
        [WORKER_CLEANED_OPEN] = {sizeof(uint64_t), sizeof(uint64_t)},
        [WORKER_CLEANED] = {1, WORKER_MAX_CLEANED},
        [WORKER_RESULT] = {2, (uint64_t)1 << 34},
        [WORKER_MODEL] = {2, most_text},
        [WORKER_LABELS] = {sizeof(struct worker_array), (uint64_t)1 << 36},
        [WORKER_CORRELATIONS] = {sizeof(struct worker_array), (uint64_t)1 << 36},
        [WORKER_FOUND] = {2 * sizeof(double), (uint64_t)1 << 32},
        [WORKER_DONE] = {sizeof(struct worker_outcome), sizeof(struct worker_outcome)},
        [WORKER_LISTED] = {sizeof(struct device_list), sizeof(struct device_list)},
    };
    return header->type >= WORKER_JOB && header->type <= WORKER_LISTED &&
           header->length >= lengths[header->type].least &&
           header->length <= lengths[header->type].most;
}

/* Makes a text of what came from the other side, whatever it is. */
static void end_text(char *text, size_t size)
{
    text[size - 1] = '\0';
    if (!utf8_is_valid(text) || !utf8_is_printable(text)) {
        for (char *c = text; *c != '\0'; c++) {
            *c = *c >= ' ' && *c <= '~' ? *c : '?';
        }
    }
}

void worker_outcome_pack(enum rejectd_status status, const struct rejectd_error *error,
                         struct worker_outcome *outcome)
{
    *outcome = (struct worker_outcome){.status = (uint32_t)status};
    if (status != REJECTD_OK) {
        snprintf(outcome->field, sizeof outcome->field, "%s", error->field);
        snprintf(outcome->message, sizeof outcome->message, "%s", error->message);
    }
}

bool worker_outcome_unpack(struct worker_outcome *outcome, enum rejectd_status *status,
                           struct rejectd_error *error)
{
    if (outcome->status >= REJECTD_STATUS_COUNT) {
        return false;
    }
    end_text(outcome->field, sizeof outcome->field);
    end_text(outcome->message, sizeof outcome->message);
    *status = (enum rejectd_status)outcome->status;
    if (*status != REJECTD_OK) {
        REJECTD_FAIL(error, *status, outcome->field, "%s", outcome->message);
    }
    return true;
}

static uint64_t bytes_of(const struct rejectd_resident *residents, size_t n)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        bytes += residents[i].bytes + residents[i].table_bytes;
    }
    return bytes;
}

/* Bytes of all n of them. Without memory to list them, of as many as there is room for here. */
static uint64_t bytes_held(const struct rejectd_device *device, size_t n)
{
    struct rejectd_resident few[DEVICE_MAX_RESIDENTS];
    struct rejectd_resident *all = calloc(n, sizeof *all);
    struct rejectd_resident *residents = all == NULL ? few : all;
    const size_t capacity = all == NULL ? DEVICE_MAX_RESIDENTS : n;
    const size_t found = rejectd_device_residents(device, residents, capacity);
    const uint64_t bytes = bytes_of(residents, found < capacity ? found : capacity);
    free(all);
    return bytes;
}

void worker_status_pack(const struct rejectd_device *device, struct worker_status *status)
{
    struct rejectd_resident residents[DEVICE_MAX_RESIDENTS];
    size_t free_bytes = 0;
    size_t budget = 0;
    *status = (struct worker_status){0};
    rejectd_device_memory(device, &free_bytes, &budget);
    status->free_bytes = free_bytes;
    status->budget = budget;
    status->evictions = rejectd_device_evictions(device);
    size_t n = rejectd_device_residents(device, residents, DEVICE_MAX_RESIDENTS);
    status->n_held = n;
    status->held_bytes = n <= DEVICE_MAX_RESIDENTS ? bytes_of(residents, n) : bytes_held(device, n);
    n = n < DEVICE_MAX_RESIDENTS ? n : DEVICE_MAX_RESIDENTS;
    status->n_residents = (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        struct worker_resident *resident = &status->residents[i];
        memcpy(resident->content, residents[i].content, sizeof resident->content);
        resident->in_use = residents[i].in_use;
        resident->bytes = residents[i].bytes;
        resident->table_bytes = residents[i].table_bytes;
        resident->n_uses = residents[i].n_uses;
        resident->serial = residents[i].serial;
    }
}

bool worker_status_unpack(struct worker_status *status, struct device_view *contents)
{
    if (status->n_residents > DEVICE_MAX_RESIDENTS || status->n_residents > status->n_held) {
        return false;
    }
    contents->memory_free = status->free_bytes;
    contents->memory_budget = status->budget;
    contents->evictions = status->evictions;
    contents->n_held = (size_t)status->n_held;
    contents->held_bytes = status->held_bytes;
    contents->n_residents = status->n_residents;
    for (size_t i = 0; i < status->n_residents; i++) {
        struct worker_resident *resident = &status->residents[i];
        struct resident_view *view = &contents->residents[i];
        end_text(resident->content, sizeof resident->content);
        memcpy(view->sha256, resident->content, sizeof view->sha256);
        view->bytes = resident->bytes;
        view->table_bytes = resident->table_bytes;
        view->n_uses = resident->n_uses;
        view->serial = resident->serial;
        view->in_use = resident->in_use != 0;
        view->n_datasets = 0;
    }
    return true;
}

bool worker_progress_check(struct worker_progress *progress)
{
    end_text(progress->stage, sizeof progress->stage);
    return progress->fraction >= 0.0 && progress->fraction <= 1.0;
}

bool worker_list_check(struct device_list *list)
{
    end_text(list->note, sizeof list->note);
    for (size_t i = 0; i < list->n && i < DEVICE_LIST_MOST; i++) {
        end_text(list->devices[i].id, sizeof list->devices[i].id);
        end_text(list->devices[i].name, sizeof list->devices[i].name);
    }
    return list->n <= DEVICE_LIST_MOST;
}
