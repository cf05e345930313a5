/*
 * Files to the server, over lines that break.
 *
 * Samples that may be sent again are sent as one piece of themselves (Content-Range): the server
 * keeps what has come, and tells how much that is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "client/client_private.h"
#include "client/compress.h"
#include "protocol/http_fields.h"
#include "protocol/resource_json.h"

static size_t read_file(char *bytes, size_t size, size_t count, void *context)
{
    const int *file = context;
    ssize_t n;
    do
        n = read(*file, bytes, size * count);
    while (n < 0 && errno == EINTR);
    return n < 0 ? CURL_READFUNC_ABORT : (size_t)n;
}

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
    client_watch_line(client->curl, transfer);
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

/* Sends an open file, and closes it: as it is, or compressed, because its length must be known
 * before it is sent. On success the answer is the caller's to free. */
static enum rejectd_status send_open_file(struct rejectd_client *client, struct sending *sending,
                                          const struct rejectd_transfer *transfer,
                                          struct buffer *answer, struct rejectd_error *error)
{
    enum rejectd_status status = REJECTD_OK;
    buffer_init(answer, 0);
    if (transfer != NULL && transfer->compress) {
        int packed;
        status = compress_file(sending->file, &packed, &sending->size, error);
        close(sending->file);
        if (status != REJECTD_OK)
            return status;
        sending->file = packed;
        sending->headers[0] = "Content-Encoding: zstd";
    }
    status = send_body(client, sending, transfer, answer, error);
    close(sending->file);
    return status;
}

static enum rejectd_status post_file(struct rejectd_client *client, const char *resource,
                                     const char *path, const struct rejectd_transfer *transfer,
                                     struct buffer *answer, struct rejectd_error *error)
{
    struct sending sending = {.method = "POST", .resource = resource};
    buffer_init(answer, 0);
    const enum rejectd_status status = open_source(path, &sending.file, &sending.size, error);
    return status == REJECTD_OK ? send_open_file(client, &sending, transfer, answer, error)
                                : status;
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
    client_watch_line(client->curl, NULL);
    curl_easy_setopt(client->curl, CURLOPT_NOBODY, 1L);
    const enum rejectd_status status = client_perform(client, &exchange, error);
    if (status == REJECTD_OK) {
        place->offset = strtoull(client_header(client->curl, "Upload-Offset"), NULL, 10);
        place->complete = strcmp(client_header(client->curl, "Upload-Complete"), "?1") == 0;
    }
    buffer_free(&exchange.body);
    buffer_free(&url);
    return status;
}

/* "Repr-Digest: ..." of a whole file, whatever was read of it. */
static enum rejectd_status tell_digest(int file, char line[HTTP_DIGEST_TEXT_SIZE + 16],
                                       struct rejectd_error *error)
{
    enum { PIECE = 1 << 20 };
    _Static_assert(HTTP_DIGEST_BYTES == crypto_hash_sha256_BYTES, "both are SHA-256");
    unsigned char digest[HTTP_DIGEST_BYTES];
    char text[HTTP_DIGEST_TEXT_SIZE];
    crypto_hash_sha256_state hash;
    unsigned char *piece = malloc(PIECE);
    ssize_t n = 0;
    if (piece == NULL)
        return REJECTD_FAIL_MEMORY(error, (size_t)PIECE);
    crypto_hash_sha256_init(&hash);
    for (off_t at = 0; (n = pread(file, piece, PIECE, at)) > 0; at += n)
        crypto_hash_sha256_update(&hash, piece, (unsigned long long)n);
    free(piece);
    if (n < 0)
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "", "the file cannot be read: %s",
                            strerror(errno));
    crypto_hash_sha256_final(&hash, digest);
    http_write_digest(digest, text);
    snprintf(line, HTTP_DIGEST_TEXT_SIZE + 16, "Repr-Digest: %s", text);
    return REJECTD_OK;
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
        if (!client_may_pass(status))
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
    char digest[HTTP_DIGEST_TEXT_SIZE + 16];
    bool again = false;
    patience_renew(&patience);
    if (transfer->goes_on) {
        enum rejectd_status status = ask_place(client, sending->resource, &place, error);
        if (status != REJECTD_OK || place.complete)
            return status;
        /* What is there already may be of another file. */
        status = tell_digest(sending->file, digest, error);
        if (status != REJECTD_OK)
            return status;
        sending->headers[1] = digest;
        again = true;
    }
    for (;;) {
        if (place.offset >= total)
            return REJECTD_FAIL(error, REJECTD_CONFLICT, "",
                                "the server has more of the samples than the file");
        const enum rejectd_status status =
            send_rest(client, sending, place.offset, total, transfer, error);
        if (!client_may_pass(status) && !(again && status == REJECTD_CONFLICT))
            return status;
        if (check_unchanged(sending->file, before, error) != REJECTD_OK)
            return REJECTD_INVALID_REQUEST;
        again = true;
        if (!find_place(client, sending->resource, &patience, &place))
            return place.complete ? REJECTD_OK : status;
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
    status = send_open_file(client, &sending, transfer, &answer, error);
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
        status = post_file(client, url.data, path, transfer, &answer, error);
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
    enum rejectd_status status = post_file(client, "/v1/models", path, transfer, &answer, error);
    if (status == REJECTD_OK)
        status = model_view_from_json(answer.data, answer.length, &view, error);
    if (status == REJECTD_OK)
        snprintf(id, REJECTD_ID_SIZE, "%s", view.id);
    model_view_clear(&view);
    buffer_free(&answer);
    return status;
}
