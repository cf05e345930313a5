/*
 * Connections that are closed before all of a request was read: what still comes is read and
 * dropped for a while, because closing over it would be a reset, which takes the answer away from a
 * client, or a proxy, that is still sending.
 */
#ifndef SERVER_HTTP_LINGER_H
#define SERVER_HTTP_LINGER_H

#include <rejectd/error.h>

struct http_linger;

/* *linger is owned by the caller: linger_close(). */
enum rejectd_status linger_open(struct http_linger **linger, struct rejectd_error *error);
/* Closes what is left and frees. NULL is allowed. */
void linger_close(struct http_linger *linger);

/* Any thread. `socket` stays the caller's, who is about to close it: what lingers is a duplicate,
 * until the other side ends or some seconds are over. Does nothing when too many linger already. */
void linger_add(struct http_linger *linger, int socket);

#endif
