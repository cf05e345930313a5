/*
 * Samples that come in pieces.
 *
 * What is kept between pieces: the samples in a partial file, the rest, with how many of them are
 * durable, in the store. Offsets are those of the body, the header of a .npy file included. The
 * record is written after the file is synced: what it tells is there whatever happens. While a
 * piece comes, that is done every 64 MiB, or every second if that is less often; at its end, or
 * when its connection breaks, for all of it.
 *
 * A piece with a digest of its own cannot be checked before it is whole, and is kept whole or not
 * at all.
 */
#include <stdlib.h>
#include <string.h>

#include "server/uploads/partials.h"
#include "server/uploads/upload_private.h"

/* ---- records ---- */

static enum rejectd_status save(const struct upload *upload, uint64_t sample_bytes,
                                struct http_place *place, struct rejectd_error *error)
{
    struct store *store = upload->service->store;
    struct store_partial partial = {
        .total = upload->options.piece.total,
        .is_npy = upload->options.is_npy,
        .in_header = upload->in_header,
        .header_bytes = upload->header_length,
        .sample_bytes = sample_bytes,
    };
    memcpy(partial.dataset, upload->dataset, sizeof partial.dataset);
    memcpy(partial.header, upload->header, upload->header_length);
    if (place != NULL) {
        *place = (struct http_place){
            .known = true, .offset = partials_offset(&partial), .length = partial.total};
    }
    return store->functions->partial_put(store, &partial, error);
}

/* The samples begin after the header, which nobody changes then: any thread may read it. */
static void on_durable(void *context, uint64_t bytes)
{
    struct rejectd_error error;
    (void)save(context, bytes, NULL, &error);
}

/* All pieces are of no use any more. */
static void discard(struct upload *upload)
{
    blob_writer_close(upload->writer);
    upload->writer = NULL;
    partials_discard(upload->service->partials, upload->dataset);
}

/* ---- opening ---- */

static enum rejectd_status fail_place(const struct upload *upload, const struct http_place *place,
                                      struct rejectd_error *error)
{
    const struct http_piece *piece = &upload->options.piece;
    if (place->length != 0 && place->length != piece->total) {
        return REJECTD_FAIL(error, REJECTD_CONFLICT, "Content-Range",
                            "the upload was begun with a total of %llu bytes, not %llu",
                            (unsigned long long)place->length, (unsigned long long)piece->total);
    }
    return REJECTD_FAIL(error, REJECTD_CONFLICT, "Content-Range",
                        "the piece begins at byte %llu; the next one to come is %llu",
                        (unsigned long long)piece->first, (unsigned long long)place->offset);
}

static enum rejectd_status check_place(const struct upload *upload,
                                       const struct store_partial *partial,
                                       struct http_place *place, struct rejectd_error *error)
{
    const struct http_piece *piece = &upload->options.piece;
    *place = (struct http_place){
        .known = true, .offset = partials_offset(partial), .length = partial->total};
    if (piece->first != place->offset || (partial->total != 0 && partial->total != piece->total)) {
        return fail_place(upload, place, error);
    }
    return upload_length_fits(upload, piece->total)
               ? REJECTD_OK
               : upload_fail_length(upload, piece->total, error);
}

static enum rejectd_status open_writer(struct upload *upload, struct rejectd_error *error)
{
    const struct http_piece *piece = &upload->options.piece;
    struct blob_progress progress;
    const bool known = partials_recall(upload->service->partials, upload->dataset, &progress);
    const struct blob_writer_options options = {
        .expected_bytes = piece->last - piece->first + 1,
        .check_finite = true,
        .dtype = upload->description.dtype,
        .on_room = upload->options.on_room,
        .context = upload->options.context,
        .partial = upload->dataset,
        .partial_bytes = upload->sample_count,
        .progress = known ? &progress : NULL,
        .on_durable = upload->options.whole_or_nothing ? NULL : on_durable,
        .durable_context = upload,
    };
    return blob_writer_open(upload->service->blobs, &options, &upload->writer, error);
}

enum rejectd_status upload_piece_open(struct upload *upload, struct http_place *place,
                                      struct rejectd_error *error)
{
    struct store_partial partial;
    enum rejectd_status status =
        partials_get(upload->service->partials, upload->dataset, &partial, error);
    if (status == REJECTD_OK) {
        status = check_place(upload, &partial, place, error);
    }
    if (status != REJECTD_OK) {
        return status;
    }
    upload->is_first = partial.total == 0;
    upload->body_bytes = upload->options.piece.total;
    if (upload->is_first) {
        upload->in_header = upload->options.is_npy || upload->body_bytes != upload->sample_bytes;
    } else {
        upload->options.is_npy = partial.is_npy;
        upload->in_header = partial.in_header;
        upload->header_length = partial.header_bytes;
        memcpy(upload->header, partial.header, partial.header_bytes);
        upload->sample_count = partial.sample_bytes;
    }
    return open_writer(upload, error);
}

/* ---- the end of a piece ---- */

/* Keeps what has come. Of no use is what has a sample that is not finite. */
static enum rejectd_status keep(struct upload *upload, struct http_place *place,
                                struct rejectd_error *error)
{
    struct blob_progress progress;
    uint64_t bytes = 0;
    size_t bad_sample = SIZE_MAX;
    enum rejectd_status status =
        blob_writer_suspend(upload->writer, &bytes, &progress, &bad_sample, error);
    if (bad_sample != SIZE_MAX) {
        discard(upload);
        return upload_fail_sample(&upload->description, bad_sample, error);
    }
    if (status == REJECTD_OK) {
        status = save(upload, bytes, place, error);
    }
    if (status == REJECTD_OK) {
        partials_keep(upload->service->partials, upload->dataset, &progress);
    } else if (status == REJECTD_CONFLICT) {
        discard(upload); /* the dataset is gone, or has its samples */
    }
    return status;
}

static enum rejectd_status check_digest(struct upload *upload, const char *sha256,
                                        struct rejectd_error *error)
{
    unsigned char digest[HTTP_DIGEST_BYTES];
    char text[SHA256_TEXT_SIZE];
    char computed[HTTP_DIGEST_TEXT_SIZE];
    enum rejectd_status status = REJECTD_OK;
    memcpy(text, sha256, sizeof text);
    if (upload->header_length > 0) {
        struct sha256 hash;
        sha256_init(&hash);
        sha256_update(&hash, upload->header, upload->header_length);
        status = blob_writer_hash(upload->writer, &hash, error);
        sha256_final(&hash, text);
    }
    sodium_hex2bin(digest, sizeof digest, text, strlen(text), NULL, NULL, NULL);
    if (status == REJECTD_OK && memcmp(digest, upload->options.digest, sizeof digest) != 0) {
        http_write_digest(digest, computed);
        discard(upload);
        return REJECTD_FAIL(error, REJECTD_DIGEST_MISMATCH, "Repr-Digest",
                            "all pieces together have %s; they are dropped", computed);
    }
    return status;
}

/* The last piece. */
static enum rejectd_status finish(struct upload *upload, struct http_place *place,
                                  struct rejectd_error *error)
{
    char sha256[SHA256_TEXT_SIZE];
    size_t bad_sample = SIZE_MAX;
    enum rejectd_status status = blob_writer_finish(upload->writer, sha256, &bad_sample, error);
    if (bad_sample != SIZE_MAX) {
        discard(upload);
        return upload_fail_sample(&upload->description, bad_sample, error);
    }
    if (status == REJECTD_OK && upload->options.has_digest) {
        status = check_digest(upload, sha256, error);
    }
    if (status == REJECTD_OK) {
        status = upload_publish(upload, sha256, error);
        if (status == REJECTD_CONFLICT || status == REJECTD_NOT_FOUND) {
            discard(upload);
        }
    }
    if (status == REJECTD_OK) {
        const uint64_t total = upload->options.piece.total;
        *place =
            (struct http_place){.known = true, .complete = true, .offset = total, .length = total};
    }
    return status;
}

enum rejectd_status upload_piece_commit(struct upload *upload, struct http_place *place,
                                        struct rejectd_error *error)
{
    const struct http_piece *piece = &upload->options.piece;
    upload->settled = true;
    const bool is_last = piece->last + 1 == piece->total;
    if (upload->status == REJECTD_OK && is_last && upload->in_header) {
        upload->status = upload_fail_length(upload, piece->total, &upload->error);
    }
    if (upload->status != REJECTD_OK) {
        if (upload->status == REJECTD_INVALID_SAMPLES) {
            discard(upload); /* no header of a .npy file that would do */
        }
        *error = upload->error;
        return upload->status;
    }
    return is_last ? finish(upload, place, error) : keep(upload, place, error);
}

/* ---- a piece that was cut off ---- */

static void keep_and_free(void *context)
{
    struct upload *upload = context;
    struct rejectd_error error;
    if (upload->status == REJECTD_INVALID_SAMPLES) {
        discard(upload);
    } else if (upload->status == REJECTD_OK) {
        (void)keep(upload, NULL, &error); /* who comes back is told how much there is */
    }
    upload_free(upload);
}

void upload_piece_close(struct upload *upload)
{
    const bool drops = upload->settled || !upload->received || upload->options.whole_or_nothing;
    if (upload->writer == NULL || drops) {
        if (upload->writer != NULL && upload->is_first && !upload->settled) {
            blobs_partial_remove(upload->service->blobs, upload->dataset);
        }
        upload_free(upload);
        return;
    }
    upload->task = (struct executor_task){.run = keep_and_free, .context = upload};
    executor_submit(upload->service->uploads, &upload->task);
}
