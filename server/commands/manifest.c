#include "server/commands/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <rejectd/version.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/clock.h"

enum { FORMAT = 1 };

void manifest_clear(struct manifest *manifest)
{
    free(manifest->blobs);
    *manifest = (struct manifest){0};
}

bool manifest_add(struct manifest *manifest, const struct file_digest *blob)
{
    const size_t n = manifest->n_blobs;
    if ((n & (n - 1)) == 0) {
        struct file_digest *grown =
            realloc(manifest->blobs, (n == 0 ? 1 : 2 * n) * sizeof *manifest->blobs);
        if (grown == NULL) {
            return false;
        }
        manifest->blobs = grown;
    }
    manifest->blobs[n] = *blob;
    manifest->n_blobs = n + 1;
    return true;
}

static json_t *digest_to_json(const struct file_digest *digest)
{
    return json_pack("{s:s, s:I}", "sha256", digest->sha256, "bytes", (json_int_t)digest->bytes);
}

enum rejectd_status manifest_write(const struct manifest *manifest, int directory,
                                   struct rejectd_error *error)
{
    char now[CLOCK_TEXT_SIZE];
    clock_text(clock_milliseconds(), now);
    json_t *blobs = json_array();
    for (size_t i = 0; i < manifest->n_blobs; i++) {
        json_array_append_new(blobs, digest_to_json(&manifest->blobs[i]));
    }
    json_t *whole =
        json_pack("{s:i, s:s, s:s, s:o, s:I, s:o}", "format", FORMAT, "rejectd", REJECTD_VERSION,
                  "created_at", now, "store", digest_to_json(&manifest->store), "lacking",
                  (json_int_t)manifest->n_lacking, "blobs", blobs);
    char *text = whole == NULL ? NULL : json_dumps(whole, JSON_INDENT(1));
    const enum rejectd_status status =
        text != NULL ? file_put(directory, MANIFEST_NAME, text, strlen(text), error)
                     : REJECTD_FAIL(error, REJECTD_OUT_OF_MEMORY, "", "no memory for the manifest");
    free(text);
    json_decref(whole);
    return status;
}

static bool read_digest(const json_t *value, struct file_digest *digest)
{
    const char *sha256 = json_string_value(json_object_get(value, "sha256"));
    const json_int_t bytes = json_integer_value(json_object_get(value, "bytes"));
    if (sha256 == NULL || !sha256_is_text(sha256) || bytes < 0) {
        return false;
    }
    memcpy(digest->sha256, sha256, SHA256_TEXT_SIZE);
    digest->bytes = (uint64_t)bytes;
    return true;
}

static enum rejectd_status read_blobs(const json_t *blobs, struct manifest *manifest,
                                      struct rejectd_error *error)
{
    for (size_t i = 0; i < json_array_size(blobs); i++) {
        struct file_digest blob;
        if (!read_digest(json_array_get(blobs, i), &blob)) {
            return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "",
                                MANIFEST_NAME ": blob %zu has no digest", i);
        }
        if (!manifest_add(manifest, &blob)) {
            return REJECTD_FAIL_MEMORY(error, i * sizeof blob);
        }
    }
    return REJECTD_OK;
}

static enum rejectd_status read_whole(const json_t *whole, struct manifest *manifest,
                                      struct rejectd_error *error)
{
    const json_t *blobs = json_object_get(whole, "blobs");
    const json_int_t format = json_integer_value(json_object_get(whole, "format"));
    if (format != FORMAT) {
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "",
                            MANIFEST_NAME " is of format %lld; this rejectd reads %d",
                            (long long)format, FORMAT);
    }
    if (!read_digest(json_object_get(whole, "store"), &manifest->store) || !json_is_array(blobs)) {
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "",
                            MANIFEST_NAME " does not say what the backup has");
    }
    manifest->n_lacking = (size_t)json_integer_value(json_object_get(whole, "lacking"));
    return read_blobs(blobs, manifest, error);
}

static enum rejectd_status read_loaded(json_t *whole, const json_error_t *where,
                                       struct manifest *manifest, struct rejectd_error *error)
{
    if (whole == NULL) {
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "", MANIFEST_NAME " is damaged: %s",
                            where->text);
    }
    const enum rejectd_status status = read_whole(whole, manifest, error);
    json_decref(whole);
    return status;
}

enum rejectd_status manifest_parse(const char *text, size_t length, struct manifest *manifest,
                                   struct rejectd_error *error)
{
    json_error_t where;
    *manifest = (struct manifest){0};
    return read_loaded(json_loadb(text, length, JSON_REJECT_DUPLICATES, &where), &where, manifest,
                       error);
}

enum rejectd_status manifest_read(int directory, struct manifest *manifest,
                                  struct rejectd_error *error)
{
    json_error_t where;
    *manifest = (struct manifest){0};
    const int fd = openat(directory, MANIFEST_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "",
                            "there is no whole backup: " MANIFEST_NAME ": %s", strerror(errno));
    }
    json_t *whole = json_loadfd(fd, JSON_REJECT_DUPLICATES, &where);
    close(fd);
    return read_loaded(whole, &where, manifest, error);
}
