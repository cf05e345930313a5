/*
 * The daemon's answer to the service manager's watchdog: it says that all is well only as long as
 * the store answers and no thread of HTTP is stuck. Who says nothing is restarted.
 */
#ifndef SERVER_PULSE_H
#define SERVER_PULSE_H

#include "server/http/server.h"
#include "server/notify.h"

struct pulse;

/* Borrows all of them. Without a watchdog *pulse is NULL, and nothing happens. *pulse is owned by
 * the caller: pulse_close(). */
enum rejectd_status pulse_open(const struct notify *notify, struct service *service,
                               const struct http_server *http, struct pulse **pulse,
                               struct rejectd_error *error);
/* Waits for the store's answer. NULL is allowed. */
void pulse_close(struct pulse *pulse);

/* To be called often, by one thread; never waits. NULL is allowed. */
void pulse_tick(struct pulse *pulse, double now);

#endif
