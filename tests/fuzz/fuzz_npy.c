/*
 * .npy headers: an accepted one lies within the file, multiplies to its bytes, is found again from
 * every longer piece of the file and needs every byte of it.
 */
#include <stdint.h>
#include <string.h>

#include "check.h"
#include "protocol/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_write(const struct npy_header *header)
{
    unsigned char out[256];
    struct npy_header again;
    bool complete;
    size_t length = npy_header_write(header->descr, header->n_dimensions, header->shape, out);
    CHECK(length <= sizeof out && length % 64 == 0);
    CHECK(npy_header_read(out, length, &again, &complete, NULL) == REJECTD_OK && complete);
    CHECK(again.data_bytes == header->data_bytes && again.data_offset == length);
    CHECK(memcmp(again.shape, header->shape, sizeof again.shape) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct npy_header header, shorter;
    struct rejectd_error error = {0};
    bool complete;
    enum rejectd_status status = npy_header_read(data, size, &header, &complete, &error);
    if (status != REJECTD_OK) {
        CHECK(!complete && error.status == status && error.message[0] != 0);
        return 0;
    }
    if (!complete) {
        CHECK(size < NPY_MAX_HEADER);
        return 0;
    }
    CHECK(header.data_offset <= size && header.data_offset <= NPY_MAX_HEADER);
    CHECK(header.n_dimensions <= NPY_MAX_DIMENSIONS && header.item_size > 0);
    CHECK(header.data_bytes % header.item_size == 0);
    CHECK(npy_header_read(data, header.data_offset, &shorter, &complete, NULL) == REJECTD_OK);
    CHECK(complete && shorter.data_bytes == header.data_bytes);
    CHECK(npy_header_read(data, header.data_offset - 1, &shorter, &complete, NULL) == REJECTD_OK);
    CHECK(!complete);
    (void)npy_header_check_samples(&header, 2, 3, 4, REJECTD_FLOAT64, &error);
    check_write(&header);
    return 0;
}
