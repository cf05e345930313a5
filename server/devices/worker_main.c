/*
 * Two threads: the first listens to the daemon, the second opens the device and computes. So pings
 * are answered and jobs cancelled while the device is busy, and the process ends when the channel
 * does, at the next report of the numerics.
 *
 * A device that has failed (a sticky CUDA error) poisons the process: it says so and ends, and the
 * daemon starts another.
 */
#include "server/devices/worker_main.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/devices/worker_job.h"

struct worker {
    struct worker_channel channel;
    pthread_mutex_t sending; /* held while a message is sent */
    struct rejectd_devices *devices;
    struct rejectd_device *device;
    size_t memory;
    struct worker_site site;
    atomic_bool opened;

    pthread_mutex_t lock; /* for the rest */
    pthread_cond_t changed;
    struct worker_order *order; /* the job that is to be computed next */
    bool ending;
};

static enum rejectd_status send_message(void *context, enum worker_message type,
                                        const struct iovec *parts, size_t n_parts,
                                        struct rejectd_error *error)
{
    struct worker *worker = context;
    pthread_mutex_lock(&worker->sending);
    const enum rejectd_status status =
        worker_channel_send(&worker->channel, type, parts, n_parts, -1, error);
    pthread_mutex_unlock(&worker->sending);
    return status;
}

static enum rejectd_status send_outcome(struct worker *worker, enum worker_message type,
                                        enum rejectd_status status,
                                        const struct rejectd_error *error)
{
    struct worker_outcome outcome;
    struct rejectd_error ignored;
    worker_outcome_pack(status, error, &outcome);
    return send_message(worker, type, &(struct iovec){&outcome, sizeof outcome}, 1, &ignored);
}

static enum rejectd_status send_status(struct worker *worker, struct rejectd_error *error)
{
    struct worker_status status = {0};
    if (atomic_load(&worker->opened)) {
        worker_status_pack(worker->device, &status);
    }
    return send_message(worker, WORKER_STATUS, &(struct iovec){&status, sizeof status}, 1, error);
}

/* ---- the thread that computes ---- */

static struct worker_order *next_order(struct worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    while (worker->order == NULL && !worker->ending) {
        pthread_cond_wait(&worker->changed, &worker->lock);
    }
    struct worker_order *order = worker->order;
    worker->order = NULL;
    pthread_mutex_unlock(&worker->lock);
    return order;
}

static void *compute_main(void *argument)
{
    struct worker *worker = argument;
    struct worker_order *order;
    struct rejectd_error error = {0};
    enum rejectd_status status = rejectd_device_open(worker->device, worker->memory, &error);
    bool usable = status == REJECTD_OK;
    atomic_store(&worker->opened, usable);
    if (usable) {
        send_status(worker, &error);
    }
    send_outcome(worker, WORKER_OPENED, status, &error);
    while (usable && (order = next_order(worker)) != NULL) {
        status = worker_order_run(order, &worker->site, &error);
        worker_order_free(order);
        usable = status != REJECTD_DEVICE_FAILED;
        if (usable) {
            struct rejectd_error ignored;
            send_status(worker, &ignored);
        }
        send_outcome(worker, WORKER_DONE, status, &error);
    }
    /* Wakes the other thread if it is the device that ended this one. */
    shutdown(worker->channel.fd, SHUT_RD);
    return NULL;
}

/* ---- the thread that listens ---- */

static enum rejectd_status take_order(struct worker *worker, uint64_t length, int fd,
                                      struct rejectd_error *error)
{
    struct worker_order *order = NULL;
    const enum rejectd_status status =
        worker_order_receive(&worker->channel, length, fd, &order, error);
    if (status == REJECTD_OK) {
        pthread_mutex_lock(&worker->lock);
        worker_order_free(worker->order);
        worker->order = order;
        atomic_store(&worker->site.cancelled, false);
        pthread_cond_signal(&worker->changed);
        pthread_mutex_unlock(&worker->lock);
    }
    return status;
}

/* What is in use leaves the list too, and goes when its session does. */
static void forget_everything(const struct rejectd_device *device)
{
    struct rejectd_resident residents[DEVICE_MAX_RESIDENTS];
    bool any = true;
    while (any) {
        size_t n = rejectd_device_residents(device, residents, DEVICE_MAX_RESIDENTS);
        n = n < DEVICE_MAX_RESIDENTS ? n : DEVICE_MAX_RESIDENTS;
        any = false;
        for (size_t i = 0; i < n; i++) {
            if (residents[i].content[0] != '\0') {
                rejectd_device_forget(device, residents[i].content);
                any = true;
            }
        }
    }
}

static enum rejectd_status forget(struct worker *worker, uint64_t length,
                                  struct rejectd_error *error)
{
    char contents[FORGET_MOST][REJECTD_CONTENT_SIZE];
    const size_t n = (size_t)length / sizeof contents[0];
    enum rejectd_status status =
        worker_channel_receive(&worker->channel, contents, n * sizeof contents[0], error);
    if (status != REJECTD_OK) {
        return status;
    }
    const bool opened = atomic_load(&worker->opened);
    for (size_t i = 0; i < n && opened; i++) {
        contents[i][sizeof contents[i] - 1] = '\0';
        rejectd_device_forget(worker->device, contents[i]);
    }
    if (n == 0 && opened) {
        forget_everything(worker->device);
    }
    return send_status(worker, error);
}

/* Until the channel ends, one way or the other. */
static void listen_to_daemon(struct worker *worker)
{
    struct rejectd_error error = {0};
    enum rejectd_status status = REJECTD_OK;
    while (status == REJECTD_OK) {
        struct worker_header header;
        int fd = -1;
        status = worker_channel_receive_header(&worker->channel, &header, &fd, &error);
        if (status != REJECTD_OK) {
            return;
        }
        if (fd >= 0 && header.type != WORKER_JOB) {
            close(fd);
        }
        if (!worker_message_fits(&header)) {
            return;
        }
        switch ((enum worker_message)header.type) {
        case WORKER_JOB:
            status = take_order(worker, header.length, fd, &error);
            break;
        case WORKER_CANCEL:
            atomic_store(&worker->site.cancelled, true);
            break;
        case WORKER_PING:
            status = send_status(worker, &error);
            break;
        case WORKER_FORGET:
            status = forget(worker, header.length, &error);
            break;
        default:
            return;
        }
    }
}

static enum rejectd_status work(struct worker *worker, struct rejectd_error *error)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, compute_main, worker) != 0) {
        return REJECTD_FAIL(error, REJECTD_UNAVAILABLE, "", "a thread cannot be started");
    }
    listen_to_daemon(worker);
    atomic_store(&worker->site.cancelled, true);
    pthread_mutex_lock(&worker->lock);
    worker->ending = true;
    pthread_cond_signal(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
    pthread_join(thread, NULL);
    worker_order_free(worker->order);
    return REJECTD_OK;
}

/* ---- flags ---- */

struct flags {
    const char *device;
    const char *module;
    const char *channel;
    const char *daemon;
    const char *memory;
    const char *threads;
};

static enum rejectd_status read_flags(int argc, char *const *argv, struct flags *flags,
                                      struct rejectd_error *error)
{
    const struct {
        const char *name;
        const char **value;
    } known[] = {
        {"--device", &flags->device},   {"--cuda-module", &flags->module},
        {"--channel", &flags->channel}, {"--daemon", &flags->daemon},
        {"--memory", &flags->memory},   {"--threads", &flags->threads},
    };
    for (int i = 1; i + 1 < argc; i += 2) {
        for (size_t k = 0; k < sizeof known / sizeof known[0]; k++) {
            if (strcmp(argv[i], known[k].name) == 0) {
                *known[k].value = argv[i + 1];
            }
        }
    }
    if (flags->channel == NULL || flags->daemon == NULL) {
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "",
                            "\"rejectd worker\" is started by rejectd itself, with --channel and "
                            "--daemon");
    }
    return REJECTD_OK;
}

static unsigned long long number_of(const char *text)
{
    return text == NULL ? 0 : strtoull(text, NULL, 10);
}

/* Whatever this process is doing, it goes when the daemon goes. False when that has gone already.
 */
static bool end_with_daemon(const struct flags *flags)
{
    return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 &&
           (unsigned long long)getppid() == number_of(flags->daemon);
}

static enum rejectd_status send_list(struct worker *worker, struct rejectd_error *error)
{
    struct device_list list;
    device_list_fill(worker->devices, &list);
    return send_message(worker, WORKER_LISTED, &(struct iovec){&list, sizeof list}, 1, error);
}

static enum rejectd_status serve(struct worker *worker, const struct flags *flags,
                                 struct rejectd_error *error)
{
    const char *note = rejectd_devices_note(worker->devices);
    worker->device = rejectd_devices_find(worker->devices, flags->device);
    if (worker->device == NULL) { /* though it was there when the daemon looked */
        struct rejectd_error gone;
        const enum rejectd_status status =
            REJECTD_FAIL(&gone, REJECTD_DEVICE_FAILED, "", "there is no device %.31s: %.200s",
                         flags->device, note);
        return send_outcome(worker, WORKER_OPENED, status, &gone);
    }
    worker->site = (struct worker_site){
        .device = worker->device,
        .note = note,
        .n_threads = (int)number_of(flags->threads),
        .send = send_message,
        .context = worker,
    };
    return work(worker, error);
}

enum rejectd_status worker_main(int argc, char *const *argv, struct rejectd_error *error)
{
    struct flags flags = {0};
    struct worker worker = {.channel = {.fd = -1}};
    enum rejectd_status status = read_flags(argc, argv, &flags, error);
    if (status == REJECTD_OK && !end_with_daemon(&flags)) {
        return REJECTD_OK;
    }
    if (status == REJECTD_OK) {
        status = rejectd_devices_open(flags.module, &worker.devices, error);
    }
    if (status != REJECTD_OK) {
        return status;
    }
    /* Who stops the service tells all of its processes; this one ends with the daemon's. */
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    worker.channel.fd = (int)number_of(flags.channel);
    worker.memory = (size_t)number_of(flags.memory);
    pthread_mutex_init(&worker.sending, NULL);
    pthread_mutex_init(&worker.lock, NULL);
    pthread_cond_init(&worker.changed, NULL);
    status = flags.device == NULL ? send_list(&worker, error) : serve(&worker, &flags, error);
    pthread_cond_destroy(&worker.changed);
    pthread_mutex_destroy(&worker.lock);
    pthread_mutex_destroy(&worker.sending);
    rejectd_devices_close(worker.devices);
    return status;
}
