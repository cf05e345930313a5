/*
 * Repair of nested sets of sensors, epoch by epoch.
 *
 * The sets of an epoch are prefixes of one list, so one Cholesky factor of P_BB serves them all:
 * its leading blocks factor the prefixes. From it come the interpolation weights of every prefix,
 *   W = -inverse(P_BB) P_BR  (no weight within the set),
 * a few dozen rows of small solves, and one matrix product with the epoch's samples makes all the
 * repaired rows of all prefixes at once. Or the weights are given. A prefix that is no longer than
 * the one before is the same repair, and shares its rows.
 */
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "worker/cpu/needs.h"
#include "worker/cpu/session.h"

void repairs_clear(struct backend_session *session)
{
    free(session->repairs_storage);
    free(session->repaired_offsets);
    session->repairs = (struct backend_repairs){0};
    session->repairs_storage = NULL;
    session->repaired_offsets = NULL;
}

/* Copies the caller's arrays into one block of the session. */
static bool copy_repairs(struct backend_session *session, const struct backend_repairs *repairs)
{
    const size_t n = repairs->n_epochs;
    const size_t offsets_bytes = (n + 1) * sizeof(size_t);
    const size_t prefix_bytes = repairs->n_values * n * sizeof(uint16_t);
    const size_t channels_bytes = repairs->offsets[n] * sizeof(uint16_t);
    char *storage = malloc(offsets_bytes + prefix_bytes + channels_bytes);
    if (storage == NULL)
        return false;
    memcpy(storage, repairs->offsets, offsets_bytes);
    if (prefix_bytes > 0)
        memcpy(storage + offsets_bytes, repairs->prefix, prefix_bytes);
    if (channels_bytes > 0)
        memcpy(storage + offsets_bytes + prefix_bytes, repairs->channels, channels_bytes);
    session->repairs_storage = storage;
    session->repairs = (struct backend_repairs){
        .n_epochs = n,
        .n_values = repairs->n_values,
        .offsets = (const size_t *)storage,
        .prefix = (const uint16_t *)(storage + offsets_bytes),
        .channels = (const uint16_t *)(storage + offsets_bytes + prefix_bytes),
    };
    return true;
}

static size_t prefix_of(const struct backend_repairs *repairs, size_t value, size_t epoch)
{
    return repairs->prefix[value * repairs->n_epochs + epoch];
}

/* Row of the first repaired channel of (epoch, value), counted from the epoch's first row. */
size_t repaired_value_row(const struct backend_repairs *repairs, size_t value, size_t epoch)
{
    size_t row = 0;
    for (size_t v = 1; v <= value; v++)
        if (prefix_of(repairs, v, epoch) > prefix_of(repairs, v - 1, epoch))
            row += prefix_of(repairs, v - 1, epoch);
    return row;
}

static size_t epoch_rows(const struct backend_repairs *repairs, size_t epoch)
{
    if (repairs->n_values == 0)
        return 0;
    size_t last = repairs->n_values - 1;
    return repaired_value_row(repairs, last, epoch) + prefix_of(repairs, last, epoch);
}

/* Copies the plan into the session and reserves its rows. */
static enum rejectd_status keep_repairs(struct backend_session *session,
                                        const struct backend_repairs *repairs,
                                        struct rejectd_error *error)
{
    const size_t n = repairs->n_epochs;
    repairs_clear(session);
    session->count = 0;
    session->repaired_offsets = malloc((n + 1) * sizeof(size_t));
    if (session->repaired_offsets == NULL || !copy_repairs(session, repairs))
        return REJECTD_FAIL_MEMORY(error, (n + 1) * sizeof(size_t));
    size_t rows = 0, bytes;
    for (size_t e = 0; e < n; e++) {
        session->repaired_offsets[e] = rows;
        rows += epoch_rows(repairs, e);
    }
    session->repaired_offsets[n] = rows;
    if (!checked_multiply3(rows, session->samples.n_times, session->work_size, &bytes))
        return REJECTD_FAIL_MEMORY(error, SIZE_MAX);
    return arena_reserve(&session->rows, bytes, error);
}

static char *repaired_row(const struct backend_session *session, size_t row)
{
    return (char *)session->rows.data + row * session->samples.n_times * session->work_size;
}

/* One thread's scratch for sets of at most `set` of C picks, and `rows` rows of weights. */
struct repair_scratch {
    double *factor;  /* [set][set] */
    double *forward; /* [set][C] inverse(L) P_B. */
    double *weights; /* [rows][C] */
    void *converted; /* [rows][C] in the work type */
    void *product;
};

static void scratch_free(struct repair_scratch *scratch)
{
    free(scratch->factor);
    free(scratch->forward);
    free(scratch->weights);
    free(scratch->converted);
    free(scratch->product);
}

static bool scratch_init(struct repair_scratch *scratch, const struct backend_session *session,
                         size_t set, size_t rows)
{
    const size_t c = session->samples.n_picks;
    *scratch = (struct repair_scratch){
        .factor = scratch_alloc(set * set * sizeof(double)),
        .forward = scratch_alloc(set * c * sizeof(double)),
        .weights = scratch_alloc(rows * c * sizeof(double)),
        .converted = scratch_alloc(rows * c * session->work_size),
        .product = scratch_alloc(session_product_bytes(session, rows)),
    };
    return scratch->factor != NULL && scratch->forward != NULL && scratch->weights != NULL &&
           scratch->converted != NULL && scratch->product != NULL;
}

double cpu_repaired_rows_bytes(const struct backend_session *session, double rows)
{
    const struct backend_samples *s = &session->samples;
    return rows * (double)s->n_epochs * (double)s->n_times * (double)session->work_size;
}

double cpu_repair_bytes(const struct backend_session *session, size_t n_values, double set,
                        double rows)
{
    const struct backend_samples *s = &session->samples;
    const double c = (double)s->n_picks, work = (double)session->work_size;
    const double scratch = set * (set + c) * (double)sizeof(double) +
                           rows * c * ((double)sizeof(double) + work) +
                           (double)session_product_bytes(session, (size_t)rows);
    /* The lists are copied: every epoch may list every pick. */
    const double lists = (double)s->n_epochs * (2.0 * (double)sizeof(size_t) +
                                                ((double)n_values + c) * (double)sizeof(uint16_t));
    return lists + (double)session->options.n_threads * scratch;
}

/* Row-wise Cholesky factor of P_BB, and forward = inverse(L) P_B.; false if not positive. */
static bool factor_set(const double *precision, size_t c, const uint16_t *set, size_t n,
                       double *factor, double *forward)
{
    for (size_t i = 0; i < n; i++) {
        double *row = factor + i * n;
        for (size_t j = 0; j <= i; j++) {
            double sum = precision[set[i] * c + set[j]];
            for (size_t k = 0; k < j; k++)
                sum -= row[k] * factor[j * n + k];
            if (j < i)
                row[j] = sum / factor[j * n + j];
            else if (!(sum > 0.0))
                return false;
            else
                row[i] = sqrt(sum);
        }
        double *out = forward + i * c;
        memcpy(out, precision + set[i] * c, c * sizeof *out);
        for (size_t k = 0; k < i; k++)
            for (size_t j = 0; j < c; j++)
                out[j] -= row[k] * forward[k * c + j];
        for (size_t j = 0; j < c; j++)
            out[j] /= row[i];
    }
    return true;
}

/* Weights of the first `prefix` sensors of the set: back substitution; zero within the set. */
static void prefix_weights(size_t c, const uint16_t *set, size_t n, size_t prefix,
                           const double *factor, const double *forward, double *weights)
{
    for (size_t i = prefix; i-- > 0;) {
        double *out = weights + i * c;
        for (size_t j = 0; j < c; j++)
            out[j] = -forward[i * c + j];
        for (size_t k = i + 1; k < prefix; k++)
            for (size_t j = 0; j < c; j++)
                out[j] -= factor[k * n + i] * weights[k * c + j];
        for (size_t j = 0; j < c; j++)
            out[j] /= factor[i * n + i];
    }
    for (size_t i = 0; i < prefix; i++)
        for (size_t k = 0; k < prefix; k++)
            weights[i * c + set[k]] = 0.0;
}

/* Where the weights of a repair come from: one of the two. */
struct repair_source {
    const double *precision;
    const struct backend_weights *weights;
};

/* Copies the given rows of the first `prefix` sensors of an epoch. */
static void copy_weights(const struct backend_session *session,
                         const struct backend_weights *weights, size_t value, size_t epoch,
                         size_t prefix, double *out)
{
    const struct backend_repairs *repairs = &session->repairs;
    const size_t c = session->samples.n_picks, n_listed = repairs->offsets[repairs->n_epochs];
    const uint32_t *row = weights->row + value * n_listed + repairs->offsets[epoch];
    for (size_t i = 0; i < prefix; i++)
        memcpy(out + i * c, weights->rows + row[i] * c, c * sizeof *out);
}

/* Repairs one epoch; false when its set cannot be interpolated. */
static bool repair_epoch(struct backend_session *session, const struct repair_source *source,
                         size_t epoch, struct repair_scratch *scratch)
{
    const struct backend_repairs *repairs = &session->repairs;
    const size_t c = session->samples.n_picks;
    const uint16_t *set = repairs->channels + repairs->offsets[epoch];
    const size_t n = prefix_of(repairs, repairs->n_values - 1, epoch);
    if (n == 0)
        return true;
    if (source->weights == NULL &&
        !factor_set(source->precision, c, set, n, scratch->factor, scratch->forward))
        return false;
    size_t rows = 0, done = 0;
    for (size_t v = 0; v < repairs->n_values; v++) {
        size_t prefix = prefix_of(repairs, v, epoch);
        if (prefix == done)
            continue;
        if (source->weights != NULL)
            copy_weights(session, source->weights, v, epoch, prefix, scratch->weights + rows * c);
        else
            prefix_weights(c, set, n, prefix, scratch->factor, scratch->forward,
                           scratch->weights + rows * c);
        rows += prefix;
        done = prefix;
    }
    session_weights(session, scratch->weights, rows * c, scratch->converted);
    struct product product = {
        .weights = scratch->converted,
        .n_out = rows,
        .out = repaired_row(session, session->repaired_offsets[epoch]),
        .n_out_times = session->samples.n_times,
        .stride = session->samples.n_times,
        .group_stride = session->kernels->group,
    };
    session_multiply(session, epoch, &product, scratch->product);
    return true;
}

static enum rejectd_status repair_epochs(struct backend_session *session,
                                         const struct repair_source *source,
                                         const struct backend_repairs *repairs,
                                         struct rejectd_error *error)
{
    enum rejectd_status status = keep_repairs(session, repairs, error);
    if (status != REJECTD_OK || repairs->n_values == 0)
        return status;
    size_t set = 0, rows = 0;
    for (size_t e = 0; e < repairs->n_epochs; e++) {
        size_t n = prefix_of(repairs, repairs->n_values - 1, e), r = epoch_rows(repairs, e);
        set = n > set ? n : set;
        rows = r > rows ? r : rows;
    }
    size_t singular = SIZE_MAX;
    struct loop loop;
    loop_begin(&loop, session, repairs->n_epochs);
#pragma omp parallel num_threads(session->options.n_threads)
    {
        struct repair_scratch scratch;
        if (!scratch_init(&scratch, session, set, rows))
            loop_fail(&loop);
#pragma omp for schedule(dynamic, 1)
        for (size_t e = 0; e < repairs->n_epochs; e++) {
            if (loop_stopped(&loop))
                continue;
            if (!repair_epoch(session, source, e, &scratch)) {
#pragma omp critical(singular_epoch)
                singular = e < singular ? e : singular;
            }
            loop_advance(&loop, omp_get_thread_num());
        }
        scratch_free(&scratch);
    }
    if (singular != SIZE_MAX)
        return REJECTD_FAIL(error, REJECTD_INTERNAL, "",
                            "the sensors to repair in epoch %zu cannot be told from the others",
                            singular);
    return loop_end(&loop, error);
}

enum rejectd_status cpu_interpolate_epochs(struct backend_session *session, const double *precision,
                                           const struct backend_repairs *repairs,
                                           struct rejectd_error *error)
{
    const struct repair_source source = {.precision = precision};
    return repair_epochs(session, &source, repairs, error);
}

enum rejectd_status cpu_weigh_epochs(struct backend_session *session,
                                     const struct backend_weights *weights,
                                     const struct backend_repairs *repairs,
                                     struct rejectd_error *error)
{
    const struct repair_source source = {.weights = weights};
    return repair_epochs(session, &source, repairs, error);
}

enum rejectd_status cpu_read_repaired(struct backend_session *session, size_t epoch, size_t value,
                                      double *rows, struct rejectd_error *error)
{
    if (epoch >= session->repairs.n_epochs || value >= session->repairs.n_values)
        return REJECTD_FAIL(error, REJECTD_INTERNAL, "", "no repair %zu of epoch %zu", value,
                            epoch);
    size_t first =
        session->repaired_offsets[epoch] + repaired_value_row(&session->repairs, value, epoch);
    size_t n = prefix_of(&session->repairs, value, epoch) * session->samples.n_times;
    kernels_select(NULL, REJECTD_FLOAT64)
        ->convert(rows, repaired_row(session, first), session->kernels->work, n);
    return REJECTD_OK;
}
