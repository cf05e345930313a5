/*
 * Correlations of RANSAC, epochs in parallel.
 *
 * An epoch is loaded strip by strip; while a strip is in the cache, the picks are predicted from
 * every subset tile by tile, so that a tile's weights are read once for a strip and its predictions
 * never leave the cache. One thread makes all sums of an epoch, in the order of time.
 */
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "worker/cpu/needs.h"
#include "worker/cpu/session.h"

enum { STRIP_GROUPS = 4 };

/* What is the same for every epoch. */
struct plan {
    struct resampling resampling;
    uint32_t *all;       /* owned */
    void *weights;       /* [tiles][n_resample][n_samples][tile] work; owned */
    size_t tile_weights; /* bytes of one tile's */
    size_t n_tiles;
};

/* One thread's scratch. */
struct scratch {
    struct row_source *sources; /* [C] */
    void *groups;               /* [STRIP_GROUPS][C][group] */
    void *resample;
    void *medians; /* [tile][group] */
    double *sums;  /* [C][3][group] */
};

static void plan_free(struct plan *plan)
{
    free(plan->all);
    free(plan->weights);
}

/* Weights in the order in which the kernel reads them; rows beyond the last pick are zero. */
static enum rejectd_status plan_init(struct plan *plan, const struct backend_session *session,
                                     const struct backend_mappings *mappings,
                                     struct rejectd_error *error)
{
    const size_t c = session->samples.n_picks, tile = session->kernels->tile;
    const size_t n = mappings->n_samples, n_resample = mappings->n_resample;
    const size_t item = session->work_size;
    size_t bytes;
    *plan = (struct plan){.n_tiles = (c + tile - 1) / tile};
    if (!checked_multiply3(n_resample * n, tile * item, plan->n_tiles, &bytes))
        return REJECTD_FAIL_MEMORY(error, SIZE_MAX);
    plan->tile_weights = bytes / plan->n_tiles;
    plan->weights = scratch_alloc(bytes);
    plan->all = malloc(n_resample * sizeof *plan->all);
    if (plan->weights == NULL || plan->all == NULL)
        return REJECTD_FAIL_MEMORY(error, bytes);
    memset(plan->weights, 0, bytes);
    for (size_t r = 0; r < n_resample; r++)
        plan->all[r] = (uint32_t)r;
    for (size_t pick = 0; pick < c; pick++)
        for (size_t r = 0; r < n_resample; r++) {
            const double *from = mappings->weights + (r * c + pick) * n;
            const size_t at = (pick / tile * n_resample + r) * n * tile + pick % tile;
            for (size_t j = 0; j < n; j++)
                session->kernels->convert((char *)plan->weights + (at + j * tile) * item, from + j,
                                          REJECTD_FLOAT64, 1);
        }
    plan->resampling = (struct resampling){n_resample, n, mappings->subsets, plan->all};
    return REJECTD_OK;
}

static bool scratch_init(struct scratch *scratch, const struct backend_session *session,
                         const struct plan *plan)
{
    const struct cpu_kernels *kernels = session->kernels;
    const size_t c = session->samples.n_picks, group = kernels->group, item = session->work_size;
    *scratch = (struct scratch){
        .sources = malloc(c * sizeof(struct row_source)),
        .groups = scratch_alloc(STRIP_GROUPS * c * group * item),
        .resample = scratch_alloc(kernels_resample_scratch(kernels, plan->resampling.n_resample)),
        .medians = scratch_alloc(kernels->tile * group * item),
        .sums = scratch_alloc(c * 3 * group * sizeof(double)),
    };
    return scratch->sources != NULL && scratch->groups != NULL && scratch->resample != NULL &&
           scratch->medians != NULL && scratch->sums != NULL;
}

double cpu_ransac_bytes(const struct backend_session *session, size_t n_resample, size_t n_samples)
{
    const struct cpu_kernels *kernels = session->kernels;
    const double c = (double)session->samples.n_picks, work = (double)session->work_size;
    const double group = (double)kernels->group, tile = (double)kernels->tile;
    const double plan = ((double)n_resample * (double)n_samples * (c + tile) + 1.0) * work;
    const double scratch = c * (double)sizeof(struct row_source) +
                           (double)STRIP_GROUPS * c * group * work +
                           (double)kernels_resample_scratch(kernels, n_resample) +
                           tile * group * work + c * 3.0 * group * (double)sizeof(double);
    return plan + (double)session->options.n_threads * scratch;
}

static void scratch_free(struct scratch *scratch)
{
    free(scratch->sources);
    free(scratch->groups);
    free(scratch->resample);
    free(scratch->medians);
    free(scratch->sums);
}

/* Adds a strip of `length` samples to the sums of every pick. */
static void add_strip(const struct backend_session *session, const struct plan *plan, size_t length,
                      struct scratch *scratch)
{
    const struct cpu_kernels *kernels = session->kernels;
    const size_t c = session->samples.n_picks, group = kernels->group;
    const size_t row_bytes = group * session->work_size;
    for (size_t t = 0; t < plan->n_tiles; t++) {
        const size_t first = t * kernels->tile;
        const size_t count = c - first < kernels->tile ? c - first : kernels->tile;
        const char *weights = (const char *)plan->weights + t * plan->tile_weights;
        for (size_t g = 0; g * group < length; g++) {
            const char *samples = (const char *)scratch->groups + g * c * row_bytes;
            kernels->resample(samples, &plan->resampling, weights, scratch->resample,
                              scratch->medians);
            for (size_t i = 0; i < count; i++)
                kernels->correlate(samples + (first + i) * row_bytes,
                                   (const char *)scratch->medians + i * row_bytes,
                                   scratch->sums + (first + i) * 3 * group);
        }
    }
}

static double sum_of(const double *values, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += values[i];
    return sum;
}

static void correlate_epoch(const struct backend_session *session, const struct plan *plan,
                            size_t epoch, struct scratch *scratch, double *corr)
{
    const struct backend_samples *s = &session->samples;
    const size_t group = session->kernels->group, strip = STRIP_GROUPS * group;
    for (size_t c = 0; c < s->n_picks; c++)
        scratch->sources[c] = session_row(session, epoch, s->picks[c]);
    memset(scratch->sums, 0, s->n_picks * 3 * group * sizeof *scratch->sums);
    for (size_t start = 0; start < s->n_times; start += strip) {
        const size_t length = s->n_times - start < strip ? s->n_times - start : strip;
        session->kernels->load(scratch->groups, s->n_picks, scratch->sources, s->n_picks, start,
                               length, 0.0);
        add_strip(session, plan, length, scratch);
    }
    for (size_t c = 0; c < s->n_picks; c++) {
        const double *sums = scratch->sums + c * 3 * group;
        corr[c] = sum_of(sums, group) /
                  (sqrt(sum_of(sums + group, group)) * sqrt(sum_of(sums + 2 * group, group)));
    }
}

enum rejectd_status cpu_ransac_correlations(struct backend_session *session,
                                            const struct backend_mappings *mappings, double *corr,
                                            struct rejectd_error *error)
{
    const struct backend_samples *s = &session->samples;
    struct plan plan;
    enum rejectd_status status = plan_init(&plan, session, mappings, error);
    if (status != REJECTD_OK) {
        plan_free(&plan);
        return status;
    }
    struct loop loop;
    loop_begin(&loop, session, s->n_epochs);
#pragma omp parallel num_threads(session->options.n_threads)
    {
        struct scratch scratch;
        if (!scratch_init(&scratch, session, &plan))
            loop_fail(&loop);
#pragma omp for schedule(dynamic, 1)
        for (size_t e = 0; e < s->n_epochs; e++) {
            if (loop_stopped(&loop))
                continue;
            correlate_epoch(session, &plan, e, &scratch, corr + e * s->n_picks);
            loop_advance(&loop, omp_get_thread_num());
        }
        scratch_free(&scratch);
    }
    plan_free(&plan);
    return loop_end(&loop, error);
}
