#define _GNU_SOURCE /* O_TMPFILE */
#include "client/compress.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>
#include <zstd.h>

#include "base/write_all.h"

enum { LEVEL = 3 };

struct compressing {
    ZSTD_CCtx *zstd;
    size_t in_size, out_size;
    char *in, *out;
    int from, to;
    uint64_t made;
};

static enum rejectd_status fail_file(const char *what, struct rejectd_error *error)
{
    return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "", "%s for compression failed: %s", what,
                        strerror(errno));
}

/* Compresses `count` bytes of `in`; at the end of the file, none, and what is still within. */
static enum rejectd_status compress_piece(struct compressing *c, size_t count,
                                          struct rejectd_error *error)
{
    ZSTD_inBuffer in = {.src = c->in, .size = count};
    size_t left;
    do {
        ZSTD_outBuffer out = {.dst = c->out, .size = c->out_size};
        left = ZSTD_compressStream2(c->zstd, &out, &in, count > 0 ? ZSTD_e_continue : ZSTD_e_end);
        if (ZSTD_isError(left))
            return REJECTD_FAIL(error, REJECTD_INTERNAL, "", "the compression failed: %s",
                                ZSTD_getErrorName(left));
        if (!write_all(c->to, c->out, out.pos))
            return fail_file("writing", error);
        c->made += out.pos;
    } while (count > 0 ? in.pos < in.size : left > 0);
    return REJECTD_OK;
}

static enum rejectd_status compress_all(struct compressing *c, struct rejectd_error *error)
{
    enum rejectd_status status = REJECTD_OK;
    for (bool more = true; more && status == REJECTD_OK;) {
        const ssize_t n = read(c->from, c->in, c->in_size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_file("reading", error);
        more = n > 0;
        status = compress_piece(c, (size_t)n, error);
    }
    return status;
}

/* In $TMPDIR, or where the system has such files. */
static int open_temporary(void)
{
    const char *folder = getenv("TMPDIR");
    const int file = open(folder != NULL && folder[0] != '\0' ? folder : P_tmpdir,
                          O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file >= 0)
        return file;
    FILE *stream = tmpfile();
    if (stream == NULL)
        return -1;
    const int copy = dup(fileno(stream));
    fclose(stream);
    return copy;
}

enum rejectd_status compress_file(int from, int *to, uint64_t *size, struct rejectd_error *error)
{
    struct compressing c = {
        .zstd = ZSTD_createCCtx(),
        .in_size = ZSTD_CStreamInSize(),
        .out_size = ZSTD_CStreamOutSize(),
        .from = from,
        .to = open_temporary(),
    };
    c.in = malloc(c.in_size);
    c.out = malloc(c.out_size);
    enum rejectd_status status = REJECTD_OK;
    if (c.zstd == NULL || c.in == NULL || c.out == NULL) {
        status = REJECTD_FAIL_MEMORY(error, c.in_size);
    } else if (c.to < 0) {
        status = fail_file("a temporary file", error);
    } else {
        ZSTD_CCtx_setParameter(c.zstd, ZSTD_c_compressionLevel, LEVEL);
        ZSTD_CCtx_setParameter(c.zstd, ZSTD_c_checksumFlag, 1);
        status = compress_all(&c, error);
    }
    if (status == REJECTD_OK && lseek(c.to, 0, SEEK_SET) != 0)
        status = fail_file("reading again", error);
    ZSTD_freeCCtx(c.zstd);
    free(c.in);
    free(c.out);
    if (status != REJECTD_OK && c.to >= 0)
        close(c.to);
    *to = status == REJECTD_OK ? c.to : -1;
    *size = c.made;
    return status;
}
