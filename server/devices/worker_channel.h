/*
 * The socket between the daemon and a worker process: messages with a type and a length.
 *
 * Either end belongs to one reader and one writer at a time. The daemon does not trust the worker:
 * it says how much of what it takes, and how long it waits for the rest of a message.
 *
 * Failures: IO when the other side is gone, UNAVAILABLE when it falls silent within a message,
 * INVALID_REQUEST when what it sends is no message.
 */
#ifndef SERVER_DEVICES_WORKER_CHANNEL_H
#define SERVER_DEVICES_WORKER_CHANNEL_H

#include <rejectd/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct worker_channel {
    int fd;
    double patience; /* seconds that the other side may let a message wait; 0: any */
};

struct worker_header {
    uint32_t type;
    uint32_t reserved; /* 0 */
    uint64_t length;   /* of what follows */
};

enum { WORKER_CHANNEL_PARTS = 6 };

/* Sends a message of up to WORKER_CHANNEL_PARTS parts; fd: a descriptor that goes with it, which
 * stays the caller's, or -1. */
enum rejectd_status worker_channel_send(const struct worker_channel *channel, uint32_t type,
                                        const struct iovec *parts, size_t n_parts, int fd,
                                        struct rejectd_error *error);

/* Waits for up to `seconds` (negative: for ever); true when there is something to receive, be it
 * the end. */
bool worker_channel_wait(const struct worker_channel *channel, double seconds);

/* Receives the head of a message. *fd is a descriptor that came with it, owned by the caller, or
 * -1. */
enum rejectd_status worker_channel_receive_header(const struct worker_channel *channel,
                                                  struct worker_header *header, int *fd,
                                                  struct rejectd_error *error);

/* Receives the next bytes of a message, all of them. */
enum rejectd_status worker_channel_receive(const struct worker_channel *channel, void *bytes,
                                           size_t count, struct rejectd_error *error);

#endif
