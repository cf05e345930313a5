/*
 * What is known of each device now: the processor, and the GPUs whose processes the daemon has.
 *
 * Those who run jobs write it, the routes read it, and the scheduler asks it which jobs a device
 * takes. Devices are added before anything else happens; after that all functions may be called by
 * several threads at once.
 */
#ifndef SERVER_DEVICES_DEVICE_BOARD_H
#define SERVER_DEVICES_DEVICE_BOARD_H

#include "base/buffer.h"
#include "protocol/device_json.h"
#include "server/store/store.h"

struct device_board;

/* note: what was found of CUDA. *board is owned by the caller. */
enum rejectd_status device_board_open(const char *note, struct device_board **board,
                                      struct rejectd_error *error);
void device_board_close(struct device_board *board); /* NULL is allowed */

/* Adds a device; the first is the processor. */
enum rejectd_status device_board_add(struct device_board *board, const char *id, const char *name,
                                     uint64_t memory, enum device_state state,
                                     struct rejectd_error *error);

/* Who is told, on the thread that brought it about, that a device takes other jobs than before. */
void device_board_tell(struct device_board *board, void (*changed)(void *context), void *context);

/* ---- for who runs jobs; a device that isn't there is ignored ---- */

/* awaited: it is not usable, but will be in a moment; jobs that only it can do well wait. */
void device_board_set_state(struct device_board *board, const char *id, enum device_state state,
                            bool awaited, const char *reason);
void device_board_count_restart(struct device_board *board, const char *id);
/* Takes memory_budget, memory_free, residents, what is held in all, and evictions of the view;
 * these count from 0 again in each new process of the device. */
void device_board_set_contents(struct device_board *board, const char *id,
                               const struct device_view *contents);
/* The job that it has is on this dataset, with these samples. What the device brings or uses of
 * them now is shown as this dataset's, as long as it keeps it and lists it. */
void device_board_use(struct device_board *board, const char *id, const char *sha256,
                      const char *dataset);
/* A READY device is BUSY while it has a job; done: it has succeeded. */
void device_board_begin_job(struct device_board *board, const char *id, const char *job);
void device_board_end_job(struct device_board *board, const char *id, bool done);

/* ---- for the scheduler ---- */

/* Whether it can take jobs, now or when it has ended the one that it has. */
bool device_board_is_usable(struct device_board *board, const char *id);
/* Whether jobs that wish for this are not for other GPUs: false of a GPU that is away for long. */
bool device_board_serves(struct device_board *board, const char *wish);
/* Which jobs a device takes now. Its texts live in `held` (base/buffer.h). False without memory. */
bool device_board_taker(struct device_board *board, const char *id, struct store_taker *taker,
                        struct buffer held[3]);

/* How many GPUs can be used, this one in any case; *place: its place among them. */
size_t device_board_gpus(struct device_board *board, const char *id, size_t *place);

/* ---- for the routes ---- */

/* Whether a job wishes for GPUs, whichever they are. */
bool device_wish_is_any_gpu(const char *wish);
/* Whether a device is one that a job wishes for. */
bool device_wish_allows(const char *wish, const char *id);
/* INVALID_VALUE at "device" when no device answers to the wish of a job. */
enum rejectd_status device_board_check_wish(struct device_board *board, const char *wish,
                                            struct rejectd_error *error);
/* A copy of all that is known. The datasets of a resident are those that were used, whether they
 * are there still or not. free() *views. */
enum rejectd_status device_board_copy(struct device_board *board, struct device_view **views,
                                      size_t *n_views, struct rejectd_error *error);
const char *device_board_note(const struct device_board *board);

#endif
