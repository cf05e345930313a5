#define _GNU_SOURCE /* strsignal(), posix_spawn_file_actions_addclosefrom_np() */
#include "server/devices/worker_process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "server/clock.h"

extern char **environ;

enum { CHANNEL_FD = 3, MOST_ARGUMENTS = 16 };

/* The same program, even if its file has been replaced meanwhile. */
static const char program[] = "/proc/self/exe";

static enum rejectd_status fail_start(int number, struct rejectd_error *error)
{
    return REJECTD_FAIL(error, REJECTD_DEVICE_FAILED, "",
                        "the process of the device cannot be started: %s", strerror(number));
}

struct arguments {
    char channel[16], daemon[16], memory[32], threads[32];
    char *items[MOST_ARGUMENTS];
};

/* execve() takes plain pointers, and leaves the text alone. */
static char *plain(const char *text)
{
    union {
        const char *constant;
        char *plain;
    } pointer = {.constant = text};
    return pointer.plain;
}

static void fill_arguments(const struct worker_process_options *options,
                           struct arguments *arguments)
{
    size_t n = 0;
    snprintf(arguments->channel, sizeof arguments->channel, "%d", CHANNEL_FD);
    snprintf(arguments->daemon, sizeof arguments->daemon, "%d", (int)getpid());
    snprintf(arguments->memory, sizeof arguments->memory, "%" PRIu64, options->memory);
    snprintf(arguments->threads, sizeof arguments->threads, "%" PRId64, options->threads);
    const char *const texts[] = {
        "rejectd",         "worker",   "--channel",       arguments->channel, "--daemon",
        arguments->daemon, "--memory", arguments->memory, "--threads",        arguments->threads,
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        arguments->items[n++] = plain(texts[i]);
    }
    if (options->device != NULL) {
        arguments->items[n++] = plain("--device");
        arguments->items[n++] = plain(options->device);
    }
    if (options->module != NULL) {
        arguments->items[n++] = plain("--cuda-module");
        arguments->items[n++] = plain(options->module);
    }
    arguments->items[n] = NULL;
}

/* Returns errno. posix_spawn() rather than fork(): nothing of this program runs in between. */
static int spawn(char *const *arguments, int channel, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    int failed = posix_spawn_file_actions_init(&actions);
    if (failed != 0) {
        return failed;
    }
    failed = posix_spawnattr_init(&attributes);
    if (failed != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return failed;
    }
    if ((failed = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY,
                                                   0)) == 0 &&
        (failed = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO)) == 0 &&
        (failed = posix_spawn_file_actions_adddup2(&actions, channel, CHANNEL_FD)) == 0 &&
        (failed = posix_spawn_file_actions_addclosefrom_np(&actions, CHANNEL_FD + 1)) == 0 &&
        (failed = posix_spawnattr_setsigmask(&attributes, &none)) == 0 &&
        (failed = posix_spawnattr_setpgroup(&attributes, 0)) == 0 &&
        (failed = posix_spawnattr_setflags(&attributes,
                                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK)) == 0) {
        failed = posix_spawn(pid, program, &actions, &attributes, arguments, environ);
    }
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

enum rejectd_status worker_process_start(const struct worker_process_options *options,
                                         struct worker_process *process,
                                         struct rejectd_error *error)
{
    struct arguments arguments;
    int ends[2];
    pid_t pid = 0;
    fill_arguments(options, &arguments);
    *process = (struct worker_process){.channel = {.fd = -1}};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        return fail_start(errno, error);
    }
    const int failed = spawn(arguments.items, ends[1], &pid);
    close(ends[1]);
    if (failed != 0) {
        close(ends[0]);
        return fail_start(failed, error);
    }
    *process = (struct worker_process){
        .pid = pid,
        .channel = {.fd = ends[0], .patience = options->patience},
    };
    return REJECTD_OK;
}

static void say_how(int status, char *how)
{
    if (WIFSIGNALED(status)) {
        const int number = WTERMSIG(status);
        snprintf(how, WORKER_PROCESS_END_SIZE, "its process was ended by signal %d (%s)", number,
                 strsignal(number));
    } else {
        snprintf(how, WORKER_PROCESS_END_SIZE, "its process ended with exit status %d",
                 WEXITSTATUS(status));
    }
}

void worker_process_end(struct worker_process *process, double seconds, char *how)
{
    static const struct timespec slice = {.tv_nsec = 5000000};
    if (how != NULL) {
        snprintf(how, WORKER_PROCESS_END_SIZE, "it has no process");
    }
    if (process->channel.fd >= 0) {
        close(process->channel.fd);
        process->channel.fd = -1;
    }
    if (process->pid == 0) {
        return;
    }
    const double deadline = clock_monotonic() + seconds;
    int status = 0;
    pid_t ended;
    while ((ended = waitpid(process->pid, &status, WNOHANG)) == 0 && clock_monotonic() < deadline) {
        nanosleep(&slice, NULL);
    }
    if (ended == 0) {
        kill(process->pid, SIGKILL);
        while ((ended = waitpid(process->pid, &status, 0)) < 0 && errno == EINTR) {
        }
    }
    if (how != NULL && ended > 0) {
        say_how(status, how);
    }
    process->pid = 0;
}
