/*
 * Medians over many predictions of the same rows (RANSAC).
 *
 * A tile of rows is predicted by every resample; the sums of a tile stay in registers while the
 * rows of the subset go by, and a strip's predictions stay in the second-level cache. The median of
 * each column is then found in two phases: counting passes over the predictions in float32, twice
 * as many to a vector, find a pivot with half of them below it; one pass over the predictions
 * themselves takes the largest below and the smallest not below it, and its count proves that these
 * are the two middle values. Where float32 does not tell them apart the exact search goes on.
 */
#include "worker/cpu/kernels/kernel_table.h"
#include "worker/cpu/kernels/split.h"

enum {
    MAX_COUNTS = 12,  /* counting passes; then the exact search takes over */
    SPREAD_ROWS = 13, /* about so many rows that a column's spread is taken from */
};

/* One resample's predictions of a tile; row i is written to out + i * stride. */
static inline void predict_tile(const work *group, const uint32_t *subset, size_t n,
                                const work *weights, work *out, size_t stride)
{
    work_vector sum[TILE][WORK_VECTORS];
#pragma GCC unroll 16
    for (size_t i = 0; i < TILE; i++)
#pragma GCC unroll 4
        for (size_t v = 0; v < WORK_VECTORS; v++)
            sum[i][v] = (work_vector){0};
    for (size_t j = 0; j < n; j++) {
        const work_vector *x = (const work_vector *)(group + (size_t)subset[j] * GROUP);
#pragma GCC unroll 16
        for (size_t i = 0; i < TILE; i++) {
            const work_vector weight = vector_splat(weights[j * TILE + i]);
#pragma GCC unroll 4
            for (size_t v = 0; v < WORK_VECTORS; v++)
                sum[i][v] += weight * x[v];
        }
    }
#pragma GCC unroll 16
    for (size_t i = 0; i < TILE; i++)
#pragma GCC unroll 4
        for (size_t v = 0; v < WORK_VECTORS; v++)
            ((work_vector *)(out + i * stride))[v] = sum[i][v];
}

/* Half of a group's columns in the search for a pivot with half of the values below it. */
struct half_search {
    lanes_vector pivot, low, high;
    lanes_vector low_excess, high_excess; /* counts there minus half, damped; 0: not evaluated */
    lanes_vector step;                    /* how far the pivot goes for one count */
};

/* Starts at the mean, with the step that suits a normal distribution of that spread. */
static inline void start_search(const lanes_vector *rows, size_t n, struct half_search *s)
{
    const lanes_vector zero = {0};
    lanes_vector even = zero, odd = zero, spread = zero;
    size_t i = 0;
    for (; i + 2 <= n; i += 2) {
        even += rows[2 * i];
        odd += rows[2 * i + 2];
    }
    if (i < n)
        even += rows[2 * i];
    *s = (struct half_search){.pivot = (even + odd) / (float)n};
    const size_t stride = (n + SPREAD_ROWS - 1) / SPREAD_ROWS;
    size_t taken = 0;
    for (i = stride / 2; i < n; i += stride, taken++) {
        const lanes_vector distance = rows[2 * i] - s->pivot;
        spread += lanes_select(distance < zero, -distance, distance);
    }
    s->step = spread * (3.1f / ((float)taken * (float)n));
}

static inline lanes_mask count_one(lanes_mask count, lanes_vector x, lanes_vector pivot)
{
#if defined(__AVX512BW__)
    const __mmask16 less = _mm512_cmp_ps_mask((__m512)x, (__m512)pivot, _CMP_LT_OQ);
    return (lanes_mask)_mm512_mask_add_epi32((__m512i)count, less, (__m512i)count,
                                             _mm512_set1_epi32(1));
#else
    return count - (lanes_mask)(x < pivot);
#endif
}

/* How many values of each column are below the pivots. */
static inline void count_rows(const lanes_vector *rows, size_t n, const struct half_search *s,
                              lanes_mask count[2])
{
    const lanes_vector left = s[0].pivot, right = s[1].pivot;
    lanes_mask left_even = {0}, left_odd = {0}, right_even = {0}, right_odd = {0};
    size_t i = 0;
    for (; i + 2 <= n; i += 2) {
        left_even = count_one(left_even, rows[2 * i], left);
        right_even = count_one(right_even, rows[2 * i + 1], right);
        left_odd = count_one(left_odd, rows[2 * i + 2], left);
        right_odd = count_one(right_odd, rows[2 * i + 3], right);
    }
    if (i < n) {
        left_even = count_one(left_even, rows[2 * i], left);
        right_even = count_one(right_even, rows[2 * i + 1], right);
    }
    count[0] = left_even + left_odd;
    count[1] = right_even + right_odd;
}

/*
 * Moves the pivots of half a group: regula falsi inside a bracket (the stale end is damped, so that
 * it does not stay for ever), growing steps while there is none. Returns which columns are open.
 */
static inline lanes_mask move_half(struct half_search *s, lanes_vector excess, float stretch)
{
    const lanes_vector zero = {0}, damping = 0.7f - zero, one = 1.0f - zero;
    const lanes_mask below = excess<zero, above = excess> zero;
    s->low_excess =
        lanes_select(below, excess, lanes_select(above, s->low_excess * damping, s->low_excess));
    s->high_excess =
        lanes_select(above, excess, lanes_select(below, s->high_excess * damping, s->high_excess));
    s->low = lanes_select(below, s->pivot, s->low);
    s->high = lanes_select(above, s->pivot, s->high);
    const lanes_vector span = s->high_excess - s->low_excess;
    const lanes_vector fraction = -s->low_excess / lanes_select(span > zero, span, one);
    const lanes_vector inside = s->low + (s->high - s->low) * fraction;
    const lanes_vector outside = s->pivot - excess * (s->step * stretch);
    const lanes_mask bracketed = (s->low_excess < zero) & (s->high_excess > zero);
    const lanes_vector next = lanes_select(bracketed, inside, outside);
    const lanes_mask open = (below | above) & (next != s->pivot);
    s->pivot = lanes_select(open, next, s->pivot);
    return open;
}

/* pivot[l]: with half of the n values of column l below it, if float32 tells them apart. */
static void search_half(const float *rows, size_t n, work *pivot)
{
    const lanes_vector *values = (const lanes_vector *)rows;
    const lanes_vector half = (float)(n / 2) - (lanes_vector){0};
    struct half_search search[2];
    start_search(values, n, &search[0]);
    start_search(values + 1, n, &search[1]);
    float stretch = 1.0f;
    for (int pass = 0; pass < MAX_COUNTS; pass++, stretch *= 1.5f) {
        lanes_mask count[2], open = {0};
        count_rows(values, n, search, count);
        for (size_t h = 0; h < 2; h++)
            open |= move_half(&search[h], __builtin_convertvector(count[h], lanes_vector) - half,
                              stretch);
        if (!lanes_any(open))
            break;
    }
    for (size_t h = 0; h < 2; h++)
        for (size_t l = 0; l < GROUP / 2; l++)
            pivot[h * (GROUP / 2) + l] = (work)search[h].pivot[l];
}

/* Splits all rows at the pivots; true when that has found the middle values of every column. */
static bool split_at(const work *rows, size_t n, const work *pivot, work *lower, work *upper)
{
    const work_mask half = (work_mask){0} + (int32_t)(n / 2);
    work_mask wrong = {0};
    for (size_t v = 0; v < WORK_VECTORS; v += 2) {
        const work_vector left = vector_load(pivot + v * WORK_LANES);
        const work_vector right = vector_load(pivot + (v + 1) * WORK_LANES);
        const struct split none = {vector_splat(-WORK_INFINITY), vector_splat(WORK_INFINITY), {0}};
        struct split even = none, odd = none;
        const work_vector *row = (const work_vector *)rows + v;
        for (size_t i = 0; i < n; i++) {
            split_row(&even, row[i * WORK_VECTORS], left);
            split_row(&odd, row[i * WORK_VECTORS + 1], right);
        }
        wrong |= (even.count ^ half) | (odd.count ^ half);
        memcpy(lower + v * WORK_LANES, &even.below, VECTOR_BYTES);
        memcpy(lower + (v + 1) * WORK_LANES, &odd.below, VECTOR_BYTES);
        memcpy(upper + v * WORK_LANES, &even.above, VECTOR_BYTES);
        memcpy(upper + (v + 1) * WORK_LANES, &odd.above, VECTOR_BYTES);
    }
    return !lanes_any((lanes_mask)wrong);
}

static void take_medians(const work *rows, const float *shadow, const struct resampling *resampling,
                         work *medians)
{
    const size_t n = resampling->n_resample;
    work pivot[GROUP], lower[GROUP], upper[GROUP];
    search_half(shadow, n, pivot);
    if (!split_at(rows, n, pivot, lower, upper))
        KERNEL(search_exactly)(rows, resampling->all, n, pivot, lower, upper);
    for (size_t l = 0; l < GROUP; l++)
        medians[l] = n % 2 == 1 ? upper[l] : (lower[l] + upper[l]) / 2;
}

void KERNEL(resample)(const void *group, const struct resampling *resampling, const void *weights,
                      void *scratch, void *medians)
{
    const size_t n = resampling->n_resample, stride = n * GROUP;
    work *predictions = scratch;
    for (size_t r = 0; r < n; r++)
        predict_tile(group, resampling->subsets + r * resampling->n_samples, resampling->n_samples,
                     (const work *)weights + r * resampling->n_samples * TILE,
                     predictions + r * GROUP, stride);
    for (size_t i = 0; i < TILE; i++) {
        const work *rows = predictions + i * stride;
#if KERNEL_FLOAT32
        const float *shadow = rows;
#else
        float *shadow = (float *)(predictions + TILE * stride);
        for (size_t k = 0; k < stride; k++)
            shadow[k] = (float)rows[k];
#endif
        take_medians(rows, shadow, resampling, (work *)medians + i * GROUP);
    }
}

void KERNEL(correlate)(const void *x, const void *y, double *sums)
{
    const work *a = x, *b = y;
    for (size_t l = 0; l < GROUP; l++) {
        const double p = (double)a[l], q = (double)b[l];
        sums[l] += p * q;
        sums[GROUP + l] += p * p;
        sums[2 * GROUP + l] += q * q;
    }
}
