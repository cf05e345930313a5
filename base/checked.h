/* Size arithmetic that cannot overflow silently. Each returns false when the result does not fit.
 */
#ifndef BASE_CHECKED_H
#define BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>

static inline bool checked_multiply(size_t a, size_t b, size_t *product)
{
    return !__builtin_mul_overflow(a, b, product);
}

static inline bool checked_add(size_t a, size_t b, size_t *sum)
{
    return !__builtin_add_overflow(a, b, sum);
}

/* a * b * c, as for the shape of an array. */
static inline bool checked_multiply3(size_t a, size_t b, size_t c, size_t *product)
{
    size_t ab;
    return checked_multiply(a, b, &ab) && checked_multiply(ab, c, product);
}

#endif
