/* rejectd: settings, signals, and the loop between start and stop. */
#include <malloc.h>
#include <rejectd/compute.h>
#include <rejectd/devices.h>
#include <rejectd/version.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

#include "server/commands/check.h"
#include "server/commands/token.h"
#include "server/daemon.h"
#include "server/devices/worker_main.h"

extern char **environ;

enum { EXIT_SETTINGS = 2 };

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    uv_stop(handle->loop);
}

static void on_hangup(uv_signal_t *handle, int number)
{
    (void)number;
    daemon_reload(handle->data);
}

static void on_tick(uv_timer_t *handle)
{
    daemon_tick(handle->data);
}

/* Returns after SIGTERM or SIGINT. */
static int run_loop(struct daemon *daemon)
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
    hangup.data = daemon;
    tick.data = daemon;
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
        printf("rejectd listening on %s\n", daemon_url(daemon));
        fflush(stdout);
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

static int serve(const struct config *config)
{
    struct rejectd_error error = {0};
    struct daemon *daemon = NULL;
    prepare_process();
    if (daemon_start(config, &daemon, &error) != REJECTD_OK) {
        return fail(&error, EXIT_FAILURE);
    }
    const int failed = run_loop(daemon);
    daemon_stop(daemon);
    if (failed != 0) {
        fprintf(stderr, "rejectd: the event loop cannot be started: %s\n", uv_strerror(failed));
    }
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Looks at the GPUs without opening them. */
static int print_version(const struct config *config)
{
    struct rejectd_error error = {0};
    struct rejectd_devices *devices = NULL;
    const struct rejectd_device *device;
    const char *module = config->cuda_module[0] == '\0' ? NULL : config->cuda_module;
    printf("rejectd %s\n%s\n", REJECTD_VERSION, rejectd_compute_description(NULL));
    if (rejectd_devices_open(module, &devices, &error) != REJECTD_OK) {
        return fail(&error, EXIT_FAILURE);
    }
    printf("CUDA: %s\n", rejectd_devices_note(devices));
    for (size_t i = 1; (device = rejectd_devices_at(devices, i)) != NULL; i++) {
        const struct rejectd_device_info *info = rejectd_device_info(device);
        printf("%s: %s, %.1f GiB\n", info->id, info->name, (double)info->memory / (1 << 30));
    }
    rejectd_devices_close(devices);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct config config;
    struct rejectd_error error = {0};
    enum config_action action = CONFIG_RUN;
    if (argc > 1 && strcmp(argv[1], "worker") == 0) {
        prepare_process();
        return worker_main(argc - 1, argv + 1, &error) == REJECTD_OK ? EXIT_SUCCESS
                                                                     : fail(&error, EXIT_SETTINGS);
    }
    if (argc > 1 && strcmp(argv[1], "token") == 0) {
        prepare_process();
        const enum rejectd_status status = token_command(argc - 1, argv + 1, environ, &error);
        return status == REJECTD_OK
                   ? EXIT_SUCCESS
                   : fail(&error, status == REJECTD_INVALID_VALUE ? EXIT_SETTINGS : EXIT_FAILURE);
    }
    if (argc > 1 && strcmp(argv[1], "check") == 0) {
        prepare_process();
        const enum rejectd_status status = check_command(argc - 1, argv + 1, environ, &error);
        return status == REJECTD_OK
                   ? EXIT_SUCCESS
                   : fail(&error, status == REJECTD_INVALID_VALUE ? EXIT_SETTINGS : EXIT_FAILURE);
    }
    if (config_load(argc, argv, environ, &config, &action, &error) != REJECTD_OK) {
        return fail(&error, EXIT_SETTINGS);
    }
    switch (action) {
    case CONFIG_RUN:
        return serve(&config);
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
