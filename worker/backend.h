/*
 * The seam between the algorithms and the devices that run them.
 *
 * A backend is a const table of functions; each is a whole step of a fit, coarse enough that a
 * device keeps the samples from the first step to the last and only small tables come back. The
 * algorithms (worker/algorithm) are written once, above it. Backends: `reference`
 * (worker/reference: scalar float64, the definition) and `cpu` (worker/cpu).
 * `cuda` is in a module that is loaded at run time
 * (worker/module.h, worker/cuda). tests/unit/test_backend.c runs one conformance suite over every
 * backend present.
 *
 * Objects. A `backend` is stateless. A `backend_session` holds the samples of one channel type of
 * one dataset on one device, with what has been computed from them; it belongs to the thread that
 * opened it, and uses up to options.n_threads threads inside a call.
 *
 * Symbols: E epochs, C picks (channels of one type), T samples, M rows of one channel: rows 0..E-1
 * are its epochs, rows E..2E-1, where they were predicted, its leave-one-out predictions. All host
 * arrays are C order, owned by the caller, and only used during the call.
 *
 * Every function returns REJECTD_OK or an error; after an error the session may only be closed.
 *
 * Determinism. Results do not depend on the number of threads, nor on how the channels are cut
 * into blocks (first, count): work is cut into pieces of fixed size, each computed by one thread,
 * combined in a fixed order.
 */
#ifndef WORKER_BACKEND_H
#define WORKER_BACKEND_H

#include <rejectd/compute.h>

enum { BACKEND_VERSION = 8 };

/* The samples a session works on: a view, valid as long as the session. */
struct backend_samples {
    const void *data; /* [n_epochs][n_channels][n_times] */
    enum rejectd_dtype dtype;
    size_t n_epochs;
    size_t n_channels; /* of the dataset */
    size_t n_times;
    const size_t *picks; /* [n_picks] ascending channel indices */
    size_t n_picks;
    /* SHA-256, in hexadecimal, of a dataset whose epochs content_first .. content_first + n_epochs
     * - 1 (of content_epochs) these are. A device may keep samples, and what it computes from
     * them, by it; NULL: nothing is kept. */
    const char *content;
    size_t content_epochs, content_first;
};

/*
 * Progress of one call. `advance` is called on the calling thread with the fraction of this call
 * that is done; when it returns false the call stops early with REJECTD_CANCELLED.
 */
struct backend_progress {
    bool (*advance)(void *context, double fraction); /* may be NULL */
    void *context;
};

struct backend_device; /* an open device of a module: module.h */

/* Cross-validation folds over the M rows of a channel, the same for every channel. */
struct backend_splits {
    size_t n_folds;
    size_t n_rows;
    const uint8_t *is_test; /* [n_folds][n_rows]: 1 test row, 0 train row */
};

/* What a session will be asked for: a device may begin while the samples are still on their way.
 * It promises nothing. */
struct backend_foresight {
    const double *weights; /* [C][C] that all picks will be predicted with; NULL: not known */
    struct backend_splits splits; /* of the search for all thresholds; n_folds 0: not known */
    size_t n_folds;               /* of the local cross-validation; 0: not known */
    const uint16_t *fold;         /* [E] */
};

/* Who tells it. `tell` is called at most once, during open(), on a thread of its own, and only
 * where samples have to be brought to a device; what it fills in stays until open() returns. */
struct backend_foreteller {
    enum rejectd_status (*tell)(void *context, struct backend_foresight *foresight,
                                struct rejectd_error *error); /* may be NULL */
    void *context;
};

struct backend_options {
    struct backend_device *device; /* of the backend's module; NULL for those of the processor */
    int n_threads;                 /* >= 1 */
    enum rejectd_dtype precision;  /* arithmetic; all but FLOAT64 are requests that a backend may
                                      exceed */
    const char *instruction_set;   /* or NULL: the best; cpu only */
    struct backend_progress progress;
    struct backend_foreteller foreteller;
};

/* How to choose a threshold among the candidates, once their losses are known. */
struct backend_search {
    enum rejectd_threshold_method method;
    uint32_t seed;       /* of the folds and the draws */
    const double *draws; /* of RANDOM_SEARCH: [n_draws] uniform in [0, 1) */
    size_t n_draws;
};

/*
 * Which sensors of which epochs to repair, for every value of n_interpolate at once. The sets are
 * nested: for value v epoch e has its first prefix[v][e] entries of channels[offsets[e]..]
 * repaired, and prefix[v][e] does not decrease with v. No epoch lists all C picks.
 */
struct backend_repairs {
    size_t n_epochs;
    size_t n_values;
    const size_t *offsets;    /* [n_epochs + 1] */
    const uint16_t *channels; /* [offsets[n_epochs]] pick positions, the worst first */
    const uint16_t *prefix;   /* [n_values][n_epochs] */
};

/* With what weights to repair: a row of weights over the picks for each sensor of each set. */
struct backend_weights {
    size_t n_rows;
    const double *rows;  /* [n_rows][C]; 0 at the sensors that are repaired together */
    const uint32_t *row; /* [n_values][offsets[n_epochs]]: the row for channels[i], where it lies
                            within the prefix of the value */
};

/*
 * Picks to predict from the others by parts of one symmetric matrix S, a set of picks left out at a
 * time: those of a field map (worker/meg/field_map.h). Every set has its own signal-space
 * projection P = I - basis' basis.
 */
struct backend_map_sets {
    const double *matrix; /* [C][C]: S */
    const double *scale;  /* [C]: W, above 0 */
    double miss;          /* share of the eigenvalues' magnitudes that is left out, in (0, 1) */
    size_t n_sets;
    const size_t *offsets;    /* [n_sets + 1] */
    const uint16_t *left_out; /* [offsets[n_sets]] picks, ascending in a set; 1 to C - 1 of them */
    size_t n_basis;           /* 0: no projection */
    const double *basis; /* [n_sets][n_basis][C]: orthonormal rows or zeros; 0 at those left out */
};

/* The folds of the local cross-validation and which epochs each consensus value keeps. */
struct backend_local_cv {
    size_t n_folds;
    const uint16_t *fold; /* [n_epochs]: the fold in which the epoch is tested */
    size_t n_consensus;
    const uint16_t *first_good; /* [n_epochs]: lowest position in the ascending list of consensus
                                   values that keeps the epoch; n_consensus: none does */
};

/*
 * Linear predictions of every pick from small subsets of the picks, one set of weights for each
 * subset. A subset may hold the pick that is predicted.
 */
struct backend_mappings {
    size_t n_resample;       /* >= 1 */
    size_t n_samples;        /* >= 1: picks of a subset */
    const uint32_t *subsets; /* [n_resample][n_samples] positions among the picks */
    const double *weights;   /* [n_resample][C][n_samples] */
};

/*
 * Global candidate thresholds and the folds they are judged in. Candidate i keeps the first kept[i]
 * epochs of `order`.
 */
struct backend_global {
    size_t n_folds;
    const uint16_t *fold;  /* [n_epochs]: the fold in which the epoch is tested; no fold is empty,
                              none holds all epochs */
    const uint32_t *order; /* [n_epochs] epochs ascending by amplitude */
    size_t n_candidates;
    const uint32_t *kept; /* [n_candidates] 0..n_epochs, in any order */
};

/* The losses of the candidates of one pick, one at a time. */
struct backend_losses {
    double (*at)(void *context, size_t rank);
    void *context;
};

/* A search among the candidates of each pick, by whoever knows how to search. */
struct backend_candidate_search {
    /* For pick `pick` of the last predict(): asks for the losses that it wants. `thread` is below
     * options.n_threads, and no other call with it runs at the same time. */
    void (*search)(void *context, size_t pick, int thread, const struct backend_losses *losses);
    void *context;
    const size_t *likely; /* [n_likely] ranks it will ask for in any case, ascending */
    size_t n_likely;
};

struct backend_session;

struct backend {
    int version; /* BACKEND_VERSION */
    const char *name;

    /* One line for people: what it runs on and with. Static storage. */
    const char *(*describe)(void);

    /* Opens a session on samples. *session is owned by the caller: close(). */
    enum rejectd_status (*open)(const struct backend_samples *samples,
                                const struct backend_options *options,
                                struct backend_session **session, struct rejectd_error *error);
    void (*close)(struct backend_session *session); /* NULL is allowed */

    /* ptp[e][c] = max - min over time of pick c in epoch e; [E][C]. */
    enum rejectd_status (*peak_to_peak)(struct backend_session *session, double *ptp,
                                        struct rejectd_error *error);

    /*
     * Predicts picks first..first+count-1 of every epoch from all picks: weights[c] is the row of
     * pick first + c, [count][C], applied to the epoch's C x T samples. first is a multiple of
     * backend_panel(). The predictions stay in the session until the next call of predict() or
     * interpolate_epochs(). weights of NULL: nothing is predicted, and the picks' rows are their
     * epochs alone.
     *   ptp[e][c]  their peak-to-peak, [E][count]; not touched where nothing is predicted. NULL
     *              where search_thresholds() follows, which needs no ptp on the host; a backend
     *              may then leave the work to that call
     */
    enum rejectd_status (*predict)(struct backend_session *session, const double *weights,
                                   size_t first, size_t count, double *ptp,
                                   struct rejectd_error *error);

    /* Copies the predictions of the last predict() for one of its picks: [E][T]. For tests. */
    enum rejectd_status (*read_predictions)(struct backend_session *session, size_t pick,
                                            double *rows, struct rejectd_error *error);

    /*
     * For the picks of the last predict(): the loss of every candidate threshold (Jas et al. 2017,
     * eq. 1-3). Candidate i of a pick is the peak-to-peak value of rank i among its M rows.
     *   order  [count][M] row numbers ascending by peak-to-peak
     *   ptp    [count][M] the peak-to-peak values in that order
     *   losses [count][M] mean over folds of
     *            sqrt(mean over time of (median of test rows - mean of kept train rows)^2),
     *          kept: peak-to-peak <= candidate, or, when that keeps none, <= the smallest of the
     *          fold's train rows. Candidates with equal peak-to-peak have the same loss.
     * The median of an even number of rows is the mean of the two middle values.
     */
    enum rejectd_status (*threshold_losses)(struct backend_session *session,
                                            const struct backend_splits *splits,
                                            const uint32_t *order, const double *ptp,
                                            double *losses, struct rejectd_error *error);

    /*
     * Optional; NULL where threshold_losses() takes no longer: calls search->search() for each pick
     * of the last predict(), several at a time, with the losses that threshold_losses() would give,
     * but for rounding.
     */
    enum rejectd_status (*search_candidates)(struct backend_session *session,
                                             const struct backend_splits *splits,
                                             const uint32_t *order, const double *ptp,
                                             const struct backend_candidate_search *search,
                                             struct rejectd_error *error);

    /*
     * Optional; NULL where the host does it: ranks the rows of each pick of the last predict(),
     * computes threshold_losses() and searches (algorithm/threshold_search.h), without the tables
     * leaving the device. After peak_to_peak(). Rows are ranked by (peak-to-peak, row number); NaN
     * counts as infinity. Where a backend has it, predict() takes picks from any one on, and what
     * is found for a pick does not depend, to the last bit, on which others are searched with it:
     * the picks of one search may be shared out to several devices (rejectd_share of
     * <rejectd/compute.h>).
     *   thresholds [count], losses [count]: what was chosen, and its loss
     */
    enum rejectd_status (*search_thresholds)(struct backend_session *session,
                                             const struct backend_splits *splits,
                                             const struct backend_search *search,
                                             double *thresholds, double *losses,
                                             struct rejectd_error *error);

    /*
     * Optional, beside search_thresholds(): the results of an earlier search of the same kind on
     * the same samples, with the weights of the last predict(). False: it is not remembered.
     */
    bool (*recall_thresholds)(struct backend_session *session, const struct backend_search *search,
                              double *thresholds, double *losses);

    /*
     * Repairs: x_B <- x_B - inverse(P_BB) P_B. x for every epoch and every prefix B, where P [C][C]
     * is the interpolation precision matrix (spherical splines: spline.h), which may be NULL where
     * no prefix has a sensor. Repaired rows stay in the session until the next call of predict() or
     * of this or the next function.
     */
    enum rejectd_status (*interpolate_epochs)(struct backend_session *session,
                                              const double *precision,
                                              const struct backend_repairs *repairs,
                                              struct rejectd_error *error);

    /* Repairs by given weights: x_b <- row . x for every sensor b of every prefix, x being the
     * samples before any repair. Otherwise as interpolate_epochs(). */
    enum rejectd_status (*weigh_epochs)(struct backend_session *session,
                                        const struct backend_weights *weights,
                                        const struct backend_repairs *repairs,
                                        struct rejectd_error *error);

    /*
     * Optional; NULL where the host does it: the weights of every set, as mapping_solve() makes
     * them (worker/meg/mapping.h): for b left out and R the other picks
     *   S_bR P (W K+ W),   K = W P S_RR P W,
     * K+ being the pseudo-inverse over the eigenvalues of largest magnitude, with their signs,
     * until they add up to 1 - miss of all magnitudes. In float64, whatever the precision. The
     * predictions of the last predict() are gone after it.
     *   rows   [offsets[n_sets]][C], in the order of left_out; 0 at the picks of the set
     *   solved [n_sets] 1, or 0 where the caller has to solve the set: the sum is so close to
     *          1 - miss, or two eigenvalues on either side of the cut are so close in magnitude,
     *          that rounding would decide what is kept; or no eigenvalues were found, or all are
     *          zero. Rows of such a set are undefined.
     * What is found for a set does not depend on the sets beside it; where a device has no memory
     * for a whole batch, its last bits may. A call tells no fraction of itself: sets come some at a
     * time, and what they are a part of is the caller's to know.
     */
    enum rejectd_status (*map_sets)(struct backend_session *session,
                                    const struct backend_map_sets *sets, double *rows,
                                    uint8_t *solved, struct rejectd_error *error);

    /* Copies repaired rows of one epoch for repairs value v, in the order of its list:
     * rows [prefix[v][epoch]][T]. */
    enum rejectd_status (*read_repaired)(struct backend_session *session, size_t epoch,
                                         size_t value, double *rows, struct rejectd_error *error);

    /*
     * Losses of the grid, after interpolate_epochs():
     *   losses [n_consensus][n_values][n_folds] = sqrt(mean over picks and time of
     *     (median of the fold's unrepaired epochs - mean of the repaired epochs of the other
     *     folds that the consensus keeps)^2), infinity where none is kept.
     * Two cells in which the same epochs are kept and the same repairs made are bitwise equal.
     */
    enum rejectd_status (*local_cv_losses)(struct backend_session *session,
                                           const struct backend_local_cv *cv, double *losses,
                                           struct rejectd_error *error);

    /*
     * How well each pick is predicted by the others (Bigdely-Shamlo et al. 2015, section 2.3.3):
     *   corr[e][c] = sum of x y / (sqrt(sum of x^2) sqrt(sum of y^2)) over time, [E][C], where x is
     *     pick c in epoch e, and y the median over resamples of weights . x[subset], sample by
     *     sample; no mean is taken off.
     * The median of an even number of resamples is the mean of the two middle values. NaN where x
     * or y is zero throughout. The sums are made in float64.
     */
    enum rejectd_status (*ransac_correlations)(struct backend_session *session,
                                               const struct backend_mappings *mappings,
                                               double *corr, struct rejectd_error *error);

    /*
     * Losses of candidates that keep or drop whole epochs (Jas et al. 2017, section 2.1):
     *   test_losses[i][f]  = sqrt(mean over picks and time of (median of the epochs of fold f
     *                        - mean of the kept epochs of the other folds)^2)
     *   train_losses[i][f] = the same with the median of the epochs of the other folds
     * each [n_candidates][n_folds], infinity where no epoch of the other folds is kept.
     * train_losses may be NULL: not wanted.
     */
    enum rejectd_status (*global_losses)(struct backend_session *session,
                                         const struct backend_global *global, double *test_losses,
                                         double *train_losses, struct rejectd_error *error);

    /* The precision that a session with these options really has: what is asked for, or better. */
    enum rejectd_dtype (*precision)(const struct backend_options *options);
};

/* What a processor reckons in where `precision` is asked for: FLOAT64 or FLOAT32. */
static inline enum rejectd_dtype backend_arithmetic(enum rejectd_dtype precision)
{
    return precision == REJECTD_FLOAT64 ? REJECTD_FLOAT64 : REJECTD_FLOAT32;
}

/*
 * How many picks are predicted at a time, or a multiple of it: by the shape of the samples alone,
 * because a library may add up the rows of another shape of product in another order, and results
 * must not depend on threads or memory.
 */
size_t backend_panel(const struct backend_samples *samples);

/* The backend of the processor of that name ("reference", "cpu"; also autoreject's "numpy",
 * "numba"), or NULL. */
const struct backend *backend_find(const char *name);

/* Every backend of the processor; NULL beyond the last. */
const struct backend *backend_at(size_t index);

#endif
