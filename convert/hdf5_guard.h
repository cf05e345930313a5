/*
 * Opening an HDF5 file from outside so that it stays within itself: no link, dataset or filter of
 * it makes the library open another file or load a plugin.
 */
#ifndef CONVERT_HDF5_GUARD_H
#define CONVERT_HDF5_GUARD_H

#include <hdf5.h>
#include <rejectd/error.h>

/* Quiets the library and switches its plugins off; call it before any other use. */
void hdf5_guard_init(void);

/* Opens for reading; *file < 0 on failure. H5Fclose() it. Refused are soft and external links,
 * datasets that are virtual or kept in other files, and more than 4 million links. */
enum rejectd_status hdf5_guard_open(const char *path, hid_t *file, struct rejectd_error *error);

#endif
