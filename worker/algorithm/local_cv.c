#include "worker/algorithm/local_cv.h"

#include <math.h>
#include <stdlib.h>

#include "worker/algorithm/folds.h"
#include "worker/algorithm/numpy_mean.h"

/* Everything the backend needs to know about the grid. */
struct plan {
    size_t *ascending;       /* [n_consensus] positions of the grid in ascending order */
    uint16_t *first_good_of; /* [C + 1] position among the ascending consensus values */
    uint16_t *first_good;    /* [E] position among the ascending consensus values */
    uint16_t *fold;          /* [E] */
    bool *never_kept;        /* [E] */
    uint16_t *prefix;        /* [n_n_interpolate][E] */
    double *losses;          /* [n_consensus ascending][n_n_interpolate][n_folds] */
};

static void plan_free(struct plan *plan)
{
    free(plan->ascending);
    free(plan->first_good_of);
    free(plan->first_good);
    free(plan->fold);
    free(plan->never_kept);
    free(plan->prefix);
    free(plan->losses);
}

/* Insertion sort: grids are short, and equal values keep their order. */
static void sort_positions(const double *values, size_t n, size_t *positions)
{
    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        for (; at > 0 && values[positions[at - 1]] > values[i]; at--)
            positions[at] = positions[at - 1];
        positions[at] = i;
    }
}

/* first_good [n_picks + 1]: the first of the ascending consensus values that keeps an epoch with so
 * many bad sensors; n_consensus: none does. */
static void list_first_good(const struct plan *plan, const struct local_cv_grid *grid,
                            size_t n_picks, uint16_t *first_good)
{
    for (size_t n_bad = 0; n_bad <= n_picks; n_bad++) {
        size_t k = 0;
        while (k < grid->n_consensus &&
               votes_epoch_is_bad(n_bad, grid->consensus[plan->ascending[k]], n_picks))
            k++;
        first_good[n_bad] = (uint16_t)k;
    }
}

static enum rejectd_status plan_init(struct plan *plan, const struct votes *votes,
                                     const struct local_cv_grid *grid, struct rejectd_error *error)
{
    const size_t n = votes->n_epochs;
    const size_t cells = grid->n_consensus * grid->n_n_interpolate * grid->n_folds;
    *plan = (struct plan){
        .ascending = malloc(grid->n_consensus * sizeof(size_t)),
        .first_good_of = malloc((votes->n_picks + 1) * sizeof(uint16_t)),
        .first_good = malloc(n * sizeof(uint16_t)),
        .fold = malloc(n * sizeof(uint16_t)),
        .never_kept = malloc(n * sizeof(bool)),
        .prefix = malloc(grid->n_n_interpolate * n * sizeof(uint16_t)),
        .losses = malloc(cells * sizeof(double)),
    };
    if (plan->ascending == NULL || plan->first_good_of == NULL || plan->first_good == NULL ||
        plan->fold == NULL || plan->never_kept == NULL || plan->prefix == NULL ||
        plan->losses == NULL)
        return REJECTD_FAIL_MEMORY(error, cells * sizeof(double));
    sort_positions(grid->consensus, grid->n_consensus, plan->ascending);
    folds_contiguous(n, grid->n_folds, plan->fold);
    list_first_good(plan, grid, votes->n_picks, plan->first_good_of);
    for (size_t e = 0; e < n; e++) {
        plan->first_good[e] = plan->first_good_of[votes_count(votes, e)];
        plan->never_kept[e] = plan->first_good[e] == grid->n_consensus;
    }
    /* Epochs that no consensus keeps are never averaged: there is no need to repair them. Among
     * them are all whose every sensor is bad, which nothing could repair. */
    votes_cumulative_repairs(votes, grid->n_interpolate, grid->n_n_interpolate, plan->never_kept,
                             plan->prefix);
    return REJECTD_OK;
}

/* The backend's losses in the order of the grid, infinite where the consensus is too low. */
static void place_losses(const struct plan *plan, const struct local_cv_grid *grid, size_t n_picks,
                         double *losses)
{
    const size_t row = grid->n_n_interpolate * grid->n_folds;
    for (size_t k = 0; k < grid->n_consensus; k++) {
        size_t position = plan->ascending[k];
        for (size_t i = 0; i < row; i++) {
            int n_interpolate = grid->n_interpolate[i / grid->n_folds];
            bool allowed = grid->consensus[position] * (double)n_picks > n_interpolate;
            losses[position * row + i] = allowed ? plan->losses[k * row + i] : INFINITY;
        }
    }
}

static struct local_cv_choice choose_cell(const struct local_cv_grid *grid, const double *losses)
{
    struct local_cv_choice choice = {0};
    double least = INFINITY;
    for (size_t k = 0; k < grid->n_consensus; k++)
        for (size_t v = 0; v < grid->n_n_interpolate; v++) {
            const double *folds = losses + (k * grid->n_n_interpolate + v) * grid->n_folds;
            double mean = numpy_mean(folds, grid->n_folds);
            if (mean < least) {
                least = mean;
                choice = (struct local_cv_choice){k, v, true};
            }
        }
    return choice;
}

enum rejectd_status local_cv_run(const struct backend *backend, struct backend_session *session,
                                 const struct votes *votes, struct interpolation *interpolation,
                                 const struct local_cv_grid *grid, struct progress *progress,
                                 double start, double share, double *losses,
                                 struct local_cv_choice *choice, struct rejectd_error *error)
{
    struct plan plan;
    enum rejectd_status status = plan_init(&plan, votes, grid, error);
    if (status != REJECTD_OK)
        goto cleanup;
    const struct backend_repairs repairs = {
        .n_epochs = votes->n_epochs,
        .n_values = grid->n_n_interpolate,
        .offsets = votes->offsets,
        .channels = votes->channels,
        .prefix = plan.prefix,
    };
    const struct backend_local_cv cv = {
        .n_folds = grid->n_folds,
        .fold = plan.fold,
        .n_consensus = grid->n_consensus,
        .first_good = plan.first_good,
    };
    progress_step(progress, "repair", start, 0.4 * share);
    status = interpolation_repair(interpolation, backend, session, &repairs, progress, error);
    progress_step(progress, "local_cv", start + 0.4 * share, 0.6 * share);
    if (status == REJECTD_OK)
        status = backend->local_cv_losses(session, &cv, plan.losses, error);
    if (status != REJECTD_OK)
        goto cleanup;
    place_losses(&plan, grid, votes->n_picks, losses);
    *choice = choose_cell(grid, losses);
cleanup:
    plan_free(&plan);
    return status;
}
