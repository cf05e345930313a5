/*
 * Files to the server and from it, over lines that break.
 *
 * An upload of samples that may be tried again is sent as one piece of itself (Content-Range): the
 * server keeps what has come of it, and tells how much that is. A download goes on where it broke
 * off, as long as the server has the same (If-Range), and else begins anew.
 *
 * Patience: each time more has come across, the waiting begins anew; who has got nowhere for that
 * many seconds gives up.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "client/client_private.h"
#include "client/compress.h"
#include "protocol/resource_json.h"

enum {
    DEAD_LINE_MS = 60000, /* what was sent is not acknowledged for so long */
    SILENT_SECONDS = 60,  /* nothing moves, in a transfer that may be tried again */
};

/* ---- libcurl's callbacks ---- */

static long status_of(CURL *curl)
{
    long code = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
    return code;
}

/* The value of a header of the answer; "" when it has none. Of libcurl's memory. */
static const char *header_of(CURL *curl, const char *name)
{
    struct curl_header *header;
    return curl_easy_header(curl, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK ? header->value
                                                                                   : "";
}

/* The whole comes, though a part was asked for: what is in the file already goes. */
static bool begin_answer(struct exchange *exchange)
{
    const struct rejectd_transfer *transfer = exchange->transfer;
    exchange->begun = true;
    if (exchange->goes_on && status_of(exchange->curl) == 200) {
        exchange->done_before = 0;
        if (ftruncate(exchange->file, 0) != 0 || lseek(exchange->file, 0, SEEK_SET) != 0)
            return false;
    }
    if (transfer != NULL && transfer->begun != NULL)
        transfer->begun(transfer->context, header_of(exchange->curl, "ETag"));
    return true;
}

/* libcurl is content with headers that break off; they end with an empty line, and begin anew after
 * a "100 Continue". */
size_t client_receive_head(char *line, size_t size, size_t count, void *context)
{
    struct exchange *exchange = context;
    exchange->has_head = size * count == 2 && memcmp(line, "\r\n", 2) == 0;
    return size * count;
}

size_t client_receive(char *bytes, size_t size, size_t count, void *context)
{
    struct exchange *exchange = context;
    const size_t n = size * count;
    if (exchange->file < 0 || status_of(exchange->curl) >= 400) {
        buffer_append(&exchange->body, bytes, n);
        return exchange->body.failed ? 0 : n;
    }
    if (!exchange->begun && !begin_answer(exchange)) {
        exchange->write_failed = true;
        return 0;
    }
    for (size_t done = 0; done < n;) {
        ssize_t written = write(exchange->file, bytes + done, n - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            exchange->write_failed = true;
            return 0;
        }
        done += (size_t)written;
        exchange->received += (uint64_t)written;
    }
    return n;
}

int client_report(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                  curl_off_t up)
{
    const struct exchange *exchange = context;
    const struct rejectd_transfer *transfer = exchange->transfer;
    const uint64_t total = (uint64_t)(exchange->is_upload ? up_total : down_total);
    const uint64_t done = (uint64_t)(exchange->is_upload ? up : down);
    return total == 0 || transfer->report(transfer->context, exchange->done_before + done,
                                          exchange->done_before + total)
               ? 0
               : 1;
}

static size_t read_file(char *bytes, size_t size, size_t count, void *context)
{
    const int *file = context;
    ssize_t n;
    do
        n = read(*file, bytes, size * count);
    while (n < 0 && errno == EINTR);
    return n < 0 ? CURL_READFUNC_ABORT : (size_t)n;
}

/* A line that is dead, and not closed, is found out. */
static int set_socket(void *context, curl_socket_t socket, curlsocktype purpose)
{
    const unsigned dead = DEAD_LINE_MS;
    (void)context;
    (void)purpose;
    setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead, sizeof dead);
    return CURL_SOCKOPT_OK;
}

static void watch_line(CURL *curl, const struct rejectd_transfer *transfer)
{
    if (transfer != NULL && transfer->retry_seconds > 0.0) {
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)SILENT_SECONDS);
    }
    curl_easy_setopt(curl, CURLOPT_SOCKOPTFUNCTION, set_socket);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPIDLE, 30L);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPINTVL, 10L);
}

/* ---- trying again ---- */

struct patience {
    double seconds;
    double since; /* when more came across for the last time */
    double pause; /* before the next try */
};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void patience_renew(struct patience *patience)
{
    patience->since = now();
    patience->pause = 0.1;
}

/* Waits before the next try, longer each time; false when it was long enough. */
static bool patience_wait(struct patience *patience)
{
    static const double longest = 5.0;
    if (now() - patience->since + patience->pause > patience->seconds)
        return false;
    const struct timespec pause = {
        .tv_sec = (time_t)patience->pause,
        .tv_nsec = (long)(1e9 * (patience->pause - (double)(time_t)patience->pause)),
    };
    nanosleep(&pause, NULL);
    patience->pause = 2 * patience->pause < longest ? 2 * patience->pause : longest;
    return true;
}

/* Of the line, or of a server that is starting, stopping or busy. */
static bool may_pass(enum rejectd_status status)
{
    return status == REJECTD_IO || status == REJECTD_UNAVAILABLE ||
           status == REJECTD_OUT_OF_MEMORY || status == REJECTD_TOO_MANY_REQUESTS;
}

/* ---- uploads ---- */

/* What is sent of a file. */
struct sending {
    const char *method, *resource;
    int file; /* is read from where it stands */
    uint64_t size;
    const char *headers[3]; /* beside the content type; NULL: no more */
    uint64_t before;        /* bytes that are there already */
};

static enum rejectd_status send_body(struct rejectd_client *client, const struct sending *sending,
                                     const struct rejectd_transfer *transfer, struct buffer *answer,
                                     struct rejectd_error *error)
{
    struct exchange exchange = {
        .file = -1, .transfer = transfer, .is_upload = true, .done_before = sending->before};
    struct buffer url;
    int file = sending->file;
    client_prepare(client, &exchange, sending->resource, &url);
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/octet-stream");
    for (size_t i = 0; i < 3 && sending->headers[i] != NULL; i++)
        headers = curl_slist_append(headers, sending->headers[i]);
    watch_line(client->curl, transfer);
    curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(client->curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(client->curl, CURLOPT_CUSTOMREQUEST, sending->method);
    curl_easy_setopt(client->curl, CURLOPT_UPLOAD_BUFFERSIZE, 1L << 20);
    curl_easy_setopt(client->curl, CURLOPT_READFUNCTION, read_file);
    curl_easy_setopt(client->curl, CURLOPT_READDATA, &file);
    curl_easy_setopt(client->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)sending->size);
    enum rejectd_status status = client_perform(client, &exchange, error);
    curl_slist_free_all(headers);
    *answer = exchange.body;
    buffer_free(&url);
    return status;
}

static enum rejectd_status open_source(const char *path, int *file, uint64_t *size,
                                       struct rejectd_error *error)
{
    struct stat about;
    *file = open(path, O_RDONLY | O_CLOEXEC);
    if (*file < 0 || fstat(*file, &about) != 0) {
        const int reason = errno;
        if (*file >= 0)
            close(*file);
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, path, "cannot be opened: %s",
                            strerror(reason));
    }
    *size = (uint64_t)about.st_size;
    return REJECTD_OK;
}

/* Sends a file as it is, or compressed: its length must be known before it is sent. On success the
 * answer is the caller's to free. */
static enum rejectd_status send_file(struct rejectd_client *client, const char *method,
                                     const char *resource, const char *path,
                                     const struct rejectd_transfer *transfer, struct buffer *answer,
                                     struct rejectd_error *error)
{
    struct sending sending = {.method = method, .resource = resource};
    buffer_init(answer, 0);
    enum rejectd_status status = open_source(path, &sending.file, &sending.size, error);
    if (status != REJECTD_OK)
        return status;
    if (transfer != NULL && transfer->compress) {
        int packed;
        status = compress_file(sending.file, &packed, &sending.size, error);
        close(sending.file);
        if (status != REJECTD_OK)
            return status;
        sending.file = packed;
        sending.headers[0] = "Content-Encoding: zstd";
    }
    status = send_body(client, &sending, transfer, answer, error);
    close(sending.file);
    return status;
}

/* ---- samples ---- */

/* How much of the samples the server has. */
struct place {
    uint64_t offset;
    bool complete;
};

static enum rejectd_status ask_place(struct rejectd_client *client, const char *resource,
                                     struct place *place, struct rejectd_error *error)
{
    struct exchange exchange = {.file = -1};
    struct buffer url;
    client_prepare(client, &exchange, resource, &url);
    watch_line(client->curl, NULL);
    curl_easy_setopt(client->curl, CURLOPT_NOBODY, 1L);
    const enum rejectd_status status = client_perform(client, &exchange, error);
    if (status == REJECTD_OK) {
        place->offset = strtoull(header_of(client->curl, "Upload-Offset"), NULL, 10);
        place->complete = strcmp(header_of(client->curl, "Upload-Complete"), "?1") == 0;
    }
    buffer_free(&exchange.body);
    buffer_free(&url);
    return status;
}

/* All from the offset on, as the last piece. */
static enum rejectd_status send_rest(struct rejectd_client *client, struct sending *sending,
                                     uint64_t offset, uint64_t total,
                                     const struct rejectd_transfer *transfer,
                                     struct rejectd_error *error)
{
    char range[96];
    struct buffer answer;
    snprintf(range, sizeof range, "Content-Range: bytes %llu-%llu/%llu", (unsigned long long)offset,
             (unsigned long long)(total - 1), (unsigned long long)total);
    if (lseek(sending->file, (off_t)offset, SEEK_SET) < 0)
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "", "the file cannot be read again: %s",
                            strerror(errno));
    sending->headers[0] = range;
    sending->size = total - offset;
    sending->before = offset;
    const enum rejectd_status status = send_body(client, sending, transfer, &answer, error);
    buffer_free(&answer);
    return status;
}

/* After a failure: waits, and asks where to go on. False: the failure stands, or, when *place is
 * complete, it was one of the answer alone. */
static bool find_place(struct rejectd_client *client, const char *resource,
                       struct patience *patience, struct place *place)
{
    struct rejectd_error error;
    const uint64_t before = place->offset;
    for (;;) {
        if (!patience_wait(patience))
            return false;
        const enum rejectd_status status = ask_place(client, resource, place, &error);
        if (status == REJECTD_OK)
            break;
        if (!may_pass(status))
            return false;
    }
    if (place->offset > before)
        patience_renew(patience);
    return !place->complete;
}

/* What was sent is of one file, and what follows would be of another. */
static enum rejectd_status check_unchanged(int file, const struct stat *before,
                                           struct rejectd_error *error)
{
    struct stat about;
    const bool same = fstat(file, &about) == 0 && about.st_size == before->st_size &&
                      about.st_mtim.tv_sec == before->st_mtim.tv_sec &&
                      about.st_mtim.tv_nsec == before->st_mtim.tv_nsec;
    return same ? REJECTD_OK
                : REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "",
                               "the file has changed while it was sent");
}

/* CONFLICT: an earlier connection is not known to be dead yet, or had brought more than was told.
 */
static enum rejectd_status send_pieces(struct rejectd_client *client, struct sending *sending,
                                       const struct stat *before,
                                       const struct rejectd_transfer *transfer,
                                       struct rejectd_error *error)
{
    const uint64_t total = sending->size;
    struct patience patience = {.seconds = transfer->retry_seconds};
    struct place place = {0};
    bool again = false;
    patience_renew(&patience);
    for (;;) {
        const enum rejectd_status status =
            send_rest(client, sending, place.offset, total, transfer, error);
        if (!may_pass(status) && !(again && status == REJECTD_CONFLICT))
            return status;
        if (check_unchanged(sending->file, before, error) != REJECTD_OK)
            return REJECTD_INVALID_REQUEST;
        again = true;
        if (!find_place(client, sending->resource, &patience, &place))
            return place.complete ? REJECTD_OK : status;
        if (place.offset >= total)
            return REJECTD_FAIL(error, REJECTD_CONFLICT, "",
                                "the server has more of the samples than the file");
    }
}

static enum rejectd_status send_again(struct rejectd_client *client, struct sending *sending,
                                      const struct rejectd_transfer *transfer,
                                      struct rejectd_error *error)
{
    struct stat before;
    if (fstat(sending->file, &before) != 0)
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "", "the file cannot be looked at: %s",
                            strerror(errno));
    const enum rejectd_status status = send_pieces(client, sending, &before, transfer, error);
    return status == REJECTD_OK ? check_unchanged(sending->file, &before, error) : status;
}

enum rejectd_status rejectd_client_upload_samples(struct rejectd_client *client, const char *id,
                                                  const char *path,
                                                  const struct rejectd_transfer *transfer,
                                                  struct rejectd_error *error)
{
    char resource[96];
    struct buffer answer;
    snprintf(resource, sizeof resource, "/v1/datasets/%s/samples", id);
    struct sending sending = {.method = "PUT", .resource = resource};
    enum rejectd_status status = open_source(path, &sending.file, &sending.size, error);
    if (status != REJECTD_OK)
        return status;
    if (transfer != NULL && transfer->retry_seconds > 0.0 && !transfer->compress &&
        sending.size > 0) {
        status = send_again(client, &sending, transfer, error);
        close(sending.file);
        return status;
    }
    close(sending.file);
    status = send_file(client, "PUT", resource, path, transfer, &answer, error);
    buffer_free(&answer);
    return status;
}

/* ---- files ---- */

/* POST /v1/datasets or its parts, with the name as a query. */
static enum rejectd_status append_upload_url(struct rejectd_client *client, const char *id,
                                             const char *name, struct buffer *url,
                                             struct rejectd_error *error)
{
    buffer_init(url, 4096);
    buffer_append_text(url, "/v1/datasets");
    if (id != NULL)
        buffer_append_format(url, "/%s/parts", id);
    if (name != NULL) {
        char *escaped = curl_easy_escape(client->curl, name, 0);
        buffer_append_text(url, "?name=");
        buffer_append_text(url, escaped != NULL ? escaped : "");
        curl_free(escaped);
    }
    return url->failed ? REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "name", "is too long")
                       : REJECTD_OK;
}

enum rejectd_status rejectd_client_upload_file(struct rejectd_client *client, const char *id,
                                               const char *name, const char *path,
                                               const struct rejectd_transfer *transfer,
                                               struct rejectd_uploaded *uploaded,
                                               struct rejectd_error *error)
{
    struct buffer url, answer = {0};
    struct dataset_view view = {0};
    enum rejectd_status status = append_upload_url(client, id, name, &url, error);
    if (status == REJECTD_OK)
        status = send_file(client, "POST", url.data, path, transfer, &answer, error);
    if (status == REJECTD_OK)
        status = dataset_view_from_json(answer.data, answer.length, &view, error);
    if (status == REJECTD_OK) {
        snprintf(uploaded->id, sizeof uploaded->id, "%s", view.id);
        snprintf(uploaded->next_part, sizeof uploaded->next_part, "%s", view.next_part);
    }
    dataset_view_clear(&view);
    buffer_free(&answer);
    buffer_free(&url);
    return status;
}

enum rejectd_status rejectd_client_upload_model(struct rejectd_client *client, const char *path,
                                                const struct rejectd_transfer *transfer,
                                                char id[REJECTD_ID_SIZE],
                                                struct rejectd_error *error)
{
    struct buffer answer;
    struct model_view view = {0};
    enum rejectd_status status =
        send_file(client, "POST", "/v1/models", path, transfer, &answer, error);
    if (status == REJECTD_OK)
        status = model_view_from_json(answer.data, answer.length, &view, error);
    if (status == REJECTD_OK)
        snprintf(id, REJECTD_ID_SIZE, "%s", view.id);
    model_view_clear(&view);
    buffer_free(&answer);
    return status;
}

/* ---- downloads ---- */

/* What the headers of the answer say about the file. A name that is not one of a file in a folder
 * is no name: the server does not choose where the file goes. */
static void read_file_headers(CURL *curl, struct rejectd_downloaded *downloaded)
{
    struct curl_header *header;
    *downloaded = (struct rejectd_downloaded){.n_parts = 1};
    snprintf(downloaded->etag, sizeof downloaded->etag, "%s", header_of(curl, "ETag"));
    if (curl_easy_header(curl, "Rejectd-Parts", 0, CURLH_HEADER, -1, &header) == CURLHE_OK) {
        const unsigned long n_parts = strtoul(header->value, NULL, 10);
        downloaded->n_parts = n_parts > 0 ? (size_t)n_parts : 1;
    }
    if (curl_easy_header(curl, "Content-Disposition", 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return;
    static const char key[] = "filename=\"";
    const char *from = strstr(header->value, key);
    if (from == NULL)
        return;
    from += sizeof key - 1;
    const size_t length = strcspn(from, "\"");
    if (length < sizeof downloaded->name && from[0] != '.' && strcspn(from, "/\\") >= length)
        snprintf(downloaded->name, sizeof downloaded->name, "%.*s", (int)length, from);
}

/* One request for what is missing. *received: whether more came across. */
static enum rejectd_status fetch(struct rejectd_client *client, const char *path, int file,
                                 const struct rejectd_transfer *transfer,
                                 struct rejectd_downloaded *downloaded, bool *received,
                                 struct rejectd_error *error)
{
    struct exchange exchange = {.file = file, .transfer = transfer};
    struct buffer url;
    char if_range[sizeof downloaded->etag + 16], range[48];
    struct curl_slist *headers = NULL;
    client_prepare(client, &exchange, path, &url);
    watch_line(client->curl, transfer);
    const off_t at = lseek(file, 0, SEEK_CUR);
    if (downloaded->etag[0] != '\0' && at > 0) {
        exchange.goes_on = true;
        exchange.done_before = (uint64_t)at;
        snprintf(range, sizeof range, "%lld-", (long long)at);
        snprintf(if_range, sizeof if_range, "If-Range: %s", downloaded->etag);
        headers = curl_slist_append(headers, if_range);
        curl_easy_setopt(client->curl, CURLOPT_RANGE, range);
        curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, headers);
    }
    const enum rejectd_status status = client_perform(client, &exchange, error);
    *received = exchange.received > 0;
    if (exchange.begun || status == REJECTD_OK)
        read_file_headers(client->curl, downloaded);
    curl_slist_free_all(headers);
    buffer_free(&exchange.body);
    buffer_free(&url);
    return status;
}

/* What is in the file cannot be gone on with. */
static bool begin_anew(int file, struct rejectd_downloaded *downloaded)
{
    downloaded->etag[0] = '\0';
    return ftruncate(file, 0) == 0 && lseek(file, 0, SEEK_SET) == 0;
}

enum rejectd_status rejectd_client_download(struct rejectd_client *client, const char *path,
                                            int file, const struct rejectd_transfer *transfer,
                                            struct rejectd_downloaded *downloaded,
                                            struct rejectd_error *error)
{
    struct rejectd_downloaded own = {0}, *known = downloaded != NULL ? downloaded : &own;
    struct patience patience = {.seconds = transfer != NULL ? transfer->retry_seconds : 0.0};
    const bool is_pipe = lseek(file, 0, SEEK_CUR) < 0;
    bool received = false;
    patience_renew(&patience);
    for (;;) {
        enum rejectd_status status = fetch(client, path, file, transfer, known, &received, error);
        if (received && is_pipe)
            return status; /* what a pipe has got can't be taken back or gone on with */
        if (received)
            patience_renew(&patience);
        if (status == REJECTD_RANGE_NOT_SATISFIABLE && begin_anew(file, known))
            continue;
        if (!may_pass(status))
            return status;
        if (!is_pipe && known->etag[0] == '\0' && lseek(file, 0, SEEK_CUR) != 0 &&
            !begin_anew(file, known))
            return status;
        if (!patience_wait(&patience))
            return status;
    }
}
