#include "server/blobs/sha256.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>

static const uint32_t round_constants[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/*
 * The instructions keep the state as two vectors {F E B A} and {H G D C}, lowest lane first, and
 * do two rounds at a time on the lower half of a vector of four message words plus constants.
 */
__attribute__((target("sha,sse4.1"))) static void
process_blocks(uint32_t state[8], const unsigned char *blocks, size_t n_blocks)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    const __m128i dcba = _mm_loadu_si128((const __m128i *)(const void *)&state[0]);
    const __m128i hgfe = _mm_loadu_si128((const __m128i *)(const void *)&state[4]);
    const __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1);
    const __m128i efgh = _mm_shuffle_epi32(hgfe, 0x1b);
    __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
    __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);

    for (; n_blocks > 0; n_blocks--, blocks += 64) {
        const __m128i abef_before = abef;
        const __m128i cdgh_before = cdgh;
        __m128i words[4];
        for (int i = 0; i < 4; i++) {
            words[i] = _mm_loadu_si128((const __m128i *)(const void *)(blocks + 16 * i));
            words[i] = _mm_shuffle_epi8(words[i], swap);
        }
#pragma GCC unroll 16
        for (int group = 0; group < 16; group++) {
            const __m128i current = words[group & 3];
            __m128i sum = _mm_add_epi32(
                current,
                _mm_load_si128((const __m128i *)(const void *)&round_constants[4 * group]));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
            sum = _mm_shuffle_epi32(sum, 0x0e);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, sum);
            if (group < 12) {
                /* The words of group + 4 take the place of those of this group. */
                const __m128i next = words[(group + 1) & 3];
                const __m128i last = words[(group + 3) & 3];
                const __m128i seven_back = _mm_alignr_epi8(last, words[(group + 2) & 3], 4);
                const __m128i partial =
                    _mm_add_epi32(_mm_sha256msg1_epu32(current, next), seven_back);
                words[group & 3] = _mm_sha256msg2_epu32(partial, last);
            }
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }

    const __m128i feba = _mm_shuffle_epi32(abef, 0x1b);
    const __m128i dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)(void *)&state[0], _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((__m128i *)(void *)&state[4], _mm_alignr_epi8(dchg, feba, 8));
}

static bool can_accelerate(void)
{
    unsigned eax;
    unsigned ebx;
    unsigned ecx;
    unsigned edx;
    __asm__("cpuid" : "=a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx) : "a"(7), "c"(0));
    return (ebx & (1U << 29)) != 0 && __builtin_cpu_supports("sse4.1");
}
#else
static void process_blocks(uint32_t state[8], const unsigned char *blocks, size_t n_blocks)
{
    (void)state;
    (void)blocks;
    (void)n_blocks;
}

static bool can_accelerate(void)
{
    return false;
}
#endif

void sha256_init(struct sha256 *hash)
{
    static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    sha256_init_portable(hash);
    hash->accelerated = can_accelerate();
    memcpy(hash->state, initial, sizeof initial);
    hash->length = 0;
}

void sha256_init_portable(struct sha256 *hash)
{
    hash->accelerated = false;
    crypto_hash_sha256_init(&hash->portable);
}

static void update_accelerated(struct sha256 *hash, const unsigned char *bytes, size_t count)
{
    const size_t held = hash->length % 64;
    hash->length += count;
    if (held > 0) {
        const size_t missing = 64 - held;
        const size_t taken = count < missing ? count : missing;
        memcpy(hash->block + held, bytes, taken);
        if (taken < missing) {
            return;
        }
        process_blocks(hash->state, hash->block, 1);
        bytes += taken;
        count -= taken;
    }
    process_blocks(hash->state, bytes, count / 64);
    memcpy(hash->block, bytes + count / 64 * 64, count % 64);
}

void sha256_update(struct sha256 *hash, const void *bytes, size_t count)
{
    if (count == 0) {
        return;
    }
    if (hash->accelerated) {
        update_accelerated(hash, bytes, count);
    } else {
        crypto_hash_sha256_update(&hash->portable, bytes, count);
    }
}

static void final_accelerated(struct sha256 *hash, unsigned char digest[32])
{
    const uint64_t bits = hash->length * 8;
    unsigned char padding[72] = {0x80};
    const size_t zeros = (119 - hash->length % 64) % 64; /* up to byte 56 of a block */
    for (int i = 0; i < 8; i++) {
        padding[1 + zeros + (size_t)i] = (unsigned char)(bits >> (56 - 8 * i));
    }
    update_accelerated(hash, padding, 1 + zeros + 8);
    for (int i = 0; i < 32; i++) {
        digest[i] = (unsigned char)(hash->state[i / 4] >> (24 - 8 * (i % 4)));
    }
}

void sha256_final(struct sha256 *hash, char text[SHA256_TEXT_SIZE])
{
    unsigned char digest[crypto_hash_sha256_BYTES];
    if (hash->accelerated) {
        final_accelerated(hash, digest);
    } else {
        crypto_hash_sha256_final(&hash->portable, digest);
    }
    sodium_bin2hex(text, SHA256_TEXT_SIZE, digest, sizeof digest);
}

bool sha256_is_text(const char *text)
{
    enum { HEX_DIGITS = SHA256_TEXT_SIZE - 1 };
    return strlen(text) == HEX_DIGITS && strspn(text, "0123456789abcdef") == HEX_DIGITS;
}
