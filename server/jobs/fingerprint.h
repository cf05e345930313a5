/* What a job computes, in one word: jobs with the same fingerprint have the same result. */
#ifndef SERVER_JOBS_FINGERPRINT_H
#define SERVER_JOBS_FINGERPRINT_H

#include "server/jobs/job_open.h"

/*
 * SHA-256, in hex, of the samples and what belongs to them (but names and events, which no job
 * looks at), the type of job, its parameters as they were posted (defaults are those of a version),
 * the device that is wished for, the model, and `numerics`: what computes here.
 *
 * The device counts because results in float32, and thresholds of a Bayesian search, are decided
 * by the last digits: who wants to see what a GPU makes of it must not get the processor's.
 * REJECTD_OUT_OF_MEMORY.
 */
enum rejectd_status job_fingerprint(const struct job_request *wanted,
                                    const struct job_inputs *inputs, const char *numerics,
                                    char out[RESOURCE_SHA256_SIZE], struct rejectd_error *error);

#endif
