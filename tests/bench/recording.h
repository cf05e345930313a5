/* The epochs that a benchmark works on: from files, or simulated. */
#ifndef TESTS_BENCH_RECORDING_H
#define TESTS_BENCH_RECORDING_H

#include "client/simulate/simulate.h"
#include "protocol/dataset_json.h"

struct recording_request {
    size_t n_epochs, n_channels, n_times;
    enum rejectd_dtype dtype;
    uint64_t seed;
    const char *dataset_path; /* dataset.json, with samples_path; NULL: simulate */
    const char *samples_path; /* .npy */
};

struct recording {
    struct rejectd_epochs epochs;
    struct simulated_epochs simulated;
    struct dataset_description description;
    void *mapping; /* of the samples file */
    size_t mapping_bytes;
};

enum rejectd_status recording_open(const struct recording_request *request,
                                   struct recording *recording, struct rejectd_error *error);
void recording_close(struct recording *recording);

#endif
