/*
 * Runs rejectd-convert, the program that reads and writes .set and .h5 files, as a child.
 *
 * The parsers of MAT and HDF5 have a bad history. So the child has an empty environment, none of
 * the daemon's descriptors, limits on memory, time, files and processes, and a process group of
 * its own. When it crashes, hangs or reaches a limit, that is the file's fault and costs one
 * request. What it wrote is read with distrust (scratch.h).
 *
 * All functions may be called by several threads at once.
 */
#ifndef SERVER_CONVERTER_CONVERTER_H
#define SERVER_CONVERTER_CONVERTER_H

#include <stdbool.h>

#include "server/config.h"
#include "server/converter/scratch.h"
#include "server/log.h"

struct converter;

/* Sweeps `directory`, where the scratch folders will be. config and log are borrowed. A program
 * that isn't there is an error of each run. *converter is owned by the caller. */
enum rejectd_status converter_open(const struct config *config, const struct log *log,
                                   const char *directory, struct converter **converter,
                                   struct rejectd_error *error);
/* Takes its bounds from other settings, borrowed, from now on. Any thread. */
void converter_configure(struct converter *converter, const struct config *config);
/* Kills what runs, and lets nothing run any more: UNAVAILABLE. NULL is allowed. */
void converter_stop(struct converter *converter);
void converter_close(struct converter *converter); /* when nothing runs; NULL is allowed */

/* scratch_make() in the converter's directory. */
enum rejectd_status converter_scratch(struct converter *converter, struct scratch *scratch,
                                      struct rejectd_error *error);

struct converter_call {
    const char *const *arguments; /* NULL-terminated */
    uint64_t input_bytes;         /* of all its files: it gets memory in proportion */
    enum rejectd_status refused;  /* what it is to be called that the input is not accepted, or
                                     that the program could not cope with it */
    const char *task;             /* "read", "written", for messages */
};

/* Blocks until the program has ended. *needs_fdt (may be NULL) tells that a .set has its data
 * elsewhere. */
enum rejectd_status converter_run(struct converter *converter, const struct converter_call *call,
                                  bool *needs_fdt, struct rejectd_error *error);

#endif
