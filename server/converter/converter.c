#define _GNU_SOURCE /* pipe2() */
#include "server/converter/converter.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sanitized.h"
#include "protocol/utf8.h"
#include "server/clock.h"

enum {
    MOST_OUTPUT = 4 << 10,
    MOST_ARGUMENTS = 12,
    OPEN_FILES = 32,
    MEMORY_PER_BYTE = 4,
    /* rejectd-convert's exit statuses */
    EXIT_DONE = 0,
    EXIT_REFUSED = 2,
    EXIT_NEEDS_FDT = 3,
    EXIT_NO_MEMORY = 5,
};

struct converter {
    _Atomic(const struct config *) config;
    const struct log *log;
    char program[CONFIG_TEXT_SIZE];
    char directory[CONFIG_TEXT_SIZE];
    atomic_bool stopping;
};

/* ---- opening ---- */

/* Beside the daemon's program, or where the build puts it. */
static void find_program(struct converter *converter)
{
    static const char *const places[] = {"rejectd-convert", "../convert/rejectd-convert"};
    char own[CONFIG_TEXT_SIZE - 32] = "";
    const ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    char *slash = length > 0 ? strrchr(own, '/') : NULL;
    if (slash != NULL) {
        *slash = '\0';
    }
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(converter->program, sizeof converter->program, "%s/%s", own, places[i]);
        if (access(converter->program, X_OK) == 0) {
            return;
        }
    }
}

enum rejectd_status converter_open(const struct config *config, const struct log *log,
                                   const char *directory, struct converter **converter,
                                   struct rejectd_error *error)
{
    *converter = NULL;
    enum rejectd_status status = scratch_sweep(directory, error);
    if (status != REJECTD_OK) {
        return status;
    }
    struct converter *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    made->config = config;
    made->log = log;
    snprintf(made->directory, sizeof made->directory, "%s", directory);
    if (config->convert_program[0] != '\0') {
        memcpy(made->program, config->convert_program, sizeof made->program);
    } else {
        find_program(made);
    }
    *converter = made;
    return REJECTD_OK;
}

void converter_configure(struct converter *converter, const struct config *config)
{
    converter->config = config;
}

void converter_stop(struct converter *converter)
{
    if (converter != NULL) {
        atomic_store(&converter->stopping, true);
    }
}

void converter_close(struct converter *converter)
{
    free(converter);
}

enum rejectd_status converter_scratch(struct converter *converter, struct scratch *scratch,
                                      struct rejectd_error *error)
{
    return scratch_make(converter->directory, scratch, error);
}

/* ---- the child ---- */

struct child {
    pid_t pid;
    int output; /* its stdout and stderr */
    char text[MOST_OUTPUT + 1];
    size_t length;
    bool killed; /* because its time was over, or the daemon's */
    int status;  /* of waitpid() */
};

struct limits {
    struct rlimit memory, cpu, file;
};

static struct limits limits_of(const struct converter *converter, uint64_t input_bytes)
{
    const struct config *config = converter->config;
    const rlim_t memory = (rlim_t)config->convert_memory + MEMORY_PER_BYTE * (rlim_t)input_bytes;
    const rlim_t seconds = (rlim_t)config->convert_seconds;
    const rlim_t file = (rlim_t)config->max_upload_bytes;
    return (struct limits){{memory, memory}, {seconds, seconds + 1}, {file, file}};
}

/* Between fork() and exec() in a program with threads: system calls alone. Returns errno. */
static int become_program(char *const *arguments, const struct limits *limits, pid_t daemon,
                          int output)
{
    static char *const environment[] = {NULL};
    const struct rlimit none = {0, 0};
    const struct rlimit files = {OPEN_FILES, OPEN_FILES};
    sigset_t signals;
    const int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    sigemptyset(&signals);
    sigprocmask(SIG_SETMASK, &signals, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (input < 0 || dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
        dup2(output, STDERR_FILENO) < 0 || setpgid(0, 0) != 0 ||
        prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        setrlimit(RLIMIT_CPU, &limits->cpu) != 0 || setrlimit(RLIMIT_FSIZE, &limits->file) != 0 ||
        setrlimit(RLIMIT_CORE, &none) != 0 || setrlimit(RLIMIT_NOFILE, &files) != 0) {
        return errno;
    }
    if (getppid() != daemon) { /* it ended before this could be told to end with it */
        return ESRCH;
    }
    /* All of the daemon's are close-on-exec; this is for those that a library forgot. */
    (void)syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
#if !SANITIZED /* they map terabytes, and look for leaks with a process of their own */
    if (setrlimit(RLIMIT_AS, &limits->memory) != 0 || setrlimit(RLIMIT_NPROC, &none) != 0) {
        return errno;
    }
#endif
    execve(arguments[0], arguments, environment);
    return errno;
}

static enum rejectd_status fail_start(const struct converter *converter, int number,
                                      struct rejectd_error *error)
{
    log_write(converter->log, LOG_LEVEL_ERROR, "converter-missing", "%s cannot be started: %s",
              converter->program, strerror(number));
    return REJECTD_FAIL(error, REJECTD_INTERNAL, "",
                        "the program that reads and writes such files cannot be started: %s",
                        strerror(number));
}

/* Starts it, and waits until it is the program. */
static enum rejectd_status start(const struct converter *converter,
                                 const struct converter_call *call, struct child *child,
                                 struct rejectd_error *error)
{
    const struct limits limits = limits_of(converter, call->input_bytes);
    /* execve() takes plain pointers, and leaves the text alone. */
    union {
        const char *constant;
        char *plain;
    } argument;
    char *arguments[MOST_ARGUMENTS + 2] = {NULL};
    argument.constant = converter->program;
    arguments[0] = argument.plain;
    for (size_t i = 0; i < MOST_ARGUMENTS && call->arguments[i] != NULL; i++) {
        argument.constant = call->arguments[i];
        arguments[i + 1] = argument.plain;
    }
    int output[2];
    int failure[2]; /* closed by exec(), or given the errno */
    int number = 0;
    if (pipe2(output, O_CLOEXEC) != 0) {
        return fail_start(converter, errno, error);
    }
    if (pipe2(failure, O_CLOEXEC) != 0) {
        number = errno;
        close(output[0]);
        close(output[1]);
        return fail_start(converter, number, error);
    }
    const pid_t daemon = getpid();
    child->pid = fork();
    if (child->pid == 0) {
        number = become_program(arguments, &limits, daemon, output[1]);
        (void)!write(failure[1], &number, sizeof number);
        kill(getpid(), SIGKILL);
    }
    number = child->pid < 0 ? errno : 0;
    close(output[1]);
    close(failure[1]);
    ssize_t n = 0;
    while (child->pid > 0 && (n = read(failure[0], &number, sizeof number)) < 0 && errno == EINTR) {
    }
    close(failure[0]);
    if (number != 0) {
        close(output[0]);
        if (child->pid > 0) {
            waitpid(child->pid, NULL, 0);
        }
        return fail_start(converter, number, error);
    }
    child->output = output[0];
    return REJECTD_OK;
}

/* Keeps the first bytes of what it says; false when there is no more. */
static bool read_output(struct child *child)
{
    char dropped[512];
    const size_t room = MOST_OUTPUT - child->length;
    char *to = room > 0 ? child->text + child->length : dropped;
    const ssize_t n = read(child->output, to, room > 0 ? room : sizeof dropped);
    if (n > 0 && room > 0) {
        child->length += (size_t)n;
    }
    return n > 0 || (n < 0 && errno == EINTR);
}

static bool has_ended(const struct child *child)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
           info.si_pid != 0;
}

/* Reads what it says until it has ended or has to. Its process is left to be waited for, so that
 * the number of its group stays its own. */
static void attend(struct converter *converter, struct child *child)
{
    enum { SLICE_MS = 50, SHORT_SLICE_MS = 2 };
    const double deadline = clock_monotonic() + (double)converter->config->convert_seconds;
    bool open = true;
    while (!has_ended(child)) {
        if (clock_monotonic() > deadline || atomic_load(&converter->stopping)) {
            child->killed = true;
            return;
        }
        struct pollfd waited = {.fd = open ? child->output : -1, .events = POLLIN};
        if (poll(&waited, 1, open ? SLICE_MS : SHORT_SLICE_MS) > 0) {
            open = read_output(child);
        }
    }
    const int flags = fcntl(child->output, F_GETFL);
    (void)fcntl(child->output, F_SETFL, flags | O_NONBLOCK);
    while (open && child->length < MOST_OUTPUT) {
        open = read_output(child);
    }
}

static void finish(struct child *child)
{
    kill(-child->pid, SIGKILL); /* whatever it has started, too */
    while (waitpid(child->pid, &child->status, 0) < 0 && errno == EINTR) {
    }
    close(child->output);
    child->text[child->length] = '\0';
}

/* ---- what came of it ---- */

static enum rejectd_status fail_stopped(const struct converter *converter,
                                        const struct converter_call *call, const char *why,
                                        struct rejectd_error *error)
{
    log_write(converter->log, LOG_LEVEL_WARNING, "converter-stopped",
              "a file could not be %s: the program stopped (%s)", call->task, why);
    return REJECTD_FAIL(error, call->refused, "", "the file cannot be %s: the program stopped (%s)",
                        call->task, why);
}

/* The line of JSON that says what was wrong. */
static enum rejectd_status fail_told(const struct converter *converter,
                                     const struct converter_call *call, const struct child *child,
                                     enum rejectd_status status, struct rejectd_error *error)
{
    json_t *told = json_loads(child->text, 0, NULL);
    const char *field = json_string_value(json_object_get(told, "field"));
    const char *message = json_string_value(json_object_get(told, "message"));
    if (field == NULL || message == NULL || !utf8_is_printable(field) ||
        !utf8_is_printable(message)) {
        json_decref(told);
        return fail_stopped(converter, call, "it did not say why", error);
    }
    status = REJECTD_FAIL(error, status, "", "%.90s%s%.280s", field, field[0] != '\0' ? " " : "",
                          message);
    if (strlen(field) < sizeof error->field) {
        memcpy(error->field, field, strlen(field) + 1);
    }
    json_decref(told);
    return status;
}

static enum rejectd_status judge(struct converter *converter, const struct converter_call *call,
                                 const struct child *child, bool *needs_fdt,
                                 struct rejectd_error *error)
{
    char why[64];
    if (child->killed && atomic_load(&converter->stopping)) {
        return REJECTD_FAIL(error, REJECTD_UNAVAILABLE, "", "the service is stopping");
    }
    const int signal_number = WIFSIGNALED(child->status) ? WTERMSIG(child->status) : 0;
    if (child->killed || signal_number == SIGXCPU) {
        snprintf(why, sizeof why, "it took more than %lld s",
                 (long long)converter->config->convert_seconds);
        return fail_stopped(converter, call, why, error);
    }
    if (signal_number == SIGXFSZ) {
        return fail_stopped(converter, call, "it writes more than max-upload-bytes", error);
    }
    if (!WIFEXITED(child->status)) {
        snprintf(why, sizeof why, "signal %d", signal_number);
        return fail_stopped(converter, call, why, error);
    }
    const int code = WEXITSTATUS(child->status);
    *needs_fdt = code == EXIT_NEEDS_FDT;
    switch (code) {
    case EXIT_DONE:
    case EXIT_NEEDS_FDT:
        return REJECTD_OK;
    case EXIT_REFUSED:
        return fail_told(converter, call, child, call->refused, error);
    case EXIT_NO_MEMORY:
        return fail_stopped(converter, call, "it needs more memory than it may have", error);
    default:
        log_write(converter->log, LOG_LEVEL_ERROR, "converter-failed", "exit status %d: %.900s",
                  code, child->text);
        snprintf(why, sizeof why, "exit status %d", code);
        return fail_stopped(converter, call, why, error);
    }
}

enum rejectd_status converter_run(struct converter *converter, const struct converter_call *call,
                                  bool *needs_fdt, struct rejectd_error *error)
{
    struct child child = {0};
    bool needs = false;
    if (atomic_load(&converter->stopping)) {
        return REJECTD_FAIL(error, REJECTD_UNAVAILABLE, "", "the service is stopping");
    }
    enum rejectd_status status = start(converter, call, &child, error);
    if (status != REJECTD_OK) {
        return status;
    }
    attend(converter, &child);
    finish(&child);
    status = judge(converter, call, &child, &needs, error);
    if (needs_fdt != NULL) {
        *needs_fdt = needs;
    } else if (status == REJECTD_OK && needs) {
        status = fail_stopped(converter, call, "its data are missing", error);
    }
    return status;
}
