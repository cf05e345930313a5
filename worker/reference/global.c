/* Losses of global thresholds, straight from their definition. */
#include <math.h>
#include <stdlib.h>

#include "worker/reference/session.h"

/* medians[i] = median over the epochs that are (in_fold) or are not tested in the fold. */
static void epoch_medians(const struct backend_session *session,
                          const struct backend_global *global, size_t fold, bool in_fold,
                          double *values, double *medians)
{
    const size_t samples = session->n_picks * session->n_times;
    for (size_t i = 0; i < samples; i++) {
        size_t n = 0;
        for (size_t e = 0; e < session->n_epochs; e++)
            if ((global->fold[e] == fold) == in_fold)
                values[n++] = session->samples[e * samples + i];
        medians[i] = reference_median(values, n);
    }
}

/* means[i] = mean of the kept epochs outside the fold; false when there is none. */
static bool kept_means(const struct backend_session *session, const struct backend_global *global,
                       size_t fold, size_t kept, double *means)
{
    const size_t samples = session->n_picks * session->n_times;
    size_t n = 0;
    for (size_t i = 0; i < samples; i++) {
        double sum = 0.0;
        n = 0;
        for (size_t rank = 0; rank < kept; rank++) {
            const size_t e = global->order[rank];
            if (global->fold[e] != fold) {
                sum += session->samples[e * samples + i];
                n++;
            }
        }
        if (n == 0)
            return false;
        means[i] = sum / (double)n;
    }
    return n > 0;
}

static double root_mean_square(const double *a, const double *b, size_t n)
{
    double square = 0.0;
    for (size_t i = 0; i < n; i++)
        square += (a[i] - b[i]) * (a[i] - b[i]);
    return sqrt(square / (double)n);
}

enum rejectd_status reference_global_losses(struct backend_session *session,
                                            const struct backend_global *global,
                                            double *test_losses, double *train_losses,
                                            struct rejectd_error *error)
{
    const size_t samples = session->n_picks * session->n_times;
    enum rejectd_status status = REJECTD_OK;
    double *values = malloc(session->n_epochs * sizeof *values);
    double *test = malloc(samples * sizeof *test);
    double *train = malloc(samples * sizeof *train);
    double *means = malloc(samples * sizeof *means);
    if (values == NULL || test == NULL || train == NULL || means == NULL)
        status = REJECTD_FAIL_MEMORY(error, samples * sizeof *test);
    for (size_t f = 0; f < global->n_folds && status == REJECTD_OK; f++) {
        epoch_medians(session, global, f, true, values, test);
        if (train_losses != NULL)
            epoch_medians(session, global, f, false, values, train);
        for (size_t i = 0; i < global->n_candidates; i++) {
            const bool any = kept_means(session, global, f, global->kept[i], means);
            const size_t cell = i * global->n_folds + f;
            test_losses[cell] = any ? root_mean_square(test, means, samples) : INFINITY;
            if (train_losses != NULL)
                train_losses[cell] = any ? root_mean_square(train, means, samples) : INFINITY;
        }
        status = reference_advance(session, f + 1, global->n_folds, error);
    }
    free(values);
    free(test);
    free(train);
    free(means);
    return status;
}
