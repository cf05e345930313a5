/* What the programs that compare with reference data share: which cases, and how they report. */
#ifndef TESTS_PARITY_GOLDEN_REPORT_H
#define TESTS_PARITY_GOLDEN_REPORT_H

#include "golden_case.h"

/* Prints one line for a quantity and counts it. */
void golden_report(const struct golden_case *golden, const char *backend, const char *quantity,
                   bool ok, const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Quantities reported so far. */
int golden_passed(void);
int golden_failed(void);

/* |value - expected| / |expected|; 0 when they are equal, infinities included. */
double golden_relative(double value, double expected);

/* The pointer; ends the program when it is NULL. */
void *golden_need(void *pointer);

/*
 * Calls compare() for every case: the folders named on the command line or, without any, those of
 * tests/parity/data and the EEG cases (and those without EEG, if wanted) of $REJECTD_GOLDEN_DIR
 * (default ../shared/golden beside the source tree) when that folder is there.
 */
void golden_each_case(int argc, char **argv, bool without_eeg, void (*compare)(const char *folder));

#endif
