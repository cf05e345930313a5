/*
 * The grid of the local cross-validation for one group of columns: consensus x n_interpolate x
 * folds in one pass over the repaired rows.
 *
 * Every epoch is added to one cell: the lowest consensus that keeps it, and the fold that tests
 * it. The epochs that a consensus keeps are then the cells up to it, and a fold's train sum is
 * what the other folds hold, taken as prefix plus suffix so that nothing is ever subtracted. Where
 * a consensus keeps no more epochs than the one before, or a value of n_interpolate repairs no
 * other row, the earlier squares are used again: such ties must stay ties to the last bit.
 */
#include "worker/cpu/kernels/kernel_table.h"

/* Views into the scratch. */
struct grid_scratch {
    work_vector *cells;  /* [n_consensus][n_folds][WORK_VECTORS] */
    work_vector *kept;   /* [n_folds][WORK_VECTORS] */
    work_vector *suffix; /* [n_folds + 1][WORK_VECTORS] */
    double *squares;     /* [n_consensus][n_folds] */
    uint32_t *row_of;    /* [n_epochs] */
};

static struct grid_scratch divide_scratch(const struct grid_group *g, void *scratch)
{
    struct grid_scratch s;
    s.cells = scratch;
    s.kept = s.cells + g->n_consensus * g->n_folds * WORK_VECTORS;
    s.suffix = s.kept + g->n_folds * WORK_VECTORS;
    s.squares = (double *)(s.suffix + (g->n_folds + 1) * WORK_VECTORS);
    s.row_of = (uint32_t *)(s.squares + g->n_consensus * g->n_folds);
    return s;
}

static void fill_cells(const struct grid_group *g, const struct grid_scratch *s)
{
    const size_t row_vectors = g->n_folds * WORK_VECTORS;
    for (size_t k = 0; k < g->n_consensus; k++)
        if (k == 0 || g->keeps_more[k]) /* the others are neither written nor read */
            memset(s->cells + k * row_vectors, 0, row_vectors * sizeof *s->cells);
    const work *rows = g->rows;
    for (size_t e = 0; e < g->n_epochs; e++) {
        if (g->first_good[e] >= g->n_consensus)
            continue;
        const work_vector *row = (const work_vector *)(rows + (size_t)s->row_of[e] * GROUP);
        work_vector *cell =
            s->cells + ((size_t)g->first_good[e] * g->n_folds + g->fold[e]) * WORK_VECTORS;
        for (size_t v = 0; v < WORK_VECTORS; v++)
            cell[v] += row[v];
    }
}

/* squares[f] = sum over columns of (median of fold f - mean of the kept epochs elsewhere)^2. */
static void evaluate_folds(const struct grid_group *g, const struct grid_scratch *s,
                           const uint32_t *n_train, double *squares)
{
    const size_t n = g->n_folds;
    memset(s->suffix + n * WORK_VECTORS, 0, WORK_VECTORS * sizeof *s->suffix);
    for (size_t f = n; f-- > 0;)
        for (size_t v = 0; v < WORK_VECTORS; v++)
            s->suffix[f * WORK_VECTORS + v] =
                s->suffix[(f + 1) * WORK_VECTORS + v] + s->kept[f * WORK_VECTORS + v];
    work_vector prefix[WORK_VECTORS];
    memset(prefix, 0, sizeof prefix);
    for (size_t f = 0; f < n; f++) {
        const work_vector *median = (const work_vector *)((const work *)g->medians + f * GROUP);
        work_vector sum = {0};
        work_vector reciprocal = vector_splat(n_train[f] > 0 ? (work)(1.0 / n_train[f]) : 0);
        for (size_t v = 0; v < WORK_VECTORS; v++) {
            work_vector train = prefix[v] + s->suffix[(f + 1) * WORK_VECTORS + v];
            work_vector difference = median[v] - train * reciprocal;
            sum += difference * difference;
            prefix[v] += s->kept[f * WORK_VECTORS + v];
        }
        squares[f] = vector_sum(sum);
    }
}

/* The squares of every consensus for the rows as they are now. */
static void evaluate_grid(const struct grid_group *g, const struct grid_scratch *s)
{
    const size_t n = g->n_folds;
    fill_cells(g, s);
    memset(s->kept, 0, n * WORK_VECTORS * sizeof *s->kept);
    for (size_t k = 0; k < g->n_consensus; k++) {
        double *squares = s->squares + k * n;
        if (k > 0 && !g->keeps_more[k]) {
            memcpy(squares, squares - n, n * sizeof *squares);
            continue;
        }
        const work_vector *cells = s->cells + k * n * WORK_VECTORS;
        for (size_t i = 0; i < n * WORK_VECTORS; i++)
            s->kept[i] += cells[i];
        evaluate_folds(g, s, g->n_train + k * n, squares);
    }
}

void KERNEL(grid)(const struct grid_group *g, void *scratch, double *sums)
{
    struct grid_scratch s = divide_scratch(g, scratch);
    const size_t n = g->n_folds;
    for (size_t e = 0; e < g->n_epochs; e++)
        s.row_of[e] = (uint32_t)e;
    for (size_t v = 0; v < g->n_values; v++) {
        for (size_t i = g->changed_offsets[v]; i < g->changed_offsets[v + 1]; i++)
            s.row_of[g->changed_epochs[i]] = (uint32_t)(g->n_epochs + i);
        if (v == 0 || g->changed_offsets[v + 1] > g->changed_offsets[v])
            evaluate_grid(g, &s);
        for (size_t k = 0; k < g->n_consensus; k++)
            for (size_t f = 0; f < n; f++)
                if (g->n_train[k * n + f] > 0)
                    sums[(k * g->n_values + v) * n + f] += s.squares[k * n + f];
    }
}
