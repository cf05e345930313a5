#include "server/routes/fif_stream.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/fif_writer.h"
#include "protocol/npy.h"

struct fif_stream {
    struct blob_map *head_maps; /* [n_heads] */
    struct fif_leftover *heads; /* borrow from the maps */
    size_t n_heads;
    unsigned char *kept;
    struct fif_writer *writer;
    struct fif_frame frame;
    struct blob_map cleaned;
    const unsigned char *samples; /* of the frame's first epoch */
    unsigned char *epoch;         /* the one that was converted last */
    size_t epoch_number;          /* of the frame; SIZE_MAX: none */
};

static void stream_close(void *context)
{
    struct fif_stream *stream = context;
    fif_frame_clear(&stream->frame);
    fif_writer_close(stream->writer);
    for (size_t i = 0; stream->head_maps != NULL && i < stream->n_heads; i++) {
        blobs_unmap(&stream->head_maps[i]);
    }
    blobs_unmap(&stream->cleaned);
    free(stream->head_maps);
    free(stream->heads);
    free(stream->kept);
    free(stream->epoch);
    free(stream);
}

static size_t copy(const unsigned char *from, uint64_t available, char *out, size_t most)
{
    const size_t count = available < most ? (size_t)available : most;
    memcpy(out, from, count);
    return count;
}

static size_t stream_read(void *context, uint64_t position, char *out, size_t most)
{
    struct fif_stream *stream = context;
    const struct fif_frame *frame = &stream->frame;
    if (position < frame->prefix_bytes) {
        return copy(frame->prefix + position, frame->prefix_bytes - position, out, most);
    }
    position -= frame->prefix_bytes;
    if (position >= frame->data_bytes) {
        position -= frame->data_bytes;
        return copy(frame->suffix + position, frame->suffix_bytes - position, out, most);
    }
    const size_t stored = fif_frame_stored_epoch(frame);
    const size_t number = (size_t)(position / stored);
    if (number != stream->epoch_number) {
        fif_frame_convert(frame, stream->samples + number * fif_frame_sample_epoch(frame), 1,
                          stream->epoch);
        stream->epoch_number = number;
    }
    const size_t within = (size_t)(position % stored);
    return copy(stream->epoch + within, stored - within, out, most);
}

static enum rejectd_status open_heads(const struct fif_request *request, struct fif_stream *stream,
                                      struct rejectd_error *error)
{
    enum rejectd_status status = REJECTD_OK;
    stream->n_heads = request->n_parts;
    stream->head_maps = calloc(request->n_parts, sizeof *stream->head_maps);
    stream->heads = calloc(request->n_parts, sizeof *stream->heads);
    stream->kept = malloc(request->n_epochs);
    if (stream->head_maps == NULL || stream->heads == NULL || stream->kept == NULL) {
        return REJECTD_FAIL_MEMORY(error, request->n_epochs);
    }
    memcpy(stream->kept, request->kept, request->n_epochs);
    for (size_t i = 0; i < request->n_parts && status == REJECTD_OK; i++) {
        const struct store_part *part = &request->parts[i];
        status = blobs_map(request->blobs, part->head_sha256, (size_t)part->head_bytes,
                           &stream->head_maps[i], error);
        stream->heads[i] = (struct fif_leftover){
            .head = (unsigned char *)(uintptr_t)stream->head_maps[i].data,
            .head_size = (size_t)part->head_bytes,
            .samples_at = (size_t)part->samples_at,
        };
    }
    return status;
}

/* Maps cleaned.npy, whose size is that of its file, and finds the frame's samples in it. */
static enum rejectd_status open_samples(const struct fif_request *request,
                                        struct fif_stream *stream, struct rejectd_error *error)
{
    int file;
    uint64_t bytes;
    struct npy_header header;
    bool complete = false;
    enum rejectd_status status =
        blobs_open_file(request->blobs, request->cleaned_sha256, &file, &bytes, error);
    if (status != REJECTD_OK) {
        return status;
    }
    close(file);
    status =
        blobs_map(request->blobs, request->cleaned_sha256, (size_t)bytes, &stream->cleaned, error);
    if (status == REJECTD_OK) {
        status =
            npy_header_read(stream->cleaned.data, stream->cleaned.size, &header, &complete, error);
    }
    if (status != REJECTD_OK) {
        return status;
    }
    const size_t epoch = fif_frame_sample_epoch(&stream->frame);
    const size_t first = stream->frame.first_epoch * epoch;
    const size_t needed = first + stream->frame.n_epochs * epoch;
    if (!complete || header.data_bytes < needed) {
        return REJECTD_FAIL(error, REJECTD_STORAGE, "", "the blob %.64s is not as it was made",
                            request->cleaned_sha256);
    }
    stream->samples = (const unsigned char *)stream->cleaned.data + header.data_offset + first;
    return REJECTD_OK;
}

static enum rejectd_status open_frame(const struct fif_request *request, struct fif_stream *stream,
                                      size_t *n_parts, struct rejectd_error *error)
{
    const struct fif_writer_options options = {
        .heads = stream->heads,
        .n_heads = stream->n_heads,
        .kept = stream->kept,
        .n_epochs = request->n_epochs,
        .dtype = request->dtype,
        .name = "cleaned-epo.fif",
    };
    enum rejectd_status status = fif_writer_open(&options, &stream->writer, error);
    if (status != REJECTD_OK) {
        return status;
    }
    *n_parts = fif_writer_parts(stream->writer);
    if (request->part >= *n_parts) {
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "part",
                            "the file has %zu parts; 1 to %zu are accepted", *n_parts, *n_parts);
    }
    status = fif_writer_frame(stream->writer, request->part, &stream->frame, error);
    if (status == REJECTD_OK) {
        stream->epoch = malloc(fif_frame_stored_epoch(&stream->frame));
        stream->epoch_number = SIZE_MAX;
        if (stream->epoch == NULL) {
            status = REJECTD_FAIL_MEMORY(error, fif_frame_stored_epoch(&stream->frame));
        }
    }
    return status;
}

enum rejectd_status fif_stream_open(const struct fif_request *request,
                                    struct response_stream *stream, char name[256], size_t *n_parts,
                                    struct rejectd_error *error)
{
    struct fif_stream *made = calloc(1, sizeof *made);
    *stream = (struct response_stream){0};
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    enum rejectd_status status = open_heads(request, made, error);
    if (status == REJECTD_OK) {
        status = open_frame(request, made, n_parts, error);
    }
    if (status == REJECTD_OK) {
        status = open_samples(request, made, error);
    }
    if (status != REJECTD_OK) {
        stream_close(made);
        return status;
    }
    const struct fif_frame *frame = &made->frame;
    memcpy(name, frame->name, sizeof frame->name);
    *stream = (struct response_stream){
        .read = stream_read,
        .close = stream_close,
        .context = made,
        .bytes = (uint64_t)frame->prefix_bytes + frame->data_bytes + frame->suffix_bytes,
    };
    return REJECTD_OK;
}
