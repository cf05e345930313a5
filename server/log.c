#include "server/log.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/clock.h"

static const char *const level_names[] = {"debug", "info", "warning", "error", "audit"};
static const char *const priorities[] = {"<7>", "<6>", "<4>", "<3>", "<5>"};

enum {
    LINE_SIZE = 4000, /* below PIPE_BUF: lines of several processes don't mix */
    END_SIZE = 8,     /* kept free for what closes the line */
};

void log_init(struct log *log, int fd, enum log_level least, const char *journal)
{
    struct stat file;
    char stream[64];
    log->fd = fd;
    atomic_init(&log->least, (int)least);
    log->journal = false;
    if (journal != NULL && fstat(fd, &file) == 0) {
        snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)file.st_dev,
                 (unsigned long long)file.st_ino);
        log->journal = strcmp(stream, journal) == 0;
    }
}

void log_set_level(struct log *log, enum log_level least)
{
    atomic_store(&log->least, (int)least);
}

bool log_is_on(const struct log *log, enum log_level level)
{
    return (int)level >= atomic_load_explicit(&log->least, memory_order_relaxed);
}

/* A line on its way. */
struct line {
    char text[LINE_SIZE];
    size_t length;
};

static void append(struct line *line, const char *text)
{
    const size_t room = LINE_SIZE - END_SIZE - line->length;
    const size_t length = strlen(text);
    if (length <= room) {
        memcpy(line->text + line->length, text, length);
        line->length += length;
    }
}

/* As the inside of a JSON string, as far as there is room. */
static void append_escaped(struct line *line, const char *text)
{
    for (; *text != '\0' && line->length + 2 <= LINE_SIZE - END_SIZE; text++) {
        const unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\') {
            line->text[line->length++] = '\\';
        }
        line->text[line->length++] = byte >= 0x20 && byte < 0x7f ? (char)byte : '?';
    }
}

static void append_field(struct line *line, const struct log_field *field)
{
    /* What a text needs beside its characters, so that a cut one is still JSON. */
    enum { AROUND = 64, LEAST_TEXT = 16 };
    char number[40];
    const bool finite = isfinite(field->number);
    const bool empty = !field->is_number && (field->text == NULL || field->text[0] == '\0');
    if (empty || line->length + AROUND + LEAST_TEXT > LINE_SIZE - END_SIZE) {
        return;
    }
    append(line, ",\"");
    append(line, field->name);
    append(line, "\":");
    if (field->is_number) {
        snprintf(number, sizeof number, finite ? "%.9g" : "null", field->number);
        append(line, number);
    } else {
        append(line, "\"");
        append_escaped(line, field->text);
        line->text[line->length++] = '"';
    }
}

static void begin_line(struct line *line, const struct log *log, enum log_level level,
                       const char *event)
{
    char time[CLOCK_TEXT_SIZE];
    clock_text(clock_milliseconds(), time);
    line->length = 0;
    append(line, log->journal ? priorities[level] : "");
    append(line, "{\"time\":\"");
    append(line, time);
    append(line, "\",\"level\":\"");
    append(line, level_names[level]);
    append(line, "\",\"event\":\"");
    append(line, event);
    append(line, "\"");
}

static void end_line(struct line *line, const struct log *log)
{
    memcpy(line->text + line->length, "}\n", 2);
    line->length += 2;
    if (write(log->fd, line->text, line->length) < 0) {
        return;
    }
}

static void write_line(const struct log *log, enum log_level level, const char *event,
                       const struct log_field *fields, size_t n_fields, const char *message)
{
    struct line line;
    begin_line(&line, log, level, event);
    for (size_t i = 0; i < n_fields; i++) {
        append_field(&line, &fields[i]);
    }
    append_field(&line, &LOG_TEXT("message", message));
    end_line(&line, log);
}

#define WRITE_FORMATTED(log, level, event, fields, n_fields, format)                               \
    do {                                                                                           \
        char message[1024];                                                                        \
        va_list arguments;                                                                         \
        va_start(arguments, format);                                                               \
        vsnprintf(message, sizeof message, format, arguments);                                     \
        va_end(arguments);                                                                         \
        write_line(log, level, event, fields, n_fields, message);                                  \
    } while (0)

void log_write(const struct log *log, enum log_level level, const char *event, const char *format,
               ...)
{
    if (log_is_on(log, level)) {
        WRITE_FORMATTED(log, level, event, NULL, 0, format);
    }
}

void log_write_fields(const struct log *log, enum log_level level, const char *event,
                      const struct log_field *fields, size_t n_fields, const char *format, ...)
{
    if (log_is_on(log, level)) {
        WRITE_FORMATTED(log, level, event, fields, n_fields, format);
    }
}

const char *log_error_text(const struct rejectd_error *error)
{
    return rejectd_status_http(error->status) >= 500 ? error->message
                                                     : rejectd_status_name(error->status);
}
