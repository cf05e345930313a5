#include "server/http/body.h"

#include <string.h>

#include "protocol/content_decoder.h"
#include "server/http/request.h"

static enum rejectd_status read_piece(struct request *request, struct rejectd_error *error)
{
    struct body_facts *facts = &request->facts;
    const char *text = request_header(request, "Content-Range");
    if (text == NULL) {
        return REJECTD_OK;
    }
    if (request->route->body != BODY_SAMPLES) {
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "Content-Range",
                            "only samples (PUT) may come in pieces");
    }
    if (facts->coding != HTTP_IDENTITY) {
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "Content-Range",
                            "a body with a Content-Encoding cannot come in pieces; send it whole, "
                            "or the pieces without a coding");
    }
    const enum rejectd_status status = http_read_content_range(text, &facts->piece, error);
    if (status == REJECTD_OK &&
        facts->piece.last - facts->piece.first + 1 != request->content_length) {
        return REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "Content-Range",
                            "is \"%.80s\", but the body has %llu bytes", text,
                            (unsigned long long)request->content_length);
    }
    return status;
}

static enum rejectd_status read_digests(struct request *request, struct rejectd_error *error)
{
    struct body_facts *facts = &request->facts;
    const char *content = request_header(request, "Content-Digest");
    const char *repr = request_header(request, "Repr-Digest");
    const char *old = request_header(request, "Digest");
    unsigned char other[HTTP_DIGEST_BYTES];
    enum rejectd_status status = REJECTD_OK;
    if (content != NULL) {
        facts->has_content_digest = true;
        status = http_read_digest("Content-Digest", content, false, facts->content_digest, error);
    }
    if (status == REJECTD_OK && repr != NULL) {
        facts->has_repr_digest = true;
        facts->repr_name = "Repr-Digest";
        status = http_read_digest("Repr-Digest", repr, false, facts->repr_digest, error);
    }
    if (status == REJECTD_OK && old != NULL) {
        status = http_read_digest("Digest", old, true, other, error);
        if (status == REJECTD_OK && facts->has_repr_digest &&
            memcmp(other, facts->repr_digest, sizeof other) != 0) {
            status = REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "Digest",
                                  "isn't the same as Repr-Digest");
        }
        if (!facts->has_repr_digest) {
            facts->has_repr_digest = true;
            facts->repr_name = "Digest";
            memcpy(facts->repr_digest, other, sizeof other);
        }
    }
    facts->hashes =
        facts->has_content_digest || (facts->has_repr_digest && facts->piece.total == 0);
    return status;
}

enum rejectd_status body_begin(struct request *request, struct rejectd_error *error)
{
    struct body_facts *facts = &request->facts;
    if (request->route->body == BODY_NONE) {
        return REJECTD_OK;
    }
    enum rejectd_status status =
        http_read_coding(request_header(request, "Content-Encoding"), &facts->coding, error);
    if (status != REJECTD_OK) {
        request->response.tells_codings = true;
        return status;
    }
    status = read_piece(request, error);
    if (status == REJECTD_OK) {
        status = read_digests(request, error);
    }
    if (status == REJECTD_OK && facts->hashes) {
        sha256_init(&facts->hash);
    }
    return status;
}

void body_take(struct request *request, const void *bytes, size_t count)
{
    if (request->facts.hashes) {
        sha256_update(&request->facts.hash, bytes, count);
    }
}

static enum rejectd_status check(const unsigned char *computed, const unsigned char *sent,
                                 const char *name, struct rejectd_error *error)
{
    char text[HTTP_DIGEST_TEXT_SIZE];
    if (memcmp(computed, sent, HTTP_DIGEST_BYTES) == 0) {
        return REJECTD_OK;
    }
    http_write_digest(computed, text);
    return REJECTD_FAIL(error, REJECTD_DIGEST_MISMATCH, name,
                        "the body as it came has %s; nothing of it was stored", text);
}

enum rejectd_status body_check_digests(struct request *request, struct rejectd_error *error)
{
    struct body_facts *facts = &request->facts;
    char text[SHA256_TEXT_SIZE];
    unsigned char computed[HTTP_DIGEST_BYTES];
    enum rejectd_status status = REJECTD_OK;
    if (!facts->hashes) {
        return REJECTD_OK;
    }
    facts->hashes = false;
    sha256_final(&facts->hash, text);
    sodium_hex2bin(computed, sizeof computed, text, strlen(text), NULL, NULL, NULL);
    if (facts->has_content_digest) {
        status = check(computed, facts->content_digest, "Content-Digest", error);
    }
    if (status == REJECTD_OK && facts->has_repr_digest && facts->piece.total == 0) {
        status = check(computed, facts->repr_digest, facts->repr_name, error);
    }
    return status;
}

/* ---- decoding ---- */

struct decoding {
    struct request *request;
    struct buffer out;
    uint64_t taken; /* memory, of request_take_memory() */
};

static enum rejectd_status append(void *context, const void *bytes, size_t count,
                                  struct rejectd_error *error)
{
    enum { STEP = 1 << 20 };
    struct decoding *decoding = context;
    while (decoding->taken < decoding->out.length + count) {
        if (!request_take_memory(decoding->request, STEP)) {
            return REJECTD_FAIL(error, REJECTD_UNAVAILABLE, "",
                                "the bodies of other requests take all memory that there is for "
                                "them; try again soon");
        }
        decoding->taken += STEP;
    }
    buffer_append(&decoding->out, bytes, count);
    return decoding->out.failed ? REJECTD_FAIL_MEMORY(error, decoding->out.length + count)
                                : REJECTD_OK;
}

enum rejectd_status body_decode(struct request *request, struct rejectd_error *error)
{
    const size_t most = (size_t)request->service->config->max_json_bytes;
    struct decoding decoding = {.request = request};
    struct content_decoder *decoder = NULL;
    const struct content_decoder_options options = {
        .coding = request->facts.coding,
        .most = most,
        .sink = append,
        .context = &decoding,
    };
    buffer_init(&decoding.out, most);
    enum rejectd_status status = content_decoder_open(&options, &decoder, error);
    if (status == REJECTD_OK) {
        status = content_decoder_write(decoder, request->body.data, request->body.length, error);
    }
    if (status == REJECTD_OK) {
        status = content_decoder_finish(decoder, error);
    }
    content_decoder_close(decoder);
    if (status != REJECTD_OK) {
        buffer_free(&decoding.out);
        return status;
    }
    buffer_free(&request->body);
    request->body = decoding.out;
    return REJECTD_OK;
}
