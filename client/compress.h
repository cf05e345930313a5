/* Files compressed for the way. */
#ifndef CLIENT_COMPRESS_H
#define CLIENT_COMPRESS_H

#include <rejectd/error.h>
#include <stdint.h>

/* Compresses what is left to read of `from` (zstd) into a temporary file without a name: *to, at
 * its beginning, of *size bytes; close() it. */
enum rejectd_status compress_file(int from, int *to, uint64_t *size, struct rejectd_error *error);

#endif
