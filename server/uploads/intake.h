/*
 * The body of a request on its way to a thread that takes its time: a bounded queue of bytes, and
 * one thread that decodes them, if they are coded, and hands them in order to a consumer. So a
 * parser or a slow disk never keeps an HTTP thread from its other connections.
 */
#ifndef SERVER_UPLOADS_INTAKE_H
#define SERVER_UPLOADS_INTAKE_H

#include <rejectd/error.h>
#include <stdbool.h>
#include <stddef.h>

#include "protocol/http_fields.h"

struct intake;

struct intake_options {
    enum http_coding coding; /* of what is written */
    uint64_t most;           /* bytes that may come of a coded body (TOO_LARGE) */
    /* Called on the intake's thread. After a failure it is not called again; the rest is dropped.
     */
    enum rejectd_status (*consume)(void *context, const void *bytes, size_t count,
                                   struct rejectd_error *error);
    void *context;
    /* Told on the intake's thread that there is room again, once for each time that
     * intake_has_room() was false. */
    void (*on_room)(void *context);
    void *room_context;
};

/* Starts the thread. *intake is owned by the caller: intake_close(). */
enum rejectd_status intake_open(const struct intake_options *options, struct intake **intake,
                                struct rejectd_error *error);
/* Drops what was not consumed, and waits for the thread. NULL is allowed. */
void intake_close(struct intake *intake);

/* The rest from one thread at a time. */

/* True when intake_write() takes `count` bytes (at most 1 MiB) without waiting; false: on_room()
 * follows. */
bool intake_has_room(struct intake *intake, size_t count);
void intake_write(struct intake *intake, const void *bytes, size_t count);
/* Waits until everything is consumed, and ends the thread. The first failure of the consumer or of
 * the coding, if any. */
enum rejectd_status intake_finish(struct intake *intake, struct rejectd_error *error);
/* After it: how many bytes a coded body was. */
uint64_t intake_decoded(const struct intake *intake);

#endif
