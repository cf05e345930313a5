/* Compressed bodies: what was packed comes out, in any pieces; bombs, damage and ends in the
 * middle. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/buffer.h"
#include "protocol/content_decoder.h"
#include "run_suite.h"

enum { PLAIN_BYTES = 300000 };

static unsigned char plain[PLAIN_BYTES];
static unsigned char packed[2][2 * PLAIN_BYTES]; /* of HTTP_GZIP, HTTP_ZSTD */
static size_t packed_bytes[2];

static size_t pack_gzip(const void *bytes, size_t count, unsigned char *out, size_t room)
{
    z_stream stream = {0};
    ck_assert_int_eq(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY),
                     Z_OK);
    union {
        const void *borrowed;
        unsigned char *next;
    } input = {.borrowed = bytes};
    stream.next_in = input.next;
    stream.avail_in = (uInt)count;
    stream.next_out = out;
    stream.avail_out = (uInt)room;
    ck_assert_int_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    const size_t made = room - stream.avail_out;
    deflateEnd(&stream);
    return made;
}

static size_t pack(enum http_coding coding, const void *bytes, size_t count, unsigned char *out,
                   size_t room)
{
    if (coding == HTTP_GZIP)
        return pack_gzip(bytes, count, out, room);
    const size_t made = ZSTD_compress(out, room, bytes, count, 3);
    ck_assert(!ZSTD_isError(made));
    return made;
}

static void setup(void)
{
    uint32_t state = 1;
    for (size_t i = 0; i < PLAIN_BYTES; i++) {
        state = state * 1664525U + 1013904223U;
        plain[i] = i % 3 == 0 ? (unsigned char)(state >> 24) : (unsigned char)(i >> 10);
    }
    for (int i = 0; i < 2; i++)
        packed_bytes[i] =
            pack(i == 0 ? HTTP_GZIP : HTTP_ZSTD, plain, PLAIN_BYTES, packed[i], sizeof packed[i]);
}

static enum rejectd_status keep(void *context, const void *bytes, size_t count,
                                struct rejectd_error *error)
{
    struct buffer *buffer = context;
    buffer_append(buffer, bytes, count);
    return buffer->failed ? REJECTD_FAIL(error, REJECTD_STORAGE_FULL, "", "full") : REJECTD_OK;
}

/* Decodes in pieces of `piece` bytes, and finishes. */
static enum rejectd_status decode(enum http_coding coding, const unsigned char *bytes, size_t count,
                                  size_t piece, uint64_t most, struct buffer *out,
                                  struct rejectd_error *error)
{
    struct content_decoder *decoder;
    const struct content_decoder_options options = {coding, most, keep, out};
    enum rejectd_status status = content_decoder_open(&options, &decoder, error);
    ck_assert_int_eq(status, REJECTD_OK);
    for (size_t at = 0; at < count && status == REJECTD_OK; at += piece)
        status = content_decoder_write(decoder, bytes + at, count - at < piece ? count - at : piece,
                                       error);
    if (status == REJECTD_OK)
        status = content_decoder_finish(decoder, error);
    ck_assert_uint_eq(content_decoder_made(decoder), out->length);
    content_decoder_close(decoder);
    return status;
}

START_TEST(test_pieces)
{
    static const size_t pieces[] = {1, 7, 1000, 65536, 1 << 20};
    struct rejectd_error error;
    for (int i = 0; i < 2; i++)
        for (size_t p = 0; p < sizeof pieces / sizeof pieces[0]; p++) {
            struct buffer out;
            buffer_init(&out, PLAIN_BYTES);
            ck_assert_int_eq(decode(i == 0 ? HTTP_GZIP : HTTP_ZSTD, packed[i], packed_bytes[i],
                                    pieces[p], PLAIN_BYTES, &out, &error),
                             REJECTD_OK);
            ck_assert_uint_eq(out.length, PLAIN_BYTES);
            ck_assert_mem_eq(out.data, plain, PLAIN_BYTES);
            buffer_free(&out);
        }
}
END_TEST

START_TEST(test_several_frames)
{
    static unsigned char two[4 * PLAIN_BYTES];
    struct rejectd_error error;
    for (int i = 0; i < 2; i++) {
        const enum http_coding coding = i == 0 ? HTTP_GZIP : HTTP_ZSTD;
        memcpy(two, packed[i], packed_bytes[i]);
        memcpy(two + packed_bytes[i], packed[i], packed_bytes[i]);
        struct buffer out;
        buffer_init(&out, 2 * PLAIN_BYTES);
        ck_assert_int_eq(decode(coding, two, 2 * packed_bytes[i], 1000, UINT64_MAX, &out, &error),
                         REJECTD_OK);
        ck_assert_uint_eq(out.length, 2 * PLAIN_BYTES);
        ck_assert_mem_eq(out.data + PLAIN_BYTES, plain, PLAIN_BYTES);
        buffer_free(&out);
        /* Something else behind the end. */
        buffer_init(&out, 2 * PLAIN_BYTES);
        memset(two + packed_bytes[i], 'x', 30);
        ck_assert_int_eq(decode(coding, two, packed_bytes[i] + 30, 1000, UINT64_MAX, &out, &error),
                         REJECTD_INVALID_REQUEST);
        buffer_free(&out);
    }
}
END_TEST

/* What ends too early is told wherever it ends. */
START_TEST(test_cut_off)
{
    struct rejectd_error error;
    for (int i = 0; i < 2; i++)
        for (size_t count = 0; count < packed_bytes[i]; count += 1 + packed_bytes[i] / 97) {
            struct buffer out;
            buffer_init(&out, PLAIN_BYTES);
            ck_assert_int_eq(decode(i == 0 ? HTTP_GZIP : HTTP_ZSTD, packed[i], count, 4096,
                                    PLAIN_BYTES, &out, &error),
                             REJECTD_INVALID_REQUEST);
            ck_assert_str_eq(error.field, "Content-Encoding");
            buffer_free(&out);
        }
}
END_TEST

START_TEST(test_bombs)
{
    enum { ZEROS = 64 << 20, MOST = 1000000 };
    unsigned char *zeros = calloc(1, ZEROS);
    unsigned char *bomb = malloc(1 << 20);
    struct rejectd_error error;
    for (int i = 0; i < 2; i++) {
        const enum http_coding coding = i == 0 ? HTTP_GZIP : HTTP_ZSTD;
        const size_t count = pack(coding, zeros, ZEROS, bomb, 1 << 20);
        struct buffer out;
        buffer_init(&out, ZEROS);
        ck_assert_int_eq(decode(coding, bomb, count, 1 << 20, MOST, &out, &error),
                         REJECTD_TOO_LARGE);
        ck_assert_uint_le(out.length, MOST);
        buffer_free(&out);
        buffer_init(&out, ZEROS);
        ck_assert_int_eq(decode(coding, bomb, count, 1 << 20, ZEROS, &out, &error), REJECTD_OK);
        buffer_free(&out);
    }
    free(zeros);
    free(bomb);
}
END_TEST

/* A frame that asks for a window of more than 8 MiB is refused before it is given that memory. */
START_TEST(test_window)
{
    enum { COUNT = 32 << 20 };
    unsigned char *bytes = malloc(COUNT), *out_bytes = malloc(ZSTD_compressBound(COUNT));
    uint32_t state = 1;
    for (size_t i = 0; i < COUNT; i++) {
        state = state * 1664525U + 1013904223U;
        bytes[i] = (unsigned char)((state >> 24) & 1);
    }
    struct rejectd_error error;
    for (int window = 23; window <= 25; window += 2) {
        ZSTD_CCtx *context = ZSTD_createCCtx();
        ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window);
        ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
        ZSTD_outBuffer packed_out = {out_bytes, ZSTD_compressBound(COUNT), 0};
        ZSTD_inBuffer in = {bytes, COUNT, 0};
        ck_assert_uint_eq(ZSTD_compressStream2(context, &packed_out, &in, ZSTD_e_end), 0);
        ZSTD_freeCCtx(context);
        struct buffer out;
        buffer_init(&out, COUNT);
        ck_assert_int_eq(decode(HTTP_ZSTD, out_bytes, packed_out.pos, 1 << 20, COUNT, &out, &error),
                         window == 23 ? REJECTD_OK : REJECTD_INVALID_REQUEST);
        buffer_free(&out);
    }
    free(bytes);
    free(out_bytes);
}
END_TEST

START_TEST(test_damage)
{
    struct rejectd_error error;
    for (int i = 0; i < 2; i++)
        for (size_t at = 0; at < packed_bytes[i]; at += 1 + packed_bytes[i] / 61) {
            struct buffer out;
            buffer_init(&out, 4 * PLAIN_BYTES);
            packed[i][at] ^= 0x55;
            const enum rejectd_status status =
                decode(i == 0 ? HTTP_GZIP : HTTP_ZSTD, packed[i], packed_bytes[i], 4096,
                       PLAIN_BYTES, &out, &error);
            packed[i][at] ^= 0x55;
            /* Some bytes of a header mean nothing; without a checksum zstd cannot know all. */
            ck_assert(status == REJECTD_OK || status == REJECTD_INVALID_REQUEST ||
                      status == REJECTD_TOO_LARGE);
            if (i == 0 && status == REJECTD_OK)
                ck_assert_mem_eq(out.data, plain, PLAIN_BYTES);
            buffer_free(&out);
        }
}
END_TEST

/* The frame is taken, or not, whatever the pieces. */
static enum rejectd_status decode_in_all_pieces(const unsigned char *frame, size_t count)
{
    struct rejectd_error error;
    struct buffer out;
    enum rejectd_status first = REJECTD_OK;
    for (size_t piece = 1; piece <= count; piece++) {
        buffer_init(&out, PLAIN_BYTES);
        const enum rejectd_status status =
            decode(HTTP_ZSTD, frame, count, piece, PLAIN_BYTES, &out, &error);
        first = piece == 1 ? status : first;
        ck_assert_int_eq(status, first);
        buffer_free(&out);
    }
    return first;
}

START_TEST(test_a_promise_in_pieces)
{
    /* It promises more bytes than it has. */
    static const unsigned char frame[25] = {0x28, 0xb5, 0x2f, 0xfd,    0x90,
                                            0x65, 0x70, 0x73, [22] = 1};
    decode_in_all_pieces(frame, sizeof frame);
}
END_TEST

/* zstd 0.6 began its frames with 26 b5 2f fd, and the library still reads them. */
START_TEST(test_an_old_frame)
{
    static const unsigned char frame[] = {0x26, 0xb5, 0x2f, 0xfd, 0x04, 0x30, 0, 0};
    static const unsigned char beginnings[] = {0x28, 0x50, 0x26};
    ck_assert_int_eq(decode_in_all_pieces(frame, sizeof frame), REJECTD_INVALID_REQUEST);
    for (size_t i = 0; i < sizeof beginnings; i++) {
        unsigned char behind[sizeof frame + 1] = {beginnings[i]};
        memcpy(behind + 1, frame, sizeof frame);
        ck_assert_int_eq(decode_in_all_pieces(behind, sizeof behind), REJECTD_INVALID_REQUEST);
    }
}
END_TEST

START_TEST(test_sink_fails)
{
    struct rejectd_error error;
    for (int i = 0; i < 2; i++) {
        struct content_decoder *decoder;
        struct buffer out;
        buffer_init(&out, 1000);
        const struct content_decoder_options options = {i == 0 ? HTTP_GZIP : HTTP_ZSTD, UINT64_MAX,
                                                        keep, &out};
        ck_assert_int_eq(content_decoder_open(&options, &decoder, &error), REJECTD_OK);
        ck_assert_int_eq(content_decoder_write(decoder, packed[i], packed_bytes[i], &error),
                         REJECTD_STORAGE_FULL);
        content_decoder_close(decoder);
        buffer_free(&out);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("protocol/content_decoder");
    TCase *tests = tcase_create("decoder");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, test_pieces);
    tcase_add_test(tests, test_several_frames);
    tcase_add_test(tests, test_cut_off);
    tcase_add_test(tests, test_bombs);
    tcase_add_test(tests, test_window);
    tcase_add_test(tests, test_damage);
    tcase_add_test(tests, test_a_promise_in_pieces);
    tcase_add_test(tests, test_an_old_frame);
    tcase_add_test(tests, test_sink_fails);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
