/*
 * Devices that are none: a module (worker/module.h) over the reference backend, which does harm
 * when it is told to. Tests of the daemon run on it, without any GPU and without CUDA.
 *
 *   REJECTD_FAKE_DEVICES  how many there are (2); "crash": who asks is killed
 *   REJECTD_FAKE_FAULTS   a folder; a file "0-crash" in it has device 0 crash, and so on:
 *
 *     when it is opened      open-fail, open-crash, open-hang
 *     when a job begins      crash, exit, fail, memory, host-memory, hang (its thread), freeze
 *                            (its process), garbage (on the daemon's channel), slow (for as long as
 * the file is there; it goes on reporting)
 *
 * A file that says "once" is removed by the device that obeys it.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "worker/module.h"
#include "worker/reference/reference_backend.h"

enum { MOST_RESIDENTS = 4, MOST_SESSIONS = 16, CHANNEL_FD = 3 };

static const size_t fake_memory = (size_t)1 << 30;

struct backend_device {
    size_t ordinal;
    size_t budget;
    pthread_mutex_t lock;
    size_t n_residents;
    uint64_t n_added, n_evictions;
    struct rejectd_resident residents[MOST_RESIDENTS]; /* the latest used first */
    struct {
        struct backend_session *session;
        char content[REJECTD_CONTENT_SIZE];
    } sessions[MOST_SESSIONS];
};

/* Sessions are closed without their device. One process opens one. */
static struct backend_device *the_device;

/* ---- harm ---- */

static bool told(const struct backend_device *device, const char *fault)
{
    const char *folder = getenv("REJECTD_FAKE_FAULTS");
    char path[512];
    char word[8] = "";
    if (folder == NULL)
        return false;
    snprintf(path, sizeof path, "%.400s/%zu-%s", folder, device->ordinal, fault);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    const size_t n = fread(word, 1, sizeof word - 1, file);
    fclose(file);
    if (n >= 4 && strncmp(word, "once", 4) == 0)
        remove(path);
    return true;
}

static void pass_time(void)
{
    static const struct timespec slice = {.tv_nsec = 10000000};
    nanosleep(&slice, NULL);
}

static void hang(void)
{
    for (;;)
        pass_time();
}

static enum rejectd_status do_harm(const struct backend_device *device,
                                   const struct backend_progress *progress,
                                   struct rejectd_error *error)
{
    static const char garbage[4096] = "this is no message";
    while (told(device, "slow")) {
        pass_time();
        if (progress->advance != NULL && !progress->advance(progress->context, 0.0))
            return REJECTD_FAIL(error, REJECTD_CANCELLED, "", "the work was cancelled");
    }
    if (told(device, "crash"))
        raise(SIGKILL);
    if (told(device, "exit"))
        _exit(3);
    if (told(device, "garbage"))
        (void)!write(CHANNEL_FD, garbage, sizeof garbage);
    if (told(device, "freeze"))
        raise(SIGSTOP);
    if (told(device, "hang"))
        hang();
    if (told(device, "memory"))
        return REJECTD_FAIL(error, REJECTD_DEVICE_MEMORY, "", "the fake device is full");
    if (told(device, "host-memory"))
        return REJECTD_FAIL(error, REJECTD_OUT_OF_MEMORY, "", "there is no memory beside it");
    if (told(device, "fail"))
        return REJECTD_FAIL(error, REJECTD_DEVICE_FAILED, "", "the fake device has failed");
    return REJECTD_OK;
}

/* ---- residents ---- */

static void drop_resident(struct backend_device *device, size_t i)
{
    device->n_residents--;
    memmove(device->residents + i, device->residents + i + 1,
            (device->n_residents - i) * sizeof device->residents[0]);
}

static size_t find_resident(const struct backend_device *device, const char *content)
{
    size_t i = 0;
    while (i < device->n_residents && strcmp(device->residents[i].content, content) != 0)
        i++;
    return i;
}

static void use_resident(struct backend_device *device, const struct backend_samples *samples,
                         struct backend_session *session)
{
    const size_t item = samples->dtype == REJECTD_FLOAT64 ? sizeof(double) : sizeof(float);
    struct rejectd_resident used = {
        .bytes = samples->content_epochs * samples->n_channels * samples->n_times * item,
        .table_bytes = 1000,
        .in_use = true,
    };
    if (samples->content == NULL)
        return;
    snprintf(used.content, sizeof used.content, "%s", samples->content);
    pthread_mutex_lock(&device->lock);
    const size_t i = find_resident(device, used.content);
    if (i < device->n_residents) {
        used.n_uses = device->residents[i].n_uses;
        used.serial = device->residents[i].serial;
        drop_resident(device, i);
    } else {
        used.serial = ++device->n_added;
    }
    if (device->n_residents == MOST_RESIDENTS) {
        device->n_residents--;
        device->n_evictions++;
    }
    used.n_uses++;
    memmove(device->residents + 1, device->residents,
            device->n_residents * sizeof device->residents[0]);
    device->residents[0] = used;
    device->n_residents++;
    for (size_t s = 0; s < MOST_SESSIONS; s++)
        if (device->sessions[s].session == NULL) {
            device->sessions[s].session = session;
            memcpy(device->sessions[s].content, used.content, sizeof used.content);
            break;
        }
    pthread_mutex_unlock(&device->lock);
}

static void leave_resident(struct backend_device *device, const struct backend_session *session)
{
    pthread_mutex_lock(&device->lock);
    for (size_t s = 0; s < MOST_SESSIONS; s++)
        if (device->sessions[s].session == session) {
            const size_t i = find_resident(device, device->sessions[s].content);
            if (i < device->n_residents)
                device->residents[i].in_use = false;
            device->sessions[s].session = NULL;
        }
    pthread_mutex_unlock(&device->lock);
}

/* ---- backend ---- */

static enum rejectd_status fake_session_open(const struct backend_samples *samples,
                                             const struct backend_options *options,
                                             struct backend_session **session,
                                             struct rejectd_error *error)
{
    *session = NULL;
    if (options->device == NULL)
        return REJECTD_FAIL(error, REJECTD_INTERNAL, "", "a session without a device");
    enum rejectd_status status = do_harm(options->device, &options->progress, error);
    if (status == REJECTD_OK)
        status = reference_backend.open(samples, options, session, error);
    if (status == REJECTD_OK)
        use_resident(options->device, samples, *session);
    return status;
}

static void fake_session_close(struct backend_session *session)
{
    if (session != NULL)
        leave_resident(the_device, session);
    reference_backend.close(session);
}

/* ---- module ---- */

static size_t fake_count(char *note, size_t note_size)
{
    const char *wanted = getenv("REJECTD_FAKE_DEVICES");
    if (wanted != NULL && strcmp(wanted, "crash") == 0)
        raise(SIGKILL);
    const unsigned long n = wanted != NULL ? strtoul(wanted, NULL, 10) : 2;
    snprintf(note, note_size, n > 0 ? "fake devices for tests" : "no fake device is wanted");
    return n;
}

static enum rejectd_status fake_inform(size_t ordinal, struct rejectd_device_info *info,
                                       struct rejectd_error *error)
{
    (void)error;
    snprintf(info->name, sizeof info->name, "fake device %zu", ordinal);
    info->memory = fake_memory;
    return REJECTD_OK;
}

static enum rejectd_status fake_open(size_t ordinal, size_t budget, struct backend_device **device,
                                     struct rejectd_error *error)
{
    *device = NULL;
    struct backend_device *made = calloc(1, sizeof *made);
    if (made == NULL)
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    made->ordinal = ordinal;
    made->budget = budget > 0 ? budget : fake_memory;
    if (told(made, "open-crash"))
        raise(SIGKILL);
    if (told(made, "open-hang"))
        hang();
    if (told(made, "open-fail")) {
        free(made);
        return REJECTD_FAIL(error, REJECTD_DEVICE_FAILED, "", "the fake device can't be opened");
    }
    pthread_mutex_init(&made->lock, NULL);
    the_device = made;
    *device = made;
    return REJECTD_OK;
}

static void fake_close(struct backend_device *device)
{
    if (device != NULL) {
        pthread_mutex_destroy(&device->lock);
        free(device);
    }
}

static void fake_memory_of(struct backend_device *device, size_t *free_bytes, size_t *budget)
{
    size_t used = 0;
    pthread_mutex_lock(&device->lock);
    for (size_t i = 0; i < device->n_residents; i++)
        used += device->residents[i].bytes;
    pthread_mutex_unlock(&device->lock);
    *budget = device->budget;
    *free_bytes = fake_memory - used;
}

static size_t fake_residents(struct backend_device *device, struct rejectd_resident *residents,
                             size_t capacity)
{
    pthread_mutex_lock(&device->lock);
    const size_t n = device->n_residents;
    memcpy(residents, device->residents, (n < capacity ? n : capacity) * sizeof *residents);
    pthread_mutex_unlock(&device->lock);
    return n;
}

static void fake_forget(struct backend_device *device, const char *content)
{
    pthread_mutex_lock(&device->lock);
    const size_t i = find_resident(device, content);
    if (i < device->n_residents)
        drop_resident(device, i);
    pthread_mutex_unlock(&device->lock);
}

static uint64_t fake_evictions(struct backend_device *device)
{
    pthread_mutex_lock(&device->lock);
    const uint64_t n = device->n_evictions;
    pthread_mutex_unlock(&device->lock);
    return n;
}

static uint64_t fake_shortages(struct backend_device *device)
{
    (void)device;
    return 0;
}

backend_module_function rejectd_backend_module;

const struct backend_module *rejectd_backend_module(void)
{
    static struct backend backend;
    static const struct backend_module module = {
        .version = BACKEND_VERSION,
        .backend = &backend,
        .count = fake_count,
        .inform = fake_inform,
        .open = fake_open,
        .close = fake_close,
        .memory = fake_memory_of,
        .residents = fake_residents,
        .forget = fake_forget,
        .evictions = fake_evictions,
        .shortages = fake_shortages,
    };
    backend = reference_backend;
    backend.name = "fake";
    backend.open = fake_session_open;
    backend.close = fake_session_close;
    return &module;
}
