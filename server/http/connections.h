/*
 * The connections that are open, what each of them is doing, and how long it may take for it.
 *
 * libmicrohttpd's own timeout is one of inactivity: a client that sends a byte per second outlives
 * it. So each connection has a record with a deadline, and connections_sweep() shuts the socket of
 * those that have passed it. libmicrohttpd then finds the connection at its end, and closes it.
 *
 * A record lives from libmicrohttpd's notice that a connection started until its notice that it
 * is closed, which comes before the socket is; both, and the sweep, hold the lock. So a socket
 * that is shut is never another one that got the same number.
 */
#ifndef SERVER_HTTP_CONNECTIONS_H
#define SERVER_HTTP_CONNECTIONS_H

#include <stdint.h>

#include "server/config.h"
#include "server/http/addresses.h"

struct connections;
struct connection;
struct tls;
struct tls_identity;

enum connection_phase {
    CONNECTION_IDLE,      /* TLS handshake, or nothing yet of the next request */
    CONNECTION_HEADERS,   /* the request line is there */
    CONNECTION_BODY,      /* of a request: must come at the least rate */
    CONNECTION_WORKING,   /* the daemon's turn, or an answer that goes on as long as it likes */
    CONNECTION_ANSWERING, /* the answer must be taken at the least rate */
};

/* Why a connection is not to be served. */
enum connection_refusal {
    CONNECTION_ACCEPTED,
    CONNECTION_TOO_MANY,     /* all in all */
    CONNECTION_TOO_MANY_FOR, /* this address */
};

/* The settings and `tls`, NULL for none, are borrowed. *connections is owned by the caller:
 * connections_close(). */
enum rejectd_status connections_open(const struct config *config, struct tls *tls,
                                     struct connections **connections, struct rejectd_error *error);
/* Takes timeouts, rates and limits of addresses and memory from other settings, borrowed, from now
 * on. Any thread. */
void connections_configure(struct connections *connections, const struct config *config);
/* When none is left. NULL is allowed. */
void connections_close(struct connections *connections);

/* How many may be served. May be lower than was set, when the process may not open more files. */
size_t connections_limit(const struct connections *connections);

/* A connection begins; NULL when there is no memory for it, and the socket is shut. */
struct connection *connection_add(struct connections *connections, int socket,
                                  const struct address *address);
void connection_remove(struct connections *connections, struct connection *connection);

/* The rest may be called with connection NULL. */

enum connection_refusal connection_refused(const struct connection *connection);

/* What it does from now on; seconds until it must be done with that, 0 for no deadline. */
void connection_enter(struct connection *connection, enum connection_phase phase, double seconds);

/* Of all connections; the connection must be there. */
struct tls *connection_tls(const struct connection *connection);

/* The identity that a TLS connection was greeted with; borrowed, kept for the caller. */
struct tls_identity *connection_identity(const struct connection *connection);
void connection_set_identity(struct connection *connection, struct tls_identity *identity);

/* Shuts those whose time is over; returns how many. To be called about once a second. */
size_t connections_sweep(struct connections *connections, double now);

/*
 * Memory for bodies that are collected. True when `bytes` of it were taken; they must be given
 * back. Large bodies leave a quarter of it to small ones, so that jobs can be submitted while
 * somebody posts large datasets as JSON.
 */
bool connections_take_memory(struct connections *connections, uint64_t bytes);
void connections_give_memory(struct connections *connections, uint64_t bytes);

#endif
