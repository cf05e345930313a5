/*
 * rejectd-convert: files of MATLAB and HDF5 to what the daemon reads, and back.
 *
 *   rejectd-convert read-set INPUT.set [--fdt INPUT.fdt] OUTDIR
 *   rejectd-convert write-set DIR OUTPUT.set
 *   rejectd-convert read-h5 INPUT.h5 OUTPUT.json
 *   rejectd-convert write-h5 INPUT.json OUTPUT.h5 [--dataset DESCRIPTION.json]
 *                   [--dots SELF.bin CROSS.bin N]
 *
 * The daemon runs it as a child with limits on memory, time and files, names every path, and reads
 * what it wrote as it reads anything from outside. Exit status: 0 done, 2 the input is not
 * accepted, 3 the data of the .set are in an .fdt that was not given (OUTDIR/needs.json), 4 the
 * fault is here, 5 the memory did not suffice. With 2, 4 and 5 one line of JSON on stderr says what
 * was wrong and what is accepted: {"field": "...", "message": "..."}.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/checked.h"
#include "convert/files.h"
#include "convert/hdf5_guard.h"
#include "convert/model_h5.h"
#include "convert/set.h"
#include "protocol/dataset_json.h"
#include "protocol/json_text.h"

enum { DONE = 0, BAD_INPUT = 2, NEEDS_FDT = 3, FAULT = 4, NO_MEMORY = 5 };

static const size_t max_json = (size_t)256 << 20;

/* Arguments still to be read, without the options. */
struct arguments {
    const char *paths[2];
    const char *fdt;
    const char *dataset;
    const char *self_dots, *cross_dots;
    size_t n_dots;
};

static int report(enum rejectd_status status, const struct rejectd_error *error)
{
    if (status == REJECTD_OK)
        return DONE;
    struct buffer line;
    buffer_init(&line, 4096);
    buffer_append_text(&line, "{\"field\":");
    json_append_string(&line, error->field);
    buffer_append_text(&line, ",\"message\":");
    json_append_string(&line, error->message);
    buffer_append_text(&line, "}\n");
    fputs(line.failed ? "{\"field\":\"\",\"message\":\"out of memory\"}\n" : line.data, stderr);
    buffer_free(&line);
    if (status == REJECTD_OUT_OF_MEMORY)
        return NO_MEMORY;
    const bool fault =
        status == REJECTD_INTERNAL || status == REJECTD_STORAGE || status == REJECTD_STORAGE_FULL;
    return fault ? FAULT : BAD_INPUT;
}

static int run_read_set(const struct arguments *a)
{
    struct rejectd_error error = {0};
    bool needs_fdt = false;
    const int code = report(set_read(a->paths[0], a->fdt, a->paths[1], &needs_fdt, &error), &error);
    return code == DONE && needs_fdt ? NEEDS_FDT : code;
}

static int run_write_set(const struct arguments *a)
{
    struct rejectd_error error = {0};
    return report(set_write(a->paths[0], a->paths[1], &error), &error);
}

static int run_read_h5(const struct arguments *a)
{
    struct rejectd_error error = {0};
    char *text = NULL;
    enum rejectd_status status = model_h5_read(a->paths[0], &text, &error);
    if (status == REJECTD_OK)
        status = file_write(a->paths[1], text, strlen(text), &error);
    free(text);
    return report(status, &error);
}

static enum rejectd_status read_dots(const char *path, size_t n, char **bytes,
                                     struct rejectd_error *error)
{
    size_t needed, length;
    if (!checked_multiply3(n, n, sizeof(double), &needed))
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "dots", "are too many");
    enum rejectd_status status = file_read(path, "dots", needed, bytes, &length, error);
    if (status == REJECTD_OK && length != needed)
        status = REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "dots",
                              "have %zu bytes; %zu float64 by %zu are expected", length, n, n);
    return status;
}

static int run_write_h5(const struct arguments *a)
{
    struct rejectd_error error = {0};
    struct dataset_description description = {0};
    char *text = NULL, *dataset = NULL, *self = NULL, *cross = NULL;
    void *samples = NULL;
    size_t length = 0, dataset_length = 0;
    enum rejectd_status status = file_read(a->paths[0], "file", max_json, &text, &length, &error);
    if (status == REJECTD_OK && a->dataset != NULL)
        status = file_read(a->dataset, "dataset", max_json, &dataset, &dataset_length, &error);
    if (status == REJECTD_OK && a->dataset != NULL)
        status = dataset_from_json(dataset, dataset_length, &description, &samples, &error);
    if (status == REJECTD_OK && a->self_dots != NULL &&
        (status = read_dots(a->self_dots, a->n_dots, &self, &error)) == REJECTD_OK)
        status = read_dots(a->cross_dots, a->n_dots, &cross, &error);
    const struct model_h5_extras extras = {
        .channels = description.channels,
        .n_channels = description.n_channels,
        .self_dots = (const void *)self,
        .cross_dots = (const void *)cross,
        .n_dots = a->n_dots,
    };
    if (status == REJECTD_OK)
        status = model_h5_write(a->paths[1], text, length, &extras, &error);
    dataset_description_clear(&description);
    free(samples);
    free(text);
    free(dataset);
    free(self);
    free(cross);
    return report(status, &error);
}

static const struct {
    const char *name;
    int (*run)(const struct arguments *arguments);
} commands[] = {
    {"read-set", run_read_set},
    {"write-set", run_write_set},
    {"read-h5", run_read_h5},
    {"write-h5", run_write_h5},
};

static int usage(void)
{
    fputs("{\"field\":\"\",\"message\":\"usage: rejectd-convert read-set INPUT.set [--fdt "
          "INPUT.fdt] OUTDIR | write-set DIR OUTPUT.set | read-h5 INPUT.h5 OUTPUT.json | write-h5 "
          "INPUT.json OUTPUT.h5 [--dataset DESCRIPTION.json] [--dots SELF.bin CROSS.bin N]\"}\n",
          stderr);
    return FAULT;
}

static bool read_size(const char *text, size_t *out)
{
    char *end;
    errno = 0;
    const unsigned long value = strtoul(text, &end, 10);
    *out = value;
    return errno == 0 && end != text && *end == 0 && value > 0 && value <= REJECTD_MAX_CHANNELS;
}

static bool read_arguments(int argc, char **argv, struct arguments *a)
{
    size_t n = 0;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--fdt") == 0 && i + 1 < argc) {
            a->fdt = argv[++i];
        } else if (strcmp(argv[i], "--dataset") == 0 && i + 1 < argc) {
            a->dataset = argv[++i];
        } else if (strcmp(argv[i], "--dots") == 0 && i + 3 < argc) {
            a->self_dots = argv[++i];
            a->cross_dots = argv[++i];
            if (!read_size(argv[++i], &a->n_dots))
                return false;
        } else if (argv[i][0] == '-' || n == 2) {
            return false;
        } else {
            a->paths[n++] = argv[i];
        }
    }
    return n == 2;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {0};
    if (argc < 2 || !read_arguments(argc - 2, argv + 2, &arguments))
        return usage();
    hdf5_guard_init();
    set_init();
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(&arguments);
    return usage();
}
