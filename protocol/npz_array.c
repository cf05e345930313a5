#include "protocol/npz_array.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum rejectd_status npz_array_read(const struct npz_archive *archive, const char *name, size_t most,
                                   struct npz_array *array, struct rejectd_error *error)
{
    *array = (struct npz_array){.name = name};
    const struct npz_member *member;
    npz_find(archive, name, &member);
    if (member == NULL)
        return REJECTD_OK;
    enum rejectd_status status;
    if ((status = npz_member_header(archive, member, &array->header, error)) != 0 ||
        (status = npz_member_read(archive, member, most, &array->memory, error)) != 0)
        return status;
    array->items = array->memory + array->header.data_offset;
    array->count = array->header.data_bytes / array->header.item_size;
    return REJECTD_OK;
}

void npz_array_free(struct npz_array *array)
{
    free(array->memory);
    *array = (struct npz_array){0};
}

bool npy_header_is_kind(const struct npy_header *header, enum npz_kind kind)
{
    static const char *const kinds[] = {
        [NPZ_NUMBERS] = "fiub", [NPZ_INTEGERS] = "iub", [NPZ_TEXTS] = "U"};
    return strchr(kinds[kind], header->descr[1]) != NULL;
}

static void format_shape(const size_t *shape, size_t n, char *out, size_t size)
{
    size_t length = (size_t)snprintf(out, size, "(");
    for (size_t i = 0; i < n && length < size; i++)
        length +=
            (size_t)snprintf(out + length, size - length, "%s%zu", i > 0 ? ", " : "", shape[i]);
    if (length < size)
        snprintf(out + length, size - length, n == 1 ? ",)" : ")");
}

enum rejectd_status npz_array_check(const struct npz_array *array, enum npz_kind kind,
                                    size_t n_dimensions, const size_t *shape,
                                    struct rejectd_error *error)
{
    static const char *const wanted[] = {[NPZ_NUMBERS] = "numbers",
                                         [NPZ_INTEGERS] = "integers or booleans",
                                         [NPZ_TEXTS] = "text ('<U...')"};
    const struct npy_header *header = &array->header;
    if (array->memory == NULL)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, array->name,
                            "is missing; the .npz needs a member \"%s\"", array->name);
    if (!npy_header_is_kind(header, kind))
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, array->name,
                            "has dtype '%s'; %s are accepted", header->descr, wanted[kind]);
    bool same = header->n_dimensions == n_dimensions;
    for (size_t i = 0; i < n_dimensions; i++)
        same = same && header->shape[i] == shape[i];
    const bool scalar = n_dimensions == 0 && header->n_dimensions == 1 && header->shape[0] == 1;
    if (same || scalar)
        return REJECTD_OK;
    char has[NPY_MAX_DIMENSIONS * 24], needs[NPY_MAX_DIMENSIONS * 24];
    format_shape(header->shape, header->n_dimensions, has, sizeof has);
    format_shape(shape, n_dimensions, needs, sizeof needs);
    return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, array->name,
                        "has shape %s but %s is needed to match the other members", has, needs);
}

size_t npy_fortran_index(const struct npy_header *header, size_t i)
{
    size_t index = 0, stride = 1;
    for (size_t d = 0; d < header->n_dimensions; d++)
        stride *= header->shape[d];
    for (size_t d = header->n_dimensions; d-- > 0;) {
        stride /= header->shape[d];
        index += i % header->shape[d] * stride;
        i /= header->shape[d];
    }
    return index;
}

/* The bytes of item i as a number, least significant first. */
static uint64_t item_bits(const struct npz_array *array, size_t i)
{
    const struct npy_header *header = &array->header;
    const unsigned char *at =
        array->items +
        header->item_size * (header->fortran_order ? npy_fortran_index(header, i) : i);
    uint64_t bits = 0;
    for (size_t b = 0; b < header->item_size; b++)
        bits = bits << 8 | at[header->big_endian ? b : header->item_size - 1 - b];
    return bits;
}

bool npz_array_integer(const struct npz_array *array, size_t i, int64_t *value)
{
    const uint64_t bits = item_bits(array, i);
    const size_t unused = 64 - 8 * array->header.item_size;
    /* Shifted up and down again, so that the sign fills what the item lacks. */
    *value = (int64_t)(bits << unused);
    if (array->header.descr[1] == 'i')
        *value >>= unused;
    else
        *value = (int64_t)bits;
    return array->header.descr[1] == 'i' || bits <= INT64_MAX;
}

double npz_array_number(const struct npz_array *array, size_t i)
{
    const uint64_t bits = item_bits(array, i);
    double number;
    float single;
    int64_t integer;
    if (array->header.descr[1] == 'f' && array->header.item_size == sizeof number) {
        memcpy(&number, &bits, sizeof number);
        return number;
    }
    if (array->header.descr[1] == 'f') {
        memcpy(&single, &bits, sizeof single); /* the machine is little-endian, see npy.c */
        return (double)single;
    }
    return npz_array_integer(array, i, &integer) ? (double)integer : (double)bits;
}

static size_t encode_utf8(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    const size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    static const unsigned char lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(lead[n] | code);
    return n;
}

bool npz_array_text(const struct npz_array *array, size_t i, char *out, size_t size)
{
    const struct npy_header *header = &array->header;
    const unsigned char *at =
        array->items +
        header->item_size * (header->fortran_order ? npy_fortran_index(header, i) : i);
    size_t codes = header->item_size / 4, length = 0;
    while (codes > 0 && memcmp(at + 4 * (codes - 1), "\0\0\0", 4) == 0)
        codes--;
    for (size_t c = 0; c < codes; c++, at += 4) {
        uint32_t code = 0;
        for (size_t b = 0; b < 4; b++)
            code = code << 8 | at[header->big_endian ? b : 3 - b];
        if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
            return false;
        char encoded[4];
        const size_t n = encode_utf8(code, encoded);
        if (length + n >= size)
            return false;
        memcpy(out + length, encoded, n);
        length += n;
    }
    out[length] = 0;
    return true;
}
