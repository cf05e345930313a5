/*
 * What crosses the line: libcurl's callbacks, and how long a line that breaks is tried again.
 *
 * Each time more has come across, the waiting begins anew; who has got nowhere for that many
 * seconds gives up.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client/client_private.h"

enum {
    DEAD_LINE_MS = 60000, /* what was sent is not acknowledged for so long */
    SILENT_SECONDS = 60,  /* nothing moves */
};

/* ---- libcurl's callbacks ---- */

static long status_of(CURL *curl)
{
    long code = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
    return code;
}

const char *client_header(CURL *curl, const char *name)
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
        transfer->begun(transfer->context, client_header(exchange->curl, "ETag"));
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

/* A line that is dead, and not closed, is found out. */
static int set_socket(void *context, curl_socket_t socket, curlsocktype purpose)
{
    const unsigned dead = DEAD_LINE_MS;
    (void)context;
    (void)purpose;
    setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead, sizeof dead);
    return CURL_SOCKOPT_OK;
}

void client_limit_silence(CURL *curl, double waits)
{
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)(waits + SILENT_SECONDS));
}

void client_watch_line(CURL *curl, const struct rejectd_transfer *transfer)
{
    if (transfer != NULL && transfer->retry_seconds > 0.0)
        client_limit_silence(curl, 0.0);
    curl_easy_setopt(curl, CURLOPT_SOCKOPTFUNCTION, set_socket);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPIDLE, 30L);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPINTVL, 10L);
}

/* ---- trying again ---- */

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

void patience_renew(struct patience *patience)
{
    patience->since = now();
    patience->pause = 0.1;
}

bool patience_wait(struct patience *patience)
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

bool client_may_pass(enum rejectd_status status)
{
    return status == REJECTD_IO || status == REJECTD_UNAVAILABLE ||
           status == REJECTD_OUT_OF_MEMORY || status == REJECTD_TOO_MANY_REQUESTS;
}
