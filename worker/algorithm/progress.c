#include "worker/algorithm/progress.h"

void progress_part(struct progress *progress, double start, double share)
{
    progress->part_start = start;
    progress->part_share = share;
}

void progress_step(struct progress *progress, const char *stage, double start, double share)
{
    progress->stage = stage;
    progress->start = start;
    progress->share = share;
}

bool progress_advance(void *context, double fraction)
{
    struct progress *progress = context;
    if (progress->monitor == NULL || progress->monitor->report == NULL)
        return true;
    double whole = progress->start + progress->share * fraction;
    if (progress->part_share > 0.0)
        whole = progress->part_start + progress->part_share * whole;
    if (whole > progress->told)
        progress->told = whole;
    return progress->monitor->report(progress->monitor->context, progress->stage, progress->told);
}

struct backend_progress progress_for_backend(struct progress *progress)
{
    return (struct backend_progress){.advance = progress_advance, .context = progress};
}
