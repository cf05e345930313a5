#include "server/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "server/clock.h"

static const char *const level_names[] = {"debug", "info", "warning", "error"};

/* Copies text as the inside of a JSON string; bytes outside printable ASCII become '?'. */
static void escape(const char *text, char *out, size_t size)
{
    size_t length = 0;
    for (; *text != '\0' && length + 3 < size; text++) {
        const unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\') {
            out[length++] = '\\';
        }
        out[length++] = byte >= 0x20 && byte < 0x7f ? (char)byte : '?';
    }
    out[length] = '\0';
}

void log_write(const struct log *log, enum log_level level, const char *event, const char *format,
               ...)
{
    if (level < log->least) {
        return;
    }
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);

    char escaped[2048 + 4];
    escape(message, escaped, sizeof escaped);
    char time[CLOCK_TEXT_SIZE];
    clock_text(clock_milliseconds(), time);

    char line[2400];
    const int length =
        snprintf(line, sizeof line,
                 "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\",\"message\":\"%s\"}\n", time,
                 level_names[level], event, escaped);
    if (length > 0 && write(log->fd, line, (size_t)length) < 0) {
        return;
    }
}
