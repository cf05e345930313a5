#include "client/ctl/bar.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { CELLS = 30 };

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

void bar_begin(struct bar *bar, bool visible)
{
    *bar = (struct bar){.visible = visible, .started = now()};
}

double bar_seconds(const struct bar *bar)
{
    return now() - bar->started;
}

/* Replaces the line; what was longer before is blanked. */
static void redraw(struct bar *bar, const char *line)
{
    int width = (int)strlen(line);
    fprintf(stderr, "\r%s%*s", line, bar->width > width ? bar->width - width : 0, "");
    fflush(stderr);
    bar->width = width;
    bar->drawn = now();
}

void bar_update(struct bar *bar, const char *what, double fraction)
{
    if (!bar->visible || (now() - bar->drawn < 0.1 && fraction < 1.0))
        return;
    char cells[CELLS + 1], line[128], left[32] = "";
    int full = (int)(fraction * CELLS);
    for (int i = 0; i < CELLS; i++)
        cells[i] = i < full ? '#' : '.';
    cells[CELLS] = '\0';
    double elapsed = bar_seconds(bar);
    if (fraction > 0.02 && elapsed > 1.0)
        snprintf(left, sizeof left, "  %.0f s left", elapsed * (1.0 - fraction) / fraction);
    snprintf(line, sizeof line, "%-12.20s [%s] %3.0f %%%s", what, cells, 100.0 * fraction, left);
    redraw(bar, line);
}

void bar_note(struct bar *bar, const char *note)
{
    if (bar->visible && now() - bar->drawn >= 0.1)
        redraw(bar, note);
}

void bar_end(struct bar *bar)
{
    if (bar->visible && bar->width > 0)
        fprintf(stderr, "\r%*s\r", bar->width, "");
    bar->visible = false;
}
