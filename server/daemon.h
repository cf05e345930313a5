/* The daemon's parts, started in order and stopped in the reverse one. */
#ifndef SERVER_DAEMON_H
#define SERVER_DAEMON_H

#include <stdbool.h>

#include "server/config.h"

struct daemon;

/*
 * Takes the data directory (making it when it isn't there, refusing it when another rejectd has
 * it), recovers what a crash left, and starts to answer requests and to run jobs. The settings
 * are copied; of the environment (a NULL-terminated list of "NAME=value") only what the service
 * manager says counts. *daemon is owned by the caller: daemon_stop().
 */
enum rejectd_status daemon_start(const struct config *config, char *const *environment,
                                 struct daemon **daemon, struct rejectd_error *error);

/* Tells the service manager that it may be used now. */
void daemon_ready(struct daemon *daemon);

/* Where it listens: "http://127.0.0.1:8765". Valid until daemon_stop(). */
const char *daemon_url(const struct daemon *daemon);

/* To be called every DAEMON_TICK_MS or so: answers those who have waited long enough, and the
 * watchdog. */
enum { DAEMON_TICK_MS = 50 };
void daemon_tick(struct daemon *daemon);

/*
 * Takes what can be replaced while it runs: of the settings, which have been read again, those that
 * need no restart (the log names the others), and the TLS certificate and its key. fresh NULL:
 * they could not be read, which *error tells; the old ones stay.
 */
void daemon_reload(struct daemon *daemon, const struct config *fresh,
                   const struct rejectd_error *error);

/*
 * The end is near: no job is begun, and whoever brings new work is refused, while all the rest is
 * answered. Running jobs have drain-seconds.
 */
void daemon_drain(struct daemon *daemon);
/* After daemon_drain(): no job runs any more, or their time is over. */
bool daemon_is_drained(const struct daemon *daemon);

/* Answers who waits, hands running jobs back to the queue, and frees everything. NULL is allowed.
 */
void daemon_stop(struct daemon *daemon);

#endif
