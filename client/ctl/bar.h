/* A progress bar on standard error: one line, redrawn in place. */
#ifndef CLIENT_CTL_BAR_H
#define CLIENT_CTL_BAR_H

#include <stdbool.h>
#include <stdint.h>

struct bar {
    bool visible;
    double started; /* monotonic seconds */
    double drawn;   /* when it was last drawn */
    int width;      /* characters of the last drawing */
};

void bar_begin(struct bar *bar, bool visible);
/* Draws at most ten times a second. `unit` says what goes on, as "uploading" or a stage. */
void bar_update(struct bar *bar, const char *what, double fraction);
/* Draws something without a known end. */
void bar_note(struct bar *bar, const char *note);
/* Removes the line. */
void bar_end(struct bar *bar);

double bar_seconds(const struct bar *bar); /* since it began */

#endif
