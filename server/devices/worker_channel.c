#define _GNU_SOURCE /* MSG_CMSG_CLOEXEC */
#include "server/devices/worker_channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static enum rejectd_status fail_gone(struct rejectd_error *error)
{
    return REJECTD_FAIL(error, REJECTD_IO, "", "the other side of the channel is gone");
}

static bool wait_for(const struct worker_channel *channel, short events, double seconds)
{
    struct pollfd waited = {.fd = channel->fd, .events = events};
    int n;
    do {
        n = poll(&waited, 1, seconds < 0.0 ? -1 : (int)(1e3 * seconds));
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

bool worker_channel_wait(const struct worker_channel *channel, double seconds)
{
    return wait_for(channel, POLLIN, seconds);
}

/* Within a message. */
static enum rejectd_status wait_on(const struct worker_channel *channel, short events,
                                   struct rejectd_error *error)
{
    if (!wait_for(channel, events, channel->patience > 0.0 ? channel->patience : -1.0)) {
        return REJECTD_FAIL(error, REJECTD_UNAVAILABLE, "",
                            "the other side of the channel fell silent within a message");
    }
    return REJECTD_OK;
}

static bool must_wait(int number)
{
    return number == EAGAIN || number == EWOULDBLOCK;
}

/* ---- sending ---- */

/* A message header of sendmsg() with room for one descriptor. */
struct passed {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
};

static void attach(struct msghdr *message, struct passed *passed, int fd)
{
    memset(passed, 0, sizeof *passed);
    message->msg_control = passed->control.bytes;
    message->msg_controllen = sizeof passed->control.bytes;
    struct cmsghdr *control = CMSG_FIRSTHDR(message);
    control->cmsg_level = SOL_SOCKET;
    control->cmsg_type = SCM_RIGHTS;
    control->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(control), &fd, sizeof fd);
}

/* Drops the first `count` bytes of the parts. */
static void advance(struct msghdr *message, size_t count)
{
    while (message->msg_iovlen > 0 && count >= message->msg_iov->iov_len) {
        count -= message->msg_iov->iov_len;
        message->msg_iov++;
        message->msg_iovlen--;
    }
    if (message->msg_iovlen > 0) {
        message->msg_iov->iov_base = (char *)message->msg_iov->iov_base + count;
        message->msg_iov->iov_len -= count;
    }
}

enum rejectd_status worker_channel_send(const struct worker_channel *channel, uint32_t type,
                                        const struct iovec *parts, size_t n_parts, int fd,
                                        struct rejectd_error *error)
{
    struct worker_header header = {.type = type};
    struct iovec pieces[WORKER_CHANNEL_PARTS + 1] = {{&header, sizeof header}};
    for (size_t i = 0; i < n_parts && i < WORKER_CHANNEL_PARTS; i++) {
        pieces[i + 1] = parts[i];
        header.length += parts[i].iov_len;
    }
    struct passed passed;
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = n_parts + 1};
    if (fd >= 0) {
        attach(&message, &passed, fd);
    }
    advance(&message, 0);
    while (message.msg_iovlen > 0) {
        const ssize_t n = sendmsg(channel->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            message.msg_control = NULL; /* it went with the first bytes */
            message.msg_controllen = 0;
            advance(&message, (size_t)n);
        } else if (must_wait(errno)) {
            const enum rejectd_status status = wait_on(channel, POLLOUT, error);
            if (status != REJECTD_OK) {
                return status;
            }
        } else if (errno != EINTR) {
            return fail_gone(error);
        }
    }
    return REJECTD_OK;
}

/* ---- receiving ---- */

/* Takes the first descriptor that came, and closes any others. */
static void detach(struct msghdr *message, int *fd)
{
    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control != NULL;
         control = CMSG_NXTHDR(message, control)) {
        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        const size_t n = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int received;
            memcpy(&received, CMSG_DATA(control) + i * sizeof received, sizeof received);
            if (*fd < 0) {
                *fd = received;
            } else {
                close(received);
            }
        }
    }
}

static enum rejectd_status receive(const struct worker_channel *channel, void *bytes, size_t count,
                                   int *fd, struct rejectd_error *error)
{
    size_t done = 0;
    while (done < count) {
        struct passed passed;
        struct iovec piece = {(char *)bytes + done, count - done};
        struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
        if (fd != NULL) {
            message.msg_control = passed.control.bytes;
            message.msg_controllen = sizeof passed.control.bytes;
        }
        const ssize_t n = recvmsg(channel->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n > 0) {
            if (fd != NULL) {
                detach(&message, fd);
            }
            done += (size_t)n;
        } else if (n < 0 && must_wait(errno)) {
            const enum rejectd_status status = wait_on(channel, POLLIN, error);
            if (status != REJECTD_OK) {
                return status;
            }
        } else if (n == 0 || errno != EINTR) {
            return fail_gone(error);
        }
    }
    return REJECTD_OK;
}

enum rejectd_status worker_channel_receive_header(const struct worker_channel *channel,
                                                  struct worker_header *header, int *fd,
                                                  struct rejectd_error *error)
{
    *fd = -1;
    enum rejectd_status status = receive(channel, header, sizeof *header, fd, error);
    if (status == REJECTD_OK && header->reserved != 0) {
        status = REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "",
                              "what the other side of the channel sent makes no sense");
    }
    if (status != REJECTD_OK && *fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    return status;
}

enum rejectd_status worker_channel_receive(const struct worker_channel *channel, void *bytes,
                                           size_t count, struct rejectd_error *error)
{
    return receive(channel, bytes, count, NULL, error);
}
