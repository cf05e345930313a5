/*
 * A request on its way, and the table of routes.
 *
 * A request belongs to one thread at a time: the connection's HTTP thread, or, while the
 * connection is suspended, the executor. Only request_wake() may be called by anybody.
 */
#ifndef SERVER_HTTP_REQUEST_H
#define SERVER_HTTP_REQUEST_H

#include "base/buffer.h"
#include "server/http/body.h"
#include "server/http/response.h"
#include "server/identity/principal.h"
#include "server/service.h"
#include "server/uploads/file_upload.h"
#include "server/uploads/upload.h"

struct connection;
struct event_stream;
struct http_server;
struct request;

enum body_kind {
    BODY_NONE,
    BODY_JSON,    /* collected, up to max-json-bytes */
    BODY_SAMPLES, /* streamed into an upload */
    BODY_DATASET, /* JSON, or a file that is streamed */
    BODY_FILE,    /* a file that is streamed */
    BODY_MODEL,   /* a file that is collected, up to max-json-bytes */
};

enum route_thread {
    ROUTE_HTTP,    /* answers at once */
    ROUTE_COMMITS, /* parses a body or commits */
    ROUTE_UPLOADS, /* ends an upload, converts a file, or may have to read a large one whole; a
                      request with a file does, whatever its route */
};

/* Who is let in. A route with an id lets those in who see what it names, and change it only its
 * owner (or an administrator). */
enum route_access {
    ACCESS_USER, /* whoever is known */
    ACCESS_ADMIN,
    ACCESS_OPEN,  /* everybody */
    ACCESS_LOCAL, /* administrators, and whoever is on this machine */
};

struct route {
    const char *method;
    const char *path; /* "/v1/jobs/{}/result": {} is one segment, the id */
    enum body_kind body;
    enum route_thread thread;
    /* Answers. A ROUTE_HTTP route may leave the response empty to be called again after
     * request_wake(), which it has arranged. */
    void (*handle)(struct request *request, struct response *response);
    enum route_access access;
};

enum request_phase {
    REQUEST_NEW,
    REQUEST_BODY,
    REQUEST_REFUSED, /* the body is dropped, then comes the answer */
    REQUEST_WORKING, /* on an executor */
    REQUEST_DONE,    /* the response is there */
};

/* What account.h tells of a request. */
struct request_account {
    const char *method;  /* "other" for one that isn't known; static text */
    int status;          /* of the answer; 0: none yet */
    const char *problem; /* its kind; NULL: none */
    bool waits;          /* on purpose, as ?wait= does: its time says nothing about the service */
    uint64_t bytes_in;
    uint64_t bytes_out;
};

struct request {
    struct service *service;
    struct http_server *server;
    struct MHD_Connection *connection;
    struct connection *record; /* of it; NULL: none */
    char path[160];            /* raw, without query; "" when it was longer */
    char authority[128];       /* of "GET http://authority/path"; "" when there is none */
    size_t uri_length;         /* with all of that */
    const struct route *route;
    char id[RESOURCE_ID_SIZE]; /* of the path */
    char request_id[RESOURCE_REQUEST_SIZE];
    struct request_account account;
    struct principal principal;
    bool is_head;
    enum request_phase phase;
    double started; /* clock_monotonic() */
    uint64_t content_length;
    struct body_facts facts;
    struct buffer body;
    uint64_t body_memory; /* that was taken for it */
    struct upload *upload;
    struct file_upload *file;
    struct executor_task task;
    struct waiter waiter;
    struct event_stream *events; /* that it listens to; NULL: none */
    struct response response;
    bool cut; /* refused, and its body not read */

    /* Under the server's lock. */
    bool suspended;
    bool woken; /* before it was suspended */
};

/* Suspends it until request_wake(); to be called by a handler or the reader of a stream, which then
 * has nothing to answer or to send. When it has been woken before, it is called again at once. */
void request_suspend(struct request *request);
/* Resumes a suspended request, or keeps the next suspension from happening. */
void request_wake(struct request *request);
/* The same, for who calls back with a request as its context. */
void request_wake_callback(void *request);

/* True while the daemon goes on; false when everybody who waits has to be answered. */
bool request_may_wait(const struct request *request);

/* A query argument, percent-decoded; NULL when it isn't there. */
const char *request_argument(const struct request *request, const char *name);
/* ?limit=: 1..RESOURCE_MAX_LIST. */
enum rejectd_status request_limit(const struct request *request, size_t *limit,
                                  struct rejectd_error *error);
/* ?wait=: seconds, 0 when it isn't there. */
enum rejectd_status request_wait(const struct request *request, double *seconds,
                                 struct rejectd_error *error);
/* Whose a resource becomes that this request makes: the principal's, with ?visibility=. */
enum rejectd_status request_ownership(const struct request *request, struct ownership *ownership,
                                      struct rejectd_error *error);
/* Memory for bodies that are collected, given back with the request; false when there is none. */
bool request_take_memory(struct request *request, uint64_t bytes);
/* After it a collected body is complete NUL-terminated text, decoded. */
enum rejectd_status request_check_body(struct request *request, struct rejectd_error *error);
/* A request header; NULL when it isn't there. */
const char *request_header(const struct request *request, const char *name);

/* Finds the route for a method and path. NULL: *allow has the methods the path has, "" for none. */
const struct route *route_find(const char *method, const char *path, char id[RESOURCE_ID_SIZE],
                               char allow[64]);

/* The routes as they are numbered, in no other order than that of the table. */
size_t route_count(void);
const struct route *route_at(size_t index);
size_t route_index(const struct route *route);

void dataset_create(struct request *request, struct response *response);
void dataset_add_file(struct request *request, struct response *response);
void dataset_put_samples(struct request *request, struct response *response);
void dataset_show_upload(struct request *request, struct response *response);
void dataset_list_all(struct request *request, struct response *response);
void dataset_show(struct request *request, struct response *response);
void dataset_remove(struct request *request, struct response *response);

void job_create(struct request *request, struct response *response);
void job_list_all(struct request *request, struct response *response);
void job_show(struct request *request, struct response *response);
/* Without waiting, on any thread. */
void job_show_now(struct request *request, struct response *response);
void job_remove(struct request *request, struct response *response);
void send_events(struct request *request, struct response *response);
/* Of the request that ends; NULL is allowed. */
void event_stream_close(struct service *service, struct event_stream *stream);
/* The job with its progress. */
enum rejectd_status job_look_at(struct service *service, const char *id, struct job_view *job,
                                struct rejectd_error *error);
void job_show_result(struct request *request, struct response *response);
void job_send_labels(struct request *request, struct response *response);
void job_send_cleaned(struct request *request, struct response *response);

void job_send_correlations(struct request *request, struct response *response);
void job_send_reject_log(struct request *request, struct response *response);
void job_send_fif(struct request *request, struct response *response);
void job_send_set(struct request *request, struct response *response);

void estimate_make(struct request *request, struct response *response);

void model_list_all(struct request *request, struct response *response);
void model_show(struct request *request, struct response *response);
void model_create(struct request *request, struct response *response);
void model_send_h5(struct request *request, struct response *response);
void model_remove(struct request *request, struct response *response);

void ownership_patch(struct request *request, struct response *response);

void device_list_all(struct request *request, struct response *response);

void meta_health(struct request *request, struct response *response);
void meta_ready(struct request *request, struct response *response);
void meta_openapi(struct request *request, struct response *response);
void meta_root(struct request *request, struct response *response);

void metrics_show(struct request *request, struct response *response);

#endif
