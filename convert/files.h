/* Files that the converter is given or makes, whole. */
#ifndef CONVERT_FILES_H
#define CONVERT_FILES_H

#include <rejectd/error.h>
#include <stddef.h>

/* The bytes of a file of at most `most` bytes, with a NUL behind them; free() *bytes. Failures are
 * INVALID_VALUE at `what`, which is how errors name the file. */
enum rejectd_status file_read(const char *path, const char *what, size_t most, char **bytes,
                              size_t *length, struct rejectd_error *error);

/* Writes a file anew; STORAGE when that fails. */
enum rejectd_status file_write(const char *path, const void *bytes, size_t length,
                               struct rejectd_error *error);

/* "folder/name" to free(); NULL without memory. */
char *path_join(const char *folder, const char *name);

#endif
