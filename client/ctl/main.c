/* rejectctl: the command line of rejectd. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>
#include <jansson.h>
#include <rejectd/version.h>

#include "base/buffer.h"
#include "client/ctl/ctl.h"

static const struct ctl_command *const commands[] = {
    &ctl_upload,
    &ctl_fit,
    &ctl_apply,
    &ctl_thresholds,
    &ctl_ransac,
    &ctl_global_thresholds,
    &ctl_validation_curve,
    &ctl_interpolate,
    &ctl_status,
    &ctl_watch,
    &ctl_cancel,
    &ctl_download,
    &ctl_devices,
    &ctl_estimate,
    &ctl_health,
    &ctl_simulate,
};

enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

int ctl_usage(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("rejectctl: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return CTL_USAGE;
}

int ctl_failure(const struct rejectd_error *error)
{
    return ctl_failure_of(NULL, error);
}

int ctl_failure_of(const char *path, const struct rejectd_error *error)
{
    fprintf(stderr, "rejectctl: %s%s%s%s%s\n", path == NULL ? "" : path, path == NULL ? "" : ": ",
            error->field, error->field[0] == '\0' ? "" : ": ", error->message);
    /* Of the client itself, not of the server: its files. */
    if ((error->status == REJECTD_INVALID_REQUEST || error->status == REJECTD_STORAGE) &&
        error->file != NULL)
        return CTL_USAGE;
    return rejectd_status_http(error->status) >= 500 ? CTL_UNREACHABLE : CTL_REFUSED;
}

/* The first line of a file, which a newline may end. */
static enum rejectd_status read_token(const char *path, char *token, int size,
                                      struct rejectd_error *error)
{
    FILE *file = fopen(path, "re");
    const bool read = file != NULL && fgets(token, size, file) != NULL;
    if (file != NULL)
        fclose(file);
    token[read ? strcspn(token, "\r\n") : 0] = '\0';
    return token[0] != '\0'
               ? REJECTD_OK
               : REJECTD_FAIL(error, REJECTD_INVALID_REQUEST, "token",
                              "$REJECTD_TOKEN_FILE: %s has no token, or cannot be read", path);
}

/* Never an argument: every user of the machine can read those. */
static enum rejectd_status authorize(struct rejectd_client *client, struct rejectd_error *error)
{
    char text[256];
    const char *token = getenv("REJECTD_TOKEN");
    const char *path = getenv("REJECTD_TOKEN_FILE");
    if ((token == NULL || token[0] == '\0') && path != NULL && path[0] != '\0') {
        const enum rejectd_status status = read_token(path, text, sizeof text, error);
        if (status != REJECTD_OK)
            return status;
        token = text;
    }
    return token == NULL || token[0] == '\0' ? REJECTD_OK
                                             : rejectd_client_authorize(client, token, error);
}

enum rejectd_status ctl_open_client(const struct ctl *ctl, struct rejectd_client **client,
                                    struct rejectd_error *error)
{
    enum rejectd_status status = rejectd_client_open(ctl->server, client, error);
    if (status == REJECTD_OK && ctl->ca != NULL)
        status = rejectd_client_trust(*client, ctl->ca, error);
    if (status == REJECTD_OK)
        status = authorize(*client, error);
    if (status != REJECTD_OK) {
        rejectd_client_close(*client);
        *client = NULL;
    }
    return status;
}

int ctl_get(const struct ctl *ctl, const char *path, char **text, size_t *length)
{
    struct rejectd_client *client;
    struct rejectd_error error;
    enum rejectd_status status = ctl_open_client(ctl, &client, &error);
    if (status == REJECTD_OK)
        status = rejectd_client_get(client, path, text, length, &error);
    rejectd_client_close(client);
    return status == REJECTD_OK ? CTL_OK : ctl_failure(&error);
}

/* Whoever could read along could also answer in the server's place. */
static int refuse_insecure(void)
{
    return ctl_usage("there is no --insecure; --ca FILE, or $REJECTD_CA, names the certificate "
                     "that vouches for the server, which may be the server's own");
}

bool ctl_common_option(struct ctl *ctl, const struct ctl_command *command, int option,
                       int *exit_code)
{
    *exit_code = -1;
    switch (option) {
    case CTL_OPTION_SERVER:
        ctl->server = optarg;
        return true;
    case CTL_OPTION_CA:
        ctl->ca = optarg;
        return true;
    case CTL_OPTION_INSECURE:
        *exit_code = refuse_insecure();
        return true;
    case CTL_OPTION_JSON:
        ctl->json = true;
        ctl->bar = false;
        return true;
    case CTL_OPTION_HELP:
        fputs(command->help, stdout);
        *exit_code = CTL_OK;
        return true;
    case '?':
    case ':':
        *exit_code = ctl_usage("see rejectctl %s --help", command->name);
        return true;
    default:
        return false;
    }
}

int ctl_take_common(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv,
                    int least, int most)
{
    static const struct option options[] = {CTL_COMMON_OPTIONS};
    int option, code;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (ctl_common_option(ctl, command, option, &code) && code >= 0)
            return code;
    if (argc - optind < least || argc - optind > most)
        return ctl_usage("wrong number of arguments; see rejectctl %s --help", command->name);
    return -1;
}

bool ctl_is_id(const char *prefix, const char *text)
{
    return strncmp(text, prefix, strlen(prefix)) == 0 && strlen(text) < REJECTD_ID_SIZE &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(text);
}

bool ctl_resource_path(const char *id, char path[128])
{
    static const struct {
        const char *prefix, *collection;
    } kinds[] = {{"jb_", "jobs"}, {"ds_", "datasets"}, {"md_", "models"}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (ctl_is_id(kinds[i].prefix, id)) {
            snprintf(path, 128, "/v1/%s/%s", kinds[i].collection, id);
            return true;
        }
    ctl_usage("\"%s\" is not an id: jb_..., ds_... or md_... is accepted", id);
    return false;
}

bool ctl_parse_count(const char *what, const char *text, uint64_t least, uint64_t most,
                     uint64_t *value)
{
    char *end = NULL;
    errno = 0;
    unsigned long long parsed = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || parsed < least ||
        parsed > most) {
        ctl_usage("%s is \"%s\"; a whole number from %llu to %llu is accepted", what, text,
                  (unsigned long long)least, (unsigned long long)most);
        return false;
    }
    *value = parsed;
    return true;
}

bool ctl_parse_real(const char *what, const char *text, double *value)
{
    char *end = NULL;
    errno = 0;
    *value = strtod(text, &end);
    if (text[0] == '\0' || *end != '\0' || !isfinite(*value)) {
        ctl_usage("%s is \"%s\"; a number is accepted", what, text);
        return false;
    }
    return true;
}

char *ctl_read_file(const char *path, size_t *length)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    if (file == NULL) {
        ctl_usage("%s: %s", path, strerror(errno));
        return NULL;
    }
    struct buffer text;
    buffer_init(&text, (size_t)1 << 31);
    char piece[65536];
    size_t n;
    while ((n = fread(piece, 1, sizeof piece, file)) > 0)
        buffer_append(&text, piece, n);
    bool failed = ferror(file) != 0 || text.failed;
    if (file != stdin)
        fclose(file);
    if (failed) {
        ctl_usage("%s: cannot be read, or is larger than 2 GiB", path);
        buffer_free(&text);
        return NULL;
    }
    return buffer_take(&text, length);
}

char *ctl_read_json(const char *path, size_t *length)
{
    json_error_t error;
    char *text = ctl_read_file(path, length);
    if (text == NULL)
        return NULL;
    json_t *value = json_loadb(text, *length, JSON_DECODE_ANY, &error);
    if (value == NULL) {
        ctl_usage("%s: is not JSON: line %d, column %d: %s", path, error.line, error.column,
                  error.text);
        free(text);
        return NULL;
    }
    json_decref(value);
    return text;
}

static void print_help(FILE *stream)
{
    fputs("usage: rejectctl [--server URL] [--ca FILE] COMMAND [OPTION]... [ARGUMENT]...\n\n"
          "Commands (rejectctl COMMAND --help tells more):\n",
          stream);
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(stream, "  %-18s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\nOptions of every command:\n"
          "  --server URL   the daemon (default: $REJECTD_SERVER, or http://127.0.0.1:8765)\n"
          "  --ca FILE      PEM certificates that vouch for an https:// daemon (default:\n"
          "                 $REJECTD_CA, or those of the system)\n"
          "  --json         print JSON, for scripts\n"
          "  --help\n\n"
          "A token that the daemon asks for is read from $REJECTD_TOKEN, or from the file that\n"
          "$REJECTD_TOKEN_FILE names.\n\n"
          "Exit codes: 0 done, 1 the job failed or was cancelled, 2 wrong usage, 3 the server\n"
          "refused, 4 the server cannot be reached or failed.\n",
          stream);
}

/* Options of every command may also come before it. Returns how many arguments they take. */
static int leading_options(struct ctl *ctl, int argc, char **argv)
{
    static const char server[] = "--server", ca[] = "--ca";
    int taken = 1;
    for (; taken < argc; taken++) {
        const char *argument = argv[taken];
        if (strcmp(argument, server) == 0 && taken + 1 < argc)
            ctl->server = argv[++taken];
        else if (strncmp(argument, "--server=", sizeof server) == 0)
            ctl->server = argument + sizeof server;
        else if (strcmp(argument, ca) == 0 && taken + 1 < argc)
            ctl->ca = argv[++taken];
        else if (strncmp(argument, "--ca=", sizeof ca) == 0)
            ctl->ca = argument + sizeof ca;
        else if (strcmp(argument, "--json") == 0) {
            ctl->json = true;
            ctl->bar = false;
        } else {
            break;
        }
    }
    return taken - 1;
}

/* What a script takes for the whole must be the whole: a full disk is told. */
static int finish_output(int code)
{
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return code;
    const int failed = ctl_usage("standard output could not be written");
    return code == CTL_OK ? failed : code;
}

int main(int argc, char **argv)
{
    struct ctl ctl = {.server = getenv("REJECTD_SERVER"),
                      .ca = getenv("REJECTD_CA"),
                      .bar = isatty(STDERR_FILENO) == 1};
    if (ctl.ca != NULL && ctl.ca[0] == '\0')
        ctl.ca = NULL;
    if (ctl.server == NULL || ctl.server[0] == '\0')
        ctl.server = "http://127.0.0.1:8765";
    const int taken = leading_options(&ctl, argc, argv);
    argc -= taken;
    argv += taken;
    if (argc < 2) {
        print_help(stderr);
        return CTL_USAGE;
    }
    if (strcmp(argv[1], "--insecure") == 0)
        return refuse_insecure();
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return CTL_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("rejectctl %s\n", REJECTD_VERSION);
        return CTL_OK;
    }
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(argv[1], commands[i]->name) == 0) {
            curl_global_init(CURL_GLOBAL_DEFAULT);
            int code = commands[i]->run(&ctl, argc - 1, argv + 1);
            curl_global_cleanup();
            return finish_output(code);
        }
    return ctl_usage("there is no command \"%s\"; see rejectctl --help", argv[1]);
}
