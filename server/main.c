/* rejectd: settings, signals, and the loop between start and stop. */
#include <malloc.h>
#include <rejectd/compute.h>
#include <rejectd/version.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

#include "server/commands/backup.h"
#include "server/commands/check.h"
#include "server/commands/token.h"
#include "server/daemon.h"
#include "server/devices/device_list.h"
#include "server/devices/worker_main.h"

extern char **environ;

enum { EXIT_SETTINGS = 2 };

/* What was started, and with what. */
struct serving {
    int argc;
    char **argv;
    struct daemon *daemon;
    bool draining;
};

/* The first time running jobs may end; the second time they may not. */
static void on_signal(uv_signal_t *handle, int number)
{
    struct serving *serving = handle->data;
    const bool again = serving->draining;
    (void)number;
    serving->draining = true;
    if (!again) {
        daemon_drain(serving->daemon);
    }
    if (again || daemon_is_drained(serving->daemon)) {
        uv_stop(handle->loop);
    }
}

static void on_hangup(uv_signal_t *handle, int number)
{
    const struct serving *serving = handle->data;
    struct config fresh;
    struct rejectd_error error = {0};
    enum config_action action;
    (void)number;
    const enum rejectd_status status =
        config_load(serving->argc, serving->argv, environ, &fresh, &action, &error);
    daemon_reload(serving->daemon, status == REJECTD_OK ? &fresh : NULL, &error);
}

static void on_tick(uv_timer_t *handle)
{
    const struct serving *serving = handle->data;
    daemon_tick(serving->daemon);
    if (serving->draining && daemon_is_drained(serving->daemon)) {
        uv_stop(handle->loop);
    }
}

/* Returns after SIGTERM or SIGINT, when running jobs have ended or their time is over. */
static int run_loop(struct serving *serving)
{
    uv_loop_t loop;
    uv_signal_t terminate;
    uv_signal_t interrupt;
    uv_signal_t hangup;
    uv_timer_t tick;
    int failed = uv_loop_init(&loop);
    if (failed != 0) {
        return failed;
    }
    uv_signal_init(&loop, &terminate);
    uv_signal_init(&loop, &interrupt);
    uv_signal_init(&loop, &hangup);
    uv_timer_init(&loop, &tick);
    terminate.data = interrupt.data = hangup.data = tick.data = serving;
    failed = uv_signal_start(&terminate, on_signal, SIGTERM);
    if (failed == 0) {
        failed = uv_signal_start(&interrupt, on_signal, SIGINT);
    }
    if (failed == 0) {
        failed = uv_signal_start(&hangup, on_hangup, SIGHUP);
    }
    if (failed == 0) {
        failed = uv_timer_start(&tick, on_tick, DAEMON_TICK_MS, DAEMON_TICK_MS);
    }
    if (failed == 0) {
        /* Whoever started us may now connect, or send a signal. */
        printf("rejectd listening on %s\n", daemon_url(serving->daemon));
        fflush(stdout);
        daemon_ready(serving->daemon);
        uv_run(&loop, UV_RUN_DEFAULT);
    }
    uv_close((uv_handle_t *)&terminate, NULL);
    uv_close((uv_handle_t *)&interrupt, NULL);
    uv_close((uv_handle_t *)&hangup, NULL);
    uv_close((uv_handle_t *)&tick, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    return failed;
}

static int fail(const struct rejectd_error *error, int code)
{
    fprintf(stderr, "rejectd: %s\n", error->message);
    return code;
}

/* What every process of the daemon starts with. */
static void prepare_process(void)
{
    umask(077);
    /* Fixed, glibc's threshold doesn't grow: what an upload used goes back to the system. */
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    signal(SIGPIPE, SIG_IGN);
}

static int serve(const struct config *config, int argc, char **argv)
{
    struct rejectd_error error = {0};
    struct serving serving = {.argc = argc, .argv = argv};
    prepare_process();
    signal(SIGHUP, SIG_IGN); /* until there are settings to read again */
    if (daemon_start(config, environ, &serving.daemon, &error) != REJECTD_OK) {
        return fail(&error, EXIT_FAILURE);
    }
    const int failed = run_loop(&serving);
    daemon_stop(serving.daemon);
    if (failed != 0) {
        fprintf(stderr, "rejectd: the event loop cannot be started: %s\n", uv_strerror(failed));
    }
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Looks at the GPUs as the daemon does, so that a driver that crashes is told of, too. */
static int print_version(const struct config *config)
{
    static const double list_seconds = 60.0;
    struct device_list list;
    printf("rejectd %s\n%s\n", REJECTD_VERSION, rejectd_compute_description(NULL));
    device_list_ask(config->cuda_module[0] == '\0' ? NULL : config->cuda_module, list_seconds,
                    &list);
    printf("CUDA: %s\n", list.note);
    for (size_t i = 0; i < list.n; i++) {
        const struct rejectd_device_info *info = &list.devices[i];
        printf("%s: %s, %.1f GiB\n", info->id, info->name, (double)info->memory / (1 << 30));
    }
    return EXIT_SUCCESS;
}

static enum rejectd_status run_worker(int argc, char **argv, char *const *environment,
                                      struct rejectd_error *error)
{
    (void)environment;
    return worker_main(argc, argv, error);
}

struct command {
    const char *name;
    enum rejectd_status (*run)(int argc, char **argv, char *const *environment,
                               struct rejectd_error *error);
    bool is_of_settings; /* whatever its failure, it is one of wrong settings */
};

static const struct command commands[] = {
    {"worker", run_worker, true},        {"token", token_command, false},
    {"check", check_command, false},     {"backup", backup_command, false},
    {"restore", restore_command, false},
};

static int run_command(const struct command *command, int argc, char **argv)
{
    struct rejectd_error error = {0};
    prepare_process();
    const enum rejectd_status status = command->run(argc, argv, environ, &error);
    if (status == REJECTD_OK) {
        return EXIT_SUCCESS;
    }
    return fail(&error, command->is_of_settings || status == REJECTD_INVALID_VALUE ? EXIT_SETTINGS
                                                                                   : EXIT_FAILURE);
}

int main(int argc, char **argv)
{
    struct config config;
    struct rejectd_error error = {0};
    enum config_action action = CONFIG_RUN;
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return run_command(&commands[i], argc - 1, argv + 1);
        }
    }
    if (config_load(argc, argv, environ, &config, &action, &error) != REJECTD_OK) {
        return fail(&error, EXIT_SETTINGS);
    }
    switch (action) {
    case CONFIG_RUN:
        return serve(&config, argc, argv);
    case CONFIG_CHECK:
        config_print(&config, stdout);
        break;
    case CONFIG_VERSION:
        return print_version(&config);
    case CONFIG_HELP:
        config_help(stdout);
        break;
    }
    return EXIT_SUCCESS;
}
