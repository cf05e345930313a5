/*
 * Files from the server, over lines that break: a download goes on where it broke off, as long as
 * the server has the same (If-Range), and else begins anew.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/client_private.h"

/* What the headers of the answer say about the file. A name that is not one of a file in a folder
 * is no name: the server does not choose where the file goes. */
static void read_file_headers(CURL *curl, struct rejectd_downloaded *downloaded)
{
    struct curl_header *header;
    *downloaded = (struct rejectd_downloaded){.n_parts = 1};
    snprintf(downloaded->etag, sizeof downloaded->etag, "%s", client_header(curl, "ETag"));
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
    client_watch_line(client->curl, transfer);
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
        if (!client_may_pass(status))
            return status;
        if (!is_pipe && known->etag[0] == '\0' && lseek(file, 0, SEEK_CUR) != 0 &&
            !begin_anew(file, known))
            return status;
        if (!patience_wait(&patience))
            return status;
    }
}
