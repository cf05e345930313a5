#include "server/notify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/environment.h"

/* A path, or "@" and a name that is in no file system. */
static bool read_address(const char *text, struct notify *notify)
{
    const size_t length = strlen(text);
    if ((text[0] != '/' && text[0] != '@') || length < 2 ||
        length >= sizeof notify->address.sun_path) {
        return false;
    }
    notify->address.sun_family = AF_UNIX;
    memcpy(notify->address.sun_path, text, length);
    if (text[0] == '@') {
        notify->address.sun_path[0] = '\0';
    }
    notify->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    return true;
}

static double read_watchdog(char *const *environment)
{
    const char *microseconds = environment_value(environment, "WATCHDOG_USEC");
    const char *pid = environment_value(environment, "WATCHDOG_PID");
    if (microseconds == NULL || (pid != NULL && strtol(pid, NULL, 10) != (long)getpid())) {
        return 0.0;
    }
    return 1e-6 * (double)strtoull(microseconds, NULL, 10);
}

void notify_open(struct notify *notify, char *const *environment)
{
    const char *text = environment_value(environment, "NOTIFY_SOCKET");
    *notify = (struct notify){.fd = -1};
    if (text != NULL && read_address(text, notify)) {
        notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    }
    if (notify->fd >= 0) {
        notify->watchdog = read_watchdog(environment);
    }
}

void notify_close(struct notify *notify)
{
    if (notify->fd >= 0) {
        close(notify->fd);
        notify->fd = -1;
    }
}

void notify_send(const struct notify *notify, const char *format, ...)
{
    char state[512];
    va_list arguments;
    if (notify->fd < 0) {
        return;
    }
    va_start(arguments, format);
    const int length = vsnprintf(state, sizeof state, format, arguments);
    va_end(arguments);
    if (length > 0) {
        const size_t sent = (size_t)length < sizeof state ? (size_t)length : sizeof state - 1;
        sendto(notify->fd, state, sent, MSG_NOSIGNAL, (const struct sockaddr *)&notify->address,
               notify->length);
    }
}

void notify_reloading(const struct notify *notify)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const int64_t microseconds = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    notify_send(notify, "RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\nSTATUS=reading the settings",
                microseconds);
}
