/*
 * Work, in nanoseconds of one core with AVX-512, and of one GPU.
 *
 * The figures of each step are measured ones (complete fits of 300 and 6000 epochs of 128 channels
 * and 1000 samples, step by step); they fix how the steps weigh against each other, which other
 * machines change little. How fast this machine is, callers learn from tasks that ran.
 */
#include <stdio.h>

#include "worker/needs_private.h"

/* Per sample and pick (a row of `n` weights), per sample, per row of a channel. float32 takes the
 * other share, and so, until they were measured, do mixed precisions. */
static const double product_ns = 0.0286, amplitude_ns = 1.6, medians_ns = 2.33, losses_ns = 1.38;
static const double process_ns = 600.0, exact_ns = 60.0, float32_share = 0.55;
static const double repair_ns = 0.62, grid_ns = 3.25, cell_ns = 0.3;
static const double global_ns = 6.0, ransac_ns = 1.24, copy_ns = 1.0;
/* Of field maps: the leave-one-out weights of n sensors, and the sets of one epoch of n. */
static const double field_map_ns = 5.0, field_set_ns = 10.7;
/* Of a GPU: its launches; a sample on its way there, in its steps, and a product. */
static const double launch_ns = 5e6, upload_ns = 0.16, device_ns = 0.06, device_product_ns = 6e-5;
static const double pieces_factor = 6.0; /* how often samples go there in pieces */

static const char *const task_names[] = {
    [TASK_FIT] = "fit",
    [TASK_APPLY] = "apply",
    [TASK_THRESHOLDS] = "thresholds",
    [TASK_RANSAC] = "ransac",
    [TASK_GLOBAL_THRESHOLDS] = "global",
    [TASK_VALIDATION_CURVE] = "curve",
    [TASK_INTERPOLATE] = "interpolate",
};

static double field_map_work(const struct needs_shape *shape, const struct needs_part *part)
{
    const double n = (double)part->n, e = (double)shape->task->epochs.n_epochs;
    return part->kind == INTERPOLATION_FIELD_MAP
               ? field_map_ns * n * n * n + (shape->validates ? field_set_ns * e * n * n : 0.0)
               : 0.0;
}

static double part_work(const struct needs_shape *shape, const struct needs_part *part)
{
    const struct backend_samples s = needs_samples(shape, part);
    const double e = (double)s.n_epochs, n = (double)part->n, t = (double)s.n_times;
    const double samples = e * n * t, classes = shape->augments ? 2.0 : 1.0;
    double ns = 0.0;
    if (shape->augments)
        ns += samples * (product_ns * n + amplitude_ns);
    if (shape->searches)
        ns += samples * classes * (medians_ns + losses_ns);
    if (shape->validates)
        ns += samples * (repair_ns + grid_ns) + n * t * cell_ns * (double)shape->n_consensus *
                                                    (double)shape->n_values *
                                                    (double)shape->n_folds;
    if (shape->decim > 0)
        ns += samples * global_ns * (shape->wants_train ? 2.0 : 1.0);
    if (shape->n_resample > 0)
        ns += samples * (double)shape->n_resample *
              (product_ns * (double)shape->n_samples + ransac_ns);
    if (shape->precision != REJECTD_FLOAT64)
        ns *= float32_share;
    if (shape->searches)
        ns += n * e * classes *
              (shape->method == REJECTD_THRESHOLD_BAYESIAN_OPTIMIZATION ? process_ns : exact_ns);
    return ns;
}

static double clean_work(const struct needs_shape *shape)
{
    const struct rejectd_epochs *epochs = &shape->task->epochs;
    const double samples =
        (double)epochs->n_epochs * (double)epochs->n_channels * (double)epochs->n_times;
    double most = 0.0;
    for (size_t i = 0; i < shape->n_parts; i++)
        most = shape->parts[i].n > most ? (double)shape->parts[i].n : most;
    return samples * (copy_ns * needs_item(shape) / (double)sizeof(double) +
                      (shape->task->clean.leave_one_out ? product_ns * most : 0.0));
}

static double device_work(const struct needs_shape *shape, const struct needs_part *part,
                          bool in_pieces)
{
    const struct backend_samples s = needs_samples(shape, part);
    const double n = (double)part->n, samples = (double)s.n_epochs * n * (double)s.n_times;
    const double upload = upload_ns * needs_item(shape) / (double)sizeof(double);
    const double rows = shape->n_resample > 0 ? (double)shape->n_resample * (double)shape->n_samples
                                              : (shape->augments ? n : 0.0);
    const double share = shape->precision == REJECTD_FLOAT64 ? 1.0 : float32_share;
    return samples * (upload * (in_pieces ? pieces_factor : 1.0) +
                      share * (device_ns + device_product_ns * rows));
}

void needs_count_work(const struct needs_shape *shape, bool gpu, struct task_needs *needs)
{
    static const char *const families[] = {
        [INTERPOLATION_NONE] = "other",
        [INTERPOLATION_SPLINE] = "eeg",
        [INTERPOLATION_FIELD_MAP] = "meg",
    };
    static const char *const precisions[] = {
        [REJECTD_FLOAT32] = "float32",
        [REJECTD_FLOAT64] = "float64",
        [REJECTD_FLOAT16] = "float16",
        [REJECTD_BFLOAT16] = "bfloat16",
    };
    enum interpolation_kind kind = INTERPOLATION_NONE;
    double ns = gpu ? launch_ns : 0.0;
    for (size_t i = 0; i < shape->n_parts; i++) {
        const struct needs_part *part = &shape->parts[i];
        ns += gpu ? device_work(shape, part, needs->in_pieces) : part_work(shape, part);
        ns += field_map_work(shape, part);
        /* The costliest names the kind. */
        kind = part->kind > kind ? part->kind : kind;
    }
    if (shape->cleans)
        ns += clean_work(shape);
    needs->work = ns;
    snprintf(needs->kind, sizeof needs->kind, "%s %s %s", task_names[shape->task->type],
             families[kind],
             precisions[gpu ? shape->precision : backend_arithmetic(shape->precision)]);
}
