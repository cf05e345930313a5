#include <rejectd/client.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/client_private.h"
#include "protocol/problem.h"
#include "protocol/resource_json.h"

enum rejectd_status rejectd_client_open(const char *url, struct rejectd_client **client,
                                        struct rejectd_error *error)
{
    *client = NULL;
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "server",
                            "\"%s\" is not a URL like http://127.0.0.1:8765", url);
    struct rejectd_client *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return REJECTD_FAIL_MEMORY(error, sizeof *opened);
    opened->curl = curl_easy_init();
    opened->url = strdup(url);
    if (opened->curl == NULL || opened->url == NULL) {
        rejectd_client_close(opened);
        return REJECTD_FAIL_MEMORY(error, strlen(url));
    }
    for (size_t n = strlen(opened->url); n > 0 && opened->url[n - 1] == '/'; n--)
        opened->url[n - 1] = '\0';
    *client = opened;
    return REJECTD_OK;
}

enum rejectd_status rejectd_client_trust(struct rejectd_client *client, const char *path,
                                         struct rejectd_error *error)
{
    if (access(path, R_OK) != 0)
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "ca", "%s cannot be read: %s", path,
                            strerror(errno));
    char *copy = strdup(path);
    if (copy == NULL)
        return REJECTD_FAIL_MEMORY(error, strlen(path));
    free(client->ca);
    client->ca = copy;
    return REJECTD_OK;
}

enum rejectd_status rejectd_client_authorize(struct rejectd_client *client, const char *token,
                                             struct rejectd_error *error)
{
    const size_t length = strlen(token);
    for (size_t i = 0; i < length; i++)
        if (token[i] <= 0x20 || token[i] >= 0x7f)
            return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "token",
                                "the token has blanks or other characters that no token has");
    char *copy = strdup(token);
    if (copy == NULL)
        return REJECTD_FAIL_MEMORY(error, length);
    free(client->token);
    client->token = copy;
    return REJECTD_OK;
}

void rejectd_client_close(struct rejectd_client *client)
{
    if (client == NULL)
        return;
    curl_easy_cleanup(client->curl);
    free(client->url);
    free(client->ca);
    free(client->token);
    free(client);
}

void client_prepare(struct rejectd_client *client, struct exchange *exchange, const char *path,
                    struct buffer *url)
{
    CURL *curl = client->curl;
    buffer_init(url, 4096);
    buffer_append_text(url, client->url);
    buffer_append_text(url, path);
    exchange->curl = curl;
    buffer_init(&exchange->body, (size_t)CLIENT_MAX_TEXT);
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url->data);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 10L);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (client->ca != NULL)
        curl_easy_setopt(curl, CURLOPT_CAINFO, client->ca);
    /* libcurl sends it to this server alone, not to where a redirection leads. */
    if (client->token != NULL) {
        curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, client->token);
    }
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, client_receive_head);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, client_receive);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, exchange);
    if (exchange->transfer != NULL && exchange->transfer->report != NULL) {
        curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, client_report);
        curl_easy_setopt(curl, CURLOPT_XFERINFODATA, exchange);
    }
}

enum rejectd_status client_perform(struct rejectd_client *client, struct exchange *exchange,
                                   struct rejectd_error *error)
{
    CURLcode code = curl_easy_perform(client->curl);
    long http = 0;
    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &http);
    /* A server that refuses an upload early may close before all of it is sent. */
    if (http >= 400) {
        struct rejectd_error refusal;
        problem_from_json(exchange->body.data != NULL ? exchange->body.data : "",
                          exchange->body.length, (int)http, &refusal);
        if (error != NULL)
            *error = refusal;
        return refusal.status;
    }
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return REJECTD_FAIL(error, REJECTD_CANCELLED, "", "the transfer was cancelled");
    if (exchange->write_failed)
        return REJECTD_FAIL(error, REJECTD_STORAGE, "", "the answer cannot be written to the file");
    if (code == CURLE_OK && !exchange->has_head)
        code = CURLE_PARTIAL_FILE;
    if (code != CURLE_OK)
        return REJECTD_FAIL(error, REJECTD_IO, "", "%s: %s", client->url, curl_easy_strerror(code));
    return REJECTD_OK;
}

/* waits: seconds that the server was asked to wait before it answers. */
static enum rejectd_status exchange_text(struct rejectd_client *client, const char *method,
                                         const char *path, const char *json, size_t length,
                                         double waits, struct buffer *answer,
                                         struct rejectd_error *error)
{
    struct exchange exchange = {.file = -1};
    struct buffer url;
    struct curl_slist *headers = NULL;
    client_prepare(client, &exchange, path, &url);
    if (json != NULL) {
        headers = curl_slist_append(headers, "Content-Type: application/json");
        curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, json);
        curl_easy_setopt(client->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)length);
    }
    curl_easy_setopt(client->curl, CURLOPT_CUSTOMREQUEST, method);
    if (json == NULL)
        client_limit_silence(client->curl, waits);
    enum rejectd_status status = client_perform(client, &exchange, error);
    *answer = exchange.body;
    curl_slist_free_all(headers);
    buffer_free(&url);
    return status;
}

enum rejectd_status rejectd_client_create_dataset(struct rejectd_client *client, const char *json,
                                                  size_t length, char id[REJECTD_ID_SIZE],
                                                  struct rejectd_error *error)
{
    struct buffer answer;
    struct dataset_view view = {0};
    enum rejectd_status status =
        exchange_text(client, "POST", "/v1/datasets", json, length, 0.0, &answer, error);
    if (status == REJECTD_OK)
        status = dataset_view_from_json(answer.data, answer.length, &view, error);
    if (status == REJECTD_OK)
        snprintf(id, REJECTD_ID_SIZE, "%s", view.id);
    dataset_view_clear(&view);
    buffer_free(&answer);
    return status;
}

static enum rejectd_status read_job(struct buffer *answer, struct job_view *view,
                                    struct rejectd_error *error)
{
    *view = (struct job_view){0};
    return job_view_from_json(answer->data, answer->length, view, error);
}

enum rejectd_status rejectd_client_submit(struct rejectd_client *client, const char *json,
                                          size_t length, char id[REJECTD_ID_SIZE],
                                          struct rejectd_error *error)
{
    struct buffer answer;
    struct job_view view = {0};
    enum rejectd_status status =
        exchange_text(client, "POST", "/v1/jobs", json, length, 0.0, &answer, error);
    if (status == REJECTD_OK)
        status = read_job(&answer, &view, error);
    if (status == REJECTD_OK)
        snprintf(id, REJECTD_ID_SIZE, "%s", view.id);
    job_view_clear(&view);
    buffer_free(&answer);
    return status;
}

enum rejectd_status rejectd_client_estimate(struct rejectd_client *client, const char *json,
                                            size_t length, char **text, size_t *text_length,
                                            struct rejectd_error *error)
{
    struct buffer answer;
    *text = NULL;
    enum rejectd_status status =
        exchange_text(client, "POST", "/v1/estimate", json, length, 0.0, &answer, error);
    if (status == REJECTD_OK) {
        *text = buffer_take(&answer, text_length);
        if (*text == NULL)
            status = REJECTD_FAIL_MEMORY(error, answer.maximum);
    }
    buffer_free(&answer);
    return status;
}

static enum rejectd_job_state public_state(enum job_state state)
{
    switch (state) {
    case JOB_STATE_QUEUED:
        return REJECTD_JOB_QUEUED;
    case JOB_STATE_RUNNING:
        return REJECTD_JOB_RUNNING;
    case JOB_STATE_SUCCEEDED:
        return REJECTD_JOB_SUCCEEDED;
    case JOB_STATE_CANCELLED:
        return REJECTD_JOB_CANCELLED;
    default:
        return REJECTD_JOB_FAILED;
    }
}

enum rejectd_status rejectd_client_wait(struct rejectd_client *client, const char *id,
                                        double seconds, struct rejectd_job_status *status,
                                        struct rejectd_error *error)
{
    char path[128];
    if (seconds > 0.0)
        snprintf(path, sizeof path, "/v1/jobs/%s?wait=%.3f", id, seconds);
    else
        snprintf(path, sizeof path, "/v1/jobs/%s", id);
    struct buffer answer;
    struct job_view view = {0};
    enum rejectd_status result =
        exchange_text(client, "GET", path, NULL, 0, seconds, &answer, error);
    if (result == REJECTD_OK)
        result = read_job(&answer, &view, error);
    if (result == REJECTD_OK) {
        *status = (struct rejectd_job_status){
            .state = public_state(view.state),
            .position = view.position,
            .fraction = view.fraction,
            .error = view.error,
        };
        snprintf(status->stage, sizeof status->stage, "%s", view.stage);
    }
    job_view_clear(&view);
    buffer_free(&answer);
    return result;
}

static enum rejectd_status delete_resource(struct rejectd_client *client, const char *folder,
                                           const char *id, struct rejectd_error *error)
{
    char path[96];
    snprintf(path, sizeof path, "%s/%s", folder, id);
    struct buffer answer;
    enum rejectd_status status =
        exchange_text(client, "DELETE", path, NULL, 0, 0.0, &answer, error);
    buffer_free(&answer);
    return status;
}

enum rejectd_status rejectd_client_delete_dataset(struct rejectd_client *client, const char *id,
                                                  struct rejectd_error *error)
{
    return delete_resource(client, "/v1/datasets", id, error);
}

enum rejectd_status rejectd_client_cancel(struct rejectd_client *client, const char *id,
                                          struct rejectd_error *error)
{
    return delete_resource(client, "/v1/jobs", id, error);
}

enum rejectd_status rejectd_client_get(struct rejectd_client *client, const char *path, char **text,
                                       size_t *length, struct rejectd_error *error)
{
    struct buffer answer;
    *text = NULL;
    enum rejectd_status status = exchange_text(client, "GET", path, NULL, 0, 0.0, &answer, error);
    if (status == REJECTD_OK) {
        *text = buffer_take(&answer, length);
        if (*text == NULL)
            status = REJECTD_FAIL_MEMORY(error, (size_t)1);
    }
    buffer_free(&answer);
    return status;
}
