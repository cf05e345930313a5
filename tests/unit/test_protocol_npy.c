/* .npy headers: those that numpy writes, and everything that isn't one. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/npy.h"
#include "run_suite.h"

struct header_case {
    int version;
    const char *dict;
    enum rejectd_status status;
    const char *field;
};

static const struct header_case header_cases[] = {
    {1, "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3, 4), }", REJECTD_OK, ""},
    {2, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 4), }", REJECTD_OK, ""},
    {3, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 4)}\n", REJECTD_OK, ""},
    {1, "{\"shape\":(2L,3L,4L,),\"descr\":\"|i1\",\"fortran_order\":False}  \n", REJECTD_OK, ""},
    {1, "{'descr': '|u1', 'fortran_order': False, 'shape': (24,)}", REJECTD_OK, ""},
    {1, "{'descr': '<f8', 'fortran_order': False, 'shape': ()}", REJECTD_OK, ""},
    {1, "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 3)}", REJECTD_OK, ""},
    {1, "{'descr': '<f8', 'fortran_order': True, 'shape': (2, 3)}", REJECTD_INVALID_SAMPLES,
     "fortran_order"},
    {1, "{'descr': '>f8', 'fortran_order': False, 'shape': (2, 3)}", REJECTD_INVALID_SAMPLES,
     "descr"},
    {1, "{'descr': '|O', 'fortran_order': False, 'shape': (2, 3)}", REJECTD_INVALID_SAMPLES,
     "descr"},
    {1, "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (2,)}", REJECTD_INVALID_SAMPLES,
     "descr"},
    {1, "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3", REJECTD_INVALID_SAMPLES,
     "shape"},
    {1, "{'descr': '<f8', 'fortran_order': False, 'shape': (24)}", REJECTD_INVALID_SAMPLES,
     "shape"},
    {1, "{'descr': '<f8', 'fortran_order': False, 'shape': (-2, 3)}", REJECTD_INVALID_SAMPLES,
     "shape"},
    {1, "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,)}",
     REJECTD_INVALID_SAMPLES, "shape"},
    {1, "{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
     REJECTD_INVALID_SAMPLES, "shape"},
    {1, "{'descr': '<f8', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}",
     REJECTD_INVALID_SAMPLES, "shape"},
    {1, "{'descr': '<f8', 'fortran_order': 0, 'shape': (2,)}", REJECTD_INVALID_SAMPLES, "header"},
    {1, "{'descr': '<f8', 'shape': (2,)}", REJECTD_INVALID_SAMPLES, "header"},
    {1, "{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': (2,)}",
     REJECTD_INVALID_SAMPLES, "header"},
    {1, "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), 'x': 1}", REJECTD_INVALID_SAMPLES,
     "header"},
    {1, "{'descr': '<f8', 'fortran_order': False, 'shape': (2,)} x", REJECTD_INVALID_SAMPLES,
     "header"},
    {1, "{'descr': '<f8' 'fortran_order': False, 'shape': (2,)}", REJECTD_INVALID_SAMPLES,
     "header"},
    {1, "              ", REJECTD_INVALID_SAMPLES, "header"},
    {4, "{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}", REJECTD_INVALID_SAMPLES,
     "header"},
    {0, "{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}", REJECTD_INVALID_SAMPLES,
     "header"},
};

/* A file of exactly the header's bytes, so that a sanitizer sees a read past it; free() it. */
static unsigned char *make_file(int version, const char *dict, size_t *length)
{
    size_t preamble = version == 1 ? 10 : 12, n = strlen(dict);
    *length = preamble + n;
    unsigned char *file = calloc(1, *length);
    memcpy(file, "\x93NUMPY", 6);
    file[6] = (unsigned char)version;
    file[8] = (unsigned char)(n & 0xff);
    file[9] = (unsigned char)(n >> 8);
    memcpy(file + preamble, dict, n);
    return file;
}

START_TEST(test_headers)
{
    const struct header_case *c = &header_cases[_i];
    size_t length;
    unsigned char *file = make_file(c->version, c->dict, &length);
    struct npy_header header;
    struct rejectd_error error = {0};
    bool complete;
    ck_assert_msg(npy_header_read(file, length, &header, &complete, &error) == c->status, "%s: %s",
                  c->dict, error.message);
    ck_assert_str_eq(error.field, c->field);
    ck_assert(complete == (c->status == REJECTD_OK));
    if (complete)
        ck_assert_uint_eq(header.data_offset, length);
    free(file);
}
END_TEST

/* With any beginning of a file the answer is "more", never an error and never a read past it. */
START_TEST(test_pieces)
{
    const struct header_case *c = &header_cases[_i];
    size_t length;
    unsigned char *file = make_file(c->version, c->dict, &length);
    for (size_t n = 0; n < length; n++) {
        unsigned char *piece = malloc(n > 0 ? n : 1);
        memcpy(piece, file, n);
        struct npy_header header;
        bool complete = true;
        ck_assert_int_eq(npy_header_read(piece, n, &header, &complete, NULL), REJECTD_OK);
        ck_assert(!complete);
        free(piece);
    }
    free(file);
}
END_TEST

START_TEST(test_fields)
{
    size_t length;
    unsigned char *file = make_file(1, header_cases[0].dict, &length);
    struct npy_header header;
    struct rejectd_error error = {0};
    bool complete;
    ck_assert(npy_has_magic(file, length) && !npy_has_magic(file, 5));
    ck_assert(!npy_has_magic("NUMPY.......", 12));
    ck_assert_int_eq(npy_header_read(file, length, &header, &complete, &error), REJECTD_OK);
    ck_assert_str_eq(header.descr, "<f8");
    ck_assert_uint_eq(header.n_dimensions, 3);
    ck_assert_uint_eq(header.data_bytes, 2 * 3 * 4 * 8);
    ck_assert_int_eq(npy_header_check_samples(&header, 2, 3, 4, REJECTD_FLOAT64, &error), 0);
    ck_assert_int_eq(npy_header_check_samples(&header, 2, 4, 3, REJECTD_FLOAT64, &error),
                     REJECTD_INVALID_SAMPLES);
    ck_assert_str_eq(error.field, "shape");
    ck_assert_ptr_nonnull(strstr(error.message, "(2, 3, 4)"));
    ck_assert_int_eq(npy_header_check_samples(&header, 2, 3, 4, REJECTD_FLOAT32, &error),
                     REJECTD_INVALID_SAMPLES);
    ck_assert_str_eq(error.field, "descr");
    ck_assert_ptr_nonnull(strstr(error.message, "holds float64 ('<f8')"));
    file[1] = 'n';
    ck_assert_int_eq(npy_header_read(file, length, &header, &complete, &error),
                     REJECTD_INVALID_SAMPLES);
    free(file);
}
END_TEST

struct any_case {
    const char *descr; /* in the file */
    const char *read;  /* NULL: refused */
    size_t item_size;
    bool big_endian;
};

static const struct any_case any_cases[] = {
    {">f8", "<f8", 8, true},  {"=f4", "<f4", 4, false},      {">i2", "<i2", 2, true},
    {"|u1", "|u1", 1, false}, {">U12", "<U12", 48, true},    {"<U1", "<U1", 4, false},
    {"<u8", "<u8", 8, false}, {"|b1", "|b1", 1, false},      {"<f2", NULL, 0, false},
    {"|O", NULL, 0, false},   {"|O8", NULL, 0, false},       {"<U0", NULL, 0, false},
    {"<c16", NULL, 0, false}, {"|S8", NULL, 0, false},       {"", NULL, 0, false},
    {"<", NULL, 0, false},    {"f8", NULL, 0, false},        {"<f8x", NULL, 0, false},
    {"<i3", NULL, 0, false},  {"<U9999999", NULL, 0, false},
};

START_TEST(test_any)
{
    const struct any_case *c = &any_cases[_i];
    char dict[128];
    snprintf(dict, sizeof dict, "{'descr': '%s', 'fortran_order': True, 'shape': (2, 3)}",
             c->descr);
    size_t length;
    unsigned char *file = make_file(1, dict, &length);
    struct npy_header header;
    struct rejectd_error error = {0};
    bool complete;
    enum rejectd_status status = npy_header_read_any(file, length, &header, &complete, &error);
    ck_assert_msg(status == (c->read != NULL ? REJECTD_OK : REJECTD_INVALID_SAMPLES), "%s: %s",
                  c->descr, error.message);
    if (c->read != NULL) {
        ck_assert_str_eq(header.descr, c->read);
        ck_assert_uint_eq(header.item_size, c->item_size);
        ck_assert_uint_eq(header.data_bytes, 6 * c->item_size);
        ck_assert(header.fortran_order && header.big_endian == c->big_endian);
    } else {
        ck_assert_str_eq(error.field, "descr");
    }
    free(file);
}
END_TEST

START_TEST(test_too_long_header)
{
    unsigned char file[12] = {0x93, 'N', 'U', 'M', 'P', 'Y', 2, 0, 0xff, 0xff, 0xff, 0xff};
    struct npy_header header;
    struct rejectd_error error = {0};
    bool complete;
    ck_assert_int_eq(npy_header_read(file, sizeof file, &header, &complete, &error),
                     REJECTD_INVALID_SAMPLES);
    ck_assert_ptr_nonnull(strstr(error.message, "4294967295 bytes"));
}
END_TEST

START_TEST(test_write)
{
    static const size_t small[] = {300, 128, 1000};
    static const size_t large[] = {SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX,
                                   SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX};
    unsigned char out[256];
    struct npy_header header;
    bool complete;
    for (size_t n = 0; n <= 3; n++) {
        size_t length = npy_header_write("<f4", n, small, out);
        ck_assert_uint_eq(length % 64, 0);
        ck_assert_int_eq(out[length - 1], '\n');
        ck_assert_int_eq(npy_header_read(out, length, &header, &complete, NULL), REJECTD_OK);
        ck_assert(complete);
        ck_assert_uint_eq(header.n_dimensions, n);
        ck_assert_mem_eq(header.shape, small, n * sizeof *small);
        ck_assert_str_eq(header.descr, "<f4");
    }
    ck_assert_uint_le(npy_header_write("<f8", 8, large, out), 256);
    static const char numpys[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (300,), } ";
    npy_header_write("<f4", 1, small, out);
    ck_assert_mem_eq(out + 10, numpys, strlen(numpys));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("protocol/npy");
    TCase *tests = tcase_create("npy");
    tcase_add_loop_test(tests, test_headers, 0, (int)(sizeof header_cases / sizeof *header_cases));
    tcase_add_loop_test(tests, test_pieces, 0, 4);
    tcase_add_loop_test(tests, test_any, 0, (int)(sizeof any_cases / sizeof *any_cases));
    tcase_add_test(tests, test_fields);
    tcase_add_test(tests, test_too_long_header);
    tcase_add_test(tests, test_write);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
