#include "client/simulate/random.h"

static uint64_t rotate(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

void random_seed(struct random *random, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15u;
        uint64_t z = seed;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        random->state[i] = z ^ (z >> 31);
    }
}

static uint64_t next(struct random *random)
{
    uint64_t *s = random->state;
    uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

double random_uniform(struct random *random)
{
    return (double)(next(random) >> 11) * 0x1p-53;
}

double random_normal(struct random *random)
{
    /* Four 16-bit uniform values of one draw; their sum has mean 2 and variance 1/3. */
    uint64_t bits = next(random);
    double sum = 0.0;
    for (int i = 0; i < 4; i++)
        sum += (double)((bits >> (16 * i)) & 0xffff) + 0.5;
    return (sum / 65536.0 - 2.0) * 1.7320508075688772;
}

size_t random_below(struct random *random, size_t n)
{
    return (size_t)(random_uniform(random) * (double)n);
}
