/*
 * EEGLAB .set files: what is accepted is a dataset for the rest of the program, with exactly its
 * samples, and can be written again.
 */
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "convert/files.h"
#include "convert/hdf5_guard.h"
#include "convert/set.h"
#include "protocol/dataset_json.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 1 << 18 };

static char folder[] = "/dev/shm/fuzz_set.XXXXXX";
static char original[64], out[64];

static void remove_folder(void)
{
    static const char *const names[] = {"description.json", "samples.bin", "needs.json",
                                        "cleaned.bin",      "labels.bin",  "bad_epochs.bin",
                                        "original.set",     "out.set"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = path_join(folder, names[i]);
        unlink(path);
        free(path);
    }
    rmdir(folder);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    CHECK(mkdtemp(folder) != NULL);
    snprintf(original, sizeof original, "%s/original.set", folder);
    snprintf(out, sizeof out, "%s/out.set", folder);
    atexit(remove_folder);
    hdf5_guard_init();
    set_init();
    return 0;
}

static void put(const char *name, const void *bytes, size_t length)
{
    char *path = path_join(folder, name);
    CHECK(file_write(path, bytes, length, NULL) == REJECTD_OK);
    free(path);
}

static void check_write(const struct dataset_description *d, const char *samples)
{
    const size_t n_labels = d->n_epochs * d->n_channels;
    char *zeros = calloc(n_labels, 1);
    struct rejectd_error error = {0};
    bool needs_fdt;
    zeros[0] = d->n_epochs > 1; /* the first epoch is dropped */
    put("bad_epochs.bin", zeros, d->n_epochs);
    put("labels.bin", zeros, n_labels);
    put("cleaned.bin", samples,
        dataset_sample_bytes(d) / d->n_epochs * (d->n_epochs - (size_t)zeros[0]));
    if (set_write(folder, out, &error) == REJECTD_OK)
        (void)set_read(out, NULL, folder, &needs_fdt, &error);
    else
        CHECK(error.message[0] != 0);
    free(zeros);
}

static void check_read(void)
{
    struct dataset_description d;
    struct rejectd_error error = {0};
    char *text, *samples;
    size_t length, sample_bytes;
    void *none;
    char *path = path_join(folder, "description.json");
    CHECK(file_read(path, "", (size_t)1 << 30, &text, &length, &error) == REJECTD_OK);
    free(path);
    CHECK(dataset_from_json(text, length, &d, &none, &error) == REJECTD_OK);
    path = path_join(folder, "samples.bin");
    CHECK(file_read(path, "", (size_t)1 << 31, &samples, &sample_bytes, &error) == REJECTD_OK);
    free(path);
    CHECK(sample_bytes == dataset_sample_bytes(&d));
    if (sample_bytes <= MOST)
        check_write(&d, samples);
    free(samples);
    free(text);
    dataset_description_clear(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rejectd_error error = {0};
    bool needs_fdt;
    CHECK(file_write(original, data, size, &error) == REJECTD_OK);
    if (set_read(original, NULL, folder, &needs_fdt, &error) != REJECTD_OK)
        CHECK(error.message[0] != 0);
    else if (!needs_fdt)
        check_read();
    return 0;
}
