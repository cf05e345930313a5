#include "server/http/connections.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include <linux/sockios.h>

#include "server/clock.h"

enum {
    N_BUCKETS = 1024,
    OTHER_FILES = 256,     /* that the daemon has open beside connections */
    SMALL_BODY = 1 << 20,  /* see connections_take_memory() */
    REFUSED_SECONDS = 2,   /* that a connection beyond the limit has for its headers */
    POLITELY_REFUSED = 16, /* connections of an address beyond its limit that get an answer */
};

struct connection {
    struct connection *next; /* of its bucket */
    struct connection **link;
    struct connections *owner;
    int socket;
    struct address site;
    enum connection_refusal refusal;
    struct tls_identity *identity;

    /* Written by the connection's thread, read by the sweep. */
    atomic_int phase;
    atomic_uint turn;        /* grows with each change of the phase */
    _Atomic double deadline; /* clock_monotonic(); 0: none */

    /* The sweep's: what came or went since when. */
    unsigned seen_turn;
    double since;
    uint64_t moved;
};

struct connections {
    _Atomic(const struct config *) config;
    struct tls *tls;
    struct address_list unlimited;
    size_t limit;
    pthread_mutex_t lock; /* for what follows */
    size_t n;
    struct connection *buckets[N_BUCKETS]; /* by site */
    atomic_llong body_memory;              /* that is taken */
};

/* The process needs a file per connection. Returns how many connections it may have. */
static size_t raise_file_limit(size_t wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return wanted;
    }
    const rlim_t needed = wanted + wanted / 4 + OTHER_FILES;
    if (limit.rlim_cur < needed) {
        limit.rlim_cur = limit.rlim_max < needed ? limit.rlim_max : needed;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed) {
        return wanted;
    }
    const rlim_t left =
        limit.rlim_cur > 2 * OTHER_FILES ? limit.rlim_cur - OTHER_FILES : OTHER_FILES;
    return (size_t)left / 5 * 4;
}

enum rejectd_status connections_open(const struct config *config, struct tls *tls,
                                     struct connections **connections, struct rejectd_error *error)
{
    *connections = NULL;
    struct connections *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    const enum rejectd_status status = address_list_read(
        config->unlimited_addresses, "unlimited-addresses", &made->unlimited, error);
    if (status != REJECTD_OK) {
        free(made);
        return status;
    }
    made->config = config;
    made->tls = tls;
    made->limit = raise_file_limit((size_t)config->connection_limit);
    pthread_mutex_init(&made->lock, NULL);
    *connections = made;
    return REJECTD_OK;
}

void connections_configure(struct connections *connections, const struct config *config)
{
    connections->config = config;
}

void connections_close(struct connections *connections)
{
    if (connections != NULL) {
        pthread_mutex_destroy(&connections->lock);
        free(connections);
    }
}

size_t connections_limit(const struct connections *connections)
{
    return connections->limit;
}

static struct connection **bucket_of(struct connections *connections, const struct address *site)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < sizeof site->bytes; i++) {
        hash = (hash ^ site->bytes[i]) * 16777619u;
    }
    return &connections->buckets[(hash ^ hash >> 16) % N_BUCKETS];
}

static size_t count_site(const struct connection *first, const struct address *site)
{
    size_t n = 0;
    for (; first != NULL; first = first->next) {
        n += memcmp(&first->site, site, sizeof *site) == 0;
    }
    return n;
}

/* A connection without a reader or writer: libmicrohttpd notices, and closes it. */
static void shut(int socket)
{
    shutdown(socket, SHUT_RDWR);
}

struct connection *connection_add(struct connections *connections, int socket,
                                  const struct address *address)
{
    const struct config *config = connections->config;
    struct connection *made = calloc(1, sizeof *made);
    if (made == NULL) {
        shut(socket);
        return NULL;
    }
    made->owner = connections;
    made->socket = socket;
    made->site = address_site(address);
    const size_t most = (size_t)config->connections_per_address;
    const bool limited = most > 0 && !address_list_has(&connections->unlimited, address);

    pthread_mutex_lock(&connections->lock);
    struct connection **bucket = bucket_of(connections, &made->site);
    const size_t of_site = limited ? count_site(*bucket, &made->site) : 0;
    if (limited && of_site >= most) {
        made->refusal = CONNECTION_TOO_MANY_FOR;
    } else if (connections->n >= connections->limit) {
        made->refusal = CONNECTION_TOO_MANY;
    }
    made->next = *bucket;
    made->link = bucket;
    if (made->next != NULL) {
        made->next->link = &made->next;
    }
    *bucket = made;
    connections->n++;
    connection_enter(made, CONNECTION_IDLE,
                     made->refusal == CONNECTION_ACCEPTED ? (double)config->header_timeout
                                                          : REFUSED_SECONDS);
    if (limited && of_site >= most + POLITELY_REFUSED) {
        shut(socket);
    }
    pthread_mutex_unlock(&connections->lock);
    return made;
}

void connection_remove(struct connections *connections, struct connection *connection)
{
    pthread_mutex_lock(&connections->lock);
    *connection->link = connection->next;
    if (connection->next != NULL) {
        connection->next->link = connection->link;
    }
    connections->n--;
    pthread_mutex_unlock(&connections->lock);
    free(connection);
}

enum connection_refusal connection_refused(const struct connection *connection)
{
    return connection == NULL ? CONNECTION_ACCEPTED : connection->refusal;
}

void connection_enter(struct connection *connection, enum connection_phase phase, double seconds)
{
    if (connection == NULL) {
        return;
    }
    const double deadline = seconds > 0.0 ? clock_monotonic() + seconds : 0.0;
    atomic_store_explicit(&connection->deadline, deadline, memory_order_relaxed);
    atomic_store_explicit(&connection->phase, (int)phase, memory_order_relaxed);
    atomic_fetch_add_explicit(&connection->turn, 1, memory_order_release);
}

struct tls *connection_tls(const struct connection *connection)
{
    return connection->owner->tls;
}

struct tls_identity *connection_identity(const struct connection *connection)
{
    return connection == NULL ? NULL : connection->identity;
}

void connection_set_identity(struct connection *connection, struct tls_identity *identity)
{
    connection->identity = identity;
}

/* ---- the sweep ---- */

/* Bytes that the other side has sent so far, or has told that they arrived. */
static bool moved_bytes(const struct connection *connection, bool sends, uint64_t *bytes)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof info;
    if (getsockopt(connection->socket, IPPROTO_TCP, TCP_INFO, &info, &length) != 0 ||
        length < offsetof(struct tcp_info, tcpi_segs_out)) {
        return false;
    }
    *bytes = sends ? info.tcpi_bytes_received : info.tcpi_bytes_acked;
    return true;
}

/* The daemon is to blame: it hasn't read what has come, or has nothing more to send. */
static bool is_our_turn(const struct connection *connection, bool sends)
{
    int waiting = 0;
    if (ioctl(connection->socket, sends ? SIOCINQ : SIOCOUTQ, &waiting) != 0) {
        return true;
    }
    return sends ? waiting > 0 : waiting == 0;
}

/* Over each window of rate-window seconds, in which it was never our turn, the bytes must come at
 * the least rate. */
static bool is_too_slow(struct connection *connection, enum connection_phase phase, double now)
{
    const struct config *config = connection->owner->config;
    const double window = (double)config->rate_window;
    const bool sends = phase == CONNECTION_BODY;
    const unsigned turn = atomic_load_explicit(&connection->turn, memory_order_acquire);
    uint64_t moved = 0;
    if (config->min_rate == 0 || !moved_bytes(connection, sends, &moved)) {
        return false;
    }
    const bool begins = connection->seen_turn != turn || is_our_turn(connection, sends);
    if (!begins && now - connection->since < window) {
        return false;
    }
    const double least = (double)config->min_rate * (now - connection->since);
    const bool slow = !begins && (double)(moved - connection->moved) < least;
    connection->seen_turn = turn;
    connection->since = now;
    connection->moved = moved;
    return slow;
}

static bool is_over(struct connection *connection, double now)
{
    const double deadline = atomic_load_explicit(&connection->deadline, memory_order_relaxed);
    const int phase = atomic_load_explicit(&connection->phase, memory_order_relaxed);
    if (deadline > 0.0 && now > deadline) {
        return true;
    }
    return (phase == CONNECTION_BODY || phase == CONNECTION_ANSWERING) &&
           is_too_slow(connection, (enum connection_phase)phase, now);
}

size_t connections_sweep(struct connections *connections, double now)
{
    size_t n = 0;
    pthread_mutex_lock(&connections->lock);
    for (size_t i = 0; i < N_BUCKETS; i++) {
        for (struct connection *c = connections->buckets[i]; c != NULL; c = c->next) {
            if (is_over(c, now)) {
                shut(c->socket);
                /* Once is enough; it may take a while to close. */
                atomic_store_explicit(&c->deadline, 0.0, memory_order_relaxed);
                n++;
            }
        }
    }
    pthread_mutex_unlock(&connections->lock);
    return n;
}

/* ---- memory ---- */

bool connections_take_memory(struct connections *connections, uint64_t bytes)
{
    const long long all = (long long)connections->config->max_body_memory;
    const long long most = bytes > SMALL_BODY ? all - all / 4 : all;
    const long long wanted = (long long)bytes;
    if (wanted > most) {
        return false;
    }
    if (atomic_fetch_add(&connections->body_memory, wanted) > most - wanted) {
        atomic_fetch_sub(&connections->body_memory, wanted);
        return false;
    }
    return true;
}

void connections_give_memory(struct connections *connections, uint64_t bytes)
{
    atomic_fetch_sub(&connections->body_memory, (long long)bytes);
}
