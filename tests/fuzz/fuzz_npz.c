/*
 * .npz files. Members of an accepted archive lie within it and expand to what they claim; an
 * accepted dataset is one for the rest of the program and gives exactly its samples; an accepted
 * reject log reads the same after it was written.
 */
#include <stdint.h>
#include <string.h>

#include "check.h"
#include "protocol/dataset_npz.h"
#include "protocol/reject_log_npz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 1 << 22 };

static enum rejectd_status count(void *context, const void *bytes, size_t n,
                                 struct rejectd_error *error)
{
    static volatile uint8_t touched;
    (void)error;
    CHECK(n > 0);
    touched = ((const uint8_t *)bytes)[n - 1];
    (void)touched;
    *(size_t *)context += n;
    return REJECTD_OK;
}

static void check_archive(const uint8_t *data, size_t size)
{
    struct npz_archive archive;
    struct rejectd_error error = {0};
    const enum rejectd_status status = npz_open(data, size, &archive, &error);
    if (status != REJECTD_OK) {
        CHECK(error.status == status && error.message[0] != 0 && archive.members == NULL);
        return;
    }
    size_t stored = 0;
    for (size_t i = 0; i < archive.n_members; i++) {
        const struct npz_member *member = &archive.members[i];
        CHECK(member->offset <= size && member->compressed <= size - member->offset);
        stored += member->compressed;
        size_t streamed = 0;
        if (member->size <= MOST &&
            npz_member_stream(&archive, member, 3, count, &streamed, &error) == REJECTD_OK)
            CHECK(streamed == (member->size > 3 ? member->size - 3 : 0));
        struct npy_header header;
        if (npz_member_header(&archive, member, &header, &error) == REJECTD_OK)
            CHECK(header.data_offset + header.data_bytes == member->size);
    }
    CHECK(stored <= size);
    npz_close(&archive);
}

static void check_dataset(const uint8_t *data, size_t size)
{
    struct dataset_description d, again;
    struct rejectd_error error = {0};
    void *none;
    if (dataset_npz_describe(data, size, MOST, &d, &error) != REJECTD_OK) {
        CHECK(error.message[0] != 0 && d.channels == NULL);
        return;
    }
    CHECK(dataset_sample_bytes(&d) <= MOST);
    char *text = dataset_to_json(&d);
    CHECK(text != NULL &&
          dataset_from_json(text, strlen(text), &again, &none, &error) == REJECTD_OK);
    CHECK(again.n_channels == d.n_channels && again.n_epochs == d.n_epochs);
    free(text);
    dataset_description_clear(&again);
    size_t given = 0;
    if (dataset_npz_samples(data, size, &d, count, &given, &error) == REJECTD_OK)
        CHECK(given == dataset_sample_bytes(&d));
    dataset_description_clear(&d);
}

static void check_log(const uint8_t *data, size_t size)
{
    struct rejectd_reject_log log, again;
    char(*names)[REJECTD_NAME_SIZE], (*names_again)[REJECTD_NAME_SIZE];
    struct rejectd_error error = {0};
    if (reject_log_from_npz(data, size, &log, &names, &error) != REJECTD_OK) {
        CHECK(error.message[0] != 0 && log.labels == NULL && names == NULL);
        return;
    }
    struct rejectd_channel *channels = calloc(log.n_channels, sizeof *channels);
    for (size_t i = 0; i < log.n_channels; i++)
        memcpy(channels[i].name, names[i], sizeof names[i]);
    struct buffer file;
    buffer_init(&file, (size_t)1 << 30);
    reject_log_to_npz(&log, channels, &file);
    CHECK(!file.failed);
    CHECK(reject_log_from_npz(file.data, file.length, &again, &names_again, &error) == REJECTD_OK);
    CHECK(again.n_epochs == log.n_epochs && again.n_channels == log.n_channels);
    CHECK(memcmp(again.labels, log.labels, log.n_epochs * log.n_channels) == 0);
    CHECK(memcmp(again.bad_epochs, log.bad_epochs, log.n_epochs) == 0);
    CHECK(memcmp(names, names_again, log.n_channels * sizeof *names) == 0);
    buffer_free(&file);
    free(channels);
    free(names);
    free(names_again);
    reject_log_npz_clear(&log);
    reject_log_npz_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_archive(data, size);
    check_dataset(data, size);
    check_log(data, size);
    return 0;
}
