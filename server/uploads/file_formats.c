/* The files that are read, each by its parser of the protocol. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "protocol/dataset_npz.h"
#include "server/uploads/file_private.h"

enum rejectd_status file_open_writer(struct file_upload *upload,
                                     const struct dataset_description *description,
                                     struct rejectd_error *error)
{
    const uint64_t most = (uint64_t)upload->service->config->max_upload_bytes;
    const uint64_t bytes = dataset_sample_bytes(description);
    const struct blob_writer_options options = {
        .expected_bytes = bytes,
        .check_finite = true,
        .dtype = description->dtype,
    };
    if (bytes > most) {
        return REJECTD_FAIL(error, REJECTD_TOO_LARGE, "",
                            "the samples of the file take %llu bytes; accepted are at most %llu",
                            (unsigned long long)bytes, (unsigned long long)most);
    }
    const enum rejectd_status status = file_check_quota(upload, bytes, error);
    return status == REJECTD_OK
               ? blob_writer_open(upload->service->blobs, &options, &upload->writer, error)
               : status;
}

enum rejectd_status file_write_samples(void *context, const void *bytes, size_t count,
                                       struct rejectd_error *error)
{
    struct file_upload *upload = context;
    return blob_writer_write(upload->writer, bytes, count, error);
}

/* ---- FIF ---- */

static enum rejectd_status fif_begin(void *context, const struct dataset_description *so_far,
                                     struct rejectd_error *error)
{
    return file_open_writer(context, so_far, error);
}

static enum rejectd_status fif_open(struct file_upload *upload, struct rejectd_error *error)
{
    const struct fif_reader_options options = {
        .context = upload,
        .begin = fif_begin,
        .samples = file_write_samples,
    };
    return fif_reader_open(&options, &upload->reader, error);
}

static enum rejectd_status fif_consume(struct file_upload *upload, const void *bytes, size_t count,
                                       struct rejectd_error *error)
{
    return fif_reader_write(upload->reader, bytes, count, error);
}

static enum rejectd_status fif_finish(struct file_upload *upload, struct rejectd_error *error)
{
    return fif_reader_finish(upload->reader, &upload->description, &upload->leftover, error);
}

/* ---- NumPy archives ---- */

static enum rejectd_status npz_open_scratch(struct file_upload *upload, struct rejectd_error *error)
{
    return blobs_open_scratch(upload->service->blobs, &upload->scratch, error);
}

enum rejectd_status file_keep(struct file_upload *upload, const void *bytes, size_t count,
                              struct rejectd_error *error)
{
    const char *from = bytes;
    while (count > 0) {
        const ssize_t n = pwrite(upload->scratch, from, count, (off_t)upload->scratch_bytes);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            const int number = n < 0 ? errno : ENOSPC;
            return REJECTD_FAIL(error, number == ENOSPC ? REJECTD_STORAGE_FULL : REJECTD_STORAGE,
                                "", "the file cannot be kept: %s", strerror(number));
        }
        from += n;
        count -= (size_t)n;
        upload->scratch_bytes += (uint64_t)n;
    }
    return REJECTD_OK;
}

static enum rejectd_status npz_finish(struct file_upload *upload, struct rejectd_error *error)
{
    const size_t length = (size_t)upload->scratch_bytes;
    void *bytes = mmap(NULL, length, PROT_READ, MAP_PRIVATE, upload->scratch, 0);
    if (bytes == MAP_FAILED) {
        return REJECTD_FAIL(error, REJECTD_STORAGE, "", "the archive cannot be read: %s",
                            strerror(errno));
    }
    enum rejectd_status status =
        dataset_npz_describe(bytes, length, (size_t)upload->service->config->max_upload_bytes,
                             &upload->description, error);
    if (status == REJECTD_OK) {
        status = file_open_writer(upload, &upload->description, error);
    }
    if (status == REJECTD_OK) {
        status = dataset_npz_samples(bytes, length, &upload->description, file_write_samples,
                                     upload, error);
    }
    munmap(bytes, length);
    return status;
}

/* ---- all ---- */

static const struct file_format formats[] = {
    {"fif", fif_has_magic, fif_open, fif_consume, fif_finish},
    {"npz", npz_has_magic, npz_open_scratch, file_keep, npz_finish},
    {"set", file_set_has_magic, file_set_open, file_keep, file_set_finish},
};

const struct file_format *file_format_of(const void *first, size_t count)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (formats[i].recognise(first, count)) {
            return &formats[i];
        }
    }
    return NULL;
}
