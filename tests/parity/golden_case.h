/* One case of reference data: a recording and autoreject's outputs for it. */
#ifndef TESTS_PARITY_GOLDEN_CASE_H
#define TESTS_PARITY_GOLDEN_CASE_H

#include <jansson.h>
#include <rejectd/types.h>

/* An array from a .npy file, as float64 whatever the file holds. */
struct golden_array {
    double *values; /* owned; NULL: the case has no such file */
    size_t n_dimensions;
    size_t shape[8];
    size_t n_values;
};

struct golden_case {
    char folder[512];
    const char *name; /* last part of the folder */
    json_t *meta;
    json_t *expected;
    struct rejectd_channel *channels;
    struct rejectd_projector *projectors;
    struct rejectd_epochs epochs; /* samples in the dtype of the file; owned here */
    size_t *picks;                /* the EEG picks, channel indices */
    size_t n_picks;
    size_t *positions; /* [n_picks] where each EEG pick stands among all picks of the case */
    bool only_eeg;     /* no other type was analysed */
    size_t *all_picks; /* of every type, in their order */
    size_t n_all_picks;
    uint32_t seed;
    /* parameters autoreject was run with */
    double *consensus;
    size_t n_consensus;
    int *n_interpolate;
    size_t n_n_interpolate;
    size_t cv;
};

/* Ends the program with a message when a file is missing or not what it should be. */
void golden_open(struct golden_case *golden, const char *folder);
void golden_close(struct golden_case *golden);

/* expected/<name>.npy; .values is NULL when there is no such file. */
struct golden_array golden_array(const struct golden_case *golden, const char *name);
void golden_array_free(struct golden_array *array);

/* Fit parameters of the case, borrowing its arrays. */
struct rejectd_fit_parameters golden_parameters(const struct golden_case *golden);

#endif
