/* A whole write to a file, however many calls it takes. */
#ifndef BASE_WRITE_ALL_H
#define BASE_WRITE_ALL_H

#include <stdbool.h>
#include <stddef.h>

/* False with errno when not all of it could be written. */
bool write_all(int fd, const void *bytes, size_t count);

#endif
