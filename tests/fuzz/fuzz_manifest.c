/*
 * Manifests of backups: what an accepted one names are digests, which cannot lead out of a folder.
 */
#include <stdint.h>
#include <string.h>

#include "check.h"
#include "server/commands/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_digest(const struct file_digest *digest)
{
    CHECK(strlen(digest->sha256) == SHA256_TEXT_SIZE - 1);
    CHECK(strspn(digest->sha256, "0123456789abcdef") == SHA256_TEXT_SIZE - 1);
    CHECK(digest->bytes <= INT64_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest manifest;
    struct rejectd_error error = {0};
    const enum rejectd_status status = manifest_parse((const char *)data, size, &manifest, &error);
    if (status == REJECTD_OK) {
        check_digest(&manifest.store);
        for (size_t i = 0; i < manifest.n_blobs; i++) {
            check_digest(&manifest.blobs[i]);
        }
    } else {
        CHECK(error.status == status && error.message[0] != 0);
    }
    manifest_clear(&manifest);
    return 0;
}
