#define _GNU_SOURCE /* strsignal() */
#include "server/worker_process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "server/clock.h"

extern char **environ;

enum { CHANNEL_FD = 3, MOST_ARGUMENTS = 16 };

/* The same program, even if its file has been replaced meanwhile. */
static const char program[] = "/proc/self/exe";

/* Between fork() and exec() in a program with threads: system calls alone. Returns errno. */
static int become_worker(char *const *arguments, pid_t daemon, int channel)
{
    sigset_t signals;
    const int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    sigemptyset(&signals);
    sigprocmask(SIG_SETMASK, &signals, NULL);
    if (input < 0 || dup2(input, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0 ||
        setpgid(0, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
        return errno;
    }
    if (getppid() != daemon) { /* it ended before this could be told to end with it */
        return ESRCH;
    }
    if (channel == CHANNEL_FD ? fcntl(channel, F_SETFD, 0) != 0
                              : dup2(channel, CHANNEL_FD) != CHANNEL_FD) {
        return errno;
    }
    (void)syscall(SYS_close_range, CHANNEL_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC);
    execve(program, arguments, environ);
    return errno;
}

static enum rejectd_status fail_start(int number, struct rejectd_error *error)
{
    return REJECTD_FAIL(error, REJECTD_DEVICE_FAILED, "",
                        "the process of the device cannot be started: %s", strerror(number));
}

struct arguments {
    char channel[16], memory[32], threads[32];
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
    snprintf(arguments->memory, sizeof arguments->memory, "%" PRIu64, options->memory);
    snprintf(arguments->threads, sizeof arguments->threads, "%" PRId64, options->threads);
    const char *const texts[] = {
        "rejectd",          "worker",   "--device",        options->device, "--channel",
        arguments->channel, "--memory", arguments->memory, "--threads",     arguments->threads,
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        arguments->items[n++] = plain(texts[i]);
    }
    if (options->module != NULL) {
        arguments->items[n++] = plain("--cuda-module");
        arguments->items[n++] = plain(options->module);
    }
    arguments->items[n] = NULL;
}

enum rejectd_status worker_process_start(const struct worker_process_options *options,
                                         struct worker_process *process,
                                         struct rejectd_error *error)
{
    struct arguments arguments;
    int ends[2];
    int failure[2]; /* closed by exec(), or given the errno */
    int number = 0;
    fill_arguments(options, &arguments);
    *process = (struct worker_process){.channel = {.fd = -1}};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        return fail_start(errno, error);
    }
    if (pipe2(failure, O_CLOEXEC) != 0) {
        number = errno;
        close(ends[0]);
        close(ends[1]);
        return fail_start(number, error);
    }
    const pid_t daemon = getpid();
    const pid_t pid = fork();
    if (pid == 0) {
        number = become_worker(arguments.items, daemon, ends[1]);
        (void)!write(failure[1], &number, sizeof number);
        kill(getpid(), SIGKILL);
    }
    number = pid < 0 ? errno : 0;
    close(ends[1]);
    close(failure[1]);
    ssize_t n = 0;
    while (pid > 0 && (n = read(failure[0], &number, sizeof number)) < 0 && errno == EINTR) {
    }
    close(failure[0]);
    *process = (struct worker_process){
        .pid = pid > 0 ? pid : 0,
        .channel = {.fd = ends[0], .patience = options->patience},
    };
    if (number != 0) {
        worker_process_end(process, 0.0, NULL);
        return fail_start(number, error);
    }
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
