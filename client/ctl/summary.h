/* The result of a fit for people. */
#ifndef CLIENT_CTL_SUMMARY_H
#define CLIENT_CTL_SUMMARY_H

#include <stdbool.h>
#include <stddef.h>

/* Prints a table of the result (JSON text). truth_path: planted artefacts to look for, or NULL;
 * dataset: JSON of the dataset, for the names of its channels. False after a message. */
bool summary_print(const char *result, size_t length, const char *dataset, size_t dataset_length,
                   const char *truth_path, double seconds);

#endif
