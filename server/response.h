/* What a route answers, before it becomes libmicrohttpd's. */
#ifndef SERVER_RESPONSE_H
#define SERVER_RESPONSE_H

#include <microhttpd.h>
#include <rejectd/error.h>
#include <stdbool.h>
#include <stdint.h>

struct response {
    int status; /* HTTP; 0 while there is no answer */
    const char *content_type;
    char *body; /* owned; NULL: none, or constant_body, or the file */
    const char *constant_body;
    size_t length;
    bool has_file;
    int file; /* owned */
    uint64_t file_bytes;
    char location[96]; /* "": none */
    char allow[64];
    bool close; /* the connection, after it */
};

void response_clear(struct response *response); /* all-zero is allowed */

/* JSON text that is taken over; NULL becomes a problem: out of memory. */
void respond_json(struct response *response, int status, char *text);
void respond_problem(struct response *response, const struct rejectd_error *error);
void respond_constant(struct response *response, const char *content_type, const char *text,
                      size_t length);
/* A descriptor that is taken over. */
void respond_file(struct response *response, const char *content_type, int file, uint64_t bytes);
void respond_nothing(struct response *response); /* 204 */

/* Queues it, and leaves it empty. */
enum MHD_Result response_queue(struct response *response, struct MHD_Connection *connection);

#endif
