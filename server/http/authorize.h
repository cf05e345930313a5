/* Who sends a request, and whether they may. */
#ifndef SERVER_HTTP_AUTHORIZE_H
#define SERVER_HTTP_AUTHORIZE_H

#include "server/http/request.h"

/*
 * Fills request->principal, and refuses who is not let in (UNAUTHENTICATED), who is but may not do
 * this (FORBIDDEN), and who asks for what is not theirs to see: NOT_FOUND, as if it were not there.
 * For a request whose route is known, at its headers.
 *
 * As long as no token was ever made, whoever is on this machine may do everything: a connection
 * from a loopback address, that names a loopback host (a page in a browser, whose name was made to
 * point here, does not), and that no proxy passed on.
 */
enum rejectd_status authorize(struct request *request, struct rejectd_error *error);

/* Whether it would still be let in: for an answer without an end. request->principal stays. */
enum rejectd_status authorize_again(const struct request *request, struct rejectd_error *error);

/* The same for a resource that a body names: NOT_FOUND at `field` unless the principal sees it. */
enum rejectd_status authorize_use(const struct request *request, const char *id, const char *field,
                                  struct rejectd_error *error);

#endif
