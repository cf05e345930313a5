/* Header fields of pieces, codings and digests. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/http_fields.h"

#define MOST "18446744073709551615"

START_TEST(test_content_range)
{
    static const struct {
        const char *text;
        struct http_piece piece; /* total 0: refused */
    } cases[] = {
        {"bytes 0-0/1", {0, 0, 1}},
        {"bytes 0-99/500", {0, 99, 500}},
        {"Bytes 100-499/500", {100, 499, 500}},
        {" bytes 007-8/9 ", {7, 8, 9}},
        {"bytes 0-18446744073709551614/" MOST, {0, UINT64_MAX - 1, UINT64_MAX}},
        {"", {0}},
        {"bytes", {0}},
        {"bytes 0-99", {0}},
        {"bytes=0-99/500", {0}},
        {"bytes 0-99/*", {0}},
        {"bytes */500", {0}},
        {"bytes 0-500/500", {0}},
        {"bytes 99-98/500", {0}},
        {"bytes -5/500", {0}},
        {"bytes 5-/500", {0}},
        {"bytes +1-5/500", {0}},
        {"bytes 0x1-5/500", {0}},
        {"bytes 1 - 5/500", {0}},
        {"bytes 0-99/500, bytes 0-1/500", {0}},
        {"bytes 0-99/500x", {0}},
        {"bytes 0-1/18446744073709551616", {0}},
        {"bytes 0-99999999999999999999/500", {0}},
        {"items 0-99/500", {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_piece piece;
        struct rejectd_error error = {0};
        const enum rejectd_status status = http_read_content_range(cases[i].text, &piece, &error);
        const bool accepted = cases[i].piece.total != 0;
        ck_assert_msg((status == REJECTD_OK) == accepted, "\"%s\"", cases[i].text);
        ck_assert_uint_eq(piece.first, cases[i].piece.first);
        ck_assert_uint_eq(piece.last, cases[i].piece.last);
        ck_assert_uint_eq(piece.total, cases[i].piece.total);
        if (!accepted) {
            ck_assert_int_eq(status, REJECTD_INVALID_REQUEST);
            ck_assert_str_eq(error.field, "Content-Range");
        }
    }
}
END_TEST

START_TEST(test_codings)
{
    static const struct {
        const char *text;
        int coding; /* -1: refused */
    } cases[] = {
        {NULL, HTTP_IDENTITY},
        {"identity", HTTP_IDENTITY},
        {"zstd", HTTP_ZSTD},
        {"ZSTD ", HTTP_ZSTD},
        {" gzip", HTTP_GZIP},
        {"x-gzip", HTTP_GZIP},
        {"br", -1},
        {"deflate", -1},
        {"gzip, zstd", -1},
        {"zstd,identity", -1},
        {"", -1},
        {"zstdx", -1},
        {"gzip gzip", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum http_coding coding;
        struct rejectd_error error = {0};
        const enum rejectd_status status = http_read_coding(cases[i].text, &coding, &error);
        if (cases[i].coding >= 0) {
            ck_assert_int_eq(status, REJECTD_OK);
            ck_assert_int_eq((int)coding, cases[i].coding);
        } else {
            ck_assert_int_eq(status, REJECTD_UNSUPPORTED_MEDIA_TYPE);
            ck_assert_ptr_nonnull(strstr(error.message, "zstd, gzip"));
        }
    }
}
END_TEST

/* SHA-256 of nothing, and of "abc". */
#define NOTHING "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
#define ABC "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="

START_TEST(test_digests)
{
    static const struct {
        const char *text;
        bool old, accepted;
    } cases[] = {
        {"sha-256=:" ABC ":", false, true},
        {"SHA-256=:" ABC ":", false, true},
        {"md5=:AAAA:, sha-256=:" ABC ":", false, true},
        {"sha-256=:" ABC ":  , sha-512=:AA==:", false, true},
        {"SHA-256=" ABC, true, true},
        {"sha-256=" ABC, true, true},
        {"MD5=AAAA,SHA-256=" ABC " ", true, true},
        {"sha-256=" ABC, false, false},
        {"SHA-256=:" ABC ":", true, false},
        {"sha-512=:" ABC ":", false, false},
        {"sha-256=:" ABC, false, false},
        {"sha-256=::", false, false},
        {"sha-256=:AAAA:", false, false},
        {"sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0:", false, false},
        {"sha-256=:ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:", false, false},
        {"sha-256=:" ABC ABC ":", false, false},
        {"sha-256", false, false},
        {"", false, false},
        {", ,", true, false},
    };
    unsigned char abc[HTTP_DIGEST_BYTES], digest[HTTP_DIGEST_BYTES];
    char text[HTTP_DIGEST_TEXT_SIZE];
    struct rejectd_error error = {0};
    ck_assert_int_eq(http_read_digest("x", "sha-256=:" ABC ":", false, abc, &error), REJECTD_OK);
    http_write_digest(abc, text);
    ck_assert_str_eq(text, "sha-256=:" ABC ":");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        memset(digest, 0, sizeof digest);
        const enum rejectd_status status =
            http_read_digest("Repr-Digest", cases[i].text, cases[i].old, digest, &error);
        ck_assert_msg((status == REJECTD_OK) == cases[i].accepted, "\"%s\"", cases[i].text);
        if (cases[i].accepted)
            ck_assert_mem_eq(digest, abc, sizeof abc);
        else
            ck_assert_str_eq(error.field, "Repr-Digest");
    }
    /* The first of several counts. */
    ck_assert_int_eq(
        http_read_digest("x", "sha-256=:" NOTHING ":,sha-256=:" ABC ":", false, digest, &error),
        REJECTD_OK);
    ck_assert_mem_ne(digest, abc, sizeof abc);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("protocol/http_fields");
    TCase *tests = tcase_create("fields");
    tcase_add_test(tests, test_content_range);
    tcase_add_test(tests, test_codings);
    tcase_add_test(tests, test_digests);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
