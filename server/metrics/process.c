#include "server/metrics/process.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/metrics/text.h"

/* Reads a file of /proc, cut at `size`. */
static bool read_proc(const char *path, char *out, size_t size)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    const size_t length = fread(out, 1, size - 1, file);
    out[length] = '\0';
    fclose(file);
    return length > 0;
}

static void write_cpu(struct buffer *text)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        const double seconds =
            (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
            1e-6 * ((double)usage.ru_utime.tv_usec + (double)usage.ru_stime.tv_usec);
        metric_text_single(text, "process_cpu_seconds_total", METRIC_COUNTER,
                           "Processor time of the daemon, without its GPUs' processes.", seconds);
    }
}

static void write_memory(struct buffer *text)
{
    char statm[128];
    char *end;
    const double page = (double)sysconf(_SC_PAGESIZE);
    if (read_proc("/proc/self/statm", statm, sizeof statm)) {
        const double total = strtod(statm, &end);
        const double resident = strtod(end, NULL);
        metric_text_single(text, "process_virtual_memory_bytes", METRIC_GAUGE,
                           "Address space in use.", page * total);
        metric_text_single(text, "process_resident_memory_bytes", METRIC_GAUGE,
                           "Memory in use, mapped samples included.", page * resident);
    }
}

static void write_descriptors(struct buffer *text)
{
    struct rlimit limit;
    size_t n = 0;
    DIR *directory = opendir("/proc/self/fd");
    if (directory != NULL) {
        const struct dirent *entry;
        while ((entry = readdir(directory)) != NULL) {
            n += entry->d_name[0] != '.';
        }
        closedir(directory);
        /* Without the one that it was counted with. */
        metric_text_single(text, "process_open_fds", METRIC_GAUGE, "Open file descriptors.",
                           (double)(n - 1));
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        metric_text_single(text, "process_max_fds", METRIC_GAUGE,
                           "Most file descriptors that may be open.", (double)limit.rlim_cur);
    }
}

double process_start_time(void)
{
    enum { START_TIME = 22 }; /* field of proc_pid_stat(5), in clock ticks since boot */
    char stat[1024];
    struct timespec since_boot;
    if (!read_proc("/proc/self/stat", stat, sizeof stat) ||
        clock_gettime(CLOCK_BOOTTIME, &since_boot) != 0) {
        return 0.0;
    }
    /* The second field, the name, may hold anything, blanks and brackets too. */
    const char *at = strrchr(stat, ')');
    for (int field = 2; at != NULL && field < START_TIME; field++) {
        at = strchr(at + 1, ' ');
    }
    if (at == NULL) {
        return 0.0;
    }
    const double booted = 1e-3 * (double)clock_milliseconds() - (double)since_boot.tv_sec -
                          1e-9 * (double)since_boot.tv_nsec;
    return booted + strtod(at, NULL) / (double)sysconf(_SC_CLK_TCK);
}

void process_metrics_write(double start_time, struct buffer *text)
{
    write_cpu(text);
    write_memory(text);
    write_descriptors(text);
    if (start_time > 0.0) {
        metric_text_single(text, "process_start_time_seconds", METRIC_GAUGE,
                           "When it started, in seconds since 1970.", start_time);
    }
}
