/* What the commands of rejectctl share. */
#ifndef CLIENT_CTL_CTL_H
#define CLIENT_CTL_CTL_H

#include <getopt.h>
#include <rejectd/client.h>

/* Exit codes: part of the interface, scripts rely on them. */
enum {
    CTL_OK = 0,
    CTL_JOB_FAILED = 1,  /* the job failed or was cancelled */
    CTL_USAGE = 2,       /* the command line, or a local file, is wrong */
    CTL_REFUSED = 3,     /* the server refused: 4xx */
    CTL_UNREACHABLE = 4, /* no server, or an error of its own: 5xx */
};

/* For so long a transfer that gets nowhere is tried again: longer than the server takes to notice
 * that a line is dead. */
enum { CTL_RETRY_SECONDS = 120, CTL_MOST_RETRY_SECONDS = 86400 };

struct ctl {
    const char *server; /* URL */
    const char *ca;     /* PEM file of who vouches for an https server; NULL: the system's */
    bool json;          /* print JSON for scripts, and no progress */
    bool bar;           /* standard error is a terminal: draw progress */
};

struct ctl_command {
    const char *name;
    const char *summary; /* one line */
    const char *help;    /* usage, options, examples */
    int (*run)(struct ctl *ctl, int argc, char **argv);
};

extern const struct ctl_command ctl_upload, ctl_fit, ctl_apply, ctl_thresholds, ctl_ransac,
    ctl_global_thresholds, ctl_validation_curve, ctl_interpolate, ctl_status, ctl_watch, ctl_cancel,
    ctl_download, ctl_devices, ctl_estimate, ctl_health, ctl_simulate;

/* Options that every command has; add them to a command's own and pass what getopt_long returns to
 * ctl_common_option(), which is false when it was none of them. */
#define CTL_COMMON_OPTIONS                                                                         \
    {"server", required_argument, NULL, CTL_OPTION_SERVER},                                        \
        {"ca", required_argument, NULL, CTL_OPTION_CA},                                            \
        {"insecure", no_argument, NULL, CTL_OPTION_INSECURE},                                      \
        {"json", no_argument, NULL, CTL_OPTION_JSON},                                              \
        {"help", no_argument, NULL, CTL_OPTION_HELP},                                              \
    {                                                                                              \
        NULL, 0, NULL, 0                                                                           \
    }
enum {
    CTL_OPTION_SERVER = 1000,
    CTL_OPTION_CA,
    CTL_OPTION_INSECURE,
    CTL_OPTION_JSON,
    CTL_OPTION_HELP,
    CTL_OPTION_OWN
};

/* Handles server, json; *exit_code is >= 0 when the command is to end (help, unknown option). */
bool ctl_common_option(struct ctl *ctl, const struct ctl_command *command, int option,
                       int *exit_code);

/* Takes the options that every command has, for a command without others, and checks the number of
 * arguments. -1: go on; else the exit code. */
int ctl_take_common(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv,
                    int least, int most);

/* A client for the server that the options name: rejectd_client_close(). */
enum rejectd_status ctl_open_client(const struct ctl *ctl, struct rejectd_client **client,
                                    struct rejectd_error *error);

/* What the server has at a path: *text is the caller's to free(). CTL_OK, or the exit code after a
 * message. */
int ctl_get(const struct ctl *ctl, const char *path, char **text, size_t *length);

/* Whether a text is an id with that prefix, and not a file's name that begins so. */
bool ctl_is_id(const char *prefix, const char *text);

/* Path of the resource that an id names; false after a message. */
bool ctl_resource_path(const char *id, char path[128]);

/* One line on stderr: "rejectctl: message". Returns CTL_USAGE. */
int ctl_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints an error of the client library and returns the exit code it means. */
int ctl_failure(const struct rejectd_error *error);
/* The same when a file was at fault. */
int ctl_failure_of(const char *path, const struct rejectd_error *error);

/* Strict numbers: the whole text, within the bounds; else false after a message naming `what`. */
bool ctl_parse_count(const char *what, const char *text, uint64_t least, uint64_t most,
                     uint64_t *value);
bool ctl_parse_real(const char *what, const char *text, double *value);

/* The whole of a file ("-": standard input) as NUL-terminated text; NULL after a message. */
char *ctl_read_file(const char *path, size_t *length);
/* The same of a file that must be JSON. */
char *ctl_read_json(const char *path, size_t *length);

#endif
