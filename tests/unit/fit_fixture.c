#include "fit_fixture.h"

#include <check.h>
#include <string.h>

struct simulated_epochs simulated(size_t n_epochs, size_t n_channels, size_t n_times)
{
    const struct simulate_request request = {
        .n_epochs = n_epochs,
        .n_channels = n_channels,
        .n_times = n_times,
        .sfreq = 250.0,
        .tmin = -0.1,
        .dtype = REJECTD_FLOAT64,
        .seed = 7,
    };
    struct simulated_epochs made;
    struct rejectd_error error = {0};
    enum rejectd_status status = simulate_epochs(&request, &made, &error);
    ck_assert_msg(status == REJECTD_OK, "%s", error.message);
    return made;
}

double *sample_at(struct simulated_epochs *made, size_t epoch, size_t channel, size_t time)
{
    const struct rejectd_epochs *epochs = &made->epochs;
    return (double *)made->samples + (epoch * epochs->n_channels + channel) * epochs->n_times +
           time;
}

void become_mags(struct simulated_epochs *made)
{
    for (size_t i = 0; i < made->epochs.n_channels; i++) {
        struct rejectd_channel *channel = &made->channels[i];
        const double *at = channel->position;
        const double radius = sqrt(at[0] * at[0] + at[1] * at[1] + at[2] * at[2]);
        channel->type = REJECTD_CHANNEL_MAG;
        channel->has_loc = channel->has_coil_type = true;
        channel->coil_type = 2000; /* a point */
        memset(channel->loc, 0, sizeof channel->loc);
        channel->loc[3] = channel->loc[7] = 1.0;
        for (int k = 0; k < 3; k++) {
            channel->loc[9 + k] = at[k] / radius;
            channel->loc[k] = 0.12 * channel->loc[9 + k] + (k == 2 ? 0.04 : 0.0);
        }
    }
}

struct rejectd_fit *fitted(const struct rejectd_epochs *epochs,
                           const struct rejectd_fit_parameters *parameters,
                           const struct rejectd_compute_options *options)
{
    static const struct rejectd_fit_parameters defaults = {.precision = REJECTD_FLOAT64};
    static const struct rejectd_compute_options one_thread = {.n_threads = 1};
    struct rejectd_fit *fit;
    struct rejectd_error error = {0};
    enum rejectd_status status = rejectd_fit(epochs, parameters != NULL ? parameters : &defaults,
                                             options != NULL ? options : &one_thread, &fit, &error);
    ck_assert_msg(status == REJECTD_OK, "%s: %s", error.field, error.message);
    ck_assert_ptr_nonnull(fit);
    return fit;
}

void same_log(const struct rejectd_reject_log *a, const struct rejectd_reject_log *b)
{
    ck_assert_uint_eq(a->n_epochs, b->n_epochs);
    ck_assert_uint_eq(a->n_channels, b->n_channels);
    ck_assert_mem_eq(a->labels, b->labels, a->n_epochs * a->n_channels);
    ck_assert_mem_eq(a->bad_epochs, b->bad_epochs, a->n_epochs);
}

void same_fit(const struct rejectd_fit *a, const struct rejectd_fit *b)
{
    const size_t bytes = a->n_channels * sizeof(double);
    ck_assert_uint_eq(a->n_channels, b->n_channels);
    ck_assert_mem_eq(a->thresholds, b->thresholds, bytes);
    ck_assert_mem_eq(a->threshold_losses, b->threshold_losses, bytes);
    ck_assert_uint_eq(a->n_types, b->n_types);
    for (size_t i = 0; i < a->n_types; i++) {
        const struct rejectd_type_fit *x = &a->types[i], *y = &b->types[i];
        ck_assert_double_eq(x->consensus, y->consensus);
        ck_assert_int_eq(x->n_interpolate, y->n_interpolate);
        ck_assert_mem_eq(x->loss, y->loss,
                         x->n_consensus * x->n_n_interpolate * x->n_folds * sizeof(double));
    }
    same_log(&a->log, &b->log);
    ck_assert_uint_eq(a->n_warnings, b->n_warnings);
}

size_t count_kept(const struct rejectd_reject_log *log)
{
    size_t kept = 0;
    for (size_t e = 0; e < log->n_epochs; e++)
        kept += log->bad_epochs[e] == 0;
    return kept;
}

const char *warning_of(const struct rejectd_fit *fit, const char *code)
{
    for (size_t i = 0; i < fit->n_warnings; i++)
        if (strcmp(fit->warnings[i].code, code) == 0)
            return fit->warnings[i].message;
    return NULL;
}
