/*
 * The file ([rejectd] sections or none, `listen = 127.0.0.1:8765`), the environment
 * (REJECTD_LISTEN) and the flags (--listen) are three ways to set the same entries, in that order
 * of precedence.
 *
 * An unknown key, section or flag is an error, because a misspelt setting is one that silently
 * doesn't apply. Unknown REJECTD_ variables are not: other programs have theirs.
 */
#include "server/config.h"

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/settings.h"

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
    const struct setting *setting = setting_find(name, strlen(name));
    if (setting == NULL) {
        reading->status =
            REJECTD_FAIL(reading->error, REJECTD_INVALID_VALUE, "",
                         "%s: unknown setting \"%.64s\"; rejectd --help lists them", where, name);
        return 0;
    }
    reading->status = setting_set(reading->config, setting, where, value, reading->error);
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
    const struct setting *setting;
    for (size_t i = 0; (setting = setting_at(i)) != NULL; i++) {
        char name[64];
        environment_name(setting, name);
        const size_t length = strlen(name);
        for (char *const *entry = environment; *entry != NULL; entry++) {
            if (strncmp(*entry, name, length) != 0 || (*entry)[length] != '=') {
                continue;
            }
            const enum rejectd_status status =
                setting_set(config, setting, name, *entry + length + 1, error);
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
        setting_find(flag->name, flag->length) != NULL ||
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
        if (!is_file && setting_find(flag.name, flag.length) == NULL) {
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
        const struct setting *setting = setting_find(flag.name, flag.length);
        if (setting != NULL) {
            char where[64];
            snprintf(where, sizeof where, "--%s", setting->name);
            const enum rejectd_status status =
                setting_set(config, setting, where, flag.value, error);
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
    const struct setting *setting;
    for (size_t i = 0; status == REJECTD_OK && (setting = setting_at(i)) != NULL; i++) {
        status = setting_set(config, setting, "default", setting->initial, error);
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
    const struct setting *setting;
    for (size_t i = 0; (setting = setting_at(i)) != NULL; i++) {
        const bool applied = (setting->type & SETTING_RELOADS) != 0;
        const bool is_text = setting_type(setting) == SETTING_TEXT;
        char *to_text = setting_text(merged, setting);
        const bool changed =
            is_text ? strcmp(to_text, setting_text(&from, setting)) != 0
                    : *setting_number(merged, setting) != *setting_number(&from, setting);
        if (changed && applied && is_text) {
            memcpy(to_text, setting_text(&from, setting), CONFIG_TEXT_SIZE);
        } else if (changed && applied) {
            *setting_number(merged, setting) = *setting_number(&from, setting);
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
    const struct setting *setting;
    for (size_t i = 0; (setting = setting_at(i)) != NULL; i++) {
        char name[64];
        environment_name(setting, name);
        fprintf(stream, "  --%s VALUE, %s\n      %s", setting->name, name, setting->help);
        if (setting->choices != NULL) {
            fprintf(stream, ": %s", setting->choices);
        } else if (setting_type(setting) != SETTING_TEXT) {
            fprintf(stream, " (%lld to %lld)", (long long)setting->least, (long long)setting->most);
        }
        if (setting->initial[0] != '\0') {
            fprintf(stream, " [%s]", setting->initial);
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
    const struct setting *setting;
    for (size_t i = 0; (setting = setting_at(i)) != NULL; i++) {
        const char *member = (const char *)config + setting->offset;
        if (setting_type(setting) == SETTING_TEXT) {
            fprintf(stream, "%s = %s\n", setting->name, member);
        } else {
            int64_t number;
            memcpy(&number, member, sizeof number);
            fprintf(stream, "%s = %lld\n", setting->name, (long long)number);
        }
    }
}
