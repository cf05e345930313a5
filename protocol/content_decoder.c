#include "protocol/content_decoder.h"

#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

enum {
    OUT_BYTES = 128 << 10, /* zstd gives blocks of this size */
    MOST_WINDOW_LOG = 23,
    MOST_HEADER = 18, /* bytes, RFC 8878 section 3.1.1 */
    GZIP_ONLY = 16 + MAX_WBITS,
    MOST_INPUT = 1 << 30, /* zlib counts in 32 bits */
};

struct content_decoder {
    struct content_decoder_options options;
    ZSTD_DStream *zstd;
    z_stream gzip;
    bool gzip_open;
    bool at_end;       /* of a frame; what follows is another one */
    uint64_t of_frame; /* bytes of the frame that is being read */
    bool begun;
    uint64_t made;
    unsigned char out[OUT_BYTES];
};

static const char *coding_name(const struct content_decoder *decoder)
{
    return decoder->options.coding == HTTP_ZSTD ? "zstd" : "gzip";
}

static enum rejectd_status fail_damaged(const struct content_decoder *decoder, const char *why,
                                        struct rejectd_error *error)
{
    return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "Content-Encoding",
                        "the body is no %s data: %.100s", coding_name(decoder), why);
}

enum rejectd_status content_decoder_open(const struct content_decoder_options *options,
                                         struct content_decoder **decoder,
                                         struct rejectd_error *error)
{
    *decoder = NULL;
    struct content_decoder *made = calloc(1, sizeof *made);
    if (made == NULL)
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    made->options = *options;
    bool opened;
    if (options->coding == HTTP_ZSTD) {
        made->zstd = ZSTD_createDStream();
        opened =
            made->zstd != NULL &&
            !ZSTD_isError(ZSTD_DCtx_setParameter(made->zstd, ZSTD_d_windowLogMax, MOST_WINDOW_LOG));
    } else {
        opened = inflateInit2(&made->gzip, GZIP_ONLY) == Z_OK;
        made->gzip_open = opened;
    }
    if (!opened) {
        content_decoder_close(made);
        return REJECTD_FAIL_MEMORY(error, (size_t)1 << MAX_WBITS);
    }
    *decoder = made;
    return REJECTD_OK;
}

void content_decoder_close(struct content_decoder *decoder)
{
    if (decoder == NULL)
        return;
    ZSTD_freeDStream(decoder->zstd);
    if (decoder->gzip_open)
        inflateEnd(&decoder->gzip);
    free(decoder);
}

/* Hands over what lies in `out`. */
static enum rejectd_status give(struct content_decoder *decoder, size_t count,
                                struct rejectd_error *error)
{
    if (count > decoder->options.most - decoder->made)
        return REJECTD_FAIL(error, REJECTD_TOO_LARGE, "",
                            "the decoded body has more than the %llu bytes that are accepted here",
                            (unsigned long long)decoder->options.most);
    decoder->made += count;
    return count == 0 ? REJECTD_OK
                      : decoder->options.sink(decoder->options.context, decoder->out, count, error);
}

/* Decoding goes on while there is input, and while `out` came back full: then there may be more. */
static enum rejectd_status write_zstd(struct content_decoder *decoder, const void *bytes,
                                      size_t count, struct rejectd_error *error)
{
    ZSTD_inBuffer in = {.src = bytes, .size = count};
    bool full = false;
    while (in.pos < count || (full && !decoder->at_end)) {
        ZSTD_outBuffer out = {.dst = decoder->out, .size = OUT_BYTES};
        /* The header goes byte by byte. When it sees more at once, the library decodes a frame that
         * is there as a whole in another way, which refuses some that this one takes, and looks
         * for formats from before zstd was finished wherever the bytes it is given begin. */
        in.size = decoder->of_frame < MOST_HEADER ? in.pos + 1 : count;
        const size_t before = in.pos;
        const size_t left = ZSTD_decompressStream(decoder->zstd, &out, &in);
        if (ZSTD_isError(left))
            return fail_damaged(decoder, ZSTD_getErrorName(left), error);
        decoder->at_end = left == 0;
        decoder->of_frame = left == 0 ? 0 : decoder->of_frame + (in.pos - before);
        full = out.pos == out.size;
        const enum rejectd_status status = give(decoder, out.pos, error);
        if (status != REJECTD_OK)
            return status;
    }
    return REJECTD_OK;
}

/* zlib takes at most 4 GiB at once. */
static enum rejectd_status write_gzip_piece(struct content_decoder *decoder, const void *bytes,
                                            size_t count, struct rejectd_error *error)
{
    z_stream *stream = &decoder->gzip;
    union {
        const void *borrowed;
        unsigned char *next; /* zlib doesn't write to it */
    } input = {.borrowed = bytes};
    bool full = false;
    stream->next_in = input.next;
    stream->avail_in = (uInt)count;
    while (stream->avail_in > 0 || (full && !decoder->at_end)) {
        if (decoder->at_end && inflateReset(stream) != Z_OK)
            return fail_damaged(decoder, "a member cannot follow", error);
        stream->next_out = decoder->out;
        stream->avail_out = OUT_BYTES;
        const int code = inflate(stream, Z_NO_FLUSH);
        if (code == Z_MEM_ERROR)
            return REJECTD_FAIL_MEMORY(error, (size_t)1 << MAX_WBITS);
        /* Z_BUF_ERROR: all has come out that can. */
        if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
            return fail_damaged(decoder, stream->msg != NULL ? stream->msg : "it is damaged",
                                error);
        decoder->at_end = code == Z_STREAM_END;
        full = stream->avail_out == 0;
        const enum rejectd_status status = give(decoder, OUT_BYTES - stream->avail_out, error);
        if (status != REJECTD_OK)
            return status;
    }
    return REJECTD_OK;
}

static enum rejectd_status write_gzip(struct content_decoder *decoder, const unsigned char *bytes,
                                      size_t count, struct rejectd_error *error)
{
    enum rejectd_status status = REJECTD_OK;
    while (count > 0 && status == REJECTD_OK) {
        const size_t piece = count < MOST_INPUT ? count : MOST_INPUT;
        status = write_gzip_piece(decoder, bytes, piece, error);
        bytes += piece;
        count -= piece;
    }
    return status;
}

enum rejectd_status content_decoder_write(struct content_decoder *decoder, const void *bytes,
                                          size_t count, struct rejectd_error *error)
{
    if (count == 0)
        return REJECTD_OK;
    decoder->begun = true;
    return decoder->options.coding == HTTP_ZSTD ? write_zstd(decoder, bytes, count, error)
                                                : write_gzip(decoder, bytes, count, error);
}

enum rejectd_status content_decoder_finish(struct content_decoder *decoder,
                                           struct rejectd_error *error)
{
    return decoder->begun && decoder->at_end
               ? REJECTD_OK
               : fail_damaged(decoder, "it ends in the middle of a frame", error);
}

uint64_t content_decoder_made(const struct content_decoder *decoder)
{
    return decoder->made;
}
