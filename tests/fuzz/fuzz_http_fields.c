/* Header fields: the first byte tells which; what is accepted lies where it says. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "protocol/http_fields.h"
#include "server/http/ranges.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_ranges(const char *text, uint64_t total)
{
    struct http_piece piece;
    struct rejectd_error error = {0};
    if (http_read_content_range(text, &piece, &error) == REJECTD_OK)
        CHECK(piece.first <= piece.last && piece.last < piece.total);
    else
        CHECK(piece.total == 0 && error.message[0] != 0);
    uint64_t first = 0, count = 0;
    if (range_read(text, total, &first, &count) == RANGE_PART)
        CHECK(count > 0 && first < total && count <= total - first);
}

static void check_digest(const char *text, bool old)
{
    unsigned char digest[HTTP_DIGEST_BYTES], again[HTTP_DIGEST_BYTES];
    char written[HTTP_DIGEST_TEXT_SIZE];
    struct rejectd_error error = {0};
    if (http_read_digest("Digest", text, old, digest, &error) != REJECTD_OK) {
        CHECK(error.status == REJECTD_INVALID_REQUEST && error.message[0] != 0);
        return;
    }
    http_write_digest(digest, written);
    CHECK(http_read_digest("Digest", written, false, again, NULL) == REJECTD_OK);
    CHECK(memcmp(digest, again, sizeof again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    char *text = malloc(size);
    CHECK(text != NULL);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    enum http_coding coding;
    switch (data[0] % 4) {
    case 0:
        check_ranges(text, data[0] / 4);
        check_ranges(text, UINT64_MAX);
        break;
    case 1:
        (void)etag_matches(text, "\"abc\"");
        break;
    case 2:
        if (http_read_coding(text, &coding, NULL) != REJECTD_OK)
            CHECK(coding == HTTP_IDENTITY);
        break;
    default:
        check_digest(text, data[0] >= 128);
    }
    free(text);
    return 0;
}
