/* What the daemon tells its operator: one JSON object per line, for machines and people. */
#ifndef SERVER_LOG_H
#define SERVER_LOG_H

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_ERROR,
};

/* May be used by several threads at once: a line is one write(). */
struct log {
    int fd; /* borrowed */
    enum log_level least;
};

/*
 * {"time", "level", "event", "message"}. `event` is a stable word for machines; the message is cut
 * at 1 KiB. A log that cannot be written is not an error: nobody is left to be told.
 */
void log_write(const struct log *log, enum log_level level, const char *event, const char *format,
               ...) __attribute__((format(printf, 4, 5)));

#endif
