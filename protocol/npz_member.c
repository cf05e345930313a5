/* The bytes of one member of a .npz: stored ones as they lie, deflated ones through zlib. */
#define ZLIB_CONST /* its input is const */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "protocol/npz.h"

enum { PIECE = 256 * 1024 };

#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
enum { CHECK_CRC = 0 }; /* else no mutation of a member would get past it */
#else
enum { CHECK_CRC = 1 };
#endif

/* An expansion in progress. */
struct walk {
    const struct npz_member *member;
    size_t skip;
    size_t limit; /* stops without error after so many bytes; SIZE_MAX for all */
    npz_sink *sink;
    void *context;
    size_t done; /* bytes expanded */
    uLong crc;
    struct rejectd_error *error;
};

static enum rejectd_status pass_on(struct walk *walk, const unsigned char *bytes, size_t count)
{
    walk->crc = crc32_z(walk->crc, bytes, count);
    const size_t left = walk->skip > walk->done ? walk->skip - walk->done : 0;
    const size_t hidden = left < count ? left : count;
    walk->done += count;
    return hidden < count ? walk->sink(walk->context, bytes + hidden, count - hidden, walk->error)
                          : REJECTD_OK;
}

static enum rejectd_status walk_stored(struct walk *walk, const unsigned char *bytes)
{
    enum rejectd_status status = REJECTD_OK;
    while (status == REJECTD_OK && walk->done < walk->member->size && walk->done < walk->limit) {
        const size_t left = walk->member->size - walk->done;
        status = pass_on(walk, bytes + walk->done, left < PIECE ? left : PIECE);
    }
    return status;
}

static enum rejectd_status damaged(struct walk *walk)
{
    return REJECTD_FAIL(walk->error, REJECTD_INVALID_SAMPLES, walk->member->name,
                        "is damaged: its compressed bytes do not expand to the %zu bytes that the "
                        ".npz says it has",
                        walk->member->size);
}

static enum rejectd_status inflate_pieces(struct walk *walk, z_stream *stream,
                                          const unsigned char *bytes, unsigned char *piece)
{
    size_t left = walk->member->compressed;
    int result = Z_OK; /* without progress it becomes Z_BUF_ERROR, so this ends */
    stream->next_in = bytes;
    while (result != Z_STREAM_END && walk->done < walk->limit) {
        if (stream->avail_in == 0) {
            stream->avail_in = (uInt)(left < INT_MAX ? left : INT_MAX);
            left -= stream->avail_in;
        }
        stream->next_out = piece;
        stream->avail_out = PIECE;
        result = inflate(stream, Z_NO_FLUSH);
        const size_t count = PIECE - stream->avail_out;
        if (result == Z_MEM_ERROR)
            return REJECTD_FAIL_MEMORY(walk->error, PIECE);
        if ((result != Z_OK && result != Z_STREAM_END) || count > walk->member->size - walk->done)
            return damaged(walk);
        enum rejectd_status status = pass_on(walk, piece, count);
        if (status != REJECTD_OK)
            return status;
    }
    if (result == Z_STREAM_END && (left > 0 || stream->avail_in > 0))
        return damaged(walk);
    return REJECTD_OK;
}

static enum rejectd_status walk_deflated(struct walk *walk, const unsigned char *bytes)
{
    unsigned char *piece = malloc(PIECE);
    z_stream stream = {0};
    if (piece == NULL || inflateInit2(&stream, -MAX_WBITS) != Z_OK) {
        free(piece);
        return REJECTD_FAIL_MEMORY(walk->error, PIECE);
    }
    enum rejectd_status status = inflate_pieces(walk, &stream, bytes, piece);
    inflateEnd(&stream);
    free(piece);
    return status;
}

static enum rejectd_status expand(const struct npz_archive *archive, struct walk *walk)
{
    const unsigned char *bytes = archive->bytes + walk->member->offset;
    walk->crc = crc32_z(0, NULL, 0);
    enum rejectd_status status =
        walk->member->deflated ? walk_deflated(walk, bytes) : walk_stored(walk, bytes);
    if (status != REJECTD_OK || walk->done >= walk->limit)
        return status;
    if (walk->done != walk->member->size)
        return damaged(walk);
    if (CHECK_CRC && walk->crc != walk->member->crc)
        return REJECTD_FAIL(walk->error, REJECTD_INVALID_SAMPLES, walk->member->name,
                            "is damaged: its CRC-32 is %08lx, not %08lx as the .npz says",
                            (unsigned long)walk->crc, (unsigned long)walk->member->crc);
    return REJECTD_OK;
}

enum rejectd_status npz_member_stream(const struct npz_archive *archive,
                                      const struct npz_member *member, size_t skip, npz_sink *sink,
                                      void *context, struct rejectd_error *error)
{
    struct walk walk = {.member = member,
                        .skip = skip,
                        .limit = SIZE_MAX,
                        .sink = sink,
                        .context = context,
                        .error = error};
    return expand(archive, &walk);
}

/* A block of memory that is filled from its beginning; what doesn't fit is left out. */
struct block {
    unsigned char *bytes;
    size_t size;
    size_t used;
};

static enum rejectd_status fill(void *context, const void *bytes, size_t count,
                                struct rejectd_error *error)
{
    (void)error;
    struct block *block = context;
    const size_t room = block->size - block->used;
    if (count > room)
        count = room;
    memcpy(block->bytes + block->used, bytes, count);
    block->used += count;
    return REJECTD_OK;
}

enum rejectd_status npz_member_read(const struct npz_archive *archive,
                                    const struct npz_member *member, size_t most,
                                    unsigned char **bytes, struct rejectd_error *error)
{
    *bytes = NULL;
    if (member->size > most)
        return REJECTD_FAIL(error, REJECTD_TOO_LARGE, member->name,
                            "has %zu bytes; at most %zu are accepted", member->size, most);
    struct block block = {.bytes = malloc(member->size + 1), .size = member->size};
    if (block.bytes == NULL)
        return REJECTD_FAIL_MEMORY(error, member->size + 1);
    enum rejectd_status status = npz_member_stream(archive, member, 0, fill, &block, error);
    if (status == REJECTD_OK)
        *bytes = block.bytes;
    else
        free(block.bytes);
    return status;
}

/* npy.c names the part of the header; here the member is what tells most. */
static enum rejectd_status rename_field(const struct npz_member *member, enum rejectd_status status,
                                        struct rejectd_error *error)
{
    if (error != NULL) {
        memset(error->field, 0, sizeof error->field);
        memcpy(error->field, member->name, strlen(member->name));
    }
    return status;
}

_Static_assert(NPZ_NAME_SIZE <= sizeof((struct rejectd_error *)0)->field, "a name fits a field");

enum rejectd_status npz_member_header(const struct npz_archive *archive,
                                      const struct npz_member *member, struct npy_header *header,
                                      struct rejectd_error *error)
{
    unsigned char bytes[NPY_MAX_HEADER];
    struct block block = {.bytes = bytes, .size = sizeof bytes};
    struct walk walk = {
        .member = member, .limit = sizeof bytes, .sink = fill, .context = &block, .error = error};
    enum rejectd_status status = expand(archive, &walk);
    if (status != REJECTD_OK)
        return status;
    bool complete;
    status = npy_header_read_any(bytes, block.used, header, &complete, error);
    if (status != REJECTD_OK)
        return rename_field(member, status, error);
    if (!complete || header->data_bytes != member->size - header->data_offset)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, member->name,
                            "has %zu bytes, which is not what the shape in its .npy header needs",
                            member->size);
    return REJECTD_OK;
}
