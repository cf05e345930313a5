/* What the files of the cpu backend share: the session and the ways into its samples. */
#ifndef WORKER_CPU_SESSION_H
#define WORKER_CPU_SESSION_H

#include <stdatomic.h>

#include "worker/backend.h"
#include "worker/cpu/kernels.h"

/* A large array of the work type, kept from call to call so that its pages are touched once. */
struct arena {
    void *data; /* owned; huge pages where the system gives them */
    size_t bytes;
};

struct backend_session {
    struct backend_samples samples;
    struct backend_options options;
    const struct cpu_kernels *kernels;
    size_t work_size; /* bytes of one work sample */

    /* Predictions, in groups [count][groups][E][group], or, later, repaired rows of T, all values
     * of one epoch together: never both, so that fewer pages are touched for the first time. */
    struct arena rows;
    size_t first, count;            /* picks of the last predict(); count 0: none */
    bool predicted;                 /* they have predictions in rows */
    void *offsets;                  /* [count] taken off them, work type; owned. NULL: nothing */
    struct backend_repairs repairs; /* a view of repairs_storage */
    void *repairs_storage;          /* owned */
    size_t *repaired_offsets;       /* [E + 1] first row of each epoch */
};

/* Progress of one parallel loop, and whether it should stop. Threads count items; the calling
 * thread reports. */
struct loop {
    const struct backend_progress *progress;
    size_t n_items;
    atomic_size_t done;
    atomic_bool stop;
    atomic_bool failed; /* an allocation in a thread failed */
};

void loop_begin(struct loop *loop, const struct backend_session *session, size_t n_items);
/* One item is finished. Call from every thread, passing omp_get_thread_num(). */
void loop_advance(struct loop *loop, int thread);
static inline bool loop_stopped(struct loop *loop)
{
    return atomic_load_explicit(&loop->stop, memory_order_relaxed);
}
/* Marks the loop failed for want of memory and stops it. */
void loop_fail(struct loop *loop);
/* The outcome: OK, CANCELLED or OUT_OF_MEMORY. */
enum rejectd_status loop_end(struct loop *loop, struct rejectd_error *error);

/* Makes the arena hold at least `bytes`; the contents are lost when it grows. */
enum rejectd_status arena_reserve(struct arena *arena, size_t bytes, struct rejectd_error *error);
void arena_free(struct arena *arena);

/* 64-byte aligned scratch; free() it. NULL without memory. */
void *scratch_alloc(size_t bytes);

/* The samples of one channel (a dataset channel number) in one epoch. */
struct row_source session_row(const struct backend_session *session, size_t epoch, size_t channel);

/* Makes a product with the picks of an epoch, which are put in as its rows; one thread. scratch:
 * session_product_bytes() for as many rows out, 64-byte aligned. */
void session_multiply(const struct backend_session *session, size_t epoch, struct product *product,
                      void *scratch);
size_t session_product_bytes(const struct backend_session *session, size_t n_out);

/* Groups that the samples of a row fill. */
size_t session_groups(const struct backend_session *session);

/* Where the predictions of a pick of the last predict() are, in the group that begins at sample
 * `at`: [E][group]. */
const char *session_predictions(const struct backend_session *session, size_t pick, size_t at);

/* Converts float64 weights to the work type. */
void session_weights(const struct backend_session *session, const double *weights, size_t n,
                     void *out);

/* How many samples of a channel with n_rows rows to load at once: whole groups. */
size_t session_strip(const struct backend_session *session, size_t n_rows);

/* Bytes of n_rows rows of as many samples, at most. */
double session_strip_bytes(const struct backend_session *session, double n_rows);

/* The operations of backend.h, one file each. */
enum rejectd_status cpu_peak_to_peak(struct backend_session *session, double *ptp,
                                     struct rejectd_error *error);
enum rejectd_status cpu_predict(struct backend_session *session, const double *weights,
                                size_t first, size_t count, double *ptp,
                                struct rejectd_error *error);
enum rejectd_status cpu_read_predictions(struct backend_session *session, size_t pick, double *rows,
                                         struct rejectd_error *error);
enum rejectd_status cpu_threshold_losses(struct backend_session *session,
                                         const struct backend_splits *splits, const uint32_t *order,
                                         const double *ptp, double *losses,
                                         struct rejectd_error *error);
enum rejectd_status cpu_search_candidates(struct backend_session *session,
                                          const struct backend_splits *splits,
                                          const uint32_t *order, const double *ptp,
                                          const struct backend_candidate_search *search,
                                          struct rejectd_error *error);
enum rejectd_status cpu_interpolate_epochs(struct backend_session *session, const double *precision,
                                           const struct backend_repairs *repairs,
                                           struct rejectd_error *error);
enum rejectd_status cpu_weigh_epochs(struct backend_session *session,
                                     const struct backend_weights *weights,
                                     const struct backend_repairs *repairs,
                                     struct rejectd_error *error);
enum rejectd_status cpu_read_repaired(struct backend_session *session, size_t epoch, size_t value,
                                      double *rows, struct rejectd_error *error);
enum rejectd_status cpu_local_cv_losses(struct backend_session *session,
                                        const struct backend_local_cv *cv, double *losses,
                                        struct rejectd_error *error);
enum rejectd_status cpu_ransac_correlations(struct backend_session *session,
                                            const struct backend_mappings *mappings, double *corr,
                                            struct rejectd_error *error);
enum rejectd_status cpu_global_losses(struct backend_session *session,
                                      const struct backend_global *global, double *test_losses,
                                      double *train_losses, struct rejectd_error *error);

void repairs_clear(struct backend_session *session);
/* The first repaired row of (epoch, value), counted from the first row of the epoch. */
size_t repaired_value_row(const struct backend_repairs *repairs, size_t value, size_t epoch);

#endif
