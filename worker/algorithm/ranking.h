/* Rows in ascending order of their peak-to-peak amplitude. */
#ifndef WORKER_ALGORITHM_RANKING_H
#define WORKER_ALGORITHM_RANKING_H

#include <stddef.h>
#include <stdint.h>

struct ranked_row {
    double ptp; /* not negative, not NaN; infinity is allowed */
    uint32_t number;
};

/* Sorts rows [n], equal ones staying in their order; scratch [n]. */
void ranking_sort(struct ranked_row *rows, struct ranked_row *scratch, size_t n);

#endif
