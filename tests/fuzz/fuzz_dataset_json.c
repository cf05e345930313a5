/*
 * A posted dataset: whatever is accepted passes the checks, has finite samples, and is the same
 * after it was written and read again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "protocol/dataset_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_refusal(enum rejectd_status status, const struct rejectd_error *error)
{
    CHECK(error->status == status);
    CHECK(error->message[0] != 0);
}

static void check_round_trip(const struct dataset_description *description)
{
    struct dataset_description again;
    struct rejectd_error error = {0};
    void *samples;
    char *text = dataset_to_json(description);
    CHECK(text != NULL);
    CHECK(dataset_from_json(text, strlen(text), &again, &samples, &error) == REJECTD_OK);
    CHECK(samples == NULL);
    char *text_again = dataset_to_json(&again);
    CHECK(strcmp(text, text_again) == 0);
    free(text);
    free(text_again);
    dataset_description_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dataset_description description;
    struct rejectd_error error = {0};
    void *samples;
    size_t index;
    enum rejectd_status status =
        dataset_from_json((const char *)data, size, &description, &samples, &error);
    if (status != REJECTD_OK) {
        check_refusal(status, &error);
        CHECK(samples == NULL && description.channels == NULL);
        return 0;
    }
    CHECK(dataset_description_check(&description, &error) == REJECTD_OK);
    size_t count = description.n_epochs * description.n_channels * description.n_times;
    if (samples != NULL)
        CHECK(samples_are_finite(samples, description.dtype, count, &index));
    check_round_trip(&description);
    free(samples);
    dataset_description_clear(&description);
    return 0;
}
