/*
 * One table says everything about a setting: its name, type, default, range and help. The file
 * ([rejectd] sections or none, `listen = 127.0.0.1:8765`), the environment (REJECTD_LISTEN) and
 * the flags (--listen) are three ways to set the same entries, in that order of precedence.
 *
 * An unknown key, section or flag is an error, because a misspelt setting is one that silently
 * doesn't apply. Unknown REJECTD_ variables are not: other programs have theirs.
 */
#include "server/config.h"

#include <errno.h>
#include <ini.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

#define AT(member) offsetof(struct config, member)

static const struct setting settings[] = {
    {"listen", SETTING_TEXT, AT(listen), "127.0.0.1:8765", 0, 0, NULL,
     "ADDRESS:PORT to listen on; port 0 takes any free one"},
    {"data-dir", SETTING_TEXT, AT(data_dir), "", 0, 0, NULL,
     "where datasets, jobs and results are kept (default: /var/lib/rejectd for root, else\n"
     "      $XDG_STATE_HOME/rejectd or ~/.local/state/rejectd)"},
    {"store", SETTING_TEXT, AT(store), "sqlite", 0, 0, "sqlite", "what keeps them"},
    {"threads", SETTING_INTEGER, AT(threads), "0", 0, 4096, NULL,
     "threads that a job computes with; 0: one per processor"},
    {"job-memory", SETTING_BYTES | SETTING_RELOADS, AT(job_memory), "0", 0, (int64_t)1 << 50, NULL,
     "memory that all running jobs together may need, their samples included; a job that needs\n"
     "      more by itself is answered 413; 0: four fifths of what the machine, or the control\n"
     "      group, has"},
    {"backend", SETTING_TEXT, AT(backend), "auto", 0, 0,
     "auto|reference|cpu|cuda|numpy|numba|torch|jax",
     "what jobs are computed with; auto: GPUs when there are any; cuda: doesn't start without\n"
     "      one; numpy, numba, torch and jax are names of autoreject for reference, cpu, cuda and\n"
     "      cuda"},
    {"cuda-module", SETTING_TEXT, AT(cuda_module), "", 0, 0, NULL,
     "what computes on GPUs (default: rejectd_cuda.so, looked for beside rejectd)"},
    {"device-memory", SETTING_BYTES, AT(device_memory), "0", 0, (int64_t)1 << 50, NULL,
     "most memory to use of each GPU; 0: nearly all that is free"},
    {"device-timeout", SETTING_INTEGER, AT(device_timeout), "30", 1, 3600, NULL,
     "seconds after which a GPU's process that doesn't answer is replaced"},
    {"device-stall", SETTING_INTEGER, AT(device_stall), "600", 1, 86400, NULL,
     "seconds after which a GPU's process whose job gets nowhere is replaced"},
    {"max-upload-bytes", SETTING_BYTES | SETTING_RELOADS, AT(max_upload_bytes), "64G", 1,
     (int64_t)1 << 50, NULL, "largest samples of one dataset"},
    {"max-json-bytes", SETTING_BYTES | SETTING_RELOADS, AT(max_json_bytes), "64M", 1024,
     (int64_t)1 << 30, NULL, "largest JSON body"},
    {"max-body-memory", SETTING_BYTES | SETTING_RELOADS, AT(max_body_memory), "512M", 1 << 20,
     (int64_t)1 << 40, NULL,
     "memory for the JSON bodies of all requests together; beyond it they are answered 503"},
    {"max-uploads", SETTING_INTEGER | SETTING_RELOADS, AT(max_uploads), "16", 1, 1024, NULL,
     "uploads of samples at the same time"},
    {"unfinished-upload-seconds", SETTING_INTEGER | SETTING_RELOADS, AT(unfinished_upload_seconds),
     "86400", 1, 31536000, NULL,
     "seconds after which what has come of samples in pieces is removed, when nobody goes on"},
    {"dataset-retention-seconds", SETTING_INTEGER | SETTING_RELOADS, AT(dataset_retention_seconds),
     "0", 0, 3153600000, NULL,
     "seconds after its last use, by an upload or a job, after which a dataset is deleted; 0: "
     "never"},
    {"result-retention-seconds", SETTING_INTEGER | SETTING_RELOADS, AT(result_retention_seconds),
     "0", 0, 3153600000, NULL,
     "seconds after the end of its job after which a result is deleted; 0: never"},
    {"job-timeout-seconds", SETTING_INTEGER | SETTING_RELOADS, AT(job_timeout_seconds), "0", 0,
     31536000, NULL, "seconds of running after which a job is stopped and fails; 0: never"},
    {"user-requests-per-second", SETTING_INTEGER | SETTING_RELOADS, AT(user_requests_per_second),
     "0", 0, 1000000, NULL, "most requests of one user; 0: as many as come"},
    {"user-queued-jobs", SETTING_INTEGER | SETTING_RELOADS, AT(user_queued_jobs), "1000", 0,
     1000000, NULL, "most jobs of one user that wait at the same time; 0: any number"},
    {"user-bytes", SETTING_BYTES | SETTING_RELOADS, AT(user_bytes), "0", 0, (int64_t)1 << 50, NULL,
     "most samples of all datasets of one user; 0: as many as the disk takes"},
    {"http-threads", SETTING_INTEGER, AT(http_threads), "4", 2, 64, NULL,
     "threads that answer requests"},
    {"connection-limit", SETTING_INTEGER, AT(connection_limit), "4096", 8, 65536, NULL,
     "connections at the same time; more are answered 503"},
    {"connections-per-address", SETTING_INTEGER | SETTING_RELOADS, AT(connections_per_address),
     "256", 0, 65536, NULL,
     "connections of one client at the same time; more are answered 503; 0: any number"},
    {"unlimited-addresses", SETTING_TEXT, AT(unlimited_addresses), "127.0.0.0/8, ::1", 0, 0, NULL,
     "clients for which that doesn't count, as a proxy: 10.0.0.7, 172.16.0.0/12"},
    {"max-listeners", SETTING_INTEGER, AT(max_listeners), "2048", 0, 65536, NULL,
     "clients that listen to events at the same time; more are answered 503"},
    {"event-heartbeat", SETTING_INTEGER | SETTING_RELOADS, AT(event_heartbeat), "15", 1, 3600, NULL,
     "seconds after which a silent stream of events shows that it is there"},
    {"idle-timeout", SETTING_INTEGER, AT(idle_timeout), "60", 1, 3600, NULL,
     "seconds after which a silent connection is closed"},
    {"header-timeout", SETTING_INTEGER | SETTING_RELOADS, AT(header_timeout), "20", 1, 3600, NULL,
     "seconds within which the headers of a request must have arrived"},
    {"request-timeout", SETTING_INTEGER | SETTING_RELOADS, AT(request_timeout), "120", 1, 86400,
     NULL, "seconds within which a JSON body must have arrived"},
    {"min-rate", SETTING_BYTES | SETTING_RELOADS, AT(min_rate), "1K", 0, (int64_t)1 << 30, NULL,
     "bytes per second at which bodies must come and answers be taken; 0: any"},
    {"rate-window", SETTING_INTEGER | SETTING_RELOADS, AT(rate_window), "30", 1, 3600, NULL,
     "seconds over which that is measured"},
    {"tls-certificate", SETTING_TEXT, AT(tls_certificate), "", 0, 0, NULL,
     "PEM file of the certificate and the chain below it, to answer with TLS (https)"},
    {"tls-key", SETTING_TEXT, AT(tls_key), "", 0, 0, NULL,
     "PEM file of its key; both are read again at SIGHUP"},
    {"convert-program", SETTING_TEXT, AT(convert_program), "", 0, 0, NULL,
     "what reads and writes .set and .h5 files (default: rejectd-convert beside rejectd)"},
    {"convert-seconds", SETTING_INTEGER | SETTING_RELOADS, AT(convert_seconds), "300", 1, 86400,
     NULL, "seconds after which it is stopped"},
    {"convert-memory", SETTING_BYTES | SETTING_RELOADS, AT(convert_memory), "4G", (int64_t)64 << 20,
     (int64_t)1 << 50, NULL,
     "most memory that it may take, beside four times the size of its file"},
    {"drain-seconds", SETTING_INTEGER | SETTING_RELOADS, AT(drain_seconds), "30", 0, 86400, NULL,
     "seconds that running jobs have to end after SIGTERM, before they go back to the queue"},
    {"nvml-library", SETTING_TEXT, AT(nvml_library), "libnvidia-ml.so.1", 0, 0, NULL,
     "what tells /metrics of GPUs, when it is there; none: isn't asked"},
    {"log-level", SETTING_TEXT | SETTING_RELOADS, AT(log_level), "info", 0, 0,
     "debug|info|warning|error", "least level of what is logged to stderr"},
};

enum { N_SETTINGS = sizeof settings / sizeof settings[0] };

static enum setting_type type_of(const struct setting *setting)
{
    return (enum setting_type)(setting->type & ~(unsigned)SETTING_RELOADS);
}

static char *text_of(struct config *config, const struct setting *setting)
{
    return (char *)config + setting->offset;
}

static int64_t *number_of(struct config *config, const struct setting *setting)
{
    return (int64_t *)(void *)((char *)config + setting->offset);
}

static const struct setting *find_setting(const char *name, size_t length)
{
    for (size_t i = 0; i < N_SETTINGS; i++) {
        if (strlen(settings[i].name) == length && memcmp(settings[i].name, name, length) == 0) {
            return &settings[i];
        }
    }
    return NULL;
}

static bool is_choice(const char *choices, const char *value)
{
    const size_t length = strlen(value);
    for (const char *choice = choices; choice != NULL;) {
        const size_t choice_length = strcspn(choice, "|");
        if (choice_length == length && memcmp(choice, value, length) == 0) {
            return true;
        }
        choice = choice[choice_length] == '|' ? choice + choice_length + 1 : NULL;
    }
    return false;
}

/* autoreject's accelerated branch calls its backends by other names. */
static const char *backend_alias(const struct setting *setting, const char *value)
{
    static const char *const names[][2] = {
        {"numpy", "reference"}, {"numba", "cpu"}, {"torch", "cuda"}, {"jax", "cuda"}};
    for (size_t i = 0; strcmp(setting->name, "backend") == 0 && i < 4; i++) {
        if (strcmp(value, names[i][0]) == 0) {
            return names[i][1];
        }
    }
    return value;
}

static enum rejectd_status set_text(struct config *config, const struct setting *setting,
                                    const char *where, const char *value,
                                    struct rejectd_error *error)
{
    if (strlen(value) >= CONFIG_TEXT_SIZE) {
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, setting->name,
                            "%s: %s is longer than %d bytes", where, setting->name,
                            CONFIG_TEXT_SIZE - 1);
    }
    if (setting->choices != NULL && !is_choice(setting->choices, value)) {
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, setting->name,
                            "%s: %s is \"%.64s\"; accepted: %s", where, setting->name, value,
                            setting->choices);
    }
    value = backend_alias(setting, value);
    memcpy(text_of(config, setting), value, strlen(value) + 1);
    return REJECTD_OK;
}

static enum rejectd_status set_number(struct config *config, const struct setting *setting,
                                      const char *where, const char *value,
                                      struct rejectd_error *error)
{
    static const char suffixes[] = "KMGT";
    char *end = NULL;
    errno = 0;
    const long long parsed = strtoll(value, &end, 10);
    bool valid = end != value && errno == 0;
    int64_t number = parsed;
    const char *suffix =
        valid && *end != '\0' && type_of(setting) == SETTING_BYTES ? strchr(suffixes, *end) : NULL;
    if (suffix != NULL) {
        const int64_t unit = (int64_t)1 << (10 * (suffix - suffixes + 1));
        valid = !__builtin_mul_overflow(number, unit, &number);
        end++;
    }
    valid = valid && *end == '\0' && number >= setting->least && number <= setting->most;
    if (!valid) {
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, setting->name,
                            "%s: %s is \"%.64s\"; accepted: an integer from %lld to %lld%s", where,
                            setting->name, value, (long long)setting->least,
                            (long long)setting->most,
                            type_of(setting) == SETTING_BYTES ? ", with K, M, G or T" : "");
    }
    *number_of(config, setting) = number;
    return REJECTD_OK;
}

static enum rejectd_status set(struct config *config, const struct setting *setting,
                               const char *where, const char *value, struct rejectd_error *error)
{
    return type_of(setting) == SETTING_TEXT ? set_text(config, setting, where, value, error)
                                            : set_number(config, setting, where, value, error);
}

/* ---- file ---- */

struct file_reading {
    const char *path;
    FILE *stream;
    int line;
    bool too_long;
    struct config *config;
    enum rejectd_status status;
    struct rejectd_error *error;
};

/* As fgets(), and counts the lines, which libinih as Debian builds it doesn't tell. */
static char *read_line(char *line, int size, void *context)
{
    struct file_reading *reading = context;
    char *read = fgets(line, size, reading->stream);
    if (read != NULL) {
        reading->line++;
        const size_t length = strlen(line);
        reading->too_long = length + 1 == (size_t)size && line[length - 1] != '\n';
    }
    return reading->too_long ? NULL : read;
}

static int handle_line(void *context, const char *section, const char *name, const char *value)
{
    struct file_reading *reading = context;
    if (reading->status != REJECTD_OK) {
        return 0;
    }
    char where[512];
    snprintf(where, sizeof where, "%.480s:%d", reading->path, reading->line);
    if (section[0] != '\0' && strcmp(section, "rejectd") != 0) {
        reading->status =
            REJECTD_FAIL(reading->error, REJECTD_INVALID_VALUE, "",
                         "%s: unknown section [%.64s]; accepted: [rejectd]", where, section);
        return 0;
    }
    const struct setting *setting = find_setting(name, strlen(name));
    if (setting == NULL) {
        reading->status =
            REJECTD_FAIL(reading->error, REJECTD_INVALID_VALUE, "",
                         "%s: unknown setting \"%.64s\"; rejectd --help lists them", where, name);
        return 0;
    }
    reading->status = set(reading->config, setting, where, value, reading->error);
    return reading->status == REJECTD_OK;
}

static enum rejectd_status load_file(const char *path, struct config *config,
                                     struct rejectd_error *error)
{
    struct file_reading reading = {.path = path, .config = config, .error = error};
    reading.stream = fopen(path, "re");
    if (reading.stream == NULL) {
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "config", "%.200s cannot be read: %s",
                            path, strerror(errno));
    }
    const int bad_line = ini_parse_stream(read_line, &reading, handle_line, &reading);
    const bool failed = ferror(reading.stream) != 0;
    fclose(reading.stream);
    if (reading.status != REJECTD_OK) {
        return reading.status;
    }
    if (reading.too_long) {
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "config",
                            "%.200s:%d: the line is too long", path, reading.line);
    }
    if (bad_line != 0 || failed) {
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "config",
                            "%.200s:%d: not a line of the form name = value", path,
                            bad_line > 0 ? bad_line : reading.line);
    }
    return REJECTD_OK;
}

/* ---- environment ---- */

/* "REJECTD_DATA_DIR" for data-dir. */
static void environment_name(const struct setting *setting, char out[64])
{
    size_t length = (size_t)snprintf(out, 64, "REJECTD_");
    for (const char *c = setting->name; *c != '\0' && length < 63; c++) {
        out[length++] = *c == '-' ? '_' : (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    }
    out[length] = '\0';
}

static enum rejectd_status load_environment(char *const *environment, struct config *config,
                                            struct rejectd_error *error)
{
    for (size_t i = 0; i < N_SETTINGS; i++) {
        char name[64];
        environment_name(&settings[i], name);
        const size_t length = strlen(name);
        for (char *const *entry = environment; *entry != NULL; entry++) {
            if (strncmp(*entry, name, length) != 0 || (*entry)[length] != '=') {
                continue;
            }
            const enum rejectd_status status =
                set(config, &settings[i], name, *entry + length + 1, error);
            if (status != REJECTD_OK) {
                return status;
            }
        }
    }
    return REJECTD_OK;
}

/* ---- flags ---- */

struct flag {
    const char *name; /* without "--"; borrowed */
    size_t length;
    const char *value; /* NULL when there is none */
};

/* The flag at argv[*index], given as "--name=value" or "--name value"; advances past it. */
static bool next_flag(int argc, char *const *argv, int *index, struct flag *flag)
{
    const char *argument = argv[*index];
    if (strncmp(argument, "--", 2) != 0 || argument[2] == '\0') {
        return false;
    }
    flag->name = argument + 2;
    flag->length = strcspn(flag->name, "=");
    flag->value = flag->name[flag->length] == '=' ? flag->name + flag->length + 1 : NULL;
    (*index)++;
    const bool has_value =
        find_setting(flag->name, flag->length) != NULL ||
        (flag->length == strlen("config") && memcmp(flag->name, "config", flag->length) == 0);
    if (has_value && flag->value == NULL && *index < argc) {
        flag->value = argv[(*index)++];
    }
    return true;
}

static bool flag_is(const struct flag *flag, const char *name)
{
    return flag->length == strlen(name) && memcmp(flag->name, name, flag->length) == 0;
}

static bool flag_action(const struct flag *flag, enum config_action *action)
{
    static const struct {
        const char *name;
        enum config_action action;
    } actions[] = {
        {"check-config", CONFIG_CHECK}, {"version", CONFIG_VERSION}, {"help", CONFIG_HELP}};
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (flag->value == NULL && flag_is(flag, actions[i].name)) {
            *action = actions[i].action;
            return true;
        }
    }
    return false;
}

/* Checks all flags; finds the action and the file, and leaves the settings to load_flags(). */
static enum rejectd_status scan_flags(int argc, char *const *argv, const char **path,
                                      enum config_action *action, struct rejectd_error *error)
{
    for (int i = 1; i < argc;) {
        struct flag flag;
        const char *argument = argv[i];
        if (!next_flag(argc, argv, &i, &flag)) {
            return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "",
                                "unknown argument \"%.64s\"; rejectd --help lists them", argument);
        }
        if (flag_action(&flag, action)) {
            continue;
        }
        const bool is_file = flag_is(&flag, "config");
        if (!is_file && find_setting(flag.name, flag.length) == NULL) {
            return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "",
                                "unknown flag \"%.64s\"; rejectd --help lists them", argument);
        }
        if (flag.value == NULL) {
            return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "", "%.64s needs a value", argument);
        }
        if (is_file) {
            *path = flag.value;
        }
    }
    return REJECTD_OK;
}

static enum rejectd_status load_flags(int argc, char *const *argv, struct config *config,
                                      struct rejectd_error *error)
{
    for (int i = 1; i < argc;) {
        struct flag flag;
        next_flag(argc, argv, &i, &flag);
        const struct setting *setting = find_setting(flag.name, flag.length);
        if (setting != NULL) {
            char where[64];
            snprintf(where, sizeof where, "--%s", setting->name);
            const enum rejectd_status status = set(config, setting, where, flag.value, error);
            if (status != REJECTD_OK) {
                return status;
            }
        }
    }
    return REJECTD_OK;
}

/* ---- all of it ---- */

static const char *environment_value(char *const *environment, const char *name)
{
    const size_t length = strlen(name);
    for (char *const *entry = environment; *entry != NULL; entry++) {
        if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=') {
            return (*entry)[length + 1] == '\0' ? NULL : *entry + length + 1;
        }
    }
    return NULL;
}

static enum rejectd_status default_data_dir(struct config *config, char *const *environment,
                                            struct rejectd_error *error)
{
    const char *state = environment_value(environment, "XDG_STATE_HOME");
    const char *home = environment_value(environment, "HOME");
    int length;
    if (geteuid() == 0) {
        length = snprintf(config->data_dir, CONFIG_TEXT_SIZE, "/var/lib/rejectd");
    } else if (state != NULL) {
        length = snprintf(config->data_dir, CONFIG_TEXT_SIZE, "%s/rejectd", state);
    } else if (home != NULL) {
        length = snprintf(config->data_dir, CONFIG_TEXT_SIZE, "%s/.local/state/rejectd", home);
    } else {
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "data-dir",
                            "data-dir is not set, and neither XDG_STATE_HOME nor HOME tells one");
    }
    if (length >= CONFIG_TEXT_SIZE) {
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "data-dir", "data-dir is too long");
    }
    return REJECTD_OK;
}

/* What one setting alone can't tell. */
static enum rejectd_status check_together(const struct config *config, struct rejectd_error *error)
{
    char host[256];
    int port;
    if ((config->tls_certificate[0] == '\0') != (config->tls_key[0] == '\0')) {
        const char *missing = config->tls_key[0] == '\0' ? "tls-key" : "tls-certificate";
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, missing,
                            "%s is missing; accepted are both tls-certificate and tls-key, or "
                            "none of them",
                            missing);
    }
    /* Three quarters of it are for bodies that are large; see connections_take_memory(). */
    if (config->max_json_bytes > config->max_body_memory - config->max_body_memory / 4) {
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "max-body-memory",
                            "max-body-memory is %lld; accepted is at least 4/3 of max-json-bytes, "
                            "which is %lld",
                            (long long)config->max_body_memory, (long long)config->max_json_bytes);
    }
    return config_listen_address(config, host, &port, error);
}

enum rejectd_status config_load(int argc, char *const *argv, char *const *environment,
                                struct config *config, enum config_action *action,
                                struct rejectd_error *error)
{
    const char *path = NULL;
    *action = CONFIG_RUN;
    memset(config, 0, sizeof *config);
    enum rejectd_status status = scan_flags(argc, argv, &path, action, error);
    for (size_t i = 0; status == REJECTD_OK && i < N_SETTINGS; i++) {
        status = set(config, &settings[i], "default", settings[i].initial, error);
    }
    if (path == NULL) {
        path = environment_value(environment, "REJECTD_CONFIG");
    }
    if (status == REJECTD_OK && path != NULL) {
        status = load_file(path, config, error);
    }
    if (status == REJECTD_OK) {
        status = load_environment(environment, config, error);
    }
    if (status == REJECTD_OK) {
        status = load_flags(argc, argv, config, error);
    }
    if (status == REJECTD_OK && config->data_dir[0] == '\0') {
        status = default_data_dir(config, environment, error);
    }
    if (status == REJECTD_OK) {
        status = check_together(config, error);
    }
    return status;
}

enum rejectd_status config_listen_address(const struct config *config, char host[256], int *port,
                                          struct rejectd_error *error)
{
    const char *text = config->listen;
    const char *colon = strrchr(text, ':');
    const bool bracketed = text[0] == '[';
    size_t length = colon == NULL ? 0 : (size_t)(colon - text);
    bool valid = length > 0 && length < 256 && colon[1] >= '0' && colon[1] <= '9';
    if (valid && bracketed) {
        valid = length > 2 && text[length - 1] == ']';
        text++;
        length -= 2;
    } else if (valid) {
        valid = memchr(text, ':', length) == NULL;
    }
    if (valid) {
        char *end;
        const long number = strtol(colon + 1, &end, 10);
        valid = *end == '\0' && number <= 65535;
        *port = (int)number;
    }
    if (!valid) {
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "listen",
                            "listen is \"%.64s\"; accepted: ADDRESS:PORT as 127.0.0.1:8765 or "
                            "[::1]:8765, with a port from 0 to 65535",
                            config->listen);
    }
    memcpy(host, text, length);
    host[length] = '\0';
    return REJECTD_OK;
}

bool config_reload(const struct config *old, const struct config *fresh, struct config *merged,
                   void (*tell)(void *context, const char *name, bool applied), void *context)
{
    struct config from = *fresh;
    bool any = false;
    *merged = *old;
    for (size_t i = 0; i < N_SETTINGS; i++) {
        const struct setting *setting = &settings[i];
        const bool applied = (setting->type & SETTING_RELOADS) != 0;
        const bool is_text = type_of(setting) == SETTING_TEXT;
        char *to_text = text_of(merged, setting);
        const bool changed = is_text ? strcmp(to_text, text_of(&from, setting)) != 0
                                     : *number_of(merged, setting) != *number_of(&from, setting);
        if (changed && applied && is_text) {
            memcpy(to_text, text_of(&from, setting), CONFIG_TEXT_SIZE);
        } else if (changed && applied) {
            *number_of(merged, setting) = *number_of(&from, setting);
        }
        if (changed) {
            tell(context, setting->name, applied);
        }
        any = any || (changed && applied);
    }
    return any;
}

void config_help(FILE *stream)
{
    fputs("Usage: rejectd [--config FILE] [--SETTING VALUE]... [--check-config | --version | "
          "--help]\n\n"
          "Serves autoreject over HTTP: upload M/EEG epochs, get thresholds, labels and repaired\n"
          "data. On SIGTERM running jobs are finished within drain-seconds; the rest runs at the\n"
          "next start. On SIGHUP the configuration file is read again.\n\n"
          "rejectd token, backup, restore and check look after its data; each has a --help.\n\n"
          "Settings, from the configuration file, then the environment, then the flags:\n",
          stream);
    for (size_t i = 0; i < N_SETTINGS; i++) {
        char name[64];
        environment_name(&settings[i], name);
        fprintf(stream, "  --%s VALUE, %s\n      %s", settings[i].name, name, settings[i].help);
        if (settings[i].choices != NULL) {
            fprintf(stream, ": %s", settings[i].choices);
        } else if (type_of(&settings[i]) != SETTING_TEXT) {
            fprintf(stream, " (%lld to %lld)", (long long)settings[i].least,
                    (long long)settings[i].most);
        }
        if (settings[i].initial[0] != '\0') {
            fprintf(stream, " [%s]", settings[i].initial);
        }
        fputc('\n', stream);
    }
    fputs("\nExamples:\n"
          "  rejectd\n"
          "  rejectd --listen 127.0.0.1:0 --data-dir /tmp/rejectd\n"
          "  rejectd --config /etc/rejectd.ini --check-config\n",
          stream);
}

void config_print(const struct config *config, FILE *stream)
{
    for (size_t i = 0; i < N_SETTINGS; i++) {
        const char *member = (const char *)config + settings[i].offset;
        if (type_of(&settings[i]) == SETTING_TEXT) {
            fprintf(stream, "%s = %s\n", settings[i].name, member);
        } else {
            int64_t number;
            memcpy(&number, member, sizeof number);
            fprintf(stream, "%s = %lld\n", settings[i].name, (long long)number);
        }
    }
}
