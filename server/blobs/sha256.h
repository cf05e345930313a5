/* SHA-256 (FIPS 180-4) at the speed of the processor: its SHA instructions where it has them,
 * libsodium elsewhere. An upload is hashed while it is written; libsodium alone would be slower
 * than the disk. */
#ifndef SERVER_BLOBS_SHA256_H
#define SERVER_BLOBS_SHA256_H

#include <sodium.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SHA256_TEXT_SIZE = 65 }; /* hex and NUL */

struct sha256 {
    bool accelerated;
    crypto_hash_sha256_state portable;
    uint32_t state[8];
    uint64_t length; /* bytes so far */
    unsigned char block[64];
};

void sha256_init(struct sha256 *hash);
/* The same without the processor's instructions; for tests. */
void sha256_init_portable(struct sha256 *hash);
void sha256_update(struct sha256 *hash, const void *bytes, size_t count);
void sha256_final(struct sha256 *hash, char text[SHA256_TEXT_SIZE]);

/* Text that a digest has: lower-case hex of its length. */
bool sha256_is_text(const char *text);

#endif
