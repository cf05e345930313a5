/* Cleaned epochs as a FIF file, made while it is sent. */
#ifndef SERVER_ROUTES_FIF_STREAM_H
#define SERVER_ROUTES_FIF_STREAM_H

#include "server/blobs/blobs.h"
#include "server/http/response.h"
#include "server/store/store.h"

struct fif_request {
    struct blobs *blobs;
    const struct store_part *parts; /* the files that the dataset came from, all of them FIF */
    size_t n_parts;
    const unsigned char *kept; /* [n_epochs] */
    size_t n_epochs;
    enum rejectd_dtype dtype;
    const char *cleaned_sha256; /* the blob of cleaned.npy */
    size_t part;                /* of the file that is wanted, from 0 */
};

/*
 * Opens what is needed. *stream is owned by the caller, name [256] the file's name, *n_parts how
 * many the file has. INVALID_VALUE at "part" when there is no such part; UNSUITABLE_DATASET when
 * no epoch is kept.
 */
enum rejectd_status fif_stream_open(const struct fif_request *request,
                                    struct response_stream *stream, char name[256], size_t *n_parts,
                                    struct rejectd_error *error);

#endif
