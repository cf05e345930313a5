/*
 * The inner loops of the cpu backend. kernels/ is compiled once for each instruction set and each
 * arithmetic ("work" type, float32 or float64); each compilation fills one table.
 *
 * Samples of one channel are worked on in groups: a group is `group` neighbouring time samples of
 * all rows, laid out [row][group] in the work type, so that lanes of a vector are neighbouring
 * samples and every lane is an independent column. Columns beyond the last sample are zero in all
 * rows; they give zero to every sum of squares.
 */
#ifndef WORKER_CPU_KERNELS_H
#define WORKER_CPU_KERNELS_H

#include <rejectd/types.h>

enum {
    KERNELS_MAX_GROUP = 32,
    KERNELS_CHUNK = 64, /* ranks that the losses of all folds are taken of at a time */
};

/* For each fold the rows of a set, concatenated: rows[offsets[f]] .. rows[offsets[f + 1] - 1]. */
struct fold_rows {
    size_t n_folds;
    size_t *offsets; /* [n_folds + 1] */
    uint32_t *rows;  /* ascending in each fold */
};

/* The rows of a channel in ascending order of amplitude, and which of them train each fold. Ranks
 * go by chunks of KERNELS_CHUNK, the last of which may be shorter. */
struct train_ranks {
    size_t n_folds, n_rows;
    const uint32_t *order; /* [n_rows] the row of each rank */
    size_t *offsets;       /* [n_folds + 1] of each fold's train rows */
    uint8_t *steps;        /* [offsets[n_folds]] a train row's rank within its chunk */
    uint32_t *ends; /* [chunks][n_folds] how many train rows a fold has up to the chunk's end */
};

/*
 * Stops of a walk over the rows of a channel, and what is wanted there. The first list is of all
 * rows, the others of the test rows of each fold, in the order of the walk.
 */
struct row_walk {
    size_t n_folds, n_stops;
    const size_t *offsets; /* [1 + n_folds] where each list begins in rows */
    const uint32_t *rows;
    const uint32_t *ends; /* [n_stops][1 + n_folds] rows of each list up to the stop */
    const double *kept;   /* [n_stops][n_folds] train rows up to the stop, as numbers */
    size_t keep_every;    /* sums are written at every so many stops */
};

/* One row of samples to load: where it is and in which type. */
struct row_source {
    const void *samples;
    enum rejectd_dtype dtype;
};

/* A product of weights with rows of samples where they lie. */
struct product {
    const void *weights; /* [n_out][n_rows], work type */
    size_t n_out;
    const struct row_source *rows; /* [n_rows] of n_times samples, all of one type; n_rows >= 1 */
    size_t n_rows;
    size_t n_times;
    /* n_out rows of n_out_times >= n_times, work type: sample t of row i is
     * out[i * stride + t / group * group_stride + t % group]; zero beyond n_times. */
    void *out;
    size_t n_out_times;
    size_t stride, group_stride; /* samples; group_stride = group for rows in one piece */
    const void *offsets;         /* [n_out] taken off every sum, work type; NULL: nothing */
    double *ptp;                 /* [n_out] peak-to-peak of each row; NULL: not wanted */
};

/* A group of one channel's epochs, and how the local cross-validation sums them. */
struct grid_group {
    const void *rows; /* [n_epochs + changes][group]: the raw epochs, then the repaired rows */
    size_t n_epochs;
    const uint16_t *fold;       /* [n_epochs] */
    const uint16_t *first_good; /* [n_epochs]; n_consensus: never */
    size_t n_folds;
    size_t n_consensus;
    const uint32_t *n_train; /* [n_consensus][n_folds]: epochs kept outside the fold */
    const bool *keeps_more;  /* [n_consensus]: some epoch has this first_good */
    const void *medians;     /* [n_folds][group] */
    /* The epochs that value v of n_interpolate repairs otherwise than value v - 1 did (for v = 0:
     * repairs at all): changed_epochs[i] gets row n_epochs + i. */
    size_t n_values;
    const size_t *changed_offsets; /* [n_values + 1] */
    const uint32_t *changed_epochs;
};

/* Many weighted sums of the rows of a group, each over its own subset of the rows. */
struct resampling {
    size_t n_resample;
    size_t n_samples;        /* rows of a subset */
    const uint32_t *subsets; /* [n_resample][n_samples] rows */
    const uint32_t *all;     /* [n_resample] 0, 1, 2, ... */
};

struct cpu_kernels {
    const char *name; /* of the instruction set */
    const char *description;
    enum rejectd_dtype work;
    size_t group;     /* samples of a group, at most KERNELS_MAX_GROUP */
    size_t tile;      /* rows that resample() makes at a time */
    size_t panel_row; /* bytes of multiply()'s scratch for each row */
    size_t panel_out; /* and for each row that it makes */

    /* Peak-to-peak of n work samples, n >= 1. */
    double (*peak_to_peak)(const void *row, size_t n);

    /* Converts n samples of either type to the work type. */
    void (*convert)(void *work, const void *samples, enum rejectd_dtype dtype, size_t n);

    /*
     * Copies samples start .. start + length - 1 of n_rows rows into the first n_rows of
     * consecutive groups, each [group_rows][group]; the last group is padded with zeros. Subtracts
     * `offset` from every sample.
     */
    void (*load)(void *groups, size_t group_rows, const struct row_source *rows, size_t n_rows,
                 size_t start, size_t length, double offset);

    /*
     * out[i] = the sum over rows r of weights[i][r] * rows[r], made in the order of r. panel:
     * scratch, n_rows * panel_row + n_out * panel_out bytes, 64-byte aligned.
     */
    void (*multiply)(const struct product *product, void *panel);

    /*
     * medians[f][l] = the median of column l over the rows of fold f, exactly: one of the values,
     * or the mean of the two middle ones. keys is scratch, [2][n_rows][group].
     */
    void (*medians)(const void *group, size_t n_rows, const struct fold_rows *folds, int16_t *keys,
                    void *medians);

    /*
     * For fold f and the i-th of its train rows adds to sums[offsets[f] + i]
     *   sum over columns of (medians[f] - mean of the first i + 1 train rows)^2,
     * the rows of lower rank being the first. weights[i] = 1 / (i + 1)^2.
     */
    void (*losses)(const void *group, const struct train_ranks *train, const void *medians,
                   const double *weights, double *sums);

    /*
     * At each stop adds to squares[stop][f] the sum over columns of
     *   (kept[stop][f] * medians[f] - (all - tested))^2,
     * where `all` is the sum over all rows up to the stop, and `tested` that over the fold's test
     * rows among them, in float64 whatever the work type. They go on from before [1 + n_folds]
     * [group], NULL: from zero; at stops keep_every - 1, 2 keep_every - 1, ... they are written to
     * sums [n_stops / keep_every][1 + n_folds][group].
     */
    void (*walk)(const void *group, const struct row_walk *walk, const double *before,
                 const void *medians, double *squares, double *sums);

    /*
     * Adds the squares of one group to sums[n_consensus][n_values][n_folds]; cells whose n_train
     * is 0 are left alone. scratch: kernels_grid_scratch() bytes.
     */
    void (*grid)(const struct grid_group *group, void *scratch, double *sums);

    /*
     * A tile of predicted rows: medians[i][l] = the median over resamples r of
     *   sum over j of weights[r][j][i] * column l of row subsets[r][j].
     * weights [n_resample][n_samples][tile], medians [tile][group] in the work type; scratch:
     * kernels_resample_scratch() bytes.
     */
    void (*resample)(const void *group, const struct resampling *resampling, const void *weights,
                     void *scratch, void *medians);

    /* Adds the products x y, x x and y y of one row of a group, column by column in float64, to
     * sums [3][group]. */
    void (*correlate)(const void *x, const void *y, double *sums);
};

/* Bytes of scratch that grid() needs, to be 64-byte aligned. */
size_t kernels_grid_scratch(const struct cpu_kernels *kernels, size_t n_epochs, size_t n_consensus,
                            size_t n_folds);

/* Bytes of scratch that resample() needs, to be 64-byte aligned. */
size_t kernels_resample_scratch(const struct cpu_kernels *kernels, size_t n_resample);

/* The kernels for an instruction set (NULL: the best this processor has) and a work type; NULL
 * when the set is unknown or the processor lacks it. */
const struct cpu_kernels *kernels_select(const char *instruction_set, enum rejectd_dtype work);

/* Names of the sets this processor has, best first; NULL beyond the last. */
const char *kernels_name_at(size_t index);

#endif
