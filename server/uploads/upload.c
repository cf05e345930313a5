/*
 * A body is raw when it has exactly the bytes that the dataset needs, and a .npy file when its
 * content type or its first bytes say so. Of a .npy file only the samples are kept. The length is
 * known before the first byte, so that a large body of the wrong length costs no upload. Of a
 * small one the first bytes are read all the same: a .npy header tells better what is wrong.
 */
#include "server/uploads/upload.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/dataset_json.h"
#include "protocol/npy.h"

enum { SMALL_BODY = 1 << 20 };

struct upload {
    struct service *service;
    struct dataset_description description;
    char dataset[RESOURCE_ID_SIZE];
    size_t sample_bytes; /* that the dataset needs */
    uint64_t content_length;
    bool declared_npy;
    bool in_header; /* the samples haven't begun */
    size_t header_length;
    unsigned char header[NPY_MAX_HEADER];
    struct blob_writer *writer; /* NULL when the length is wrong: only the header is read */
    bool counted;
    enum rejectd_status status; /* the first failure */
    struct rejectd_error error;
};

static enum rejectd_status fail_length(const struct upload *upload, struct rejectd_error *error)
{
    const struct dataset_description *description = &upload->description;
    return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "samples",
                        "the body has %llu bytes; accepted are the %zu bytes of %zu epochs x %zu "
                        "channels x %zu times of %s, or a .npy file with them",
                        (unsigned long long)upload->content_length, upload->sample_bytes,
                        description->n_epochs, description->n_channels, description->n_times,
                        description->dtype == REJECTD_FLOAT32 ? "float32" : "float64");
}

static bool has_right_length(const struct upload *upload)
{
    return upload->content_length >= upload->sample_bytes &&
           upload->content_length <= upload->sample_bytes + NPY_MAX_HEADER;
}

static enum rejectd_status check_length(const struct upload *upload, struct rejectd_error *error)
{
    const uint64_t most = (uint64_t)upload->service->config->max_upload_bytes;
    if (upload->content_length > most || upload->sample_bytes > most) {
        return REJECTD_FAIL(error, REJECTD_TOO_LARGE, "samples",
                            "the samples are larger than the %llu bytes that are accepted",
                            (unsigned long long)most);
    }
    if (upload->content_length > SMALL_BODY && !has_right_length(upload)) {
        return fail_length(upload, error);
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

enum rejectd_status upload_open(struct service *service, const char *dataset,
                                uint64_t content_length, bool is_npy, void (*on_room)(void *),
                                void *context, struct upload **upload, struct rejectd_error *error)
{
    *upload = NULL;
    struct upload *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    made->service = service;
    made->content_length = content_length;
    made->declared_npy = is_npy;
    memcpy(made->dataset, dataset, strlen(dataset) + 1);
    enum rejectd_status status = load_description(made, error);
    if (status == REJECTD_OK) {
        status = check_length(made, error);
    }
    if (status == REJECTD_OK) {
        made->counted = true;
        status = upload_slot_take(service, error);
    }
    made->in_header = is_npy || content_length != made->sample_bytes;
    if (status == REJECTD_OK && has_right_length(made)) {
        const struct blob_writer_options options = {
            .expected_bytes = made->sample_bytes,
            .check_finite = true,
            .dtype = made->description.dtype,
            .on_room = on_room,
            .context = context,
        };
        status = blob_writer_open(service->blobs, &options, &made->writer, error);
    }
    if (status != REJECTD_OK) {
        upload_close(made);
        return status;
    }
    *upload = made;
    return REJECTD_OK;
}

void upload_close(struct upload *upload)
{
    if (upload == NULL) {
        return;
    }
    blob_writer_close(upload->writer);
    dataset_description_clear(&upload->description);
    if (upload->counted) {
        upload_slot_release(upload->service);
    }
    free(upload);
}

bool upload_has_room(struct upload *upload, size_t count)
{
    return upload->writer == NULL || blob_writer_has_room(upload->writer, count);
}

/* Looks at the header as far as it has come; what follows it goes to the writer. */
static enum rejectd_status read_header(struct upload *upload, struct rejectd_error *error)
{
    const struct dataset_description *description = &upload->description;
    struct npy_header header;
    bool complete = false;
    if (!upload->declared_npy && !npy_has_magic(upload->header, upload->header_length)) {
        return fail_length(upload, error);
    }
    enum rejectd_status status =
        npy_header_read(upload->header, upload->header_length, &header, &complete, error);
    if (status == REJECTD_OK && complete) {
        status = npy_header_check_samples(&header, description->n_epochs, description->n_channels,
                                          description->n_times, description->dtype, error);
        if (status == REJECTD_OK &&
            header.data_offset + (uint64_t)upload->sample_bytes != upload->content_length) {
            status = fail_length(upload, error);
        }
        if (status == REJECTD_OK) {
            upload->in_header = false;
            status = blob_writer_write(upload->writer, upload->header + header.data_offset,
                                       upload->header_length - header.data_offset, error);
        }
    }
    return status;
}

void upload_write(struct upload *upload, const void *bytes, size_t count)
{
    enum { MAGIC_LENGTH = 6 };
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
        upload->status = blob_writer_write(upload->writer, from, count, &upload->error);
    }
}

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

static enum rejectd_status publish(struct upload *upload, const char *sha256,
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
    return status;
}

enum rejectd_status upload_commit(struct upload *upload, struct rejectd_error *error)
{
    char sha256[SHA256_TEXT_SIZE];
    size_t bad_sample = SIZE_MAX;
    if (upload->status == REJECTD_OK && upload->in_header) {
        upload->status = fail_length(upload, &upload->error);
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
        status = publish(upload, sha256, error);
    }
    return status;
}
