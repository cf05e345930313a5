/*
 * A body is raw when it has exactly the bytes that the dataset needs, and a .npy file when its
 * content type or its first bytes say so. Of a .npy file only the samples are kept. The length is
 * known before the first byte, so that a large body of the wrong length costs no upload. Of a
 * small one the first bytes are read all the same: a .npy header tells better what is wrong.
 *
 * A coded body is decoded by a thread of its own (intake.h), and its length isn't known: .npy is
 * what begins like it, and the samples end where the dataset's do, however much would come out.
 */
#include "server/uploads/upload_private.h"

#include <stdlib.h>
#include <string.h>

#include "server/uploads/partials.h"

enum { SMALL_BODY = 1 << 20, MAGIC_LENGTH = 6 };

enum rejectd_status upload_fail_length(const struct upload *upload, uint64_t length,
                                       struct rejectd_error *error)
{
    const struct dataset_description *description = &upload->description;
    return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "samples",
                        "the body has %llu bytes; accepted are the %zu bytes of %zu epochs x %zu "
                        "channels x %zu times of %s, or a .npy file with them",
                        (unsigned long long)length, upload->sample_bytes, description->n_epochs,
                        description->n_channels, description->n_times,
                        description->dtype == REJECTD_FLOAT32 ? "float32" : "float64");
}

bool upload_length_fits(const struct upload *upload, uint64_t length)
{
    return length >= upload->sample_bytes && length <= upload->sample_bytes + NPY_MAX_HEADER;
}

static enum rejectd_status check_length(const struct upload *upload, struct rejectd_error *error)
{
    const uint64_t most = (uint64_t)upload->service->config->max_upload_bytes;
    const uint64_t length = upload->options.content_length;
    if (length > most || upload->sample_bytes > most) {
        return REJECTD_FAIL(error, REJECTD_TOO_LARGE, "samples",
                            "the samples are larger than the %llu bytes that are accepted",
                            (unsigned long long)most);
    }
    if (upload->options.coding != HTTP_IDENTITY) {
        /* No coding makes more of anything than this. */
        return length > 2 * (uint64_t)upload->sample_bytes + SMALL_BODY
                   ? REJECTD_FAIL(error, REJECTD_TOO_LARGE, "samples",
                                  "the body has %llu bytes; %zu of samples are expected of it",
                                  (unsigned long long)length, upload->sample_bytes)
                   : REJECTD_OK;
    }
    if (!upload->is_piece && length > SMALL_BODY && !upload_length_fits(upload, length)) {
        return upload_fail_length(upload, length, error);
    }
    return REJECTD_OK;
}

static enum rejectd_status load_description(struct upload *upload, struct rejectd_error *error)
{
    struct store *store = upload->service->store;
    struct dataset_view dataset;
    void *samples = NULL;
    enum rejectd_status status =
        store->functions->dataset_get(store, upload->dataset, &dataset, error);
    if (status != REJECTD_OK) {
        return status;
    }
    if (dataset.state != DATASET_AWAITING_SAMPLES) {
        status = REJECTD_FAIL(error, REJECTD_CONFLICT, "", "dataset %s has its samples already",
                              dataset.id);
    } else if (dataset.next_part[0] != '\0') {
        status = REJECTD_FAIL(error, REJECTD_CONFLICT, "",
                              "dataset %s awaits the file %.200s; POST it to /v1/datasets/%s/parts",
                              dataset.id, dataset.next_part, dataset.id);
    } else {
        status = dataset_from_json(dataset.description_json, strlen(dataset.description_json),
                                   &upload->description, &samples, error);
    }
    free(samples);
    dataset_view_clear(&dataset);
    upload->sample_bytes = dataset_sample_bytes(&upload->description);
    return status;
}

enum rejectd_status upload_slot_take(struct service *service, struct rejectd_error *error)
{
    const int most = (int)service->config->max_uploads;
    if (atomic_fetch_add(&service->n_uploads, 1) >= most) {
        return REJECTD_FAIL(error, REJECTD_UNAVAILABLE, "",
                            "%d uploads are going on; try again when one of them is over", most);
    }
    return REJECTD_OK;
}

void upload_slot_release(struct service *service)
{
    atomic_fetch_sub(&service->n_uploads, 1);
}

/* ---- opening ---- */

static enum rejectd_status open_whole(struct upload *upload, struct rejectd_error *error)
{
    const bool coded = upload->options.coding != HTTP_IDENTITY;
    const struct blob_writer_options options = {
        .expected_bytes = upload->sample_bytes,
        .check_finite = true,
        .dtype = upload->description.dtype,
        /* The intake's thread waits for the disk itself. */
        .on_room = coded ? NULL : upload->options.on_room,
        .context = upload->options.context,
    };
    upload->body_bytes = coded ? 0 : upload->options.content_length;
    upload->in_header =
        coded || upload->options.is_npy || upload->body_bytes != upload->sample_bytes;
    return coded || upload_length_fits(upload, upload->body_bytes)
               ? blob_writer_open(upload->service->blobs, &options, &upload->writer, error)
               : REJECTD_OK;
}

static void take(struct upload *upload, const void *bytes, size_t count);

/* Of the decoder, which stops at the first failure. */
static enum rejectd_status take_decoded(void *context, const void *bytes, size_t count,
                                        struct rejectd_error *error)
{
    struct upload *upload = context;
    take(upload, bytes, count);
    if (upload->status != REJECTD_OK) {
        *error = upload->error;
    }
    return upload->status;
}

static enum rejectd_status open_intake(struct upload *upload, struct rejectd_error *error)
{
    const struct intake_options options = {
        .coding = upload->options.coding,
        .most = (uint64_t)upload->sample_bytes + NPY_MAX_HEADER,
        .consume = take_decoded,
        .context = upload,
        .on_room = upload->options.on_room,
        .room_context = upload->options.context,
    };
    return intake_open(&options, &upload->intake, error);
}

static enum rejectd_status begin(struct upload *upload, struct http_place *place,
                                 struct rejectd_error *error)
{
    enum rejectd_status status = load_description(upload, error);
    if (status == REJECTD_OK) {
        status = check_length(upload, error);
    }
    if (status == REJECTD_OK) {
        status = partials_enter(upload->service->partials, upload->dataset, error);
        upload->entered = status == REJECTD_OK;
    }
    if (status == REJECTD_OK) {
        upload->counted = true;
        status = upload_slot_take(upload->service, error);
    }
    if (status == REJECTD_OK) {
        status =
            upload->is_piece ? upload_piece_open(upload, place, error) : open_whole(upload, error);
    }
    if (status == REJECTD_OK && upload->options.coding != HTTP_IDENTITY) {
        status = open_intake(upload, error);
    }
    return status;
}

enum rejectd_status upload_open(struct service *service, const struct upload_options *options,
                                struct upload **upload, struct http_place *place,
                                struct rejectd_error *error)
{
    *upload = NULL;
    struct upload *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    made->service = service;
    made->options = *options;
    made->is_piece = options->piece.total > 0;
    memcpy(made->dataset, options->dataset, strlen(options->dataset) + 1);
    made->options.dataset = made->dataset;
    const enum rejectd_status status = begin(made, place, error);
    if (status != REJECTD_OK) {
        upload_close(made);
        return status;
    }
    *upload = made;
    return REJECTD_OK;
}

void upload_free(struct upload *upload)
{
    intake_close(upload->intake);
    blob_writer_close(upload->writer);
    dataset_description_clear(&upload->description);
    if (upload->entered) {
        partials_leave(upload->service->partials, upload->dataset);
    }
    if (upload->counted) {
        upload_slot_release(upload->service);
    }
    free(upload);
}

void upload_close(struct upload *upload)
{
    if (upload == NULL) {
        return;
    }
    if (upload->is_piece) {
        upload_piece_close(upload);
    } else {
        upload_free(upload);
    }
}

/* ---- the body ---- */

/* Samples, which must not become more than the dataset needs. */
static enum rejectd_status write_samples(struct upload *upload, const void *bytes, size_t count,
                                         struct rejectd_error *error)
{
    if (count > upload->sample_bytes - upload->sample_count) {
        return REJECTD_FAIL(error, REJECTD_TOO_LARGE, "samples",
                            "there are more than the %zu bytes of samples that the dataset needs",
                            upload->sample_bytes);
    }
    upload->sample_count += count;
    return blob_writer_write(upload->writer, bytes, count, error);
}

/* The header is over; the bytes behind it are samples. */
static enum rejectd_status begin_samples(struct upload *upload, size_t data_offset,
                                         struct rejectd_error *error)
{
    const size_t count = upload->header_length - data_offset;
    upload->in_header = false;
    upload->header_length = data_offset;
    return write_samples(upload, upload->header + data_offset, count, error);
}

/* Looks at the header as far as it has come; what follows it goes to the writer. */
static enum rejectd_status read_header(struct upload *upload, struct rejectd_error *error)
{
    const struct dataset_description *description = &upload->description;
    struct npy_header header;
    bool complete = false;
    if (!upload->options.is_npy && !npy_has_magic(upload->header, upload->header_length)) {
        return upload->body_bytes == 0 ? begin_samples(upload, 0, error)
                                       : upload_fail_length(upload, upload->body_bytes, error);
    }
    enum rejectd_status status =
        npy_header_read(upload->header, upload->header_length, &header, &complete, error);
    if (status != REJECTD_OK || !complete) {
        return status;
    }
    status = npy_header_check_samples(&header, description->n_epochs, description->n_channels,
                                      description->n_times, description->dtype, error);
    if (status == REJECTD_OK && upload->body_bytes != 0 &&
        header.data_offset + (uint64_t)upload->sample_bytes != upload->body_bytes) {
        status = upload_fail_length(upload, upload->body_bytes, error);
    }
    return status == REJECTD_OK ? begin_samples(upload, header.data_offset, error) : status;
}

static void take(struct upload *upload, const void *bytes, size_t count)
{
    const unsigned char *from = bytes;
    if (upload->status == REJECTD_OK && upload->in_header) {
        const size_t space = NPY_MAX_HEADER - upload->header_length;
        const size_t taken = count < space ? count : space;
        memcpy(upload->header + upload->header_length, from, taken);
        upload->header_length += taken;
        from += taken;
        count -= taken;
        if (upload->header_length >= MAGIC_LENGTH) {
            upload->status = read_header(upload, &upload->error);
        }
    }
    if (upload->status == REJECTD_OK && !upload->in_header && count > 0) {
        upload->status = write_samples(upload, from, count, &upload->error);
    }
}

bool upload_has_room(struct upload *upload, size_t count)
{
    if (upload->intake != NULL) {
        return intake_has_room(upload->intake, count);
    }
    return upload->writer == NULL || blob_writer_has_room(upload->writer, count);
}

void upload_write(struct upload *upload, const void *bytes, size_t count)
{
    upload->received = true;
    if (upload->intake != NULL) {
        intake_write(upload->intake, bytes, count);
    } else {
        take(upload, bytes, count);
    }
}

/* ---- the end ---- */

enum rejectd_status upload_fail_sample(const struct dataset_description *description, size_t index,
                                       struct rejectd_error *error)
{
    const size_t n_times = description->n_times;
    const size_t channel = index / n_times % description->n_channels;
    return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "samples",
                        "the sample of epoch %zu, channel %zu (%s), time %zu is NaN or infinite; "
                        "all samples must be finite",
                        index / n_times / description->n_channels, channel,
                        description->channels[channel].name, index % n_times);
}

enum rejectd_status upload_publish(struct upload *upload, const char *sha256,
                                   struct rejectd_error *error)
{
    struct service *service = upload->service;
    struct store *store = service->store;
    blobs_lock(service->blobs);
    enum rejectd_status status = blob_writer_publish(upload->writer, error);
    if (status == REJECTD_OK) {
        status = blobs_sync(service->blobs, error);
    }
    if (status == REJECTD_OK) {
        status = store->functions->dataset_set_samples(store, upload->dataset, sha256, error);
    }
    if (status != REJECTD_OK && !store->functions->blob_is_needed(store, sha256)) {
        blobs_remove(service->blobs, sha256);
    }
    blobs_unlock(service->blobs);
    if (status == REJECTD_OK) {
        /* Of pieces: of these, or of ones that are not gone on with any more. */
        blobs_partial_remove(service->blobs, upload->dataset);
    }
    return status;
}

/* All of a coded body is decoded after it. */
static enum rejectd_status end_coded(struct upload *upload, struct rejectd_error *error)
{
    enum rejectd_status status = intake_finish(upload->intake, error);
    if (status == REJECTD_OK && upload->in_header && !upload->options.is_npy &&
        upload->header_length < MAGIC_LENGTH) {
        status = begin_samples(upload, 0, error); /* that are too few to begin like .npy */
    }
    if (status == REJECTD_OK &&
        (upload->in_header || upload->sample_count != upload->sample_bytes)) {
        status = upload_fail_length(upload, intake_decoded(upload->intake), error);
    }
    return status;
}

static enum rejectd_status commit_whole(struct upload *upload, struct http_place *place,
                                        struct rejectd_error *error)
{
    char sha256[SHA256_TEXT_SIZE];
    size_t bad_sample = SIZE_MAX;
    if (upload->intake != NULL) {
        const enum rejectd_status status = end_coded(upload, error);
        if (status != REJECTD_OK) {
            return status;
        }
    }
    if (upload->status == REJECTD_OK && upload->in_header) {
        upload->status = upload_fail_length(upload, upload->body_bytes, &upload->error);
    }
    if (upload->status != REJECTD_OK) {
        *error = upload->error;
        return upload->status;
    }
    enum rejectd_status status = blob_writer_finish(upload->writer, sha256, &bad_sample, error);
    if (bad_sample != SIZE_MAX) {
        return upload_fail_sample(&upload->description, bad_sample, error);
    }
    if (status == REJECTD_OK) {
        status = upload_publish(upload, sha256, error);
    }
    place->complete = status == REJECTD_OK;
    return status;
}

enum rejectd_status upload_commit(struct upload *upload, struct http_place *place,
                                  struct rejectd_error *error)
{
    *place = (struct http_place){0};
    return upload->is_piece ? upload_piece_commit(upload, place, error)
                            : commit_whole(upload, place, error);
}
