#include "worker/cpu/fold_lists.h"

#include <stdlib.h>
#include <string.h>

static size_t chunks_of(size_t n_rows)
{
    return (n_rows + KERNELS_CHUNK - 1) / KERNELS_CHUNK;
}

static size_t count_rows(const struct fold_table *table, bool test)
{
    size_t n = 0;
    for (size_t i = 0; i < table->n_folds * table->n_rows; i++)
        n += (table->is_test[i] != 0) == test;
    return n;
}

bool fold_rows_init(struct fold_rows *rows, const struct fold_table *table, bool test)
{
    *rows = (struct fold_rows){
        .n_folds = table->n_folds,
        .offsets = malloc((table->n_folds + 1) * sizeof(size_t)),
        /* One more: every row is written, and overwritten unless it counts. */
        .rows = malloc((count_rows(table, test) + 1) * sizeof(uint32_t)),
    };
    if (rows->offsets == NULL || rows->rows == NULL)
        return false;
    size_t n = 0;
    for (size_t f = 0; f < table->n_folds; f++) {
        const uint8_t *is_test = table->is_test + f * table->n_rows;
        rows->offsets[f] = n;
        for (size_t row = 0; row < table->n_rows; row++) {
            rows->rows[n] = (uint32_t)row;
            n += (is_test[row] != 0) == test;
        }
    }
    rows->offsets[table->n_folds] = n;
    return true;
}

void fold_rows_free(struct fold_rows *rows)
{
    free(rows->offsets);
    free(rows->rows);
}

double fold_rows_bytes(double n_folds, double n_listed)
{
    return (n_folds + 1.0) * (double)sizeof(size_t) + (n_listed + 1.0) * (double)sizeof(uint32_t);
}

bool train_ranks_init(struct train_ranks *train, size_t n_folds, size_t n_rows)
{
    *train = (struct train_ranks){
        .n_folds = n_folds,
        .n_rows = n_rows,
        .offsets = malloc((n_folds + 1) * sizeof(size_t)),
        .steps = malloc(n_folds * n_rows + 1),
        .ends = malloc(chunks_of(n_rows) * n_folds * sizeof(uint32_t) + 1),
    };
    return train->offsets != NULL && train->steps != NULL && train->ends != NULL;
}

void train_ranks_free(struct train_ranks *train)
{
    free(train->offsets);
    free(train->steps);
    free(train->ends);
}

double train_ranks_bytes(double n_folds, double n_rows)
{
    return (n_folds + 1.0) * (double)sizeof(size_t) + n_folds * n_rows + 1.0 +
           (n_rows / KERNELS_CHUNK + 1.0) * n_folds * (double)sizeof(uint32_t) + 1.0;
}

void train_ranks_list(struct train_ranks *train, const struct fold_table *table,
                      const uint32_t *order)
{
    size_t n = 0;
    train->order = order;
    for (size_t f = 0; f < table->n_folds; f++) {
        const uint8_t *is_test = table->is_test + f * table->n_rows;
        const size_t offset = n;
        train->offsets[f] = offset;
        for (size_t chunk = 0; chunk < chunks_of(table->n_rows); chunk++) {
            const size_t first = chunk * KERNELS_CHUNK, left = table->n_rows - first;
            /* Every step is written, and overwritten unless it counts: nothing to guess wrong. */
            for (size_t step = 0; step < KERNELS_CHUNK && step < left; step++) {
                train->steps[n] = (uint8_t)step;
                n += is_test[order[first + step]] == 0;
            }
            train->ends[chunk * table->n_folds + f] = (uint32_t)(n - offset);
        }
    }
    train->offsets[table->n_folds] = n;
}

size_t train_ranks_below(const struct train_ranks *train, size_t fold, size_t rank)
{
    const size_t chunk = rank / KERNELS_CHUNK;
    size_t n = chunk > 0 ? train->ends[(chunk - 1) * train->n_folds + fold] : 0;
    if (chunk == chunks_of(train->n_rows))
        return n;
    const uint8_t *steps = train->steps + train->offsets[fold];
    while (n < train->ends[chunk * train->n_folds + fold] && steps[n] < rank % KERNELS_CHUNK)
        n++;
    return n;
}
