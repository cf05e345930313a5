/*
 * What the service manager is told: sd_notify(3), one datagram each.
 *
 * Without $NOTIFY_SOCKET everything here does nothing. A manager that can't be told is no error:
 * it will find out.
 */
#ifndef SERVER_NOTIFY_H
#define SERVER_NOTIFY_H

#include <sys/socket.h>
#include <sys/un.h>

struct notify {
    int fd; /* -1: nobody is told */
    struct sockaddr_un address;
    socklen_t length;
    double watchdog; /* seconds within which it wants to hear that all is well; 0: it doesn't */
};

/* environment: a NULL-terminated list of "NAME=value", of which NOTIFY_SOCKET, WATCHDOG_USEC and
 * WATCHDOG_PID count. */
void notify_open(struct notify *notify, char *const *environment);
void notify_close(struct notify *notify);

/* state: lines as "READY=1\nSTATUS=..."; at most 500 bytes. Never waits. */
void notify_send(const struct notify *notify, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* RELOADING=1, with the time that the manager wants with it. READY=1 must follow. */
void notify_reloading(const struct notify *notify);

#endif
