/*
 * Settings of the daemon, from one table (config.c): defaults, then the configuration file, then
 * the environment, then the flags; the later wins.
 */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include <rejectd/error.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { CONFIG_TEXT_SIZE = 1024 };

struct config {
    char listen[CONFIG_TEXT_SIZE];
    char data_dir[CONFIG_TEXT_SIZE];
    char store[CONFIG_TEXT_SIZE];
    char backend[CONFIG_TEXT_SIZE];
    char log_level[CONFIG_TEXT_SIZE];
    int64_t drain_seconds;
    char nvml_library[CONFIG_TEXT_SIZE];
    char cuda_module[CONFIG_TEXT_SIZE];
    int64_t device_memory;
    int64_t device_timeout;
    int64_t device_stall;
    int64_t threads;
    int64_t job_memory;
    int64_t max_upload_bytes;
    int64_t max_json_bytes;
    int64_t max_uploads;
    int64_t unfinished_upload_seconds;
    int64_t dataset_retention_seconds; /* 0: for ever */
    int64_t result_retention_seconds;  /* likewise */
    int64_t job_timeout_seconds;       /* 0: none */
    int64_t user_requests_per_second;
    int64_t user_queued_jobs;
    int64_t user_bytes;
    int64_t http_threads;
    int64_t connection_limit;
    int64_t idle_timeout;
    int64_t request_timeout;
    int64_t header_timeout;
    int64_t min_rate; /* bytes per second */
    int64_t rate_window;
    int64_t connections_per_address;
    char unlimited_addresses[CONFIG_TEXT_SIZE];
    int64_t max_body_memory;
    int64_t max_listeners;
    int64_t event_heartbeat;
    char tls_certificate[CONFIG_TEXT_SIZE]; /* both or none */
    char tls_key[CONFIG_TEXT_SIZE];
    char convert_program[CONFIG_TEXT_SIZE];
    int64_t convert_seconds;
    int64_t convert_memory;
};

/* What the command line asked for. */
enum config_action {
    CONFIG_RUN,
    CONFIG_CHECK,
    CONFIG_VERSION,
    CONFIG_HELP,
};

/*
 * Reads the settings. `environment` is a NULL-terminated list of "NAME=value".
 *
 * Errors say where the setting came from ("rejectd.ini:12", "REJECTD_LISTEN", "--listen"), what
 * was wrong and what is accepted.
 */
enum rejectd_status config_load(int argc, char *const *argv, char *const *environment,
                                struct config *config, enum config_action *action,
                                struct rejectd_error *error);

/* The host and port of config.listen; host without the brackets of an IPv6 address. */
enum rejectd_status config_listen_address(const struct config *config, char host[256], int *port,
                                          struct rejectd_error *error);

/*
 * What a running daemon does with settings that were read again: *merged is the old ones with those
 * of the fresh ones that can be applied. `tell` is called for each that has
 * changed. False when none of them can be applied.
 */
bool config_reload(const struct config *old, const struct config *fresh, struct config *merged,
                   void (*tell)(void *context, const char *name, bool applied), void *context);

void config_help(FILE *stream);
/* The settings as a configuration file. */
void config_print(const struct config *config, FILE *stream);

#endif
