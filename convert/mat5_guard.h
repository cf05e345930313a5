/*
 * What matio doesn't look at in a MAT 5 file: that no element passes the file's end, and that the
 * compressed ones are whole, with the checksum they end in. Without it a damaged v7 file is read as
 * data that are wrong.
 */
#ifndef CONVERT_MAT5_GUARD_H
#define CONVERT_MAT5_GUARD_H

#include <rejectd/error.h>

/* INVALID_VALUE for a file that is damaged. */
enum rejectd_status mat5_guard_check(const char *path, struct rejectd_error *error);

#endif
