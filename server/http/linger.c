#include "server/http/linger.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/clock.h"

enum {
    MOST = 64,       /* connections at the same time */
    TOTAL_TIME = 10, /* seconds that one may linger */
    SILENT_TIME = 2, /* seconds without a byte */
    PIECE = 64 << 10,
};

struct lingering {
    int socket;
    double end;    /* clock_monotonic(), whatever comes */
    double silent; /* and when nothing comes until then */
};

struct http_linger {
    pthread_t thread;
    int wake; /* eventfd */
    pthread_mutex_t lock;
    struct lingering added[MOST]; /* under the lock, until the thread has seen them */
    size_t n_added;
    bool ending;
    struct lingering list[MOST]; /* the thread's */
    size_t n;
    char dropped[PIECE];
};

static double least(double a, double b)
{
    return a < b ? a : b;
}

/* Takes over what was added, as far as there is room. False: end. */
static bool take_added(struct http_linger *linger)
{
    pthread_mutex_lock(&linger->lock);
    for (size_t i = 0; i < linger->n_added; i++) {
        if (linger->n < MOST) {
            linger->list[linger->n++] = linger->added[i];
        } else {
            close(linger->added[i].socket);
        }
    }
    linger->n_added = 0;
    const bool going_on = !linger->ending;
    pthread_mutex_unlock(&linger->lock);
    return going_on;
}

/* True while there may be more to come. */
static bool drop(struct http_linger *linger, struct lingering *one, bool readable, double now)
{
    if (readable) {
        const ssize_t n = recv(one->socket, linger->dropped, PIECE, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            return false;
        }
        one->silent = now + SILENT_TIME;
    }
    return now < least(one->end, one->silent);
}

static void *run(void *context)
{
    struct http_linger *linger = context;
    while (take_added(linger)) {
        struct pollfd polled[MOST + 1] = {{.fd = linger->wake, .events = POLLIN}};
        double next = clock_monotonic() + TOTAL_TIME;
        for (size_t i = 0; i < linger->n; i++) {
            polled[i + 1] = (struct pollfd){.fd = linger->list[i].socket, .events = POLLIN};
            next = least(next, least(linger->list[i].end, linger->list[i].silent));
        }
        const double wait = next - clock_monotonic();
        poll(polled, linger->n + 1, linger->n == 0 ? -1 : wait > 0.0 ? (int)(wait * 1e3) + 1 : 0);
        if (polled[0].revents != 0) {
            uint64_t count;
            (void)!read(linger->wake, &count, sizeof count);
        }
        const double now = clock_monotonic();
        size_t kept = 0;
        for (size_t i = 0; i < linger->n; i++) {
            if (drop(linger, &linger->list[i], polled[i + 1].revents != 0, now)) {
                linger->list[kept++] = linger->list[i];
            } else {
                close(linger->list[i].socket);
            }
        }
        linger->n = kept;
    }
    for (size_t i = 0; i < linger->n; i++) {
        close(linger->list[i].socket);
    }
    return NULL;
}

static void wake(struct http_linger *linger)
{
    const uint64_t one = 1;
    (void)!write(linger->wake, &one, sizeof one);
}

enum rejectd_status linger_open(struct http_linger **linger, struct rejectd_error *error)
{
    *linger = NULL;
    struct http_linger *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    made->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&made->lock, NULL);
    if (made->wake < 0 || pthread_create(&made->thread, NULL, run, made) != 0) {
        if (made->wake >= 0) {
            close(made->wake);
        }
        pthread_mutex_destroy(&made->lock);
        free(made);
        return REJECTD_FAIL(error, REJECTD_UNAVAILABLE, "", "starting a thread failed");
    }
    *linger = made;
    return REJECTD_OK;
}

void linger_close(struct http_linger *linger)
{
    if (linger == NULL) {
        return;
    }
    pthread_mutex_lock(&linger->lock);
    linger->ending = true;
    pthread_mutex_unlock(&linger->lock);
    wake(linger);
    pthread_join(linger->thread, NULL);
    close(linger->wake);
    pthread_mutex_destroy(&linger->lock);
    free(linger);
}

void linger_add(struct http_linger *linger, int socket)
{
    const double now = clock_monotonic();
    pthread_mutex_lock(&linger->lock);
    if (linger->n_added < MOST) {
        const int copy = fcntl(socket, F_DUPFD_CLOEXEC, 0);
        if (copy >= 0) {
            linger->added[linger->n_added++] = (struct lingering){
                .socket = copy, .end = now + TOTAL_TIME, .silent = now + SILENT_TIME};
        }
    }
    pthread_mutex_unlock(&linger->lock);
    wake(linger);
}
