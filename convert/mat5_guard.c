#include "convert/mat5_guard.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* MATLAB's "MAT-File Format": a header, then elements of a type, a size and as many bytes. */
enum { HEADER = 128, MARK_AT = 126, TYPE_COMPRESSED = 15, PIECE = 64 << 10 };

struct inflation {
    z_stream stream;
    unsigned char in[PIECE], out[PIECE];
};

static uint32_t number_at(const unsigned char *bytes, bool big)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value |= (uint32_t)bytes[i] << (big ? 24 - 8 * i : 8 * i);
    return value;
}

/* The next `bytes` of the file are one stream of zlib, perhaps with something behind it. */
static bool is_whole(FILE *file, uint32_t bytes, struct inflation *inflation)
{
    z_stream *stream = &inflation->stream;
    int code = Z_OK;
    memset(stream, 0, sizeof *stream);
    if (inflateInit(stream) != Z_OK)
        return false;
    while (code == Z_OK && bytes > 0) {
        const size_t wanted = bytes < PIECE ? bytes : PIECE;
        if (fread(inflation->in, 1, wanted, file) != wanted)
            break;
        bytes -= (uint32_t)wanted;
        stream->next_in = inflation->in;
        stream->avail_in = (uInt)wanted;
        do {
            stream->next_out = inflation->out;
            stream->avail_out = PIECE;
            code = inflate(stream, Z_NO_FLUSH);
        } while (code == Z_OK && (stream->avail_in > 0 || stream->avail_out == 0));
        if (code == Z_BUF_ERROR) /* nothing is wrong, it needs more */
            code = Z_OK;
    }
    inflateEnd(stream);
    return code == Z_STREAM_END;
}

static enum rejectd_status fail_end(struct rejectd_error *error)
{
    return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "file",
                        "is a MAT file that ends within a variable; it is damaged or not complete");
}

/* The variables follow each other to the end of the file. */
static enum rejectd_status check_elements(FILE *file, long size, struct inflation *inflation,
                                          struct rejectd_error *error)
{
    unsigned char header[HEADER], tag[8];
    if (fread(header, 1, HEADER, file) != HEADER || size == HEADER)
        return fail_end(error);
    const bool big = header[MARK_AT] == 'M';
    for (long at = HEADER; at < size;) {
        if (fseek(file, at, SEEK_SET) != 0 || fread(tag, 1, sizeof tag, file) != sizeof tag)
            return fail_end(error);
        const uint32_t type = number_at(tag, big), bytes = number_at(tag + 4, big);
        at += (long)sizeof tag;
        if ((long)bytes > size - at)
            return fail_end(error);
        if (type == TYPE_COMPRESSED && !is_whole(file, bytes, inflation))
            return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "file",
                                "is a MAT file whose compressed data are damaged");
        at += (long)bytes;
    }
    return REJECTD_OK;
}

enum rejectd_status mat5_guard_check(const char *path, struct rejectd_error *error)
{
    struct inflation *inflation = malloc(sizeof *inflation);
    FILE *file = fopen(path, "rb");
    enum rejectd_status status = REJECTD_OK;
    long size = -1;
    if (inflation == NULL) {
        status = REJECTD_FAIL_MEMORY(error, sizeof *inflation);
    } else if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0) {
        status = REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "file", "cannot be read");
    } else {
        rewind(file);
        status = check_elements(file, size, inflation, error);
    }
    if (file != NULL)
        fclose(file);
    free(inflation);
    return status;
}
