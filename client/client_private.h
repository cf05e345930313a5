/* Shared by the files of the client alone: client*.c. */
#ifndef CLIENT_CLIENT_PRIVATE_H
#define CLIENT_CLIENT_PRIVATE_H

#include <curl/curl.h>
#include <rejectd/client.h>

#include "base/buffer.h"

enum { CLIENT_MAX_TEXT = 1 << 30 }; /* of an answer that is kept in memory */

struct rejectd_client {
    CURL *curl;
    char *url;   /* without a slash at the end */
    char *ca;    /* path; NULL: the system's */
    char *token; /* NULL: none */
};

/* One request and where its answer goes. */
struct exchange {
    struct buffer body; /* text of the answer, or of a refusal */
    int file;           /* -1: the answer goes to body */
    CURL *curl;
    bool write_failed;
    bool has_head; /* all headers of the answer came */
    const struct rejectd_transfer *transfer;
    bool is_upload;
    uint64_t done_before; /* of the whole, by earlier requests */

    /* Of an answer that goes to a file. */
    bool begun;
    bool goes_on; /* a part was asked for: what is in the file stays, unless the whole comes */
    uint64_t received;
};

/* A handle set up for one request. */
void client_prepare(struct rejectd_client *client, struct exchange *exchange, const char *path,
                    struct buffer *url);
/* Performs the request. On success the answer is in exchange->body (or the file). */
enum rejectd_status client_perform(struct rejectd_client *client, struct exchange *exchange,
                                   struct rejectd_error *error);

/* libcurl's callbacks: client_line.c */
size_t client_receive_head(char *line, size_t size, size_t count, void *context);
size_t client_receive(char *bytes, size_t size, size_t count, void *context);
int client_report(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                  curl_off_t up);

/* The value of a header of the answer; "" when it has none. Of libcurl's memory. */
const char *client_header(CURL *curl, const char *name);
/* Ends a request in which nothing moves for too long, beside the seconds that the server was asked
 * to wait: one that hangs is as good as none. For what may be tried again, or sends nothing. */
void client_limit_silence(CURL *curl, double waits);
/* Sets up a transfer so that a line which is dead, and not closed, is found out. */
void client_watch_line(CURL *curl, const struct rejectd_transfer *transfer);

/* How long a transfer that breaks is tried again. */
struct patience {
    double seconds;
    double since; /* when more came across for the last time */
    double pause; /* before the next try */
};

/* More came across. */
void patience_renew(struct patience *patience);
/* Waits before the next try, longer each time; false when it was long enough. */
bool patience_wait(struct patience *patience);
/* Of the line, or of a server that is starting, stopping or busy: a next try may do better. */
bool client_may_pass(enum rejectd_status status);

#endif
