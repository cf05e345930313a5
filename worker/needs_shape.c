#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worker/algorithm/checks.h"
#include "worker/algorithm/fit.h"
#include "worker/algorithm/global_thresholds.h"
#include "worker/needs_private.h"

/* Of autoreject. */
enum { DEFAULT_CONSENSUS = 11, DEFAULT_FOLDS = 10 };
static const int default_values[] = {1, 4, 32};
enum { DEFAULT_VALUES = sizeof default_values / sizeof default_values[0] };

/* Adds a part with those of picks [n] (NULL: all channels) that `belongs` takes. */
static void add_part(struct needs_shape *shape, const size_t *picks, size_t n,
                     bool (*belongs)(const struct rejectd_channel *channel, int what), int what)
{
    const struct rejectd_epochs *epochs = &shape->task->epochs;
    size_t used = 0;
    for (size_t i = 0; i < shape->n_parts; i++)
        used += shape->parts[i].n;
    struct needs_part *part = &shape->parts[shape->n_parts];
    *part = (struct needs_part){.picks = shape->storage + used};
    for (size_t i = 0; i < n; i++) {
        const size_t channel = picks != NULL ? picks[i] : i;
        if (belongs(&epochs->channels[channel], what))
            part->picks[part->n++] = channel;
    }
    if (part->n == 0)
        return;
    part->kind = interpolation_kind_of(epochs->channels[part->picks[0]].type);
    shape->n_parts++;
}

static bool is_of_type(const struct rejectd_channel *channel, int type)
{
    return (int)channel->type == type;
}

static bool is_good_of_type(const struct rejectd_channel *channel, int type)
{
    return (int)channel->type == type && !channel->bad;
}

static bool is_of_kind(const struct rejectd_channel *channel, int kind)
{
    return (int)interpolation_kind_of(channel->type) == kind;
}

static bool is_good_data(const struct rejectd_channel *channel, int unused)
{
    (void)unused;
    return checks_is_analysed(channel->type) && !channel->bad;
}

static bool is_any(const struct rejectd_channel *channel, int unused)
{
    (void)channel;
    (void)unused;
    return true;
}

static enum rejectd_status add_types(struct needs_shape *shape, const size_t *given, size_t n_given,
                                     struct rejectd_error *error)
{
    size_t *picks, n_picks;
    const enum rejectd_status status =
        checks_resolve_copy(&shape->task->epochs, given, n_given, &picks, &n_picks, error);
    if (status != REJECTD_OK)
        return status;
    for (int type = 0; type < REJECTD_CHANNEL_TYPE_COUNT; type++)
        add_part(shape, picks, n_picks, is_of_type, type);
    free(picks);
    return REJECTD_OK;
}

/* Those that are repaired together when epochs are cleaned. */
static void add_families(struct needs_shape *shape)
{
    const size_t n = shape->task->epochs.n_channels;
    add_part(shape, NULL, n, is_of_kind, INTERPOLATION_SPLINE);
    add_part(shape, NULL, n, is_of_kind, INTERPOLATION_FIELD_MAP);
}

static enum rejectd_status read_fit(struct needs_shape *shape, struct rejectd_error *error)
{
    const struct rejectd_fit_parameters *fit = &shape->task->fit;
    shape->precision = fit->precision;
    shape->searches = fit->thresholds == NULL;
    shape->augments = shape->searches;
    shape->method = fit->thresh_method;
    shape->validates = true;
    shape->cleans = !shape->task->without_cleaned;
    shape->n_consensus = fit->consensus != NULL ? fit->n_consensus : DEFAULT_CONSENSUS;
    shape->n_folds = fit->cv != 0 ? fit->cv : DEFAULT_FOLDS;
    shape->values = fit->n_interpolate != NULL ? fit->n_interpolate : default_values;
    shape->n_values = fit->n_interpolate != NULL ? fit->n_n_interpolate : DEFAULT_VALUES;
    for (size_t i = 0; i < shape->n_values; i++)
        shape->most_cleaned = fmax(shape->most_cleaned, (double)shape->values[i]);
    return add_types(shape, fit->picks, fit->n_picks, error);
}

static enum rejectd_status read_apply(struct needs_shape *shape, struct rejectd_error *error)
{
    const struct rejectd_model *model = shape->task->model;
    (void)error;
    shape->cleans = !shape->task->without_cleaned;
    for (size_t i = 0; i < model->n_types; i++)
        shape->most_cleaned = fmax(shape->most_cleaned, (double)model->types[i].n_interpolate);
    if (shape->task->log != NULL)
        shape->most_cleaned = (double)model->n_channels;
    add_families(shape);
    return REJECTD_OK;
}

static enum rejectd_status read_thresholds(struct needs_shape *shape, struct rejectd_error *error)
{
    const struct rejectd_thresholds_parameters *thresholds = &shape->task->thresholds;
    shape->precision = thresholds->precision;
    shape->searches = true;
    shape->augments = !thresholds->without_augmentation;
    shape->method = thresholds->thresh_method;
    return add_types(shape, thresholds->picks, thresholds->n_picks, error);
}

static enum rejectd_status read_ransac(struct needs_shape *shape, struct rejectd_error *error)
{
    const struct rejectd_ransac_parameters *ransac = &shape->task->ransac;
    size_t *picks, n_picks;
    const enum rejectd_status status = checks_resolve_copy(
        &shape->task->epochs, ransac->picks, ransac->n_picks, &picks, &n_picks, error);
    if (status != REJECTD_OK)
        return status;
    shape->precision = ransac->precision;
    add_part(shape, picks, n_picks, is_any, 0);
    free(picks);
    shape->n_resample = ransac->n_resample;
    shape->n_samples = (size_t)ceil(ransac->min_channels * (double)n_picks);
    shape->cleans = !shape->task->without_cleaned;
    shape->most_cleaned = (double)n_picks;
    return REJECTD_OK;
}

static enum rejectd_status read_global(struct needs_shape *shape, struct rejectd_error *error)
{
    const struct rejectd_global_thresholds_parameters *global = &shape->task->global_thresholds;
    (void)error;
    shape->precision = global->precision;
    shape->decim = global->decim > 0 ? global->decim : 1;
    shape->n_folds = global->cv != 0 ? global->cv : GLOBAL_THRESHOLDS_FOLDS;
    /* Types that aren't asked for are counted as well unless a list is given. */
    for (int type = 0; type < REJECTD_CHANNEL_TYPE_COUNT; type++) {
        bool wanted = global->ch_types == NULL;
        for (size_t i = 0; i < global->n_ch_types && global->ch_types != NULL; i++)
            wanted |= (int)global->ch_types[i] == type;
        if (wanted)
            add_part(shape, NULL, shape->task->epochs.n_channels, is_good_of_type, type);
    }
    return REJECTD_OK;
}

static enum rejectd_status read_curve(struct needs_shape *shape, struct rejectd_error *error)
{
    const struct rejectd_validation_curve_parameters *curve = &shape->task->validation_curve;
    (void)error;
    shape->precision = curve->precision;
    shape->decim = 1;
    shape->n_folds = curve->cv != 0 ? curve->cv : GLOBAL_THRESHOLDS_FOLDS;
    shape->wants_train = true;
    add_part(shape, NULL, shape->task->epochs.n_channels, is_good_data, 0);
    return REJECTD_OK;
}

static enum rejectd_status read_interpolate(struct needs_shape *shape, struct rejectd_error *error)
{
    (void)error;
    shape->cleans = true;
    shape->most_cleaned = (double)shape->task->epochs.n_channels;
    add_families(shape);
    return REJECTD_OK;
}

static enum rejectd_status (*const readers[])(struct needs_shape *shape,
                                              struct rejectd_error *error) = {
    [TASK_FIT] = read_fit,
    [TASK_APPLY] = read_apply,
    [TASK_THRESHOLDS] = read_thresholds,
    [TASK_RANSAC] = read_ransac,
    [TASK_GLOBAL_THRESHOLDS] = read_global,
    [TASK_VALIDATION_CURVE] = read_curve,
    [TASK_INTERPOLATE] = read_interpolate,
};

enum rejectd_status needs_shape_read(const struct task *task, const struct needs_site *site,
                                     struct needs_shape *shape, struct rejectd_error *error)
{
    const struct rejectd_compute_options options = {.n_threads = site->n_threads};
    *shape = (struct needs_shape){
        .task = task,
        .precision = REJECTD_FLOAT64, /* of all repairs of cleaned epochs */
        .n_threads = fit_threads(&options),
        .reference = !site->gpu && site->backend != NULL && strcmp(site->backend, "reference") == 0,
        .storage = malloc((task->epochs.n_channels + 1) * sizeof(size_t)),
    };
    if (shape->storage == NULL)
        return REJECTD_FAIL_MEMORY(error, task->epochs.n_channels * sizeof(size_t));
    return readers[task->type](shape, error);
}

void needs_shape_clear(struct needs_shape *shape)
{
    free(shape->storage);
    *shape = (struct needs_shape){0};
}

/* No set has all sensors. What isn't interpolated isn't repaired. */
static size_t most_sensors(const struct needs_part *part)
{
    return part->kind == INTERPOLATION_NONE || part->n == 0 ? 0 : part->n - 1;
}

/* Each value repairs what all before it have, too: votes_cumulative_repairs(). */
static size_t more_sensors(const struct needs_shape *shape, size_t i, size_t set, size_t most)
{
    const size_t value = (size_t)shape->values[i];
    return value < most - set ? set + value : most;
}

double needs_most_set(const struct needs_shape *shape, const struct needs_part *part)
{
    const size_t most = most_sensors(part);
    size_t set = 0;
    for (size_t i = 0; i < shape->n_values; i++)
        set = more_sensors(shape, i, set, most);
    return (double)set;
}

double needs_most_rows(const struct needs_shape *shape, const struct needs_part *part)
{
    const size_t most = most_sensors(part);
    size_t set = 0;
    double rows = 0.0;
    for (size_t i = 0; i < shape->n_values; i++) {
        const size_t more = more_sensors(shape, i, set, most);
        rows += more > set ? (double)more : 0.0;
        set = more;
    }
    return rows;
}

struct backend_samples needs_samples(const struct needs_shape *shape, const struct needs_part *part)
{
    const struct rejectd_epochs *epochs = &shape->task->epochs;
    const size_t decim = shape->decim > 1 ? shape->decim : 1;
    return (struct backend_samples){
        .dtype = epochs->dtype,
        .n_epochs = epochs->n_epochs,
        .n_channels = epochs->n_channels,
        .n_times = (epochs->n_times + decim - 1) / decim,
        .picks = part->picks,
        .n_picks = part->n,
    };
}

double needs_item(const struct needs_shape *shape)
{
    return shape->task->epochs.dtype == REJECTD_FLOAT64 ? sizeof(double) : sizeof(float);
}
