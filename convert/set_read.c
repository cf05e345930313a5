#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "convert/files.h"
#include "convert/set.h"
#include "convert/set_parts.h"
#include "protocol/json_text.h"

static const double volts_per_microvolt = 1e-6;

/* matio's own messages would not be JSON; what it fails at, it also returns. */
static void ignore(int level, char *message)
{
    (void)level;
    (void)message;
}

void set_init(void)
{
    Mat_LogInitFunc("rejectd-convert", ignore);
}

bool set_name(const matvar_t *value, char *out, size_t size)
{
    double number;
    if (matlab_text(value, out, size))
        return true;
    if (!matlab_number(value, &number) || matlab_count(value) != 1)
        return false;
    snprintf(out, size, "%.15g", number);
    return true;
}

static enum rejectd_status read_count(struct matlab_file *file, const char *name, size_t most,
                                      size_t *out, struct rejectd_error *error)
{
    double number = NAN;
    (void)matlab_number(matlab_field(file, name), &number);
    if (!(number >= 1 && number <= (double)most) || number != floor(number))
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, name,
                            "is missing or %g; an integer from 1 to %zu is accepted", number, most);
    *out = (size_t)number;
    return REJECTD_OK;
}

static enum rejectd_status read_numbers(struct matlab_file *file, struct dataset_description *d,
                                        struct rejectd_error *error)
{
    enum rejectd_status status;
    if ((status = read_count(file, "nbchan", REJECTD_MAX_CHANNELS, &d->n_channels, error)) != 0 ||
        (status = read_count(file, "pnts", REJECTD_MAX_TIMES, &d->n_times, error)) != 0 ||
        (status = read_count(file, "trials", REJECTD_MAX_EPOCHS, &d->n_epochs, error)) != 0)
        return status;
    if (d->n_epochs == 1 && matlab_count(matlab_info(file, "epoch")) == 0)
        return REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, "trials",
                            "is 1 and there are no epochs: the recording is continuous. Cut it "
                            "into epochs first (EEGLAB: Tools > Extract epochs, pop_epoch)");
    if (!matlab_number(matlab_field(file, "srate"), &d->sfreq))
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "srate",
                            "is missing; a sampling rate in Hz is needed");
    (void)matlab_number(matlab_field(file, "xmin"), &d->tmin);
    /* One that is too long or odd isn't worth refusing the data for. */
    if (!matlab_text(matlab_field(file, "setname"), d->name, sizeof d->name))
        d->name[0] = 0;
    for (char *at = d->name; *at != 0; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            *at = ' ';
    d->dtype = REJECTD_FLOAT64;
    return REJECTD_OK;
}

/* ---- samples ---- */

/* A source of epochs of microvolts, channels varying fastest. */
struct source {
    matvar_t *data; /* or NULL and */
    FILE *fdt;
    float *singles; /* one epoch of the .fdt */
};

static enum rejectd_status read_epoch(struct source *source, const struct dataset_description *d,
                                      size_t epoch, double *out, struct rejectd_error *error)
{
    const size_t n = d->n_channels * d->n_times;
    if (source->fdt != NULL && fread(source->singles, sizeof(float), n, source->fdt) != n)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "fdt", "cannot be read to its end");
    for (size_t t = 0, i = 0; t < d->n_times; t++)
        for (size_t c = 0; c < d->n_channels; c++, i++) {
            const double microvolts = source->fdt != NULL
                                          ? (double)source->singles[i]
                                          : matlab_number_at(source->data, epoch * n + i);
            out[c * d->n_times + t] = microvolts * volts_per_microvolt;
            if (!isfinite(microvolts))
                return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "data",
                                    "the sample of epoch %zu, channel %zu (%s), time %zu is NaN or "
                                    "infinite; all must be finite",
                                    epoch, c, d->channels[c].name, t);
        }
    return REJECTD_OK;
}

static enum rejectd_status write_samples(struct source *source, const struct dataset_description *d,
                                         const char *folder, struct rejectd_error *error)
{
    const size_t n = d->n_channels * d->n_times;
    char *path = path_join(folder, "samples.bin");
    double *epoch = calloc(n, sizeof *epoch);
    FILE *out = path != NULL ? fopen(path, "wb") : NULL;
    enum rejectd_status status = REJECTD_OK;
    if (path == NULL || epoch == NULL)
        status = REJECTD_FAIL_MEMORY(error, n * sizeof *epoch);
    else if (out == NULL)
        status = REJECTD_FAIL(error, REJECTD_STORAGE, "", "cannot create samples.bin");
    for (size_t e = 0; e < d->n_epochs && status == REJECTD_OK; e++) {
        status = read_epoch(source, d, e, epoch, error);
        if (status == REJECTD_OK && fwrite(epoch, sizeof *epoch, n, out) != n)
            status = REJECTD_FAIL(error, REJECTD_STORAGE, "", "cannot write samples.bin");
    }
    if (out != NULL && fclose(out) != 0 && status == REJECTD_OK)
        status = REJECTD_FAIL(error, REJECTD_STORAGE, "", "cannot write samples.bin");
    free(epoch);
    free(path);
    return status;
}

/* The data of the file itself, checked to have the shape that the numbers tell. */
static enum rejectd_status open_data(struct matlab_file *file, const struct dataset_description *d,
                                     struct source *source, struct rejectd_error *error)
{
    const matvar_t *info = matlab_info(file, "data");
    const size_t rank = info != NULL && info->rank > 0 ? (size_t)info->rank : 0;
    const size_t wanted[3] = {d->n_channels, d->n_times, d->n_epochs};
    bool same = rank == 3 || (rank == 2 && d->n_epochs == 1);
    for (size_t i = 0; i < rank && i < 3 && same; i++)
        same = info->dims[i] == wanted[i];
    if (!same)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "data",
                            "does not have the shape nbchan x pnts x trials, %zu x %zu x %zu",
                            d->n_channels, d->n_times, d->n_epochs);
    source->data = matlab_field(file, "data");
    if (!matlab_is_numeric(source->data))
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "data",
                            "cannot be read or is not an array of real numbers");
    return REJECTD_OK;
}

static enum rejectd_status open_fdt(const char *path, const struct dataset_description *d,
                                    struct source *source, struct rejectd_error *error)
{
    const size_t n = d->n_channels * d->n_times;
    const size_t needed = n * d->n_epochs * sizeof(float);
    struct stat info;
    source->fdt = fopen(path, "rb");
    if (source->fdt == NULL || fstat(fileno(source->fdt), &info) != 0)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "fdt", "cannot be opened");
    if ((size_t)info.st_size != needed)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "fdt",
                            "has %lld bytes; %zu are expected for %zu channels, %zu times and %zu "
                            "epochs of float32",
                            (long long)info.st_size, needed, d->n_channels, d->n_times,
                            d->n_epochs);
    source->singles = malloc(n * sizeof *source->singles);
    return source->singles != NULL ? REJECTD_OK
                                   : REJECTD_FAIL_MEMORY(error, n * sizeof *source->singles);
}

/* ---- the files ---- */

static enum rejectd_status write_text(const char *folder, const char *name, const char *text,
                                      size_t length, struct rejectd_error *error)
{
    char *path = path_join(folder, name);
    enum rejectd_status status = path != NULL && text != NULL
                                     ? file_write(path, text, length, error)
                                     : REJECTD_FAIL_MEMORY(error, length);
    free(path);
    return status;
}

static enum rejectd_status write_needs(const char *folder, const char *name,
                                       const struct dataset_description *d,
                                       struct rejectd_error *error)
{
    struct buffer text;
    buffer_init(&text, 4096);
    buffer_append_format(&text, "{\"fdt_bytes\":%zu,\"name\":",
                         d->n_channels * d->n_times * d->n_epochs * sizeof(float));
    json_append_string(&text, name);
    buffer_append_text(&text, "}");
    enum rejectd_status status =
        write_text(folder, "needs.json", text.failed ? NULL : text.data, text.length, error);
    buffer_free(&text);
    return status;
}

static enum rejectd_status write_description(const char *folder,
                                             const struct dataset_description *d,
                                             struct rejectd_error *error)
{
    char *text = dataset_to_json(d);
    enum rejectd_status status =
        write_text(folder, "description.json", text, text != NULL ? strlen(text) : 0, error);
    free(text);
    return status;
}

static enum rejectd_status describe(struct matlab_file *file, struct dataset_description *d,
                                    struct rejectd_error *error)
{
    enum rejectd_status status = set_read_channels(file, d, error);
    if (status == REJECTD_OK)
        status = dataset_description_check(d, error);
    return status == REJECTD_OK ? set_read_events(file, d, error) : status;
}

static bool ends_in(const char *text, const char *end)
{
    const size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static enum rejectd_status convert(struct matlab_file *file, const char *fdt, const char *folder,
                                   bool *needs_fdt, struct dataset_description *d,
                                   struct source *source, struct rejectd_error *error)
{
    char name[256] = "";
    enum rejectd_status status = read_numbers(file, d, error);
    if (status != REJECTD_OK)
        return status;
    const matvar_t *info = matlab_info(file, "data");
    const bool outside = info != NULL && info->class_type == MAT_C_CHAR;
    if (outside && !matlab_text(matlab_field(file, "data"), name, sizeof name))
        name[0] = 0;
    if (outside && ends_in(name, ".dat"))
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "data",
                            "is in a .dat file of an old EEGLAB; save it anew with pop_saveset");
    if ((status = describe(file, d, error)) != REJECTD_OK)
        return status;
    *needs_fdt = outside && fdt == NULL;
    if (*needs_fdt)
        status = write_needs(folder, name, d, error);
    else if ((status = outside ? open_fdt(fdt, d, source, error)
                               : open_data(file, d, source, error)) == REJECTD_OK)
        status = write_samples(source, d, folder, error);
    return status == REJECTD_OK ? write_description(folder, d, error) : status;
}

enum rejectd_status set_read(const char *path, const char *fdt, const char *folder, bool *needs_fdt,
                             struct rejectd_error *error)
{
    struct matlab_file file;
    struct dataset_description description = {0};
    struct source source = {0};
    *needs_fdt = false;
    enum rejectd_status status = matlab_open(path, &file, error);
    if (status != REJECTD_OK)
        return status;
    status = convert(&file, fdt, folder, needs_fdt, &description, &source, error);
    if (source.fdt != NULL)
        fclose(source.fdt);
    free(source.singles);
    dataset_description_clear(&description);
    matlab_close(&file);
    return status;
}
