/*
 * NumPy's .npz: a zip whose members are .npy files. PKWARE's "APPNOTE.TXT - .ZIP File Format
 * Specification" 6.3.3, as far as numpy.savez (stored) and numpy.savez_compressed (deflated) use
 * it: one disk, no encryption, ZIP64, data descriptors.
 *
 * The bytes are hostile. The central directory is read once and checked as a whole: every member
 * lies within the file, before the directory, and no two of them overlap; names are unique and
 * hold no path. A member's expanded size is known, and held against a limit of the caller's and
 * against what deflate can reach, before anything is expanded; then its CRC-32 is checked.
 *
 * Failures are INVALID_SAMPLES, or TOO_LARGE for a member past the limit. Their field is the name
 * of the member, or "npz" for the archive.
 */
#ifndef PROTOCOL_NPZ_H
#define PROTOCOL_NPZ_H

#include <rejectd/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "protocol/npy.h"

enum {
    NPZ_MAX_MEMBERS = 1024,
    NPZ_NAME_SIZE = 96,      /* bytes of a member's name with its NUL */
    NPZ_WRITER_MEMBERS = 16, /* that a writer takes */
};

struct npz_member {
    char name[NPZ_NAME_SIZE]; /* printable UTF-8 without / and \; without ".npy" if is_array */
    bool is_array;            /* the file's name ends in ".npy" */
    bool deflated;            /* else stored */
    uint32_t crc;
    size_t offset;     /* of its bytes in the archive */
    size_t compressed; /* bytes in the archive */
    size_t size;       /* expanded */
};

struct npz_archive {
    const unsigned char *bytes; /* borrowed; must outlive the archive */
    size_t length;
    struct npz_member *members; /* [n_members], owned, in the order of the directory */
    size_t n_members;
};

/* True when the bytes (at least 4) begin as a zip does. */
bool npz_has_magic(const void *bytes, size_t length);

/* Reads the directory of an archive of `length` bytes. npz_close() it; all-zero on failure. */
enum rejectd_status npz_open(const void *bytes, size_t length, struct npz_archive *archive,
                             struct rejectd_error *error);
void npz_close(struct npz_archive *archive);

/* The array of that name (without ".npy"); *member is NULL when there is none. Other members, even
 * broken ones, are not looked at. */
void npz_find(const struct npz_archive *archive, const char *name,
              const struct npz_member **member);

/* Receives the pieces of something in order; a failure ends it and is passed on. */
typedef enum rejectd_status npz_sink(void *context, const void *bytes, size_t count,
                                     struct rejectd_error *error);

/* Gives the sink the expanded bytes of a member, but the first `skip`, in pieces of at most
 * 256 KiB. Size and CRC-32 have been checked only when it returns REJECTD_OK. */
enum rejectd_status npz_member_stream(const struct npz_archive *archive,
                                      const struct npz_member *member, size_t skip, npz_sink *sink,
                                      void *context, struct rejectd_error *error);

/* The whole member, at most `most` bytes. free() *bytes; NULL on failure. */
enum rejectd_status npz_member_read(const struct npz_archive *archive,
                                    const struct npz_member *member, size_t most,
                                    unsigned char **bytes, struct rejectd_error *error);

/* The .npy header of a member, as npy_header_read_any() reads it; the array fills the member. */
enum rejectd_status npz_member_header(const struct npz_archive *archive,
                                      const struct npz_member *member, struct npy_header *header,
                                      struct rejectd_error *error);

/*
 * Writes a stored archive into a buffer, which must be empty. As with any buffer errors are looked
 * up at the end: too many members, or 4 GiB, set out->failed.
 */
struct npz_writer {
    struct buffer *out; /* borrowed */
    size_t n_members;
    struct npz_written {
        char name[NPZ_NAME_SIZE]; /* with ".npy" */
        uint32_t crc;
        uint32_t offset; /* of its local header */
        uint32_t size;
    } members[NPZ_WRITER_MEMBERS];
};

void npz_writer_init(struct npz_writer *writer, struct buffer *out);
/* An array in C order, little-endian; descr as in a .npy header. `bytes` are all of its items. */
void npz_writer_array(struct npz_writer *writer, const char *name, const char *descr,
                      size_t n_dimensions, const size_t *shape, const void *items, size_t bytes);
/* A one-dimensional array of text, '<U<longest>'. texts[i] is valid UTF-8, at stride bytes. */
void npz_writer_texts(struct npz_writer *writer, const char *name, const char *texts, size_t stride,
                      size_t count);
void npz_writer_finish(struct npz_writer *writer);

#endif
