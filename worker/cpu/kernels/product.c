/*
 * Weighted sums of rows of samples: leave-one-out prediction, and repair.
 *
 * The matrix of weights is small and the samples are many, and come from memory: what is slow in a
 * product of the usual kind, made for matrices that are both large, is to bring them into order
 * before it begins. Here a panel, some neighbouring samples of all rows, is copied to where it
 * stays in the first-level cache, by the first tile on its way; tiles of sums stay in registers
 * while its rows go by; and each tile asks for a part of the next panel, so that the processor
 * multiplies while the memory answers.
 *
 * Every sum is made row by row by one tile. So it is the same to the last bit whichever others are
 * made with it. Its row's extremes go on while it is in registers.
 */
#include "worker/cpu/kernels/kernel_table.h"
#include "worker/cpu/kernels/load_row.h"

enum {
    /* Of a tile: its sums, the samples and a weight fit into the registers. */
    TILE_ROWS = 6,
    TILE_VECTORS = PRODUCT_WIDTH / WORK_LANES,
    WIDTH = PRODUCT_WIDTH,
    CACHE_LINE = 64,
};

/* What is read from memory next, while a tile is made: some cache lines of each row. */
struct ahead {
    const struct row_source *rows;
    size_t from, to; /* bytes from a row's first sample on; beyond its end they do no harm */
};

/* The extremes of one row so far, lane by lane. */
struct extremes {
    work_vector least, most;
};

/* Where the sums of a tile go. */
struct tile {
    work *out; /* the first row's first sample */
    size_t stride, group_stride;
    const work *offsets;       /* of the first row on, or NULL */
    struct extremes *extremes; /* likewise */
};

/*
 * Of n_out <= TILE_ROWS rows, WIDTH sums. Inlined with n_out known, so that they need no memory.
 * `fill`, unless it is NULL, are the rows whose samples from `start` on the panel is filled with.
 */
static inline __attribute__((always_inline)) void
make_tile(const size_t n_out, const work *weights, size_t n_rows, const struct row_source *fill,
          size_t start, work *panel, const struct ahead *ahead, const struct tile *tile)
{
    work_vector sum[TILE_ROWS][TILE_VECTORS];
#pragma GCC unroll 8
    for (size_t i = 0; i < n_out; i++)
#pragma GCC unroll 4
        for (size_t v = 0; v < TILE_VECTORS; v++)
            sum[i][v] = (work_vector){0};
    for (size_t r = 0; r < n_rows; r++) {
        work_vector x[TILE_VECTORS];
        work *row = panel + r * WIDTH;
        const work *from = fill != NULL ? (const work *)fill[r].samples + start : row;
#pragma GCC unroll 4
        for (size_t v = 0; v < TILE_VECTORS; v++) {
            x[v] = vector_load(from + v * WORK_LANES);
            if (fill != NULL)
                vector_store(row + v * WORK_LANES, x[v]);
        }
        /* To the second-level cache: the panel fills the first. */
        for (size_t byte = ahead->from; byte < ahead->to; byte += CACHE_LINE)
            __builtin_prefetch((const char *)ahead->rows[r].samples + byte, 0, 2);
#pragma GCC unroll 8
        for (size_t i = 0; i < n_out; i++) {
            const work_vector weight = vector_splat(weights[i * n_rows + r]);
#pragma GCC unroll 4
            for (size_t v = 0; v < TILE_VECTORS; v++)
                sum[i][v] += weight * x[v];
        }
    }
    if (tile->offsets != NULL)
#pragma GCC unroll 8
        for (size_t i = 0; i < n_out; i++)
#pragma GCC unroll 4
            for (size_t v = 0; v < TILE_VECTORS; v++)
                sum[i][v] -= tile->offsets[i];
    if (tile->extremes != NULL)
#pragma GCC unroll 8
        for (size_t i = 0; i < n_out; i++) {
            struct extremes *row = &tile->extremes[i];
#pragma GCC unroll 4
            for (size_t v = 0; v < TILE_VECTORS; v++) {
                row->least = vector_min(row->least, sum[i][v]);
                row->most = vector_max(row->most, sum[i][v]);
            }
        }
#pragma GCC unroll 8
    for (size_t i = 0; i < n_out; i++)
#pragma GCC unroll 4
        for (size_t v = 0; v < TILE_VECTORS; v++)
            vector_store(tile->out + i * tile->stride +
                             v * WORK_LANES / GROUP * tile->group_stride + v * WORK_LANES % GROUP,
                         sum[i][v]);
}

/* Whether the first tile fills the panel that begins at `start`: it must be whole, and its samples
 * need no conversion. */
static bool first_tile_fills(const struct product *product, size_t start)
{
    return product->n_out >= TILE_ROWS && product->rows[0].dtype == WORK_DTYPE &&
           start + WIDTH <= product->n_times;
}

/* The sums of at most TILE_ROWS rows of weights over the panel that begins at `start`; returns of
 * how many. */
static size_t make_some(const struct product *product, size_t first, size_t start, work *panel,
                        const struct ahead *ahead, const struct tile *tile)
{
    const size_t left = product->n_out - first, n = product->n_rows;
    const work *weights = (const work *)product->weights + first * n;
    if (first == 0 && first_tile_fills(product, start)) {
        make_tile(TILE_ROWS, weights, n, product->rows, start, panel, ahead, tile);
        return TILE_ROWS;
    }
    if (left >= TILE_ROWS) {
        make_tile(TILE_ROWS, weights, n, NULL, 0, panel, ahead, tile);
        return TILE_ROWS;
    }
    if (left >= 4) {
        make_tile(4, weights, n, NULL, 0, panel, ahead, tile);
        return 4;
    }
    if (left >= 2) {
        make_tile(2, weights, n, NULL, 0, panel, ahead, tile);
        return 2;
    }
    make_tile(1, weights, n, NULL, 0, panel, ahead, tile);
    return 1;
}

/* A whole row of a panel. The compiler would call memmove() for samples that need no conversion. */
static inline void fill_row(work *out, const struct row_source *row, size_t start)
{
    if (row->dtype == WORK_DTYPE) {
        const work *in = (const work *)row->samples + start;
#pragma GCC unroll 4
        for (size_t v = 0; v < TILE_VECTORS; v++)
            vector_store(out + v * WORK_LANES, vector_load(in + v * WORK_LANES));
    } else {
        load_row(out, row, start, WIDTH, 0);
    }
}

static void fill_panel(const struct product *product, size_t start, work *panel)
{
    const size_t left = product->n_times > start ? product->n_times - start : 0;
    for (size_t r = 0; r < product->n_rows; r++) {
        work *row = panel + r * WIDTH;
        if (left >= WIDTH) {
            fill_row(row, &product->rows[r], start);
        } else {
            memset(row, 0, WIDTH * sizeof *row);
            load_row(row, &product->rows[r], start, left, 0);
        }
    }
}

/* Where sample t of a row is. */
static inline size_t out_at(const struct product *product, size_t t)
{
    return t / GROUP * product->group_stride + t % GROUP;
}

/* Copies what there is of a panel that is not full, [count][WIDTH] from `start` on. */
static void copy_rest(const struct product *product, size_t first, size_t count, size_t start,
                      const work *sums, struct extremes *extremes)
{
    for (size_t i = 0; i < count; i++) {
        work *out = (work *)product->out + (first + i) * product->stride;
        for (size_t t = start; t < start + WIDTH && t < product->n_out_times; t++) {
            const work sum = t < product->n_times ? sums[i * WIDTH + t - start] : 0;
            out[out_at(product, t)] = sum;
            if (extremes == NULL || t >= product->n_times)
                continue;
            struct extremes *row = &extremes[first + i];
            row->least[0] = sum < row->least[0] ? sum : row->least[0];
            row->most[0] = sum > row->most[0] ? sum : row->most[0];
        }
    }
}

/* All sums of the panel that begins at `start`. */
static void multiply_panel(const struct product *product, size_t start, work *panel,
                           struct extremes *extremes)
{
    const bool is_double = product->rows[0].dtype == REJECTD_FLOAT64;
    const size_t item = is_double ? sizeof(double) : sizeof(float);
    /* The tiles share the lines of the next panel; its rows may begin within a line. */
    const size_t n_lines = WIDTH * item / CACHE_LINE + 1;
    const size_t next = (start + WIDTH) * item, end = next + n_lines * CACHE_LINE;
    const size_t n_tiles = (product->n_out + TILE_ROWS - 1) / TILE_ROWS;
    const size_t bytes = (n_lines + n_tiles - 1) / n_tiles * CACHE_LINE;
    const bool full = start + WIDTH <= product->n_times;
    size_t count;
    for (size_t first = 0, from = next; first < product->n_out; first += count, from += bytes) {
        const size_t to = from + bytes < end ? from + bytes : end;
        const struct ahead ahead = {product->rows, from, to};
        const work *offsets = product->offsets;
        struct tile tile = {.offsets = offsets != NULL ? offsets + first : NULL};
        work last[TILE_ROWS * WIDTH];
        if (full) {
            tile.out = (work *)product->out + first * product->stride + out_at(product, start);
            tile.stride = product->stride;
            tile.group_stride = product->group_stride;
            tile.extremes = extremes != NULL ? extremes + first : NULL;
            count = make_some(product, first, start, panel, &ahead, &tile);
        } else {
            tile.out = last;
            tile.stride = WIDTH;
            tile.group_stride = GROUP;
            count = make_some(product, first, start, panel, &ahead, &tile);
            copy_rest(product, first, count, start, last, extremes);
        }
    }
}

static void finish_ptp(const struct product *product, const struct extremes *extremes)
{
    for (size_t i = 0; i < product->n_out; i++) {
        work least = extremes[i].least[0], most = extremes[i].most[0];
        for (size_t l = 1; l < WORK_LANES; l++) {
            least = extremes[i].least[l] < least ? extremes[i].least[l] : least;
            most = extremes[i].most[l] > most ? extremes[i].most[l] : most;
        }
        product->ptp[i] = (double)(most - least);
    }
}

void KERNEL(multiply)(const struct product *product, void *scratch)
{
    work *panel = scratch;
    struct extremes *extremes = NULL;
    if (product->ptp != NULL) {
        extremes = (void *)(panel + product->n_rows * WIDTH);
        for (size_t i = 0; i < product->n_out; i++)
            extremes[i] =
                (struct extremes){vector_splat(WORK_INFINITY), vector_splat(-WORK_INFINITY)};
    }
    for (size_t start = 0; start < product->n_out_times; start += WIDTH) {
        if (!first_tile_fills(product, start))
            fill_panel(product, start, panel);
        multiply_panel(product, start, panel, extremes);
    }
    if (product->ptp != NULL)
        finish_ptp(product, extremes);
}
