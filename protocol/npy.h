/*
 * NumPy's .npy format, versions 1.0 to 3.0. NumPy enhancement proposal 1: "A simple file format for
 * NumPy arrays".
 */
#ifndef PROTOCOL_NPY_H
#define PROTOCOL_NPY_H

#include <rejectd/error.h>
#include <rejectd/types.h>

enum {
    NPY_MAX_DIMENSIONS = 8,
    NPY_MAX_HEADER = 4096, /* bytes before the data that are accepted */
};

struct npy_header {
    char descr[8]; /* "<f8", "<f4", "|i1", "<i4", "<i8", "|u1", "|b1"; with
                      npy_header_read_any() also the other integers and "<U12" */
    size_t item_size;
    bool big_endian;    /* the items are, though descr says '<' */
    bool fortran_order; /* the first index varies fastest */
    size_t n_dimensions;
    size_t shape[NPY_MAX_DIMENSIONS];
    size_t data_offset; /* bytes before the first item */
    size_t data_bytes;  /* item_size * product of shape; checked not to overflow */
};

/* True when the bytes (at least 6) begin with the magic string. */
bool npy_has_magic(const void *bytes, size_t length);

/*
 * Reads the header from the first `length` bytes of a file. *complete is false, with REJECTD_OK,
 * when more bytes are needed (never more than NPY_MAX_HEADER). Fortran order, big-endian and
 * object arrays are errors that say what is accepted.
 */
enum rejectd_status npy_header_read(const void *bytes, size_t length, struct npy_header *header,
                                    bool *complete, struct rejectd_error *error);

/*
 * The same for more of what numpy.save writes: also big-endian, Fortran order, "=", every integer
 * of 1 to 8 bytes and text ("<U12": 12 code points of 4 bytes, padded with NUL). descr is then in
 * its little-endian form. Never object arrays, which are pickles.
 */
enum rejectd_status npy_header_read_any(const void *bytes, size_t length, struct npy_header *header,
                                        bool *complete, struct rejectd_error *error);

/* Checks that the array is [n_epochs][n_channels][n_times] of that dtype. */
enum rejectd_status npy_header_check_samples(const struct npy_header *header, size_t n_epochs,
                                             size_t n_channels, size_t n_times,
                                             enum rejectd_dtype dtype, struct rejectd_error *error);

/* Writes a version 1.0 header for an array; returns its length (a multiple of 64, at most 256). */
size_t npy_header_write(const char *descr, size_t n_dimensions, const size_t *shape,
                        unsigned char out[256]);

/* The descr of a dtype: "<f4" or "<f8". Static storage. */
const char *npy_descr(enum rejectd_dtype dtype);

#endif
