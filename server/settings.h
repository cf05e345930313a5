/* The daemon's settings: one table says everything about each of them. Internal to config.c. */
#ifndef SERVER_SETTINGS_H
#define SERVER_SETTINGS_H

#include <stddef.h>

#include "server/config.h"

enum setting_type {
    SETTING_TEXT,
    SETTING_INTEGER,
    SETTING_BYTES,       /* an integer that may end in K, M, G or T (powers of 1024) */
    SETTING_RELOADS = 8, /* added to one of them: a reload applies it, others need a restart */
};

struct setting {
    const char *name; /* as in the file and, after "--", as a flag */
    unsigned type;    /* enum setting_type */
    size_t offset;    /* in struct config */
    const char *initial;
    int64_t least;
    int64_t most;
    const char *choices; /* of a text: the accepted ones, separated by '|'; NULL: any */
    const char *help;
};

/* NULL beyond the last. */
const struct setting *setting_at(size_t index);
/* The setting of that name, which needs no NUL; NULL when there is none. */
const struct setting *setting_find(const char *name, size_t length);
enum setting_type setting_type(const struct setting *setting);

/* Its place in a configuration: of a text, CONFIG_TEXT_SIZE bytes; of anything else. */
char *setting_text(struct config *config, const struct setting *setting);
int64_t *setting_number(struct config *config, const struct setting *setting);

/* Reads, checks and sets it. where: that the value stands, for the error (INVALID_VALUE). */
enum rejectd_status setting_set(struct config *config, const struct setting *setting,
                                const char *where, const char *value, struct rejectd_error *error);

#endif
