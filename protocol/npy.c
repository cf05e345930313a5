/*
 * The .npy header: magic, version, length, and a Python dict literal with exactly the keys
 * 'descr', 'fortran_order' and 'shape'.
 *
 * Only what numpy writes is read, by a cursor over the literal that never passes its end.
 * Dimensions are bounded and multiplied with overflow checks.
 */
#include "protocol/npy.h"

#include <stdio.h>
#include <string.h>

#include "base/checked.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "arrays are little-endian on the wire and used as they come");

static const unsigned char magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

static const struct {
    const char *descr;
    const char *name; /* numpy's */
    size_t item_size;
} descriptions[] = {
    {"<f8", "float64", 8}, {"<f4", "float32", 4}, {"|i1", "int8", 1}, {"<i4", "int32", 4},
    {"<i8", "int64", 8},   {"|u1", "uint8", 1},   {"|b1", "bool", 1},
};

struct cursor {
    const char *at;
    const char *end;
    bool any; /* of npy_header_read_any() */
};

bool npy_has_magic(const void *bytes, size_t length)
{
    return length >= sizeof magic && memcmp(bytes, magic, sizeof magic) == 0;
}

const char *npy_descr(enum rejectd_dtype dtype)
{
    return dtype == REJECTD_FLOAT32 ? "<f4" : "<f8";
}

static void skip_space(struct cursor *cursor)
{
    while (cursor->at < cursor->end &&
           (*cursor->at == ' ' || *cursor->at == '\n' || *cursor->at == '\t'))
        cursor->at++;
}

/* Takes `c`, after blanks, when it comes next. */
static bool take(struct cursor *cursor, char c)
{
    skip_space(cursor);
    if (cursor->at == cursor->end || *cursor->at != c)
        return false;
    cursor->at++;
    return true;
}

/* A string literal of at most size - 1 characters without escapes. */
static bool take_string(struct cursor *cursor, char *out, size_t size)
{
    skip_space(cursor);
    if (cursor->at == cursor->end || (*cursor->at != '\'' && *cursor->at != '"'))
        return false;
    char quote = *cursor->at++;
    size_t length = 0;
    while (cursor->at < cursor->end && *cursor->at != quote) {
        char c = *cursor->at++;
        if (length + 1 >= size || c < 0x20 || c > 0x7e || c == '\\')
            return false;
        out[length++] = c;
    }
    out[length] = 0;
    return take(cursor, quote);
}

static bool take_word(struct cursor *cursor, const char *word)
{
    skip_space(cursor);
    size_t length = strlen(word);
    if ((size_t)(cursor->end - cursor->at) < length || memcmp(cursor->at, word, length) != 0)
        return false;
    cursor->at += length;
    return true;
}

static bool take_size(struct cursor *cursor, size_t *out)
{
    skip_space(cursor);
    const char *begin = cursor->at;
    size_t number = 0;
    for (; cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9'; cursor->at++)
        if (!checked_multiply(number, 10, &number) ||
            !checked_add(number, (size_t)(*cursor->at - '0'), &number))
            return false;
    if (cursor->at == begin)
        return false;
    *out = number;
    (void)take(cursor, 'L'); /* Python 2 wrote long integers so */
    return true;
}

/* (), (n,), (a, b), (a, b,) ... */
static bool take_shape(struct cursor *cursor, struct npy_header *header)
{
    if (!take(cursor, '('))
        return false;
    while (!take(cursor, ')')) {
        if (header->n_dimensions == NPY_MAX_DIMENSIONS ||
            !take_size(cursor, &header->shape[header->n_dimensions]))
            return false;
        header->n_dimensions++;
        if (!take(cursor, ',')) {
            /* (n) is a number in Python, no tuple */
            return header->n_dimensions > 1 && take(cursor, ')');
        }
    }
    return true;
}

static enum rejectd_status malformed(struct rejectd_error *error)
{
    return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "header",
                        "the .npy header is malformed; a dict of 'descr', 'fortran_order' and "
                        "'shape' is expected, as numpy.save writes it");
}

/* A byte order, a kind and a size, as "<f8" and ">U12". */
static bool read_any_descr(const char *descr, struct npy_header *header)
{
    const char order = descr[0], kind = descr[0] != 0 ? descr[1] : 0;
    size_t size = 0;
    if (order == 0 || strchr("<>=|", order) == NULL || kind == 0 || strlen(descr) > 7)
        return false;
    for (const char *at = descr + 2; *at != 0; at++) {
        if (*at < '0' || *at > '9')
            return false;
        size = size * 10 + (size_t)(*at - '0');
    }
    const bool integer = size == 1 || size == 2 || size == 4 || size == 8;
    if (!(kind == 'U' && size > 0) && !(kind == 'f' && (size == 4 || size == 8)) &&
        !((kind == 'i' || kind == 'u') && integer) && !(kind == 'b' && size == 1))
        return false;
    header->item_size = kind == 'U' ? 4 * size : size;
    header->big_endian = order == '>' && header->item_size > 1;
    snprintf(header->descr, sizeof header->descr, "%c%c%zu", header->item_size == 1 ? '|' : '<',
             kind, size);
    return true;
}

static enum rejectd_status read_descr(struct cursor *cursor, struct npy_header *header,
                                      struct rejectd_error *error)
{
    char descr[32];
    const bool is_text = take_string(cursor, descr, sizeof descr);
    if (cursor->any)
        return is_text && read_any_descr(descr, header)
                   ? REJECTD_OK
                   : REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "descr",
                                  "the dtype of the array is not accepted; integers, float32, "
                                  "float64, bool and text ('<U...') are, objects (pickles) are "
                                  "not");
    if (is_text)
        for (size_t i = 0; i < sizeof descriptions / sizeof *descriptions; i++)
            if (strcmp(descr, descriptions[i].descr) == 0) {
                snprintf(header->descr, sizeof header->descr, "%s", descriptions[i].descr);
                header->item_size = descriptions[i].item_size;
                return REJECTD_OK;
            }
    return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "descr",
                        "the dtype of the .npy file is not accepted; little-endian '<f4' and "
                        "'<f8' are, for samples");
}

static enum rejectd_status read_order(struct cursor *cursor, struct npy_header *header,
                                      struct rejectd_error *error)
{
    if (take_word(cursor, "False"))
        return REJECTD_OK;
    header->fortran_order = take_word(cursor, "True");
    if (header->fortran_order && cursor->any)
        return REJECTD_OK;
    if (header->fortran_order)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "fortran_order",
                            "arrays in Fortran order are not accepted; save "
                            "numpy.ascontiguousarray(x) instead");
    return malformed(error);
}

enum { HAS_DESCR = 1, HAS_ORDER = 2, HAS_SHAPE = 4, HAS_ALL = 7 };

static enum rejectd_status read_entry(struct cursor *cursor, struct npy_header *header, int *seen,
                                      struct rejectd_error *error)
{
    char key[16];
    if (!take_string(cursor, key, sizeof key) || !take(cursor, ':'))
        return malformed(error);
    int which = strcmp(key, "descr") == 0           ? HAS_DESCR
                : strcmp(key, "fortran_order") == 0 ? HAS_ORDER
                : strcmp(key, "shape") == 0         ? HAS_SHAPE
                                                    : 0;
    if (which == 0 || (*seen & which) != 0)
        return malformed(error);
    *seen |= which;
    if (which == HAS_DESCR)
        return read_descr(cursor, header, error);
    if (which == HAS_ORDER)
        return read_order(cursor, header, error);
    return take_shape(cursor, header)
               ? REJECTD_OK
               : REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "shape",
                              "the shape of the .npy file is malformed or has more than %d "
                              "dimensions",
                              NPY_MAX_DIMENSIONS);
}

static enum rejectd_status read_dict(struct cursor *cursor, struct npy_header *header,
                                     struct rejectd_error *error)
{
    int seen = 0;
    if (!take(cursor, '{'))
        return malformed(error);
    while (!take(cursor, '}')) {
        enum rejectd_status status = read_entry(cursor, header, &seen, error);
        if (status != REJECTD_OK)
            return status;
        if (!take(cursor, ',')) {
            if (!take(cursor, '}'))
                return malformed(error);
            break;
        }
    }
    skip_space(cursor);
    if (seen != HAS_ALL || cursor->at != cursor->end)
        return malformed(error);
    return REJECTD_OK;
}

static enum rejectd_status count_bytes(struct npy_header *header, struct rejectd_error *error)
{
    size_t bytes = header->item_size;
    for (size_t i = 0; i < header->n_dimensions; i++)
        if (!checked_multiply(bytes, header->shape[i], &bytes))
            return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "shape",
                                "the array of the .npy file is larger than memory can be");
    header->data_bytes = bytes;
    return REJECTD_OK;
}

/* Bytes of the preamble (magic, version, length field) and of the dict behind it. */
static enum rejectd_status read_preamble(const unsigned char *bytes, size_t *preamble, size_t *dict,
                                         struct rejectd_error *error)
{
    unsigned major = bytes[6], minor = bytes[7];
    if (major < 1 || major > 3 || minor != 0)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "header",
                            "the .npy file has version %u.%u; 1.0, 2.0 and 3.0 are accepted", major,
                            minor);
    *preamble = major == 1 ? 10 : 12;
    *dict = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    if (major > 1)
        *dict |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (*dict > NPY_MAX_HEADER - *preamble)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "header",
                            "the .npy header has %zu bytes; at most %zu are accepted", *dict,
                            NPY_MAX_HEADER - *preamble);
    return REJECTD_OK;
}

static enum rejectd_status read_header(const void *bytes, size_t length, bool any,
                                       struct npy_header *header, bool *complete,
                                       struct rejectd_error *error)
{
    const unsigned char *b = bytes;
    *header = (struct npy_header){0};
    *complete = false;
    size_t known = length < sizeof magic ? length : sizeof magic;
    if (known > 0 && memcmp(b, magic, known) != 0)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "header",
                            "the body doesn't begin like a .npy file");
    if (length < 12)
        return REJECTD_OK;
    size_t preamble = 0, dict = 0;
    enum rejectd_status status = read_preamble(b, &preamble, &dict, error);
    if (status != REJECTD_OK || length < preamble + dict)
        return status;
    struct cursor cursor = {(const char *)b + preamble, (const char *)b + preamble + dict, any};
    if ((status = read_dict(&cursor, header, error)) != 0 ||
        (status = count_bytes(header, error)) != 0)
        return status;
    header->data_offset = preamble + dict;
    *complete = true;
    return REJECTD_OK;
}

enum rejectd_status npy_header_read(const void *bytes, size_t length, struct npy_header *header,
                                    bool *complete, struct rejectd_error *error)
{
    return read_header(bytes, length, false, header, complete, error);
}

enum rejectd_status npy_header_read_any(const void *bytes, size_t length, struct npy_header *header,
                                        bool *complete, struct rejectd_error *error)
{
    return read_header(bytes, length, true, header, complete, error);
}

static const char *dtype_name(const char *descr)
{
    size_t i = 0;
    while (strcmp(descriptions[i].descr, descr) != 0)
        i++;
    return descriptions[i].name;
}

static void format_shape(const struct npy_header *header, char *out, size_t size)
{
    size_t length = 0;
    out[0] = 0;
    for (size_t i = 0; i < header->n_dimensions && length < size; i++)
        length += (size_t)snprintf(out + length, size - length, "%s%zu", i > 0 ? ", " : "",
                                   header->shape[i]);
}

enum rejectd_status npy_header_check_samples(const struct npy_header *header, size_t n_epochs,
                                             size_t n_channels, size_t n_times,
                                             enum rejectd_dtype dtype, struct rejectd_error *error)
{
    if (strcmp(header->descr, npy_descr(dtype)) != 0)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "descr",
                            "the .npy file holds %s ('%s') but the dataset was declared %s",
                            dtype_name(header->descr), header->descr, dtype_name(npy_descr(dtype)));
    if (header->n_dimensions == 3 && header->shape[0] == n_epochs &&
        header->shape[1] == n_channels && header->shape[2] == n_times)
        return REJECTD_OK;
    char shape[NPY_MAX_DIMENSIONS * 24];
    format_shape(header, shape, sizeof shape);
    return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "shape",
                        "the .npy file has shape (%s) but the dataset was declared (%zu, %zu, %zu)",
                        shape, n_epochs, n_channels, n_times);
}

size_t npy_header_write(const char *descr, size_t n_dimensions, const size_t *shape,
                        unsigned char out[256])
{
    char dict[256];
    int length =
        snprintf(dict, sizeof dict, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (size_t i = 0; i < n_dimensions; i++)
        length += snprintf(dict + length, sizeof dict - (size_t)length, "%s%zu", i > 0 ? ", " : "",
                           shape[i]);
    length += snprintf(dict + length, sizeof dict - (size_t)length, "%s), }",
                       n_dimensions == 1 ? "," : "");
    size_t total = (10 + (size_t)length + 1 + 63) / 64 * 64;
    memset(out, ' ', total);
    memcpy(out, magic, sizeof magic);
    out[6] = 1;
    out[7] = 0;
    out[8] = (unsigned char)((total - 10) & 0xff);
    out[9] = (unsigned char)((total - 10) >> 8);
    memcpy(out + 10, dict, (size_t)length);
    out[total - 1] = '\n';
    return total;
}
