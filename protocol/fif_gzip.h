/* Inflating a gzip file as its bytes arrive. Internal to protocol/. */
#ifndef PROTOCOL_FIF_GZIP_H
#define PROTOCOL_FIF_GZIP_H

#include <rejectd/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <zlib.h>

enum { FIF_GZIP_PIECE = 1 << 16 };

struct fif_gzip {
    z_stream stream;
    bool open;
    bool ended; /* the last byte so far was the last of a member: the file may end here */
    unsigned char inflated[FIF_GZIP_PIECE];
};

/* The zero-initialised *gzip is to be closed; closing it all-zero is allowed. */
enum rejectd_status fif_gzip_open(struct fif_gzip *gzip, struct rejectd_error *error);
void fif_gzip_close(struct fif_gzip *gzip);

/*
 * Inflates the next n bytes and hands them to the sink, at most FIF_GZIP_PIECE at a time; a failure
 * of the sink ends it. A file may have several members, one after the other. INVALID_SAMPLES for
 * what is no gzip, and for wrong checksums.
 */
enum rejectd_status fif_gzip_write(struct fif_gzip *gzip, const unsigned char *bytes, size_t n,
                                   enum rejectd_status (*sink)(void *context,
                                                               const unsigned char *bytes, size_t n,
                                                               struct rejectd_error *error),
                                   void *context, struct rejectd_error *error);

#endif
