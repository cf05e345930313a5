#include "golden_report.h"

#include <dirent.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int n_passed, n_failed;

void golden_report(const struct golden_case *golden, const char *backend, const char *quantity,
                   bool ok, const char *format, ...)
{
    printf("%-4s %-16s %-10s %-22s ", ok ? "ok" : "FAIL", golden->name, backend, quantity);
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    *(ok ? &n_passed : &n_failed) += 1;
}

int golden_passed(void)
{
    return n_passed;
}

int golden_failed(void)
{
    return n_failed;
}

double golden_relative(double value, double expected)
{
    if (value == expected)
        return 0.0;
    return fabs(value - expected) / fmax(fabs(expected), 1e-300);
}

void *golden_need(void *pointer)
{
    if (pointer == NULL) {
        fprintf(stderr, "an allocation failed\n");
        exit(2);
    }
    return pointer;
}

static bool exists(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Every folder below `parent` that holds a case, in the order of their names. */
static void compare_folder(const char *parent, void (*compare)(const char *folder))
{
    char *folders[256];
    size_t n = 0;
    DIR *directory = opendir(parent);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
        char path[1024], meta[1100];
        snprintf(path, sizeof path, "%s/%s", parent, entry->d_name);
        snprintf(meta, sizeof meta, "%s/meta.json", path);
        if (entry->d_name[0] != '.' && exists(meta) && n < 256)
            folders[n++] = golden_need(strdup(path));
    }
    if (directory != NULL)
        closedir(directory);
    qsort(folders, n, sizeof *folders, by_name);
    for (size_t i = 0; i < n; i++) {
        compare(folders[i]);
        free(folders[i]);
    }
}

/* The cases of the larger reference set, which a plain clone does not have: with EEG, then without.
 */
static void compare_set(bool without_eeg, void (*compare)(const char *folder))
{
    static const char *const names[] = {"sim_eeg_small", "eeglab_eeg", "sample_eeg",
                                        "mixed",         "edge",       "sample_meg"};
    const size_t n = sizeof names / sizeof names[0] - (without_eeg ? 0 : 1);
    const char *set = getenv("REJECTD_GOLDEN_DIR");
    if (set == NULL)
        set = SOURCE_DIR "/../shared/golden";
    if (!exists(set)) {
        printf("no %s: comparing with tests/parity/data alone\n", set);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", set, names[i]);
        compare(path);
    }
}

void golden_each_case(int argc, char **argv, bool without_eeg, void (*compare)(const char *folder))
{
    for (int i = 1; i < argc; i++)
        compare(argv[i]);
    if (argc > 1)
        return;
    compare_folder(SOURCE_DIR "/tests/parity/data", compare);
    compare_set(without_eeg, compare);
}
