/*
 * Small arrays of a .npz, read whole: names, positions, events. Internal to protocol/.
 *
 * Items are counted in C order whatever the order, byte order and dtype of the file.
 */
#ifndef PROTOCOL_NPZ_ARRAY_H
#define PROTOCOL_NPZ_ARRAY_H

#include "protocol/npz.h"

struct npz_array {
    const char *name; /* of its member; borrowed */
    struct npy_header header;
    size_t count;          /* of items */
    unsigned char *memory; /* the member, owned; NULL when the archive has none of that name */
    const unsigned char *items;
};

/* Reads the array `name` of at most `most` bytes. Absent is no error: memory is then NULL. */
enum rejectd_status npz_array_read(const struct npz_archive *archive, const char *name, size_t most,
                                   struct npz_array *array, struct rejectd_error *error);
void npz_array_free(struct npz_array *array); /* all-zero is allowed */

/* INVALID_SAMPLES unless the array has that kind and shape. n_dimensions 0 also takes shape (1,).
 */
enum npz_kind { NPZ_NUMBERS, NPZ_INTEGERS, NPZ_TEXTS };
enum rejectd_status npz_array_check(const struct npz_array *array, enum npz_kind kind,
                                    size_t n_dimensions, const size_t *shape,
                                    struct rejectd_error *error);
/* The same for a header alone. */
bool npy_header_is_kind(const struct npy_header *header, enum npz_kind kind);

/* Item i of an array of numbers or booleans. */
double npz_array_number(const struct npz_array *array, size_t i);
/* Item i of an array of integers; false when it doesn't fit. */
bool npz_array_integer(const struct npz_array *array, size_t i, int64_t *value);
/* Item i of an array of texts as UTF-8 with its NUL; false when it is longer than size or no
 * Unicode. */
bool npz_array_text(const struct npz_array *array, size_t i, char *out, size_t size);

/* Item i of (n_dimensions) shape in C order is where in Fortran order. */
size_t npy_fortran_index(const struct npy_header *header, size_t i);

#endif
