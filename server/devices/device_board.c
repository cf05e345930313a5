/*
 * The rules by which jobs find devices.
 *
 * A GPU takes jobs that wish for "auto", "cuda", "cuda:all" or its own name, and those that wish by
 * name for another one that has lost them or is away: not usable, and not expected back in a
 * moment. The processor takes all others: those that wish for "cpu", and, when all GPUs are away,
 * those for GPUs. Among several GPUs a job is left to an idle one that has its dataset, and a job
 * that a GPU has lost to another one, unless it wishes for that GPU by name.
 */
#include "server/devices/device_board.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TEXT = 1 << 20 };

struct board_device {
    struct device_view view; /* its state is never BUSY: that is a READY one with a job */
    bool awaited;
    uint64_t evictions_told; /* by the process that it has now, in all */
    /* Of the job that it has; "": none. */
    char used_sha256[RESOURCE_SHA256_SIZE];
    char used_by[RESOURCE_ID_SIZE];
    uint64_t last_serial; /* of the residents that its process has told of */
};

struct device_board {
    pthread_mutex_t lock;
    char note[DEVICE_NOTE_SIZE];
    void (*changed)(void *context);
    void *context;
    size_t n;
    struct board_device *devices; /* [n], owned; the processor, then GPUs */
};

bool device_wish_is_any_gpu(const char *wish)
{
    return strcmp(wish, "cuda") == 0 || strcmp(wish, "cuda:all") == 0;
}

bool device_wish_allows(const char *wish, const char *id)
{
    return strcmp(wish, "auto") == 0 || strcmp(wish, id) == 0 ||
           (device_wish_is_any_gpu(wish) && strcmp(id, "cpu") != 0);
}

enum rejectd_status device_board_open(const char *note, struct device_board **board,
                                      struct rejectd_error *error)
{
    struct device_board *made = calloc(1, sizeof *made);
    *board = made;
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    pthread_mutex_init(&made->lock, NULL);
    snprintf(made->note, sizeof made->note, "%s", note);
    return REJECTD_OK;
}

void device_board_close(struct device_board *board)
{
    if (board != NULL) {
        pthread_mutex_destroy(&board->lock);
        free(board->devices);
        free(board);
    }
}

enum rejectd_status device_board_add(struct device_board *board, const char *id, const char *name,
                                     uint64_t memory, enum device_state state,
                                     struct rejectd_error *error)
{
    const size_t bytes = (board->n + 1) * sizeof *board->devices;
    struct board_device *grown = realloc(board->devices, bytes);
    if (grown == NULL) {
        return REJECTD_FAIL_MEMORY(error, bytes);
    }
    board->devices = grown;
    struct board_device *device = &board->devices[board->n++];
    *device = (struct board_device){.view = {.state = state, .memory_total = memory}};
    device->awaited = state == DEVICE_OPENING;
    snprintf(device->view.id, sizeof device->view.id, "%s", id);
    snprintf(device->view.name, sizeof device->view.name, "%s", name);
    snprintf(device->view.kind, sizeof device->view.kind, "%.*s", (int)strcspn(id, ":"), id);
    return REJECTD_OK;
}

void device_board_tell(struct device_board *board, void (*changed)(void *context), void *context)
{
    pthread_mutex_lock(&board->lock);
    board->changed = changed;
    board->context = context;
    pthread_mutex_unlock(&board->lock);
}

/* Under the lock, as all that takes or gives a device. */
static struct board_device *find(struct device_board *board, const char *id)
{
    for (size_t i = 0; i < board->n; i++) {
        if (strcmp(board->devices[i].view.id, id) == 0) {
            return &board->devices[i];
        }
    }
    return NULL;
}

static bool is_gpu(const struct board_device *device)
{
    return device_kind_is_gpu(device->view.kind);
}

static bool is_usable(const struct board_device *device)
{
    return device_state_is_usable(device->view.state);
}

static bool is_idle(const struct board_device *device)
{
    return is_usable(device) && device->view.job[0] == '\0';
}

static bool has_resident(const struct board_device *device, const char *sha256)
{
    for (size_t i = 0; i < device->view.n_residents; i++) {
        if (strcmp(device->view.residents[i].sha256, sha256) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- writing ---- */

static void tell_changed(struct device_board *board)
{
    pthread_mutex_lock(&board->lock);
    void (*changed)(void *context) = board->changed;
    void *context = board->context;
    pthread_mutex_unlock(&board->lock);
    if (changed != NULL) {
        changed(context);
    }
}

void device_board_set_state(struct device_board *board, const char *id, enum device_state state,
                            bool awaited, const char *reason)
{
    pthread_mutex_lock(&board->lock);
    struct board_device *device = find(board, id);
    if (device != NULL) {
        device->view.state = state;
        device->awaited = awaited;
        snprintf(device->view.reason, sizeof device->view.reason, "%s", reason);
        if (!device_state_is_usable(state)) {
            device->view.n_residents = 0;
            device->last_serial = 0;
            device->view.n_held = 0;
            device->view.held_bytes = 0;
            device->view.memory_free = 0;
        }
    }
    pthread_mutex_unlock(&board->lock);
    tell_changed(board);
}

void device_board_count_restart(struct device_board *board, const char *id)
{
    pthread_mutex_lock(&board->lock);
    struct board_device *device = find(board, id);
    if (device != NULL) {
        device->view.restarts++;
        device->evictions_told = 0;
    }
    pthread_mutex_unlock(&board->lock);
}

/* Makes a dataset the last of those of a resident; the first one leaves when there are too many. */
static void add_dataset(struct resident_view *resident, const char *dataset)
{
    char(*datasets)[RESOURCE_ID_SIZE] = resident->datasets;
    size_t at = 0;
    while (at < resident->n_datasets && strcmp(datasets[at], dataset) != 0) {
        at++;
    }
    if (at == resident->n_datasets && at < RESIDENT_MAX_DATASETS) {
        resident->n_datasets++;
    } else {
        at = at < resident->n_datasets ? at : 0;
        memmove(datasets + at, datasets + at + 1,
                (resident->n_datasets - 1 - at) * sizeof datasets[0]);
    }
    snprintf(datasets[resident->n_datasets - 1], sizeof datasets[0], "%s", dataset);
}

static const struct resident_view *find_serial(const struct board_device *device, uint64_t serial)
{
    for (size_t i = 0; i < device->view.n_residents; i++) {
        if (device->view.residents[i].serial == serial) {
            return &device->view.residents[i];
        }
    }
    return NULL;
}

/* Residents as the process tells them, with the datasets that are known of those it had before. The
 * same samples may be there twice, in two precisions say: only what was used since is the job's. */
static void take_residents(struct board_device *device, const struct device_view *contents)
{
    struct resident_view taken[DEVICE_MAX_RESIDENTS];
    uint64_t last_serial = device->last_serial;
    for (size_t i = 0; i < contents->n_residents; i++) {
        struct resident_view *resident = &taken[i];
        *resident = contents->residents[i];
        resident->n_datasets = 0;
        bool used = resident->serial > device->last_serial;
        const struct resident_view *before = find_serial(device, resident->serial);
        if (before != NULL) {
            used = resident->n_uses > before->n_uses;
            resident->n_datasets = before->n_datasets;
            memcpy(resident->datasets, before->datasets, sizeof before->datasets);
        }
        if (used && strcmp(resident->sha256, device->used_sha256) == 0) {
            add_dataset(resident, device->used_by);
        }
        last_serial = resident->serial > last_serial ? resident->serial : last_serial;
    }
    device->last_serial = last_serial;
    device->view.n_residents = contents->n_residents;
    memcpy(device->view.residents, taken, contents->n_residents * sizeof taken[0]);
}

void device_board_set_contents(struct device_board *board, const char *id,
                               const struct device_view *contents)
{
    pthread_mutex_lock(&board->lock);
    struct board_device *device = find(board, id);
    if (device != NULL) {
        device->view.memory_budget = contents->memory_budget;
        device->view.memory_free = contents->memory_free;
        device->view.n_held = contents->n_held;
        device->view.held_bytes = contents->held_bytes;
        take_residents(device, contents);
        /* Fewer than before: they are of another process. */
        const uint64_t before =
            contents->evictions < device->evictions_told ? 0 : device->evictions_told;
        device->view.evictions += contents->evictions - before;
        device->evictions_told = contents->evictions;
    }
    pthread_mutex_unlock(&board->lock);
}

void device_board_begin_job(struct device_board *board, const char *id, const char *job)
{
    pthread_mutex_lock(&board->lock);
    struct board_device *device = find(board, id);
    if (device != NULL) {
        snprintf(device->view.job, sizeof device->view.job, "%s", job);
    }
    pthread_mutex_unlock(&board->lock);
}

void device_board_use(struct device_board *board, const char *id, const char *sha256,
                      const char *dataset)
{
    pthread_mutex_lock(&board->lock);
    struct board_device *device = find(board, id);
    if (device != NULL) {
        snprintf(device->used_sha256, sizeof device->used_sha256, "%s", sha256);
        snprintf(device->used_by, sizeof device->used_by, "%s", dataset);
    }
    pthread_mutex_unlock(&board->lock);
}

void device_board_end_job(struct device_board *board, const char *id, bool done)
{
    pthread_mutex_lock(&board->lock);
    struct board_device *device = find(board, id);
    if (device != NULL) {
        device->view.job[0] = '\0';
        device->view.jobs_done += done;
        device->used_sha256[0] = '\0';
    }
    pthread_mutex_unlock(&board->lock);
}

/* ---- which jobs a device takes ---- */

/* Datasets that other idle GPUs have, and this one has not. */
static void list_elsewhere(const struct device_board *board, const struct board_device *taker,
                           struct buffer *text)
{
    buffer_append_text(text, " ");
    for (size_t i = 0; i < board->n; i++) {
        const struct board_device *device = &board->devices[i];
        if (device == taker || !is_gpu(device) || !is_idle(device)) {
            continue;
        }
        for (size_t r = 0; r < device->view.n_residents; r++) {
            if (!has_resident(taker, device->view.residents[r].sha256)) {
                buffer_append_format(text, "%s ", device->view.residents[r].sha256);
            }
        }
    }
}

static bool has_other_gpu(const struct device_board *board, const struct board_device *taker)
{
    for (size_t i = 0; i < board->n; i++) {
        const struct board_device *device = &board->devices[i];
        if (device != taker && is_gpu(device) && is_usable(device)) {
            return true;
        }
    }
    return false;
}

static bool is_away(const struct board_device *device)
{
    return is_gpu(device) && !is_usable(device) && !device->awaited;
}

/* Wishes that the processor leaves to the GPUs: these, and any of them. */
static void list_wishes_of_gpus(const struct device_board *board, struct buffer *text)
{
    bool any = false;
    buffer_append_text(text, " ");
    for (size_t i = 0; i < board->n; i++) {
        const struct board_device *device = &board->devices[i];
        if (is_gpu(device) && !is_away(device)) {
            buffer_append_format(text, "%s ", device->view.id);
            any = true;
        }
    }
    if (any) {
        buffer_append_text(text, "auto cuda cuda:all ");
    }
}

bool device_board_is_usable(struct device_board *board, const char *id)
{
    pthread_mutex_lock(&board->lock);
    const struct board_device *device = find(board, id);
    const bool usable = device != NULL && is_usable(device);
    pthread_mutex_unlock(&board->lock);
    return usable;
}

bool device_board_serves(struct device_board *board, const char *wish)
{
    pthread_mutex_lock(&board->lock);
    const struct board_device *device = find(board, wish);
    const bool serves = device == NULL || !is_away(device);
    pthread_mutex_unlock(&board->lock);
    return serves;
}

bool device_board_taker(struct device_board *board, const char *id, struct store_taker *taker,
                        struct buffer held[3])
{
    for (int i = 0; i < 3; i++) {
        buffer_init(&held[i], MOST_TEXT);
    }
    *taker = (struct store_taker){.device = id};
    pthread_mutex_lock(&board->lock);
    const struct board_device *device = find(board, id);
    if (device != NULL && is_gpu(device)) {
        buffer_append_format(&held[0], " auto cuda cuda:all %s ", id);
        list_elsewhere(board, device, &held[1]);
        list_wishes_of_gpus(board, &held[2]);
        taker->avoids_lost = has_other_gpu(board, device);
        taker->elsewhere = held[1].data;
    } else {
        list_wishes_of_gpus(board, &held[0]);
        taker->others = true;
    }
    pthread_mutex_unlock(&board->lock);
    taker->wishes = held[0].data;
    taker->gpus = taker->others ? held[0].data : held[2].data;
    return !held[0].failed && !held[1].failed && !held[2].failed;
}

size_t device_board_gpus(struct device_board *board, const char *id, size_t *place)
{
    size_t n = 0;
    *place = 0;
    pthread_mutex_lock(&board->lock);
    for (size_t i = 0; i < board->n; i++) {
        const struct board_device *device = &board->devices[i];
        const bool itself = strcmp(device->view.id, id) == 0;
        if (is_gpu(device) && (itself || is_usable(device))) {
            *place = itself ? n : *place;
            n++;
        }
    }
    pthread_mutex_unlock(&board->lock);
    return n;
}

/* ---- reading ---- */

enum rejectd_status device_board_check_wish(struct device_board *board, const char *wish,
                                            struct rejectd_error *error)
{
    char accepted[200] = "auto, cpu";
    size_t length = strlen(accepted);
    pthread_mutex_lock(&board->lock);
    bool known = strcmp(wish, "auto") == 0 || find(board, wish) != NULL ||
                 (board->n > 1 && device_wish_is_any_gpu(wish));
    for (size_t i = 1; i < board->n && length < sizeof accepted - 40; i++) {
        length += (size_t)snprintf(accepted + length, sizeof accepted - length, "%s, %s",
                                   i == 1 ? ", cuda, cuda:all" : "", board->devices[i].view.id);
    }
    pthread_mutex_unlock(&board->lock);
    if (known) {
        return REJECTD_OK;
    }
    return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "device",
                        "there is no device \"%.31s\"; accepted: %s", wish, accepted);
}

enum rejectd_status device_board_copy(struct device_board *board, struct device_view **views,
                                      size_t *n_views, struct rejectd_error *error)
{
    pthread_mutex_lock(&board->lock);
    const size_t n = board->n;
    struct device_view *copies = calloc(n, sizeof *copies);
    for (size_t i = 0; i < n && copies != NULL; i++) {
        copies[i] = board->devices[i].view;
        if (copies[i].state == DEVICE_READY && copies[i].job[0] != '\0') {
            copies[i].state = DEVICE_BUSY;
        }
    }
    pthread_mutex_unlock(&board->lock);
    *views = copies;
    *n_views = copies == NULL ? 0 : n;
    return copies == NULL ? REJECTD_FAIL_MEMORY(error, n * sizeof *copies) : REJECTD_OK;
}

const char *device_board_note(const struct device_board *board)
{
    return board->note;
}
