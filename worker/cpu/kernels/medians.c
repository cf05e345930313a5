/*
 * Medians of many overlapping row sets, columns in parallel.
 *
 * A fold's median is found in two phases. First every sample becomes a 16-bit key: its distance
 * from a rough centre of its column, scaled so that the range where the medians lie uses all bits.
 * Counting keys below a pivot costs two instructions for a whole vector of columns, so a few
 * counting passes guided by interpolation find a pivot with half of the rows below it. Then one
 * pass over the samples themselves counts again and takes the largest below and the smallest not
 * below the pivot: when the count is half, these are the two middle values, exactly, whatever the
 * keys were. Where it is not (several samples share a key, or the keys were saturated) the exact
 * search goes on by itself, and closes also on ties: when the largest value known to be too low
 * meets the smallest known to be too high, both middle values equal it.
 *
 * Of many rows even that pass is saved. A key never falls while its sample rises, so the middle
 * values are among the samples that have the largest key below the pivot or the smallest not below
 * it: two passes over the keys find these few samples, and count how many lie below them.
 */
#include "worker/cpu/kernels.h"
#include "worker/cpu/kernels/kernel_table.h"
#include "worker/cpu/kernels/split.h"

enum {
    CENTRE_ROWS = 64,    /* rows that the rough centre and spread are taken from */
    COUNT_ROWS = 30000,  /* rows that a 16-bit counter can hold */
    MAX_KEY_PASSES = 10, /* then the exact search takes over */
    MANY_ROWS = 200,     /* from here on two passes over keys cost less than one over samples */
    MOST_NEIGHBOURS = 8, /* samples of one key; more are a case for the exact search */
};

/* Half the range of the keys, in mean absolute deviations around the centre. The median of any
 * distribution lies within one of its mean. */
static const double key_range = 2.5;

struct columns {
    work centre[GROUP];
    work scale[GROUP];   /* keys per sample unit; 0 for a constant column */
    work inverse[GROUP]; /* 1 / scale, or 0 */
    work spread[GROUP];  /* mean absolute deviation */
};

static void measure_columns(const work *group, size_t n_rows, struct columns *columns)
{
    const size_t n = n_rows < CENTRE_ROWS ? n_rows : CENTRE_ROWS;
    work_vector sum[WORK_VECTORS] = {{0}}, distances[WORK_VECTORS] = {{0}};
    for (size_t i = 0; i < n; i++) {
        const work_vector *row = (const work_vector *)(group + i * n_rows / n * GROUP);
#pragma GCC unroll 4
        for (size_t v = 0; v < WORK_VECTORS; v++)
            sum[v] += row[v];
    }
#pragma GCC unroll 4
    for (size_t v = 0; v < WORK_VECTORS; v++)
        sum[v] /= (work)n;
    for (size_t i = 0; i < n; i++) {
        const work_vector *row = (const work_vector *)(group + i * n_rows / n * GROUP);
#pragma GCC unroll 4
        for (size_t v = 0; v < WORK_VECTORS; v++) {
            const work_vector distance = row[v] - sum[v];
            distances[v] += vector_max(distance, -distance);
        }
    }
    work spread[GROUP];
    memcpy(columns->centre, sum, sizeof sum);
    memcpy(spread, distances, sizeof distances);
    for (size_t l = 0; l < GROUP; l++) {
        columns->spread[l] = spread[l] / (work)n;
        double scale = 32767.0 / (key_range * (double)columns->spread[l]);
        bool usable = scale < 1e30 && scale > 1e-30;
        columns->scale[l] = usable ? (work)scale : 0;
        columns->inverse[l] = usable ? (work)(1.0 / scale) : 0;
    }
}

static void make_keys(const work *restrict group, size_t n_rows, const struct columns *columns,
                      int16_t *restrict keys)
{
    for (size_t r = 0; r < n_rows; r++) {
        const work *row = group + r * GROUP;
        int16_t *out = keys + r * GROUP;
        for (size_t l = 0; l < GROUP; l++) {
            float y = (float)((row[l] - columns->centre[l]) * columns->scale[l]);
            y = y > -32767.0f ? y : -32767.0f;
            y = y < 32766.0f ? y : 32766.0f;
            out[l] = (int16_t)((int32_t)(y + 32768.5f) - 32768);
        }
    }
}

/* The keys of one fold's rows, one after the other: they are counted many times. */
static void gather_keys(const int16_t *keys, const uint32_t *rows, size_t n, int16_t *gathered)
{
    for (size_t i = 0; i < n; i++)
        memcpy(gathered + i * GROUP, keys + (size_t)rows[i] * GROUP, GROUP * sizeof *keys);
}

/* Subtracts one from the lanes whose key is below the pivot. */
static inline keys_vector count_below(keys_vector count, keys_vector key, keys_vector pivot)
{
#if defined(__AVX512BW__)
    /* Left to itself the compiler makes a vector of the mask first. */
    const __mmask32 below = _mm512_cmplt_epi16_mask((__m512i)key, (__m512i)pivot);
    return (keys_vector)_mm512_mask_sub_epi16((__m512i)count, below, (__m512i)count,
                                              _mm512_set1_epi16(1));
#else
    return count + (key < pivot);
#endif
}

/* excess[l] = number of keys of column l below pivot[l], minus half. */
static void count_keys(const int16_t *keys, size_t n, const float *pivot, float half, float *excess)
{
    int16_t integer_pivot[GROUP];
    for (size_t l = 0; l < GROUP; l++)
        integer_pivot[l] = (int16_t)(int32_t)pivot[l];
    keys_vector p;
    memcpy(&p, integer_pivot, sizeof p);
    for (size_t l = 0; l < GROUP; l++)
        excess[l] = -half;
    const keys_vector *key = (const keys_vector *)keys;
    for (size_t start = 0; start < n; start += COUNT_ROWS) {
        size_t end = n - start < COUNT_ROWS ? n : start + COUNT_ROWS;
        keys_vector even = {0}, odd = {0};
        size_t i = start;
        for (; i + 4 <= end; i += 4) {
            even = count_below(count_below(even, key[i], p), key[i + 1], p);
            odd = count_below(count_below(odd, key[i + 2], p), key[i + 3], p);
        }
        for (; i < end; i++)
            even = count_below(even, key[i], p);
        even += odd;
        int16_t negative[GROUP];
        memcpy(negative, &even, sizeof negative);
        for (size_t l = 0; l < GROUP; l++)
            excess[l] -= (float)negative[l];
    }
}

/* Half of a group's columns in the search for a key pivot. */
struct key_search {
    lanes_vector pivot;
    lanes_vector low, high;               /* the pivot sought lies between */
    lanes_vector low_excess, high_excess; /* there, damped; 0: not evaluated */
};

/*
 * Moves the pivots of half a group: regula falsi inside the bracket (the stale end is damped, so
 * that it does not stay for ever), Newton steps while there is no bracket. Returns which columns
 * are still open.
 */
static inline lanes_mask move_pivots(struct key_search *s, lanes_vector excess, lanes_vector step,
                                     bool bisect)
{
    const lanes_vector zero = {0}, damping = 0.75f - zero, half = 0.5f - zero, one = 1.0f - zero;
    lanes_mask below = excess<zero, above = excess> zero;
    s->low_excess =
        lanes_select(below, excess, lanes_select(above, s->low_excess * damping, s->low_excess));
    s->high_excess =
        lanes_select(above, excess, lanes_select(below, s->high_excess * damping, s->high_excess));
    s->low = lanes_select(below, s->pivot, s->low);
    s->high = lanes_select(above, s->pivot, s->high);
    lanes_vector width = s->high - s->low, span = s->high_excess - s->low_excess;
    lanes_vector fraction = -s->low_excess / lanes_select(span > zero, span, one);
    lanes_vector inside = s->low + width * (bisect ? half : fraction);
    lanes_vector outside = s->pivot - excess * step;
    lanes_mask bracketed = (s->low_excess < zero) & (s->high_excess > zero);
    lanes_vector next = lanes_select(bracketed, inside, outside);
    next = lanes_select(next < s->low + one, s->low + one, next);
    next = lanes_select(next > s->high, s->high, next);
    lanes_mask open = (below | above) & (width > one);
    s->pivot = lanes_select(open, lanes_truncate(next), s->pivot);
    return open;
}

/* Looks for pivots with `half` of a fold's keys below them, starting at pivot[]. */
static void search_keys(const int16_t *keys, size_t n, float *pivot)
{
    const float step = 40960.0f / (float)n; /* keys per count near the middle of a normal column */
    struct key_search search[2];
    for (size_t h = 0; h < 2; h++) {
        const lanes_vector zero = {0};
        search[h] = (struct key_search){.low = zero - 32767.0f, .high = zero + 32767.0f};
        memcpy(&search[h].pivot, pivot + h * GROUP / 2, sizeof search[h].pivot);
    }
    for (int pass = 0; pass < MAX_KEY_PASSES; pass++) {
        float excess[GROUP];
        count_keys(keys, n, pivot, (float)(n / 2), excess);
        bool open = false;
        for (size_t h = 0; h < 2; h++) {
            lanes_vector e, stretched = step * (float)(1 << pass) - (lanes_vector){0};
            memcpy(&e, excess + h * GROUP / 2, sizeof e);
            open |= lanes_any(move_pivots(&search[h], e, stretched, pass >= 6));
            memcpy(pivot + h * GROUP / 2, &search[h].pivot, sizeof search[h].pivot);
        }
        if (!open)
            return;
    }
}

/* The keys on both sides of the pivots, and how many are below. */
struct key_split {
    keys_vector below; /* the largest < pivot; INT16_MIN, which is no key, if none */
    keys_vector above; /* the smallest >= pivot; INT16_MAX, likewise */
    int32_t count[GROUP];
};

static inline void split_key(struct key_split *split, keys_vector *count, keys_vector key,
                             keys_vector pivot)
{
#if defined(__AVX512BW__)
    const __mmask32 less = _mm512_cmplt_epi16_mask((__m512i)key, (__m512i)pivot);
    split->below = (keys_vector)_mm512_mask_max_epi16((__m512i)split->below, less,
                                                      (__m512i)split->below, (__m512i)key);
    split->above = (keys_vector)_mm512_mask_min_epi16((__m512i)split->above, ~less,
                                                      (__m512i)split->above, (__m512i)key);
    *count = (keys_vector)_mm512_mask_sub_epi16((__m512i)*count, less, (__m512i)*count,
                                                _mm512_set1_epi16(1));
#else
    const keys_vector less = key < pivot;
    *count += less;
    const keys_vector higher = less & (key > split->below), lower = ~less & (key < split->above);
    split->below = (key & higher) | (split->below & ~higher);
    split->above = (key & lower) | (split->above & ~lower);
#endif
}

static void split_keys(const int16_t *keys, size_t n, keys_vector pivot, struct key_split *split)
{
    const keys_vector *key = (const keys_vector *)keys, zero = {0};
    *split = (struct key_split){.below = zero + INT16_MIN, .above = zero + INT16_MAX};
    for (size_t start = 0; start < n; start += COUNT_ROWS) {
        const size_t end = n - start < COUNT_ROWS ? n : start + COUNT_ROWS;
        keys_vector negative = {0};
        for (size_t i = start; i < end; i++)
            split_key(split, &negative, key[i], pivot);
        for (size_t l = 0; l < GROUP; l++)
            split->count[l] -= negative[l];
    }
}

/* The samples of each column that have one of the two keys next to the pivot. */
struct neighbours {
    bool too_many;
    uint8_t n[2][GROUP]; /* [0] below, [1] not below the pivot */
    work values[2][GROUP][MOST_NEIGHBOURS];
};

static inline void take_neighbour(struct neighbours *found, const work *row, size_t lane,
                                  bool above)
{
    const uint8_t n = found->n[above][lane];
    if (n == MOST_NEIGHBOURS) {
        found->too_many = true;
        return;
    }
    found->values[above][lane][n] = row[lane];
    found->n[above][lane] = (uint8_t)(n + 1);
}

/* Bit l * BITS_PER_LANE is set for the lanes whose key is `wanted`. */
#if defined(__AVX512BW__)
enum { BITS_PER_LANE = 1 };
static inline uint32_t equal_lanes(keys_vector key, keys_vector wanted)
{
    return _mm512_cmpeq_epi16_mask((__m512i)key, (__m512i)wanted);
}
#elif defined(__AVX2__)
enum { BITS_PER_LANE = 2 };
static inline uint32_t equal_lanes(keys_vector key, keys_vector wanted)
{
    return (uint32_t)_mm256_movemask_epi8((__m256i)(key == wanted)) & 0x55555555u;
}
#else
enum { BITS_PER_LANE = 1 };
static inline uint32_t equal_lanes(keys_vector key, keys_vector wanted)
{
    uint32_t lanes = 0;
    for (size_t l = 0; l < GROUP; l++)
        lanes |= (uint32_t)(key[l] == wanted[l]) << l;
    return lanes;
}
#endif

static void find_neighbours(const work *group, const uint32_t *rows, const int16_t *keys, size_t n,
                            const struct key_split *split, struct neighbours *found)
{
    const keys_vector *key = (const keys_vector *)keys;
    found->too_many = false;
    memset(found->n, 0, sizeof found->n);
    for (size_t i = 0; i < n && !found->too_many; i++) {
        const work *row = group + (size_t)rows[i] * GROUP;
        for (uint32_t hits = equal_lanes(key[i], split->below); hits != 0; hits &= hits - 1)
            take_neighbour(found, row, (size_t)__builtin_ctz(hits) / BITS_PER_LANE, false);
        for (uint32_t hits = equal_lanes(key[i], split->above); hits != 0; hits &= hits - 1)
            take_neighbour(found, row, (size_t)__builtin_ctz(hits) / BITS_PER_LANE, true);
    }
}

static void sort_few(work *values, size_t n)
{
    for (size_t i = 1; i < n; i++)
        for (size_t j = i; j > 0 && values[j] < values[j - 1]; j--) {
            const work swapped = values[j];
            values[j] = values[j - 1];
            values[j - 1] = swapped;
        }
}

/* The two middle values of one column, of ranks half - 1 and half; false when its neighbours do
 * not hold them. */
static bool take_middle(struct neighbours *found, size_t lane, size_t count, size_t half,
                        work *lower, work *upper)
{
    const size_t n_below = found->n[0][lane], n_above = found->n[1][lane];
    work *below = found->values[0][lane], *above = found->values[1][lane];
    sort_few(below, n_below);
    sort_few(above, n_above);
    if (count == half && n_below > 0 && n_above > 0) {
        *lower = below[n_below - 1];
        *upper = above[0];
    } else if (count < half && count + n_above > half) {
        *lower = above[half - 1 - count];
        *upper = above[half - count];
    } else if (count > half && count - n_below < half) {
        *lower = below[half - 1 - (count - n_below)];
        *upper = below[half - (count - n_below)];
    } else {
        return false;
    }
    return true;
}

/* Exact middle values of every column by way of the keys; false when some column needs the exact
 * search. */
static bool search_neighbours(const work *group, const uint32_t *rows, const int16_t *keys,
                              size_t n, const float *key_pivot, work *lower, work *upper)
{
    keys_vector pivot;
    int16_t integer_pivot[GROUP];
    struct key_split split;
    struct neighbours found;
    for (size_t l = 0; l < GROUP; l++)
        integer_pivot[l] = (int16_t)(int32_t)key_pivot[l];
    memcpy(&pivot, integer_pivot, sizeof pivot);
    split_keys(keys, n, pivot, &split);
    find_neighbours(group, rows, keys, n, &split, &found);
    bool all = !found.too_many;
    for (size_t l = 0; l < GROUP && all; l++)
        all = take_middle(&found, l, (size_t)split.count[l], n / 2, &lower[l], &upper[l]);
    return all;
}

/* One pass over half of a group's columns: few enough accumulators to stay in registers. */
static void split_rows(const work *group, const uint32_t *rows, size_t n, const work *pivot,
                       work *below, work *above, int64_t *count)
{
    for (size_t half = 0; half < WORK_VECTORS; half += 2) {
        struct split split[2];
        work_vector p[2];
        for (size_t v = 0; v < 2; v++) {
            memcpy(&p[v], pivot + (half + v) * WORK_LANES, sizeof p[v]);
            split[v].below = vector_splat(-WORK_INFINITY);
            split[v].above = vector_splat(WORK_INFINITY);
            split[v].count = (work_mask){0};
        }
        for (size_t i = 0; i < n; i++) {
            const work_vector *row =
                (const work_vector *)(group + (size_t)rows[i] * GROUP + half * WORK_LANES);
            split_row(&split[0], row[0], p[0]);
            split_row(&split[1], row[1], p[1]);
        }
        for (size_t v = 0; v < 2; v++) {
            size_t first = (half + v) * WORK_LANES;
            memcpy(below + first, &split[v].below, VECTOR_BYTES);
            memcpy(above + first, &split[v].above, VECTOR_BYTES);
            for (size_t l = 0; l < WORK_LANES; l++)
                count[first + l] = split[v].count[l];
        }
    }
}

/* Bracket of one column in the exact search: low <= both middle values <= high. */
struct bracket {
    work low, high;
    double low_count, high_count; /* values below low, and up to high: secant targets */
    bool has_low, has_high, done;
};

/* The extremes of each column, to close brackets that are still open on one side. */
static void close_brackets(const work *group, const uint32_t *rows, size_t n,
                           struct bracket *bracket)
{
    work least[GROUP], most[GROUP];
    for (size_t l = 0; l < GROUP; l++)
        least[l] = most[l] = group[(size_t)rows[0] * GROUP + l];
    for (size_t i = 1; i < n; i++) {
        const work *row = group + (size_t)rows[i] * GROUP;
        for (size_t l = 0; l < GROUP; l++) {
            least[l] = row[l] < least[l] ? row[l] : least[l];
            most[l] = row[l] > most[l] ? row[l] : most[l];
        }
    }
    for (size_t l = 0; l < GROUP; l++) {
        if (!bracket[l].has_low) {
            bracket[l].low = least[l];
            bracket[l].low_count = 0;
            bracket[l].has_low = true;
        }
        if (!bracket[l].has_high) {
            bracket[l].high = most[l];
            bracket[l].high_count = (double)n;
            bracket[l].has_high = true;
        }
    }
}

/*
 * The next pivot inside (low, high]. Since a pivot in that range either finishes the column, or
 * raises low, or lowers high to another of the finitely many values, the search always ends. Among
 * NaNs, which are what is left of samples too large for the arithmetic, it ends with any value.
 */
static work next_pivot(const struct bracket *b, size_t half, int pass)
{
    double fraction = ((double)half - b->low_count) / (b->high_count - b->low_count);
    if (pass % 2 == 1 && pass > 4)
        fraction = 0.5;
    work pivot = b->low + (work)((double)(b->high - b->low) * fraction);
    return pivot > b->low && pivot <= b->high ? pivot : b->high;
}

/* Updates a column after a pass: done, or a tighter bracket. */
static void judge_split(struct bracket *b, size_t half, work below, work above, int64_t count,
                        work *lower_middle, work *upper_middle)
{
    if (b->done)
        return;
    if ((size_t)count == half) {
        *lower_middle = below;
        *upper_middle = above;
        b->done = true;
        return;
    }
    if ((size_t)count < half) {
        b->low = above;
        b->low_count = (double)count;
        b->has_low = true;
    } else {
        b->high = below;
        b->high_count = (double)count;
        b->has_high = true;
    }
    if (b->has_low && b->has_high && !(b->low < b->high)) {
        *lower_middle = *upper_middle = b->low;
        b->done = true;
    }
}

void KERNEL(search_exactly)(const work *group, const uint32_t *rows, size_t n, work *pivot,
                            work *lower_middle, work *upper_middle)
{
    const size_t half = n / 2;
    struct bracket bracket[GROUP] = {{0}};
    for (int pass = 0;; pass++) {
        work below[GROUP], above[GROUP];
        int64_t count[GROUP];
        split_rows(group, rows, n, pivot, below, above, count);
        bool all_done = true, bracketed = true;
        for (size_t l = 0; l < GROUP; l++) {
            judge_split(&bracket[l], half, below[l], above[l], count[l], &lower_middle[l],
                        &upper_middle[l]);
            all_done &= bracket[l].done;
            bracketed &= bracket[l].done || (bracket[l].has_low && bracket[l].has_high);
        }
        if (all_done)
            return;
        if (!bracketed)
            close_brackets(group, rows, n, bracket);
        for (size_t l = 0; l < GROUP; l++)
            if (!bracket[l].done)
                pivot[l] = next_pivot(&bracket[l], half, pass);
    }
}

void KERNEL(medians)(const void *group, size_t n_rows, const struct fold_rows *folds, int16_t *keys,
                     void *medians)
{
    const work *samples = group;
    struct columns columns;
    measure_columns(samples, n_rows, &columns);
    make_keys(samples, n_rows, &columns, keys);
    int16_t *gathered = keys + n_rows * GROUP;
    float key_pivot[GROUP] = {0};
    for (size_t f = 0; f < folds->n_folds; f++) {
        const uint32_t *rows = folds->rows + folds->offsets[f];
        size_t n = folds->offsets[f + 1] - folds->offsets[f];
        gather_keys(keys, rows, n, gathered);
        search_keys(gathered, n, key_pivot);
        work pivot[GROUP], lower[GROUP], upper[GROUP];
        if (n < MANY_ROWS ||
            !search_neighbours(samples, rows, gathered, n, key_pivot, lower, upper)) {
            for (size_t l = 0; l < GROUP; l++)
                pivot[l] = columns.centre[l] + (work)(key_pivot[l] - 0.5f) * columns.inverse[l];
            KERNEL(search_exactly)(samples, rows, n, pivot, lower, upper);
        }
        work *out = (work *)medians + f * GROUP;
        for (size_t l = 0; l < GROUP; l++)
            out[l] = n % 2 == 1 ? upper[l] : (lower[l] + upper[l]) / 2;
    }
}
