#include "protocol/http_fields.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Optional white space of HTTP. */
static const char *skip_space(const char *text)
{
    return text + strspn(text, " \t");
}

/* Decimal digits; false when there are none, or too many. */
static bool read_number(const char **text, uint64_t *number)
{
    const char *at = *text;
    uint64_t value = 0;
    if (*at < '0' || *at > '9')
        return false;
    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
            return false;
    *text = at;
    *number = value;
    return true;
}

static bool take(const char **text, char c)
{
    const bool there = **text == c;
    *text += there;
    return there;
}

/* The unit in any case, as the RFC has it. */
static bool take_bytes(const char **text)
{
    const bool there = strncasecmp(*text, "bytes", 5) == 0;
    *text += there ? 5 : 0;
    return there;
}

enum rejectd_status http_read_content_range(const char *text, struct http_piece *piece,
                                            struct rejectd_error *error)
{
    const char *at = skip_space(text);
    struct http_piece read = {0};
    bool valid = take_bytes(&at) && take(&at, ' ') && read_number(&at, &read.first) &&
                 take(&at, '-') && read_number(&at, &read.last) && take(&at, '/') &&
                 read_number(&at, &read.total) && *skip_space(at) == '\0';
    valid = valid && read.first <= read.last && read.last < read.total;
    *piece = valid ? read : (struct http_piece){0};
    return valid ? REJECTD_OK
                 : REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "Content-Range",
                                "is \"%.80s\"; accepted: bytes FIRST-LAST/TOTAL, as "
                                "bytes 0-1048575/4000000, with FIRST <= LAST < TOTAL",
                                text);
}

/* ---- codings ---- */

enum rejectd_status http_read_coding(const char *text, enum http_coding *coding,
                                     struct rejectd_error *error)
{
    static const struct {
        const char *name;
        enum http_coding coding;
    } known[] = {{"identity", HTTP_IDENTITY},
                 {"zstd", HTTP_ZSTD},
                 {"gzip", HTTP_GZIP},
                 {"x-gzip", HTTP_GZIP}};
    *coding = HTTP_IDENTITY;
    if (text == NULL)
        return REJECTD_OK;
    const char *at = skip_space(text);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const size_t length = strlen(known[i].name);
        if (strncasecmp(at, known[i].name, length) == 0 && *skip_space(at + length) == '\0') {
            *coding = known[i].coding;
            return REJECTD_OK;
        }
    }
    return REJECTD_FAIL(
        error, REJECTD_UNSUPPORTED_MEDIA_TYPE, "Content-Encoding",
        "the content encoding is %.64s; accepted: one of " HTTP_CODINGS_ACCEPTED ", or none", text);
}

/* ---- digests ---- */

enum { BASE64_LENGTH = 44 }; /* of 32 bytes */

static bool decode(const char *base64, unsigned char digest[HTTP_DIGEST_BYTES])
{
    size_t length = 0;
    return sodium_base642bin(digest, HTTP_DIGEST_BYTES, base64, BASE64_LENGTH, NULL, &length, NULL,
                             sodium_base64_VARIANT_ORIGINAL) == 0 &&
           length == HTTP_DIGEST_BYTES;
}

/* The value of sha-256 in a list of algorithm=value, `length` characters; NULL: it has none. Values
 * have no commas in either form. */
static const char *find_sha256(const char *text, size_t *length)
{
    static const char key[] = "sha-256=";
    for (const char *at = skip_space(text); *at != '\0';) {
        size_t entry = strcspn(at, ",");
        const char *next = at + entry + (at[entry] == ',');
        while (entry > 0 && (at[entry - 1] == ' ' || at[entry - 1] == '\t'))
            entry--;
        if (entry >= sizeof key - 1 && strncasecmp(at, key, sizeof key - 1) == 0) {
            *length = entry - (sizeof key - 1);
            return at + sizeof key - 1;
        }
        at = skip_space(next);
    }
    return NULL;
}

enum rejectd_status http_read_digest(const char *name, const char *text, bool old,
                                     unsigned char digest[HTTP_DIGEST_BYTES],
                                     struct rejectd_error *error)
{
    size_t length = 0;
    const char *form = old ? "SHA-256=<base64>" : "sha-256=:<base64>:";
    const char *value = find_sha256(text, &length);
    if (value == NULL)
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, name,
                            "has no algorithm that is known; accepted: %s", form);
    bool valid = old ? length == BASE64_LENGTH : length == BASE64_LENGTH + 2;
    if (valid && !old) {
        valid = value[0] == ':' && value[length - 1] == ':';
        value++;
    }
    if (!valid || !decode(value, digest))
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, name,
                            "is no SHA-256 of 32 bytes in base64; accepted: %s", form);
    return REJECTD_OK;
}

void http_write_digest(const unsigned char digest[HTTP_DIGEST_BYTES],
                       char out[HTTP_DIGEST_TEXT_SIZE])
{
    char base64[BASE64_LENGTH + 1];
    sodium_bin2base64(base64, sizeof base64, digest, HTTP_DIGEST_BYTES,
                      sodium_base64_VARIANT_ORIGINAL);
    snprintf(out, HTTP_DIGEST_TEXT_SIZE, "sha-256=:%s:", base64);
}
