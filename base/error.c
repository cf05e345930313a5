#include <rejectd/error.h>

#include <stdio.h>

static const struct {
    int http;
    const char *name;
    const char *title;
} properties[REJECTD_STATUS_COUNT] = {
#define STATUS_PROPERTIES(symbol, http, name, title) [REJECTD_##symbol] = {http, name, title},
    REJECTD_STATUS_LIST(STATUS_PROPERTIES)
#undef STATUS_PROPERTIES
};

enum rejectd_status rejectd_error_set(struct rejectd_error *error, enum rejectd_status status,
                                      const char *file, int line, const char *field,
                                      const char *format, ...)
{
    if (error == NULL)
        return status;
    error->status = status;
    error->file = file;
    error->line = line;
    snprintf(error->field, sizeof error->field, "%s", field);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return status;
}

int rejectd_status_http(enum rejectd_status status)
{
    return properties[status].http;
}

const char *rejectd_status_name(enum rejectd_status status)
{
    return properties[status].name;
}

const char *rejectd_status_title(enum rejectd_status status)
{
    return properties[status].title;
}
