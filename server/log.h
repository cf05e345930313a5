/*
 * What the daemon tells its operator: one JSON object per line on stderr, for machines and people.
 *
 * Never in a log: samples, anything of channels, names of datasets, Authorization, query values.
 * What clients got wrong is told to them; the log has the kind of the error alone (log_error_text).
 */
#ifndef SERVER_LOG_H
#define SERVER_LOG_H

#include <rejectd/error.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_AUDIT, /* who removed what; written whatever log-level is */
};

/* May be used by several threads at once: a line is one write(). */
struct log {
    int fd;           /* borrowed */
    atomic_int least; /* enum log_level; log_set_level() */
    bool journal;     /* lines begin with "<6>", as systemd's journal reads their priority */
};

/* journal: $JOURNAL_STREAM, or NULL; used when it names the file that fd is. */
void log_init(struct log *log, int fd, enum log_level least, const char *journal);
/* Any thread. */
void log_set_level(struct log *log, enum log_level least);
bool log_is_on(const struct log *log, enum log_level level);

/* One more member of the object. A NULL or empty text is left out. Made by the macros below. */
struct log_field {
    const char *name; /* a word; static storage */
    const char *text; /* borrowed during the call */
    bool is_number;
    double number;
};

#define LOG_TEXT(name, value) ((struct log_field){(name), (value), false, 0.0})
#define LOG_NUMBER(name, value) ((struct log_field){(name), NULL, true, (double)(value)})
/* The fields of one line: LOG_FIELDS(LOG_TEXT("job", id), LOG_NUMBER("seconds", 0.5)). */
#define LOG_FIELDS(...)                                                                            \
    ((const struct log_field[]){__VA_ARGS__}),                                                     \
        (sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))

/*
 * {"time", "level", "event", fields ..., "message"}. `event` is a stable word for machines; what
 * of fields and message doesn't fit into 3 KiB is cut, what isn't printable ASCII becomes '?'. A
 * log that cannot be written is not an error: nobody is left to be told.
 */
void log_write(const struct log *log, enum log_level level, const char *event, const char *format,
               ...) __attribute__((format(printf, 4, 5)));
void log_write_fields(const struct log *log, enum log_level level, const char *event,
                      const struct log_field *fields, size_t n_fields, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/* What of an error may be logged: its message when the service is at fault, else its kind alone,
 * because messages about what clients sent repeat it. */
const char *log_error_text(const struct rejectd_error *error);

#endif
