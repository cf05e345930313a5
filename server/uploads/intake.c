#include "server/uploads/intake.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/content_decoder.h"

enum { CAPACITY = 4 << 20, PIECE = 1 << 20 };

/* A ring of bytes: `taken` of `given` have been consumed. */
struct intake {
    struct intake_options options;
    struct content_decoder *decoder; /* NULL: the body comes as it is */
    unsigned char *ring;             /* [CAPACITY] */
    pthread_t thread;
    bool has_thread;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t given, taken;
    size_t wanted; /* room that the giver waits to be told of; 0: it doesn't */
    bool ending;   /* nothing more is given */
    bool dropping; /* and nothing more is to be consumed */

    /* Of the thread, until it ended. */
    enum rejectd_status status;
    struct rejectd_error error;
};

static size_t room(const struct intake *intake)
{
    return CAPACITY - (intake->given - intake->taken);
}

/* The next piece of the ring that lies in one, at most PIECE bytes; 0 at the end. Waits. */
static size_t next_piece(struct intake *intake, size_t *at)
{
    while (intake->given == intake->taken && !intake->ending) {
        pthread_cond_wait(&intake->changed, &intake->lock);
    }
    *at = intake->taken % CAPACITY;
    size_t count = intake->given - intake->taken;
    count = count < PIECE ? count : PIECE;
    return count < CAPACITY - *at ? count : CAPACITY - *at;
}

static enum rejectd_status take(struct intake *intake, const unsigned char *bytes, size_t count)
{
    const struct intake_options *options = &intake->options;
    return intake->decoder != NULL
               ? content_decoder_write(intake->decoder, bytes, count, &intake->error)
               : options->consume(options->context, bytes, count, &intake->error);
}

static void *intake_main(void *argument)
{
    struct intake *intake = argument;
    size_t at;
    size_t count;
    pthread_mutex_lock(&intake->lock);
    while ((count = next_piece(intake, &at)) > 0) {
        const bool consumes = intake->status == REJECTD_OK && !intake->dropping;
        pthread_mutex_unlock(&intake->lock);
        if (consumes) {
            intake->status = take(intake, intake->ring + at, count);
        }
        pthread_mutex_lock(&intake->lock);
        intake->taken += count;
        pthread_cond_broadcast(&intake->changed);
        if (intake->wanted > 0 && room(intake) >= intake->wanted) {
            intake->wanted = 0;
            pthread_mutex_unlock(&intake->lock);
            intake->options.on_room(intake->options.room_context);
            pthread_mutex_lock(&intake->lock);
        }
    }
    pthread_mutex_unlock(&intake->lock);
    return NULL;
}

static enum rejectd_status open_decoder(struct intake *intake, struct rejectd_error *error)
{
    const struct content_decoder_options options = {
        .coding = intake->options.coding,
        .most = intake->options.most,
        .sink = intake->options.consume,
        .context = intake->options.context,
    };
    return options.coding == HTTP_IDENTITY
               ? REJECTD_OK
               : content_decoder_open(&options, &intake->decoder, error);
}

enum rejectd_status intake_open(const struct intake_options *options, struct intake **intake,
                                struct rejectd_error *error)
{
    struct intake *made = calloc(1, sizeof *made);
    *intake = NULL;
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    made->options = *options;
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->changed, NULL);
    made->ring = malloc(CAPACITY);
    if (made->ring == NULL) {
        intake_close(made);
        return REJECTD_FAIL_MEMORY(error, CAPACITY);
    }
    const enum rejectd_status status = open_decoder(made, error);
    if (status != REJECTD_OK) {
        intake_close(made);
        return status;
    }
    const int failed = pthread_create(&made->thread, NULL, intake_main, made);
    if (failed != 0) {
        intake_close(made);
        return REJECTD_FAIL(error, REJECTD_UNAVAILABLE, "", "no thread can be started: %s",
                            strerror(failed));
    }
    made->has_thread = true;
    *intake = made;
    return REJECTD_OK;
}

static void end(struct intake *intake, bool dropping)
{
    if (!intake->has_thread) {
        return;
    }
    pthread_mutex_lock(&intake->lock);
    intake->ending = true;
    intake->dropping = dropping;
    pthread_cond_broadcast(&intake->changed);
    pthread_mutex_unlock(&intake->lock);
    pthread_join(intake->thread, NULL);
    intake->has_thread = false;
}

void intake_close(struct intake *intake)
{
    if (intake == NULL) {
        return;
    }
    end(intake, true);
    pthread_cond_destroy(&intake->changed);
    pthread_mutex_destroy(&intake->lock);
    content_decoder_close(intake->decoder);
    free(intake->ring);
    free(intake);
}

bool intake_has_room(struct intake *intake, size_t count)
{
    pthread_mutex_lock(&intake->lock);
    const bool has_room = room(intake) >= count;
    intake->wanted = has_room ? 0 : count;
    pthread_mutex_unlock(&intake->lock);
    return has_room;
}

void intake_write(struct intake *intake, const void *bytes, size_t count)
{
    const unsigned char *from = bytes;
    pthread_mutex_lock(&intake->lock);
    while (count > 0) {
        while (room(intake) == 0) {
            pthread_cond_wait(&intake->changed, &intake->lock);
        }
        const size_t at = intake->given % CAPACITY;
        size_t piece = count < room(intake) ? count : room(intake);
        piece = piece < CAPACITY - at ? piece : CAPACITY - at;
        /* The thread reads below `given` only. */
        pthread_mutex_unlock(&intake->lock);
        memcpy(intake->ring + at, from, piece);
        pthread_mutex_lock(&intake->lock);
        intake->given += piece;
        from += piece;
        count -= piece;
        pthread_cond_broadcast(&intake->changed);
    }
    pthread_mutex_unlock(&intake->lock);
}

enum rejectd_status intake_finish(struct intake *intake, struct rejectd_error *error)
{
    end(intake, false);
    if (intake->status == REJECTD_OK && intake->decoder != NULL) {
        intake->status = content_decoder_finish(intake->decoder, &intake->error);
    }
    if (intake->status != REJECTD_OK) {
        *error = intake->error;
    }
    return intake->status;
}

uint64_t intake_decoded(const struct intake *intake)
{
    return content_decoder_made(intake->decoder);
}
