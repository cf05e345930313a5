/*
 * Who uploads to which dataset now, and what is left of uploads that come in pieces.
 *
 * One upload at a time belongs to a dataset. What has come of one in pieces is in the store
 * (store_partial) and in a partial file; here is only what can be found out again: how far that
 * file has been hashed. Uploads that nobody went on with for unfinished-upload-seconds are removed.
 *
 * All functions may be called by several threads at once.
 */
#ifndef SERVER_UPLOADS_PARTIALS_H
#define SERVER_UPLOADS_PARTIALS_H

#include "protocol/http_fields.h"
#include "server/service.h"

struct partials;

/* *partials is owned by the caller: partials_close(). */
enum rejectd_status partials_open(struct service *service, struct partials **partials,
                                  struct rejectd_error *error);
void partials_close(struct partials *partials); /* NULL is allowed */

/* An upload to the dataset begins; CONFLICT when there is one already. partials_leave(). */
enum rejectd_status partials_enter(struct partials *partials, const char *dataset,
                                   struct rejectd_error *error);
void partials_leave(struct partials *partials, const char *dataset);
/* Whether somebody uploads to it now. */
bool partials_is_busy(struct partials *partials, const char *dataset);

/* Remembers how far the partial file is hashed, and tells it; false when that isn't known. */
void partials_keep(struct partials *partials, const char *dataset,
                   const struct blob_progress *progress);
bool partials_recall(struct partials *partials, const char *dataset,
                     struct blob_progress *progress);

/* Removes what has come of an upload in pieces, by whoever has entered. */
void partials_discard(struct partials *partials, const char *dataset);
/* After a dataset was deleted: removes its partial file, now or when its upload has ended. */
void partials_dataset_deleted(struct partials *partials, const char *dataset);

/* What is kept of the pieces before, of which at least a byte is still to come; zeros when nothing
 * is. */
enum rejectd_status partials_get(struct partials *partials, const char *dataset,
                                 struct store_partial *partial, struct rejectd_error *error);
/* How far the upload to a dataset that awaits samples has got. */
enum rejectd_status partials_look(struct partials *partials, const char *dataset,
                                  struct http_place *place, struct rejectd_error *error);
/* The same from a record. */
uint64_t partials_offset(const struct store_partial *partial);

/* To be called often, by one thread; never waits. */
void partials_tick(struct partials *partials, double now);

#endif
