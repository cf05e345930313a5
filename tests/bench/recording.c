#include "recording.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/npy.h"

static enum rejectd_status map_file(const char *path, void **data, size_t *bytes,
                                    struct rejectd_error *error)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (file < 0 || fstat(file, &status) != 0) {
        if (file >= 0)
            close(file);
        return REJECTD_FAIL(error, REJECTD_IO, path, "cannot be opened");
    }
    *bytes = (size_t)status.st_size;
    *data = mmap(NULL, *bytes, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    if (*data == MAP_FAILED) {
        *data = NULL;
        return REJECTD_FAIL(error, REJECTD_IO, path, "cannot be mapped");
    }
    return REJECTD_OK;
}

static enum rejectd_status open_files(const struct recording_request *request,
                                      struct recording *recording, struct rejectd_error *error)
{
    void *text, *inline_samples = NULL;
    size_t length;
    enum rejectd_status status = map_file(request->dataset_path, &text, &length, error);
    if (status != REJECTD_OK)
        return status;
    status = dataset_from_json(text, length, &recording->description, &inline_samples, error);
    munmap(text, length);
    free(inline_samples);
    if (status == REJECTD_OK)
        status =
            map_file(request->samples_path, &recording->mapping, &recording->mapping_bytes, error);
    if (status != REJECTD_OK)
        return status;
    struct npy_header header;
    bool complete;
    status =
        npy_header_read(recording->mapping, recording->mapping_bytes, &header, &complete, error);
    if (status == REJECTD_OK)
        status = npy_header_check_samples(
            &header, recording->description.n_epochs, recording->description.n_channels,
            recording->description.n_times, recording->description.dtype, error);
    if (status == REJECTD_OK)
        recording->epochs = dataset_epochs(&recording->description,
                                           (char *)recording->mapping + header.data_offset);
    return status;
}

enum rejectd_status recording_open(const struct recording_request *request,
                                   struct recording *recording, struct rejectd_error *error)
{
    *recording = (struct recording){0};
    enum rejectd_status status;
    if (request->dataset_path != NULL && request->samples_path != NULL) {
        status = open_files(request, recording, error);
    } else {
        const struct simulate_request simulate = {
            .n_epochs = request->n_epochs,
            .n_channels = request->n_channels,
            .n_times = request->n_times,
            .sfreq = 500.0,
            .tmin = -0.2,
            .dtype = request->dtype,
            .seed = request->seed,
        };
        status = simulate_epochs(&simulate, &recording->simulated, error);
        recording->epochs = recording->simulated.epochs;
    }
    if (status != REJECTD_OK)
        recording_close(recording);
    return status;
}

void recording_close(struct recording *recording)
{
    simulate_free(&recording->simulated);
    dataset_description_clear(&recording->description);
    if (recording->mapping != NULL)
        munmap(recording->mapping, recording->mapping_bytes);
    recording->mapping = NULL;
}
