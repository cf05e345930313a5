/* Results of the jobs other than fits for people, and amounts with their units. */
#ifndef CLIENT_CTL_TABLES_H
#define CLIENT_CTL_TABLES_H

#include <jansson.h>

#include "client/ctl/job_run.h"
#include "protocol/result_json.h"

/* One line for each type of channel: the range of its thresholds. channels: of the dataset. */
void thresholds_print(const struct result_threshold *thresholds, size_t n, const json_t *channels);

/* Each prints the result of its job; false after a message. */
bool tables_thresholds(const struct job_outcome *outcome);
bool tables_ransac(const struct job_outcome *outcome);
bool tables_global_thresholds(const struct job_outcome *outcome);
bool tables_validation_curve(const struct job_outcome *outcome);
bool tables_interpolate(const struct job_outcome *outcome);

#endif
