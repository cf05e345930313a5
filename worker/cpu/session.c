#define _GNU_SOURCE
#include "worker/cpu/session.h"
#include "worker/cpu/needs.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"

enum {
    STRIP_SAMPLES = 64,      /* a row visit of this many samples pays for its page look-up */
    STRIP_BYTES = 16u << 20, /* of the groups of one strip; more rows get narrower strips */
    HUGE_PAGE = 2u << 20,
};

void loop_begin(struct loop *loop, const struct backend_session *session, size_t n_items)
{
    loop->progress = &session->options.progress;
    loop->n_items = n_items;
    atomic_init(&loop->done, 0);
    atomic_init(&loop->stop, false);
    atomic_init(&loop->failed, false);
}

void loop_advance(struct loop *loop, int thread)
{
    size_t done = atomic_fetch_add_explicit(&loop->done, 1, memory_order_relaxed) + 1;
    if (thread != 0 || loop->progress->advance == NULL || loop_stopped(loop))
        return;
    if (!loop->progress->advance(loop->progress->context, (double)done / (double)loop->n_items))
        atomic_store_explicit(&loop->stop, true, memory_order_relaxed);
}

void loop_fail(struct loop *loop)
{
    atomic_store_explicit(&loop->failed, true, memory_order_relaxed);
    atomic_store_explicit(&loop->stop, true, memory_order_relaxed);
}

enum rejectd_status loop_end(struct loop *loop, struct rejectd_error *error)
{
    if (atomic_load(&loop->failed))
        return REJECTD_FAIL(error, REJECTD_OUT_OF_MEMORY, "", "no memory for a thread's scratch");
    /* The calling thread may have had no item of its own: it tells the end in any case. */
    if (!loop_stopped(loop) && loop->progress->advance != NULL &&
        !loop->progress->advance(loop->progress->context, 1.0))
        atomic_store(&loop->stop, true);
    if (loop_stopped(loop))
        return REJECTD_FAIL(error, REJECTD_CANCELLED, "", "the work was cancelled");
    return REJECTD_OK;
}

enum rejectd_status arena_reserve(struct arena *arena, size_t bytes, struct rejectd_error *error)
{
    if (bytes <= arena->bytes)
        return REJECTD_OK;
    arena_free(arena);
    size_t rounded;
    if (!checked_add(bytes, HUGE_PAGE - 1, &rounded))
        return REJECTD_FAIL_MEMORY(error, bytes);
    rounded -= rounded % HUGE_PAGE;
    void *data = aligned_alloc(HUGE_PAGE, rounded);
    if (data == NULL)
        return REJECTD_FAIL_MEMORY(error, bytes);
    /* Rows are visited pages apart: without huge pages every visit is a page table walk. */
    (void)madvise(data, rounded, MADV_HUGEPAGE);
    arena->data = data;
    arena->bytes = rounded;
    return REJECTD_OK;
}

void arena_free(struct arena *arena)
{
    free(arena->data);
    *arena = (struct arena){0};
}

void *scratch_alloc(size_t bytes)
{
    size_t rounded;
    if (!checked_add(bytes, 63, &rounded))
        return NULL;
    rounded -= rounded % 64;
    return aligned_alloc(64, rounded > 0 ? rounded : 64);
}

struct row_source session_row(const struct backend_session *session, size_t epoch, size_t channel)
{
    const struct backend_samples *s = &session->samples;
    size_t item = s->dtype == REJECTD_FLOAT64 ? sizeof(double) : sizeof(float);
    size_t sample = (epoch * s->n_channels + channel) * s->n_times;
    return (struct row_source){.samples = (const char *)s->data + sample * item, .dtype = s->dtype};
}

/* The kernel's scratch comes first, because of its alignment; then the rows. */
static size_t kernel_scratch_bytes(const struct backend_session *session, size_t n_out)
{
    return session->samples.n_picks * session->kernels->panel_row +
           n_out * session->kernels->panel_out;
}

size_t session_product_bytes(const struct backend_session *session, size_t n_out)
{
    return kernel_scratch_bytes(session, n_out) +
           session->samples.n_picks * sizeof(struct row_source);
}

void session_multiply(const struct backend_session *session, size_t epoch, struct product *product,
                      void *scratch)
{
    const struct backend_samples *s = &session->samples;
    struct row_source *rows =
        (void *)((char *)scratch + kernel_scratch_bytes(session, product->n_out));
    for (size_t c = 0; c < s->n_picks; c++)
        rows[c] = session_row(session, epoch, s->picks[c]);
    product->rows = rows;
    product->n_rows = s->n_picks;
    product->n_times = s->n_times;
    session->kernels->multiply(product, scratch);
}

size_t session_groups(const struct backend_session *session)
{
    const size_t group = session->kernels->group;
    return (session->samples.n_times + group - 1) / group;
}

const char *session_predictions(const struct backend_session *session, size_t pick, size_t at)
{
    const size_t group = session->kernels->group;
    const size_t groups_before = (pick - session->first) * session_groups(session) + at / group;
    return (const char *)session->rows.data +
           groups_before * session->samples.n_epochs * group * session->work_size;
}

void session_weights(const struct backend_session *session, const double *weights, size_t n,
                     void *out)
{
    session->kernels->convert(out, weights, REJECTD_FLOAT64, n);
}

size_t session_strip(const struct backend_session *session, size_t n_rows)
{
    const size_t group = session->kernels->group;
    size_t strip = STRIP_SAMPLES;
    while (strip > group && n_rows * strip * session->work_size > STRIP_BYTES)
        strip /= 2;
    return strip;
}

double session_strip_bytes(const struct backend_session *session, double n_rows)
{
    const double work = (double)session->work_size, group = (double)session->kernels->group;
    const double widest = n_rows * STRIP_SAMPLES * work, least = n_rows * group * work;
    /* Half of it may do where rows are halved; more rows never count for less. */
    const double most = least > STRIP_BYTES ? least : STRIP_BYTES;
    return widest < most ? widest : most;
}

struct backend_session cpu_needs_session(const struct backend_samples *samples,
                                         enum rejectd_dtype precision, int n_threads)
{
    return (struct backend_session){
        .samples = *samples,
        .options = {.n_threads = n_threads, .precision = precision},
        .kernels = kernels_select(NULL, backend_arithmetic(precision)),
        .work_size = precision == REJECTD_FLOAT64 ? sizeof(double) : sizeof(float),
    };
}
