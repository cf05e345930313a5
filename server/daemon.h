/* The daemon's parts, started in order and stopped in the reverse one. */
#ifndef SERVER_DAEMON_H
#define SERVER_DAEMON_H

#include "server/config.h"

struct daemon;

/*
 * Takes the data directory (making it when it isn't there, refusing it when another rejectd has
 * it), recovers what a crash left, and starts to answer requests and to run jobs. The settings
 * are borrowed. *daemon is owned by the caller: daemon_stop().
 */
enum rejectd_status daemon_start(const struct config *config, struct daemon **daemon,
                                 struct rejectd_error *error);

/* Where it listens: "http://127.0.0.1:8765". Valid until daemon_stop(). */
const char *daemon_url(const struct daemon *daemon);

/* To be called every DAEMON_TICK_MS or so: answers those who have waited long enough. */
enum { DAEMON_TICK_MS = 50 };
void daemon_tick(struct daemon *daemon);

/* Reads again what can be replaced while it runs: the TLS certificate and its key. */
void daemon_reload(struct daemon *daemon);

/* Answers who waits, hands running jobs back to the queue, and frees everything. NULL is allowed.
 */
void daemon_stop(struct daemon *daemon);

#endif
