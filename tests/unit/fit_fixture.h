/* What the tests of the public library share: simulated epochs, fits and their comparison. */
#ifndef TESTS_UNIT_FIT_FIXTURE_H
#define TESTS_UNIT_FIT_FIXTURE_H

#include <rejectd/compute.h>

#include "client/simulate/simulate.h"

/* Simulated epochs with artefacts, as float64 samples that a test may change; simulate_free(). */
struct simulated_epochs simulated(size_t n_epochs, size_t n_channels, size_t n_times);
/* A sample of them. */
double *sample_at(struct simulated_epochs *made, size_t epoch, size_t channel, size_t time);

/* Makes all channels magnetometers, over the upper half of a sphere. */
void become_mags(struct simulated_epochs *made);

/* A fit that has to succeed; rejectd_fit_free(). NULL stands for defaults. */
struct rejectd_fit *fitted(const struct rejectd_epochs *epochs,
                           const struct rejectd_fit_parameters *parameters,
                           const struct rejectd_compute_options *options);

void same_log(const struct rejectd_reject_log *a, const struct rejectd_reject_log *b);
/* Equal to the last bit, but for the times taken. */
void same_fit(const struct rejectd_fit *a, const struct rejectd_fit *b);

size_t count_kept(const struct rejectd_reject_log *log);
/* The message of the first warning of that code, or NULL. */
const char *warning_of(const struct rejectd_fit *fit, const char *code);

#endif
