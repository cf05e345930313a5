/*
 * What tests/parity/npz_files.py asks of protocol/'s .npz functions.
 *
 *   npz_tool dataset FILE SAMPLES   description as JSON to stdout, samples to SAMPLES
 *   npz_tool log FILE OUT           reads a reject log and writes it again
 *
 * A failure is one line "field: message" on stderr and exit status 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/dataset_npz.h"
#include "protocol/reject_log_npz.h"

static unsigned char *read_file(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    long size = file != NULL && fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    unsigned char *bytes = size >= 0 ? malloc((size_t)size + 1) : NULL;
    *length = size >= 0 ? (size_t)size : 0;
    if (bytes != NULL) {
        rewind(file);
        *length = fread(bytes, 1, *length, file);
    }
    if (file != NULL)
        fclose(file);
    return bytes;
}

static enum rejectd_status write_samples(void *context, const void *bytes, size_t count,
                                         struct rejectd_error *error)
{
    if (fwrite(bytes, 1, count, context) != count)
        return REJECTD_FAIL(error, REJECTD_STORAGE, "", "cannot write");
    return REJECTD_OK;
}

static enum rejectd_status run_dataset(const unsigned char *bytes, size_t length, FILE *out,
                                       struct rejectd_error *error)
{
    struct dataset_description description;
    enum rejectd_status status =
        dataset_npz_describe(bytes, length, (size_t)1 << 32, &description, error);
    if (status != REJECTD_OK)
        return status;
    char *text = dataset_to_json(&description);
    printf("%s\n", text);
    free(text);
    status = dataset_npz_samples(bytes, length, &description, write_samples, out, error);
    dataset_description_clear(&description);
    return status;
}

static enum rejectd_status run_log(const unsigned char *bytes, size_t length, FILE *out,
                                   struct rejectd_error *error)
{
    struct rejectd_reject_log log;
    char(*names)[REJECTD_NAME_SIZE];
    enum rejectd_status status = reject_log_from_npz(bytes, length, &log, &names, error);
    if (status != REJECTD_OK)
        return status;
    struct rejectd_channel *channels = calloc(log.n_channels, sizeof *channels);
    for (size_t i = 0; i < log.n_channels; i++)
        memcpy(channels[i].name, names[i], sizeof names[i]);
    struct buffer text;
    buffer_init(&text, (size_t)1 << 32);
    reject_log_to_npz(&log, channels, &text);
    status = text.failed ? REJECTD_FAIL_MEMORY(error, 0)
                         : write_samples(out, text.data, text.length, error);
    buffer_free(&text);
    free(channels);
    free(names);
    reject_log_npz_clear(&log);
    return status;
}

int main(int argc, char **argv)
{
    if (argc != 4 || (strcmp(argv[1], "dataset") != 0 && strcmp(argv[1], "log") != 0)) {
        fputs("usage: npz_tool dataset|log FILE OUT\n", stderr);
        return 2;
    }
    size_t length;
    unsigned char *bytes = read_file(argv[2], &length);
    FILE *out = fopen(argv[3], "wb");
    if (bytes == NULL || out == NULL) {
        perror("npz_tool");
        return 2;
    }
    struct rejectd_error error = {0};
    enum rejectd_status status =
        (strcmp(argv[1], "log") == 0 ? run_log : run_dataset)(bytes, length, out, &error);
    if (status != REJECTD_OK)
        fprintf(stderr, "%s: %s\n", error.field, error.message);
    free(bytes);
    return fclose(out) == 0 && status == REJECTD_OK ? 0 : 1;
}
