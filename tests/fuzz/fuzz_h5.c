/* autoreject's .h5: a model that is accepted reads the same after it was written. */
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "convert/files.h"
#include "convert/hdf5_guard.h"
#include "convert/model_h5.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char in[] = "/dev/shm/fuzz_h5.XXXXXX", out[] = "/dev/shm/fuzz_h5.XXXXXX";

static void remove_files(void)
{
    unlink(in);
    unlink(out);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    close(mkstemp(in));
    close(mkstemp(out));
    atexit(remove_files);
    hdf5_guard_init();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rejectd_error error = {0};
    char *text, *again;
    CHECK(file_write(in, data, size, &error) == REJECTD_OK);
    if (model_h5_read(in, &text, &error) != REJECTD_OK) {
        CHECK(error.message[0] != 0 && text == NULL);
        return 0;
    }
    const struct model_h5_extras none = {0};
    CHECK(model_h5_write(out, text, strlen(text), &none, &error) == REJECTD_OK);
    CHECK(model_h5_read(out, &again, &error) == REJECTD_OK);
    CHECK(strcmp(text, again) == 0);
    free(text);
    free(again);
    return 0;
}
