/* Work in pieces that shrink to the memory there is. */
#ifndef WORKER_CUDA_PIECES_H
#define WORKER_CUDA_PIECES_H

#include "worker/cuda/session.h"

/* Half a piece of `count`; false where there is no half. */
static inline bool halve(size_t count, size_t *piece)
{
    *piece = (count + 1) / 2;
    return count > 1;
}

/*
 * Does work(first, count) for all of n items, take(left, piece) of them at a time. Where a piece
 * finds no room (REJECTD_DEVICE_MEMORY), make_room(count, &piece) gives up what may be given up,
 * and it is tried again, as so many items as `piece` tells then; when make_room() returns false,
 * there was nothing to give. A piece must find its room before it changes what stays.
 */
template <typename Take, typename Work, typename Room>
enum rejectd_status in_pieces_of(struct backend_session *session, size_t n, size_t piece,
                                 const Take &take, const Work &work, const Room &make_room,
                                 struct rejectd_error *error)
{
    for (size_t first = 0, count; first < n; first += count) {
        count = take(n - first, piece);
        const enum rejectd_status status = work(first, count);
        if (status == REJECTD_DEVICE_MEMORY && make_room(count, &piece)) {
            session->device->n_shortages++;
            TRY(device_wait(session->device, error)); /* for what was queued from its lists */
            count = 0;
            continue;
        }
        if (status != REJECTD_OK)
            return status;
    }
    return REJECTD_OK;
}

/* The same with `piece` items at a time, and the rest. */
template <typename Work, typename Room>
enum rejectd_status in_pieces(struct backend_session *session, size_t n, size_t piece,
                              const Work &work, const Room &make_room, struct rejectd_error *error)
{
    const auto take = [](size_t left, size_t most) { return left < most ? left : most; };
    return in_pieces_of(session, n, piece, take, work, make_room, error);
}

#endif
