/*
 * Memory of a GPU, as the cuda backend decides over it: all samples of a type stay there, with
 * their predictions, when they and some room to work fit; else they pass through in pieces, which
 * shrink to what there is, down to those counted here.
 */
#include <math.h>

#include "worker/cuda/sizes.h"
#include "worker/needs_private.h"

/* worker/algorithm/gaussian_process.h and the points on each side of it that the search keeps. */
static const double search_points = 66.0;

struct part_bytes {
    double row;                    /* of all epochs of a pick */
    double epoch;                  /* of all picks of an epoch */
    double samples;                /* of the part */
    double tables;                 /* amplitudes, ranks, weights */
    double chunk_sums, whole_sums; /* of products of a chunk, and where all epochs are there */
};

static struct part_bytes count(const struct needs_shape *shape, const struct needs_part *part,
                               enum rejectd_dtype precision)
{
    const struct backend_samples samples = needs_samples(shape, part);
    const double kept = (double)storage_bytes(precision);
    const double e = (double)samples.n_epochs, n = (double)part->n;
    const size_t padded = (samples.n_times + PITCH_SAMPLES - 1) / PITCH_SAMPLES * PITCH_SAMPLES;
    const double pitch = (double)padded;
    const double sums = (double)product_sum_bytes(precision, 1, part->n, padded);
    return (struct part_bytes){
        .row = e * pitch * kept,
        .epoch = n * pitch * kept,
        .samples = e * n * pitch * kept,
        .tables = (e * n + 2.0 * n * n) * (double)sizeof(double),
        .chunk_sums = lesser(e, LEAST_EPOCHS) * sums,
        .whole_sums = lesser(e, RESIDENT_EPOCHS) * sums,
    };
}

/* One pick with all that its search or its grid takes beside its rows. */
static double pick_bytes(const struct needs_shape *shape, const struct part_bytes *part,
                         const struct backend_samples *samples)
{
    const double e = (double)samples->n_epochs, row = part->row / e;
    /* Medians, and sums of cells. */
    const double sums =
        row * (double)arithmetic_bytes(shape->precision) / (double)storage_bytes(shape->precision);
    const double rows = (shape->augments ? 2.0 : 1.0) * e;
    const double search =
        shape->searches ? 2.0 * part->row + 16.0 * sums + rows * (search_points + 32.0) * 8.0 : 0.0;
    const double cells = (double)shape->n_consensus * (double)shape->n_folds;
    const double changes = (double)shape->n_values * e;
    const double grid =
        shape->validates ? part->row + sums * (cells + (double)shape->n_folds) + 4.0 * changes * row
                         : 0.0;
    const double global =
        shape->decim > 0 ? part->row + (double)shape->n_folds * sums + e * 16.0 * 8.0 : 0.0;
    return greater(search, greater(grid, global));
}

/* An epoch with its repaired rows and what makes them. */
static double repair_bytes(const struct needs_shape *shape, const struct needs_part *part,
                           const struct part_bytes *bytes)
{
    if (!shape->validates)
        return 0.0;
    const double n = (double)part->n, rows = needs_most_rows(shape, part);
    const double set = needs_most_set(shape, part);
    const double matrices = (double)shape->n_values * set * set; /* of splines */
    return bytes->epoch + rows * (bytes->epoch / n + (n + 2.0) * (double)sizeof(double)) +
           (n * n + matrices) * (double)sizeof(double);
}

/* What RANSAC takes beside samples: the weights of all resamples, and one epoch's correlations,
 * with the predictions by every resample where the smallest shared memory doesn't hold them. */
static double ransac_bytes(const struct needs_shape *shape, const struct needs_part *part,
                           size_t n_times)
{
    if (shape->n_resample == 0)
        return 0.0;
    const size_t work = arithmetic_bytes(shape->precision);
    const size_t own = ransac_block_bytes(work, shape->n_resample);
    const double pairs = ceil((double)part->n / RANSAC_PICKS);
    const double parts = ceil((double)(n_times + PITCH_SAMPLES) / RANSAC_THREADS);
    const double weight = 4.0 + pairs * RANSAC_PICKS * (double)work;
    const double weights = (double)shape->n_resample * (double)shape->n_samples * weight;
    const double sums = (parts * 3.0 + 1.0) * (double)part->n * (double)sizeof(double);
    const bool shared = own + RANSAC_OTHER_BYTES <= RANSAC_SHARED_BYTES;
    return weights + sums + (shared ? 0.0 : (double)own * parts * pairs);
}

/* Cleaned epochs are repaired in float64, where the rest is not: a chunk of them. */
static double cleaning_bytes(const struct needs_shape *shape, const struct needs_part *part)
{
    if (!shape->cleans || shape->precision == REJECTD_FLOAT64)
        return 0.0;
    const struct part_bytes bytes = count(shape, part, REJECTD_FLOAT64);
    return bytes.tables + 2.0 * bytes.epoch;
}

/* The least batch of a field map, with the rows of a set: worker/cuda/map_sets.cu. What cuSOLVER
 * works with is asked for when the sets are solved; for large ones it is what was measured with
 * cuSOLVER 12 on an H200. */
static double map_bytes(const struct needs_shape *shape, const struct needs_part *part)
{
    if (part->kind != INTERPOLATION_FIELD_MAP || !(shape->validates || shape->cleans))
        return 0.0;
    const double n = (double)part->n, side = n + (double)MAP_RUNG, square = side * side;
    const double rows = needs_most_set(shape, part);
    const double batch =
        side > MAP_ALIKE ? 2.5 * square + 1500.0 * side : (MAP_LEAST + 2.0) * square;
    return (batch + (rows + 40.0) * 3.0 * side) * (double)sizeof(double);
}

void needs_count_device(const struct needs_shape *shape, double budget, struct task_needs *needs)
{
    for (size_t i = 0; i < shape->n_parts; i++) {
        const struct needs_part *part = &shape->parts[i];
        const struct backend_samples samples = needs_samples(shape, part);
        const struct part_bytes bytes = count(shape, part, shape->precision);
        /* working_bytes() of worker/cuda/session.cu */
        const double some = PANEL_PICKS / 4, n = (double)part->n;
        const double working =
            bytes.whole_sums +
            (n > some ? 3.0 * some * bytes.row : 3.0 * n * bytes.row + bytes.samples / 8.0);
        const double map = map_bytes(shape, part);
        const double ransac = ransac_bytes(shape, part, samples.n_times);
        const double repair = repair_bytes(shape, part, &bytes);
        const double whole =
            bytes.samples + bytes.tables + greater(greater(working, map), greater(ransac, repair));
        /* A chunk of epochs with a product of it, for a block of one pick. */
        const double epochs = lesser((double)samples.n_epochs, LEAST_EPOCHS);
        const double chunk = 2.0 * epochs * bytes.epoch;
        const double cleaning = cleaning_bytes(shape, part);
        /* All samples are there, if only `working` is left beside them. */
        const double beside = ransac > working ? bytes.samples : bytes.epoch;
        const double step =
            greater(greater(map, greater(ransac > 0.0 ? ransac + beside : 0.0, repair)),
                    bytes.chunk_sums + chunk + pick_bytes(shape, &bytes, &samples));
        const double least = greater(DEVICE_LEAST_BYTES, greater(bytes.tables + step, cleaning));
        needs->device_bytes =
            greater(needs->device_bytes,
                    greater(greater(whole, bytes.samples + bytes.tables + cleaning), least));
        needs->device_least = greater(needs->device_least, least);
    }
    needs->in_pieces = budget > 0.0 && needs->device_bytes > budget;
}
