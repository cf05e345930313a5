/*
 * Loops over runs of samples that share a factor, one loop for each pair of types, so that the
 * compiler sees plain loads, swaps and stores. Unaligned numbers go through memcpy.
 */
#include "protocol/fif_samples.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "FIF files are swapped always");

static inline uint32_t load32(const unsigned char *at)
{
    uint32_t bits;
    memcpy(&bits, at, sizeof bits);
    return __builtin_bswap32(bits);
}

static inline uint64_t load64(const unsigned char *at)
{
    uint64_t bits;
    memcpy(&bits, at, sizeof bits);
    return __builtin_bswap64(bits);
}

static void swap32(const unsigned char *from, size_t count, unsigned char *to)
{
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = load32(from + 4 * i);
        memcpy(to + 4 * i, &bits, sizeof bits);
    }
}

static void swap64(const unsigned char *from, size_t count, unsigned char *to)
{
    for (size_t i = 0; i < count; i++) {
        const uint64_t bits = load64(from + 8 * i);
        memcpy(to + 8 * i, &bits, sizeof bits);
    }
}

static void single_to_double(const unsigned char *from, size_t count, double factor,
                             unsigned char *to)
{
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = load32(from + 4 * i);
        float stored;
        memcpy(&stored, &bits, sizeof stored);
        const double value = (double)stored * factor;
        memcpy(to + 8 * i, &value, sizeof value);
    }
}

static void double_to_double(const unsigned char *from, size_t count, double factor,
                             unsigned char *to)
{
    for (size_t i = 0; i < count; i++) {
        const uint64_t bits = load64(from + 8 * i);
        double value;
        memcpy(&value, &bits, sizeof value);
        value *= factor;
        memcpy(to + 8 * i, &value, sizeof value);
    }
}

static void to_single(const unsigned char *from, size_t count, double factor, unsigned char *to)
{
    for (size_t i = 0; i < count; i++) {
        double value;
        memcpy(&value, from + 8 * i, sizeof value);
        const float stored = (float)(value * factor);
        uint32_t bits;
        memcpy(&bits, &stored, sizeof bits);
        bits = __builtin_bswap32(bits);
        memcpy(to + 4 * i, &bits, sizeof bits);
    }
}

static void to_double(const unsigned char *from, size_t count, double factor, unsigned char *to)
{
    for (size_t i = 0; i < count; i++) {
        double value;
        memcpy(&value, from + 8 * i, sizeof value);
        value *= factor;
        uint64_t bits;
        memcpy(&bits, &value, sizeof bits);
        bits = __builtin_bswap64(bits);
        memcpy(to + 8 * i, &bits, sizeof bits);
    }
}

/* Calls `convert` for each run of samples that belong to one channel. */
static void by_channel(const struct fif_layout *layout, size_t first, const unsigned char *from,
                       size_t from_size, size_t count, unsigned char *to, size_t to_size,
                       void (*convert)(const unsigned char *, size_t, double, unsigned char *))
{
    if (layout->factors == NULL) {
        convert(from, count, 1.0, to);
        return;
    }
    size_t channel = first / layout->n_times % layout->n_channels;
    size_t run = layout->n_times - first % layout->n_times;
    for (size_t done = 0; done < count; run = layout->n_times) {
        const size_t n = run < count - done ? run : count - done;
        convert(from + done * from_size, n, layout->factors[channel], to + done * to_size);
        done += n;
        channel = channel + 1 == layout->n_channels ? 0 : channel + 1;
    }
}

void fif_samples_from_file(const struct fif_layout *layout, size_t first, const void *stored,
                           size_t count, void *samples)
{
    if (layout->dtype == REJECTD_FLOAT32)
        swap32(stored, count, samples);
    else if (!layout->stored_double)
        by_channel(layout, first, stored, 4, count, samples, 8, single_to_double);
    else if (layout->factors == NULL)
        swap64(stored, count, samples);
    else
        by_channel(layout, first, stored, 8, count, samples, 8, double_to_double);
}

void fif_samples_to_file(const struct fif_layout *layout, size_t first, const void *samples,
                         size_t count, void *stored)
{
    if (layout->dtype == REJECTD_FLOAT32)
        swap32(samples, count, stored);
    else if (!layout->stored_double)
        by_channel(layout, first, samples, 8, count, stored, 4, to_single);
    else if (layout->factors == NULL)
        swap64(samples, count, stored);
    else
        by_channel(layout, first, samples, 8, count, stored, 8, to_double);
}
