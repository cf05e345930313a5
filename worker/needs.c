/*
 * Memory of the host.
 *
 * A fit goes through its types one after the other, and each through phases: the search of
 * thresholds, the repair, the grid, then the cleaned epochs. What one phase takes is given back
 * before the next, but for what the comments say; the largest counts.
 */
#include "worker/needs.h"

#include <math.h>
#include <stdlib.h>

#include "worker/algorithm/folds.h"
#include "worker/algorithm/threshold_search.h"
#include "worker/algorithm/thresholds.h"
#include "worker/cpu/needs.h"
#include "worker/needs_private.h"

/* What the allocator keeps of what was given back, in pieces that nothing fits; stacks of threads;
 * work space of the BLAS. */
static const double allocator_share = 0.1;
static const double thread_bytes = (double)(3 << 20);
static const double fixed_bytes = (double)(8 << 20);

/* worker/algorithm/clean.c: repaired rows of a batch of epochs, at most. */
static const double batch_bytes = (double)(64 << 20);

double needs_interpolation(const struct needs_shape *shape, const struct needs_part *part,
                           double rows)
{
    const double n = (double)part->n, matrix = n * n * (double)sizeof(double);
    switch (part->kind) {
    case INTERPOLATION_SPLINE:
        /* The precision and the leave-one-out weights, and as much while they are made. */
        return 4.0 * matrix;
    case INTERPOLATION_FIELD_MAP:
        /* Products, their decomposition and the sums to make it; for each thread the same of a
         * set of sensors; and the weights, a row for each repaired sensor of each set. */
        return (8.0 + 4.0 * (double)shape->n_threads) * matrix + rows * n * (double)sizeof(double);
    default:
        return matrix;
    }
}

/* Picks that are searched at a time. More samples never make it less, other than in
 * backend_panel(): what is counted by it must not fall where a dataset grows. */
static size_t widest_block(const struct needs_shape *shape, size_t n)
{
    const struct backend_samples least = {.n_epochs = 1, .n_times = 1, .n_picks = n};
    return shape->reference ? n : thresholds_block(&least, shape->n_threads, 0);
}

/* The predictions of a block: the wide one up to the size at which it is halved. */
static double predictions_bytes(const struct needs_shape *shape,
                                const struct backend_session *session)
{
    static const double widest_pick = (double)(16 << 20); /* of the wide one */
    const struct backend_samples *s = &session->samples;
    const size_t wide = widest_block(shape, s->n_picks);
    const size_t count = shape->reference ? wide : thresholds_block(s, shape->n_threads, 0);
    const double most = lesser(cpu_predicted_rows_bytes(session, wide), (double)wide * widest_pick);
    return greater(cpu_predicted_rows_bytes(session, count), most);
}

/* Phases of the search. *arena: what stays of it. */
static double search_bytes(const struct needs_shape *shape, const struct backend_session *session,
                           double *arena)
{
    const struct backend_samples *s = &session->samples;
    const size_t m = (shape->augments ? 2 : 1) * s->n_epochs;
    const size_t count = widest_block(shape, s->n_picks);
    *arena = shape->augments ? predictions_bytes(shape, session) : 0.0;
    double phase = shape->augments ? cpu_predict_bytes(session, count) : 0.0;
    phase = greater(phase, cpu_threshold_losses_bytes(session, FOLDS_SHUFFLE_SPLITS, m));
    const double threads = (double)shape->n_threads * thresholds_thread_bytes(shape->method, m);
    const double asking =
        thresholds_asks(shape->method, m)
            ? cpu_search_candidates_bytes(session, FOLDS_SHUFFLE_SPLITS, m, THRESHOLD_SEARCH_STARTS)
            : 0.0;
    phase = greater(phase, threads + asking);
    return *arena + thresholds_tables_bytes(count, s->n_epochs, m) + phase;
}

/* Phases of the local cross-validation, beside `arena` or in its place. */
static double validation_bytes(const struct needs_shape *shape, const struct needs_part *part,
                               const struct backend_session *session, double arena)
{
    const double n = (double)part->n, epochs = (double)session->samples.n_epochs;
    const double set = needs_most_set(shape, part), rows = needs_most_rows(shape, part);
    const double changes = rows > 0.0 ? epochs * (double)shape->n_values : 0.0;
    const double repaired = cpu_repaired_rows_bytes(session, rows);
    const double weights =
        part->kind == INTERPOLATION_FIELD_MAP ? rows * epochs * n * (double)sizeof(double) : 0.0;
    const double repair = weights + cpu_repair_bytes(session, shape->n_values, set, rows);
    const double grid =
        cpu_local_cv_bytes(session, shape->n_values, shape->n_consensus, shape->n_folds, changes);
    return (shape->reference ? arena + repaired : greater(arena, repaired)) + greater(repair, grid);
}

static double cells_of(const struct needs_shape *shape)
{
    return (double)shape->n_consensus * (double)shape->n_values * (double)shape->n_folds;
}

static double type_bytes(const struct needs_shape *shape, const struct needs_part *part,
                         bool on_processor)
{
    const struct backend_samples samples = needs_samples(shape, part);
    const struct backend_session session =
        cpu_needs_session(&samples, shape->precision, shape->n_threads);
    const double e = (double)samples.n_epochs, n = (double)part->n;
    double bytes = e * n * (double)sizeof(double); /* amplitudes */
    double arena = 0.0, phases = 0.0;
    if (shape->augments || shape->validates)
        bytes += needs_interpolation(shape, part, 0.0);
    if (on_processor && shape->searches)
        phases = search_bytes(shape, &session, &arena);
    if (on_processor && shape->validates)
        phases = greater(phases, validation_bytes(shape, part, &session, arena));
    if (on_processor && shape->reference) /* a copy, and what every function makes for itself */
        bytes += 1.5 * e * n * (double)samples.n_times * (double)sizeof(double);
    if (shape->validates)
        bytes += cells_of(shape) * 2.0 * (double)sizeof(double);
    return bytes + phases;
}

static double ransac_bytes(const struct needs_shape *shape, bool on_processor)
{
    const struct needs_part *part = &shape->parts[0];
    const struct backend_samples samples = needs_samples(shape, part);
    const struct backend_session session =
        cpu_needs_session(&samples, shape->precision, shape->n_threads);
    const double weights = (double)shape->n_resample * (double)part->n * (double)shape->n_samples *
                           (double)sizeof(double);
    return needs_interpolation(shape, part, 0.0) + 2.0 * weights +
           (double)samples.n_epochs * (double)part->n * (double)sizeof(double) +
           (on_processor ? cpu_ransac_bytes(&session, shape->n_resample, shape->n_samples) : 0.0);
}

static double global_bytes(const struct needs_shape *shape, const struct needs_part *part,
                           bool on_processor)
{
    const struct backend_samples samples = needs_samples(shape, part);
    const struct backend_session session =
        cpu_needs_session(&samples, shape->precision, shape->n_threads);
    const double e = (double)samples.n_epochs, n = (double)part->n;
    const double copy = shape->decim > 1 || shape->reference
                            ? e * n * (double)samples.n_times * needs_item(shape)
                            : 0.0;
    return copy + e * (n + (double)shape->n_folds + 6.0) * (double)sizeof(double) +
           (on_processor ? cpu_global_bytes(&session, shape->n_folds, shape->wants_train) : 0.0);
}

/* Epochs are repaired batch by batch, and leave one by one. */
static double clean_bytes(const struct needs_shape *shape)
{
    const struct rejectd_epochs *epochs = &shape->task->epochs;
    const double c = (double)epochs->n_channels, t = (double)epochs->n_times;
    const double epoch = c * t * (double)sizeof(double);
    const double batch = lesser(floor(batch_bytes / epoch) + 1.0, (double)epochs->n_epochs);
    double most = 0.0;
    for (size_t i = 0; i < shape->n_parts; i++) {
        const struct needs_part *part = &shape->parts[i];
        const struct backend_samples samples = needs_samples(shape, part);
        const struct backend_session session =
            cpu_needs_session(&samples, REJECTD_FLOAT64, shape->n_threads);
        const double n = (double)part->n, set = lesser(shape->most_cleaned, n);
        if (part->kind == INTERPOLATION_NONE || set == 0.0)
            continue;
        const double rows = set * batch * t * (double)sizeof(double);
        const double alone = shape->task->clean.leave_one_out ? 2.0 * n / set : 1.0;
        const double scratch =
            (double)shape->n_threads * (set * (set + 3.0 * n) * (double)sizeof(double) +
                                        (double)session_product_bytes(&session, (size_t)set));
        most =
            greater(most, needs_interpolation(shape, part, set * batch) + rows * alone + scratch);
    }
    return most + epoch + c * t * needs_item(shape);
}

/* Labels, and the text that they and the losses become. */
static double result_bytes(const struct needs_shape *shape)
{
    const struct rejectd_epochs *epochs = &shape->task->epochs;
    const double entries = (double)epochs->n_epochs * (double)epochs->n_channels;
    const double label_bytes = 8.0, number_bytes = 48.0;
    return entries * label_bytes +
           number_bytes * (cells_of(shape) * (double)shape->n_parts + (double)epochs->n_channels);
}

static double host_bytes(const struct needs_shape *shape, bool on_processor)
{
    double most = 0.0;
    for (size_t i = 0; i < shape->n_parts; i++) {
        const struct needs_part *part = &shape->parts[i];
        if (shape->searches || shape->validates)
            most = greater(most, type_bytes(shape, part, on_processor));
        if (shape->decim > 0)
            most = greater(most, global_bytes(shape, part, on_processor));
    }
    if (shape->n_resample > 0 && shape->n_parts > 0)
        most = ransac_bytes(shape, on_processor);
    if (shape->cleans)
        most = greater(most, clean_bytes(shape));
    return fixed_bytes + (double)shape->n_threads * thread_bytes +
           (1.0 + allocator_share) * (most + result_bytes(shape));
}

/* Repaired rows that a GPU has no room for stay on the host; so do the weights of field maps. */
static double spilled_bytes(const struct needs_shape *shape, bool in_pieces)
{
    double most = 0.0;
    for (size_t i = 0; i < shape->n_parts && shape->validates; i++) {
        const struct needs_part *part = &shape->parts[i];
        const struct backend_samples samples = needs_samples(shape, part);
        const struct backend_session session =
            cpu_needs_session(&samples, shape->precision, shape->n_threads);
        const double n = (double)part->n;
        const double rows = needs_most_rows(shape, part);
        double bytes = in_pieces ? cpu_repaired_rows_bytes(&session, rows) : 0.0;
        if (part->kind == INTERPOLATION_FIELD_MAP)
            bytes += rows * (double)samples.n_epochs * n * (double)sizeof(double);
        if (part->kind != INTERPOLATION_NONE)
            most = greater(most, bytes);
    }
    return most;
}

enum rejectd_status task_needs_tell(const struct task *task, const struct needs_site *site,
                                    struct task_needs *needs, struct rejectd_error *error)
{
    const struct rejectd_epochs *epochs = &task->epochs;
    struct needs_shape shape;
    *needs = (struct task_needs){0};
    const enum rejectd_status status = needs_shape_read(task, site, &shape, error);
    if (status == REJECTD_OK) {
        needs->sample_bytes = (double)epochs->n_epochs * (double)epochs->n_channels *
                              (double)epochs->n_times * needs_item(&shape);
        if (site->gpu)
            needs_count_device(&shape, site->device_budget, needs);
        needs->host_bytes = needs->sample_bytes + host_bytes(&shape, !site->gpu);
        if (site->gpu)
            needs->host_bytes += spilled_bytes(&shape, needs->in_pieces);
        /* Who is told them, and gives as much, has given enough. */
        needs->host_bytes = ceil(needs->host_bytes);
        needs->device_bytes = ceil(needs->device_bytes);
        needs->device_least = ceil(needs->device_least);
        needs_count_work(&shape, site->gpu, needs);
    }
    needs_shape_clear(&shape);
    return status;
}
