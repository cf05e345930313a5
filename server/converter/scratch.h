/*
 * Folders for programs that the daemon runs: made empty, readable by the daemon's user alone, and
 * removed with all they hold.
 *
 * What such a program leaves is read as anything from outside: no links, no pipes, bounded, and
 * never mapped, because a file that shrinks under a map kills who reads it.
 */
#ifndef SERVER_CONVERTER_SCRATCH_H
#define SERVER_CONVERTER_SCRATCH_H

#include <rejectd/error.h>
#include <stddef.h>
#include <stdint.h>

enum { SCRATCH_PATH_SIZE = 1024 + 64 };

struct scratch {
    char path[SCRATCH_PATH_SIZE]; /* of the folder; "": there is none */
};

/* A path that names a file of the folder. */
struct scratch_path {
    char text[SCRATCH_PATH_SIZE + 32];
};
struct scratch_path scratch_file(const struct scratch *scratch, const char *name);

/* Empties the directory that scratch folders are made in, and makes it where it is missing. For the
 * start, when none is in use. */
enum rejectd_status scratch_sweep(const char *directory, struct rejectd_error *error);

enum rejectd_status scratch_make(const char *directory, struct scratch *scratch,
                                 struct rejectd_error *error);
void scratch_remove(struct scratch *scratch); /* all-zero is allowed */

/* A new file; *fd is for reading and writing: close(). */
enum rejectd_status scratch_create(const struct scratch *scratch, const char *name, int *fd,
                                   struct rejectd_error *error);
/* A file of `count` bytes. */
enum rejectd_status scratch_put(const struct scratch *scratch, const char *name, const void *bytes,
                                size_t count, struct rejectd_error *error);
/* All of the bytes; STORAGE or STORAGE_FULL. */
enum rejectd_status scratch_write(int fd, const void *bytes, size_t count,
                                  struct rejectd_error *error);

/* A file that a program left: close(*fd). INTERNAL when there is none that can be read. */
enum rejectd_status scratch_open(const struct scratch *scratch, const char *name, int *fd,
                                 uint64_t *size, struct rejectd_error *error);
/* One of at most `most` bytes (TOO_LARGE), with a NUL behind them; free() *text. */
enum rejectd_status scratch_read(const struct scratch *scratch, const char *name, size_t most,
                                 char **text, size_t *length, struct rejectd_error *error);

/* Hands exactly `size` bytes of a file, from its start, to take(). INTERNAL when it has fewer. */
enum rejectd_status scratch_pump(int fd, uint64_t size,
                                 enum rejectd_status (*take)(void *context, const void *bytes,
                                                             size_t count,
                                                             struct rejectd_error *error),
                                 void *context, struct rejectd_error *error);

#endif
