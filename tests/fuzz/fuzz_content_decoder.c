/*
 * Compressed bodies: never more comes out than is allowed, and pieces of any size decode to the
 * same as the whole. The first byte tells the coding, the second the size of the pieces.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "check.h"
#include "protocol/content_decoder.h"

enum { MOST = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum rejectd_status keep(void *context, const void *bytes, size_t count,
                                struct rejectd_error *error)
{
    (void)error;
    buffer_append(context, bytes, count);
    return REJECTD_OK;
}

static enum rejectd_status decode(enum http_coding coding, const uint8_t *bytes, size_t count,
                                  size_t piece, struct buffer *out)
{
    struct content_decoder *decoder;
    struct rejectd_error error = {0};
    const struct content_decoder_options options = {coding, MOST, keep, out};
    buffer_init(out, MOST);
    enum rejectd_status status = content_decoder_open(&options, &decoder, &error);
    CHECK(status == REJECTD_OK);
    for (size_t at = 0; at < count && status == REJECTD_OK; at += piece)
        status = content_decoder_write(decoder, bytes + at, count - at < piece ? count - at : piece,
                                       &error);
    if (status == REJECTD_OK)
        status = content_decoder_finish(decoder, &error);
    CHECK(status == REJECTD_OK || (error.status == status && error.message[0] != 0));
    CHECK(!out->failed && content_decoder_made(decoder) == out->length);
    content_decoder_close(decoder);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer whole, pieces;
    if (size < 2)
        return 0;
    const enum http_coding coding = data[0] % 2 == 0 ? HTTP_ZSTD : HTTP_GZIP;
    const enum rejectd_status a = decode(coding, data + 2, size - 2, size, &whole);
    const enum rejectd_status b = decode(coding, data + 2, size - 2, 1 + data[1], &pieces);
    CHECK((a == REJECTD_OK) == (b == REJECTD_OK));
    if (a == REJECTD_OK) {
        CHECK(whole.length == pieces.length);
        CHECK(whole.length == 0 || memcmp(whole.data, pieces.data, whole.length) == 0);
    }
    buffer_free(&whole);
    buffer_free(&pieces);
    return 0;
}
