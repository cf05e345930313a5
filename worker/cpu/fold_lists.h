/* Lists of the rows that test and train each fold, as the kernels want them. */
#ifndef WORKER_CPU_FOLD_LISTS_H
#define WORKER_CPU_FOLD_LISTS_H

#include "worker/cpu/kernels.h"

/* Which rows are test rows: is_test [n_folds][n_rows], 1 or 0. */
struct fold_table {
    size_t n_folds, n_rows;
    const uint8_t *is_test;
};

/* Lists the rows that are test rows, or (test false) those that are not; false without memory.
 * fold_rows_free(). */
bool fold_rows_init(struct fold_rows *rows, const struct fold_table *table, bool test);
void fold_rows_free(struct fold_rows *rows);
/* Of lists with n_listed rows in all. */
double fold_rows_bytes(double n_folds, double n_listed);

/* Makes room for the train rows of a table of that shape; false without memory. train_ranks_free().
 */
bool train_ranks_init(struct train_ranks *train, size_t n_folds, size_t n_rows);
void train_ranks_free(struct train_ranks *train);
double train_ranks_bytes(double n_folds, double n_rows);

/* Lists the train rows in the order of ranks: order [n_rows], which must stay as long as the list
 * is used. */
void train_ranks_list(struct train_ranks *train, const struct fold_table *table,
                      const uint32_t *order);

/* How many train rows of a fold have a rank below `rank`. */
size_t train_ranks_below(const struct train_ranks *train, size_t fold, size_t rank);

#endif
