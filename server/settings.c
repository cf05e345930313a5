#include "server/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

enum setting_type setting_type(const struct setting *setting)
{
    return (enum setting_type)(setting->type & ~(unsigned)SETTING_RELOADS);
}

char *setting_text(struct config *config, const struct setting *setting)
{
    return (char *)config + setting->offset;
}

int64_t *setting_number(struct config *config, const struct setting *setting)
{
    return (int64_t *)(void *)((char *)config + setting->offset);
}

const struct setting *setting_at(size_t index)
{
    return index < N_SETTINGS ? &settings[index] : NULL;
}

const struct setting *setting_find(const char *name, size_t length)
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
    memcpy(setting_text(config, setting), value, strlen(value) + 1);
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
    const char *suffix = valid && *end != '\0' && setting_type(setting) == SETTING_BYTES
                             ? strchr(suffixes, *end)
                             : NULL;
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
                            setting_type(setting) == SETTING_BYTES ? ", with K, M, G or T" : "");
    }
    *setting_number(config, setting) = number;
    return REJECTD_OK;
}

enum rejectd_status setting_set(struct config *config, const struct setting *setting,
                                const char *where, const char *value, struct rejectd_error *error)
{
    return setting_type(setting) == SETTING_TEXT ? set_text(config, setting, where, value, error)
                                                 : set_number(config, setting, where, value, error);
}
