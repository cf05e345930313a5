/* Reading a FIF file from memory, with what the reader hands out collected. */
#ifndef FIF_READING_H
#define FIF_READING_H

#include <stdlib.h>
#include <string.h>

#include "protocol/fif_reader.h"

struct fif_reading {
    unsigned char *samples; /* owned */
    size_t size;
    size_t begun;     /* calls of begin */
    size_t n_samples; /* that begin was told of */
    size_t fail_at;   /* the sink fails when it has this many bytes; 0: never */
    struct dataset_description description;
    struct fif_leftover leftover;
    struct rejectd_error error;
};

static inline enum rejectd_status fif_reading_begin(void *context,
                                                    const struct dataset_description *so_far,
                                                    struct rejectd_error *error)
{
    struct fif_reading *reading = context;
    (void)error;
    reading->begun++;
    reading->n_samples = so_far->n_epochs * so_far->n_channels * so_far->n_times;
    return REJECTD_OK;
}

static inline enum rejectd_status fif_reading_samples(void *context, const void *bytes, size_t n,
                                                      struct rejectd_error *error)
{
    struct fif_reading *reading = context;
    if (reading->fail_at > 0 && reading->size + n >= reading->fail_at)
        return REJECTD_FAIL(error, REJECTD_STORAGE_FULL, "", "no room");
    unsigned char *grown = realloc(reading->samples, reading->size + n);
    if (grown == NULL)
        return REJECTD_FAIL_MEMORY(error, reading->size + n);
    memcpy(grown + reading->size, bytes, n);
    reading->samples = grown;
    reading->size += n;
    return REJECTD_OK;
}

/* Reads in pieces of `chunk` bytes, 0: at once. The reading begins zero-initialised but for
 * fail_at, and is to be cleared whatever comes of it. */
static inline enum rejectd_status fif_reading_read(struct fif_reading *reading, const void *bytes,
                                                   size_t size, size_t chunk, size_t max_head)
{
    struct fif_reader *reader;
    const struct fif_reader_options options = {
        .max_head = max_head,
        .context = reading,
        .begin = fif_reading_begin,
        .samples = fif_reading_samples,
    };
    enum rejectd_status status = fif_reader_open(&options, &reader, &reading->error);
    if (chunk == 0)
        chunk = size;
    for (size_t at = 0; at < size && status == REJECTD_OK; at += chunk)
        status = fif_reader_write(reader, (const unsigned char *)bytes + at,
                                  chunk < size - at ? chunk : size - at, &reading->error);
    if (status == REJECTD_OK)
        status =
            fif_reader_finish(reader, &reading->description, &reading->leftover, &reading->error);
    fif_reader_close(reader);
    return status;
}

static inline void fif_reading_clear(struct fif_reading *reading)
{
    free(reading->samples);
    dataset_description_clear(&reading->description);
    fif_leftover_clear(&reading->leftover);
    *reading = (struct fif_reading){0};
}

#endif
