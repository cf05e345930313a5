/* Whether the head of a request says the same to everybody who reads it. */
#ifndef SERVER_HTTP_FRAMING_H
#define SERVER_HTTP_FRAMING_H

#include <microhttpd.h>
#include <rejectd/error.h>
#include <stdbool.h>
#include <stddef.h>

/* Of a request's head, as libmicrohttpd hands it over. */
struct framing {
    const char *method;
    const char *version;
    size_t uri_length;  /* as it was sent, with the query */
    int content_length; /* how many there are, 0 or 1 after framing_check() */
    int transfer_encoding;
};

/*
 * Refuses what proxies and servers read in different ways, after which one client's body may be
 * another one's request: headers that come twice, that are folded, have blanks before their colon,
 * or bytes in them that end a line for some; both Content-Length and Transfer-Encoding; an unknown
 * version. And what is larger than any request of ours. INVALID_REQUEST names the header.
 */
enum rejectd_status framing_check(struct MHD_Connection *connection, struct framing *framing,
                                  struct rejectd_error *error);

/* Refuses paths with bytes that no URI has. */
enum rejectd_status framing_check_path(const char *path, struct rejectd_error *error);

/* Refuses queries with too many arguments, and arguments that come twice or hold a NUL. */
enum rejectd_status framing_check_query(struct MHD_Connection *connection,
                                        struct rejectd_error *error);

#endif
