/* What the kernels of the repairs are told: lists of sets and rows, made on the host. */
#ifndef WORKER_CUDA_REPAIR_LISTS_H
#define WORKER_CUDA_REPAIR_LISTS_H

#include "worker/cuda/session.h"

enum {
    SHARED_SET = 64, /* sensors of a set whose matrix fits into shared memory */
    TASK_ROWS = 16,
};
#define UNUSED UINT32_MAX

/* A set to repair in one epoch. */
struct set {
    uint32_t first_weights; /* its first row of weights */
    uint32_t first_pick;    /* in the list of the chunk's picks */
    uint32_t n;
    uint32_t pad;
    size_t matrix; /* where its matrix lies in the scratch, in samples; of large sets */
};

/* Rows of one epoch that are made together. */
struct task {
    uint32_t epoch; /* in the chunk */
    uint32_t n;
    uint32_t first; /* the first row; it is made with the weights of the row's number */
    uint32_t pad;
};

/* A chunk of epochs. Row r is made with weights numbers[r], or r where there are no numbers. Of
 * given weights the chunk has those that it uses: row i of them is row used[i] of all. */
struct repair_lists {
    std::vector<struct set> sets; /* none where weights are given */
    std::vector<struct task> tasks;
    std::vector<uint32_t> numbers, used; /* of given weights */
    std::vector<uint32_t> place;         /* of each of all given weights in `used`, or UNUSED */
    size_t n_rows;
    size_t matrices; /* of large sets, in samples */
    std::vector<double>
        precision; /* [C][C], of which weights are made; none where they are given */
};

/* Copies the lists of repairs into the session: they are asked for long after the call. */
void repairs_take(struct backend_session *session, const struct backend_repairs *repairs);

/* Lists what there is to do in epochs e..e+n-1; the chunk's picks are those of the session's
 * repairs from repaired.offsets[e] to [e + n]. given: NULL where weights are made here. */
void repairs_list(const struct backend_session *session, size_t e, size_t n,
                  const struct backend_weights *given, struct repair_lists *lists);

static inline size_t repairs_prefix(const struct repaired_rows &repaired, size_t value,
                                    size_t epoch)
{
    return repaired.prefix[value * (repaired.first_row.size() - 1) + epoch];
}

#endif
