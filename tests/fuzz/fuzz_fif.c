/*
 * FIF files: what is accepted is so in pieces of any size, has the samples that its description
 * says, can be described in JSON that is accepted, and can be written and read again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "protocol/fif_reader.h"
#include "protocol/fif_writer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_HEAD = 1 << 20, MAX_SAMPLES = 1 << 22 /* bytes */ };

struct result {
    enum rejectd_status status;
    struct rejectd_error error;
    struct dataset_description description;
    struct fif_leftover leftover;
    size_t begun;
    size_t expected;
    size_t n;
    unsigned char *samples;
};

static enum rejectd_status begin(void *context, const struct dataset_description *so_far,
                                 struct rejectd_error *error)
{
    struct result *result = context;
    CHECK(result->begun++ == 0 && result->n == 0);
    result->expected = dataset_sample_bytes(so_far);
    if (result->expected > MAX_SAMPLES)
        return REJECTD_FAIL(error, REJECTD_TOO_LARGE, "", "too large for this test");
    result->samples = malloc(result->expected);
    CHECK(result->samples != NULL);
    return REJECTD_OK;
}

static enum rejectd_status take(void *context, const void *bytes, size_t n,
                                struct rejectd_error *error)
{
    struct result *result = context;
    (void)error;
    CHECK(result->begun == 1 && n > 0 && n <= result->expected - result->n);
    memcpy(result->samples + result->n, bytes, n);
    result->n += n;
    return REJECTD_OK;
}

static void read_all(const uint8_t *data, size_t size, size_t chunk, struct result *result)
{
    const struct fif_reader_options options = {
        .max_head = MAX_HEAD, .context = result, .begin = begin, .samples = take};
    struct fif_reader *reader;
    *result = (struct result){0};
    CHECK(fif_reader_open(&options, &reader, NULL) == REJECTD_OK);
    for (size_t at = 0; at < size && result->status == REJECTD_OK; at += chunk)
        result->status = fif_reader_write(reader, data + at, chunk < size - at ? chunk : size - at,
                                          &result->error);
    if (result->status == REJECTD_OK)
        result->status =
            fif_reader_finish(reader, &result->description, &result->leftover, &result->error);
    fif_reader_close(reader);
}

static void clear(struct result *result)
{
    free(result->samples);
    dataset_description_clear(&result->description);
    fif_leftover_clear(&result->leftover);
}

static void check_json(const struct dataset_description *description)
{
    struct dataset_description again;
    struct rejectd_error error = {0};
    void *samples;
    char *text = dataset_to_json(description);
    CHECK(text != NULL);
    const enum rejectd_status status =
        dataset_from_json(text, strlen(text), &again, &samples, &error);
    if (status != REJECTD_OK)
        fprintf(stderr, "%s: %s\n", error.field, error.message);
    CHECK(status == REJECTD_OK);
    dataset_description_clear(&again);
    free(text);
}

/* Writes every other epoch and reads what comes of it. */
static void check_written(const struct result *result)
{
    const size_t n = result->description.n_epochs;
    struct fif_writer *writer;
    unsigned char *kept = malloc(n);
    CHECK(kept != NULL);
    for (size_t i = 0; i < n; i++)
        kept[i] = i % 2 == 0;
    const struct fif_writer_options options = {&result->leftover,         1,           kept, n,
                                               result->description.dtype, "x-epo.fif", 0};
    CHECK(fif_writer_open(&options, &writer, NULL) == REJECTD_OK);
    CHECK(fif_writer_parts(writer) == 1);
    struct fif_frame frame;
    CHECK(fif_writer_frame(writer, 0, &frame, NULL) == REJECTD_OK);
    const size_t size = frame.prefix_bytes + frame.data_bytes + frame.suffix_bytes;
    unsigned char *file = malloc(size);
    CHECK(file != NULL && frame.n_epochs == (n + 1) / 2);
    memcpy(file, frame.prefix, frame.prefix_bytes);
    fif_frame_convert(&frame, result->samples, frame.n_epochs, file + frame.prefix_bytes);
    memcpy(file + frame.prefix_bytes + frame.data_bytes, frame.suffix, frame.suffix_bytes);
    struct result again;
    read_all(file, size, size, &again);
    if (again.status == REJECTD_OK) {
        CHECK(again.description.n_epochs == frame.n_epochs);
        CHECK(again.description.dtype == result->description.dtype);
    } else {
        /* The new lists may just pass what is kept at most. */
        fprintf(stderr, "%s\n", again.error.message);
        CHECK(again.status == REJECTD_TOO_LARGE);
    }
    clear(&again);
    free(file);
    fif_frame_clear(&frame);
    fif_writer_close(writer);
    free(kept);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct result result, pieces;
    read_all(data, size, size > 0 ? size : 1, &result);
    read_all(data, size, 1 + size % 13, &pieces);
    CHECK(result.status == pieces.status);
    CHECK(strcmp(result.error.message, pieces.error.message) == 0);
    if (result.status != REJECTD_OK) {
        CHECK(result.error.status == result.status && result.error.message[0] != 0);
        CHECK(result.description.channels == NULL && result.leftover.head == NULL);
    } else {
        CHECK(result.begun == 1 && result.n == result.expected && pieces.n == result.n);
        CHECK(memcmp(result.samples, pieces.samples, result.n) == 0);
        CHECK(result.leftover.head_size == pieces.leftover.head_size);
        CHECK(dataset_description_check(&result.description, NULL) == REJECTD_OK);
        check_json(&result.description);
        check_written(&result);
    }
    clear(&result);
    clear(&pieces);
    return 0;
}
