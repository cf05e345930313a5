#include "protocol/fif_gzip.h"

enum { GZIP_ONLY = 16 + MAX_WBITS };

enum rejectd_status fif_gzip_open(struct fif_gzip *gzip, struct rejectd_error *error)
{
    if (inflateInit2(&gzip->stream, GZIP_ONLY) != Z_OK)
        return REJECTD_FAIL_MEMORY(error, 1 << MAX_WBITS);
    gzip->open = true;
    return REJECTD_OK;
}

void fif_gzip_close(struct fif_gzip *gzip)
{
    if (gzip->open)
        inflateEnd(&gzip->stream);
    gzip->open = false;
}

static enum rejectd_status check_code(int code, const z_stream *stream, struct rejectd_error *error)
{
    /* Z_BUF_ERROR: all has been inflated that has come. */
    if (code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR)
        return REJECTD_OK;
    if (code == Z_MEM_ERROR)
        return REJECTD_FAIL_MEMORY(error, 1 << MAX_WBITS);
    return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                        "the gzip compression of the file is damaged: %s",
                        stream->msg != NULL ? stream->msg : "it needs a dictionary");
}

enum rejectd_status fif_gzip_write(struct fif_gzip *gzip, const unsigned char *bytes, size_t n,
                                   enum rejectd_status (*sink)(void *context,
                                                               const unsigned char *bytes, size_t n,
                                                               struct rejectd_error *error),
                                   void *context, struct rejectd_error *error)
{
    enum { MOST = 1 << 30 }; /* zlib counts in 32 bits */
    z_stream *stream = &gzip->stream;
    union {
        const unsigned char *borrowed;
        unsigned char *next; /* zlib doesn't write to it */
    } input = {.borrowed = bytes};
    enum rejectd_status status = REJECTD_OK;
    stream->next_in = input.next;
    stream->avail_in = 0;
    stream->avail_out = 1;
    /* More may come out without more going in, as long as the room for it gets full. */
    while (status == REJECTD_OK && (n > 0 || stream->avail_in > 0 || stream->avail_out == 0)) {
        if (stream->avail_in == 0) {
            stream->avail_in = (uInt)(n < MOST ? n : MOST);
            n -= stream->avail_in;
        }
        if (gzip->ended) {
            if (stream->avail_in == 0)
                break;
            (void)inflateReset(stream);
            gzip->ended = false;
        }
        stream->next_out = gzip->inflated;
        stream->avail_out = sizeof gzip->inflated;
        const int code = inflate(stream, Z_NO_FLUSH);
        gzip->ended = code == Z_STREAM_END;
        /* What came out before a damage goes first, so that the pieces of the input don't decide
         * which error is told. */
        const size_t made = sizeof gzip->inflated - stream->avail_out;
        if (made > 0)
            status = sink(context, gzip->inflated, made, error);
        if (status == REJECTD_OK)
            status = check_code(code, stream, error);
    }
    return status;
}
