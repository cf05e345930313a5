/* FIF files that are wrong in one place each: what is said about it, and that nothing leaks. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fif_file.h"
#include "fif_reading.h"
#include "run_suite.h"

static const struct fif_recipe full = {
    .n_epochs = 3,
    .n_channels = 5,
    .n_times = 7,
    .long_names = true,
    .projectors = true,
    .bads = true,
    .transform = true,
    .metadata = true,
    .log = true,
    .next = "x-epo-1.fif",
};

#define CHANGE(change, tag) .what = FIF_CHANGE_##change, .kind = tag
#define INT(text) .data = "\0\0\0" text, .size = 4
#define LONG_TEXT(text) .data = text, .size = sizeof text - 1

static const struct {
    struct fif_change change;
    enum rejectd_status status;
    const char *message; /* a part of it */
} refusals[] = {
    {{CHANGE(DROP, 100)}, REJECTD_INVALID_SAMPLES, "no FIF file"},
    {{CHANGE(TYPE, 100), .number = 3}, REJECTD_INVALID_SAMPLES, "no FIF file"},
    {{CHANGE(DROP, 101)}, REJECTD_INVALID_SAMPLES, "second tag"},
    {{CHANGE(DATA, 104), INT("\x66"), .skip = 9}, REJECTD_INVALID_SAMPLES, "a raw file"},
    {{CHANGE(DATA, 104), INT("\x68"), .skip = 9}, REJECTD_INVALID_SAMPLES, "an evoked file"},
    {{CHANGE(DATA, 104), INT("\x66"), .skip = 8}, REJECTD_INVALID_SAMPLES, "a raw file"},
    {{CHANGE(DATA, 104), .data = "\xff\0\0\0", .size = 4}, REJECTD_INVALID_SAMPLES, "block with"},
    {{CHANGE(DATA, 104), .data = "\0\0", .size = 2}, REJECTD_INVALID_SAMPLES, "4 bytes"},
    {{CHANGE(TYPE, 104), .number = 4}, REJECTD_INVALID_SAMPLES, "no integer"},
    {{CHANGE(DROP, 104)}, REJECTD_INVALID_SAMPLES, "innermost"},
    {{CHANGE(DROP, 105), .skip = 8}, REJECTD_INVALID_SAMPLES, "innermost"},
    {{CHANGE(DATA, 105), INT("\x65")}, REJECTD_INVALID_SAMPLES, "closes block 101"},
    {{CHANGE(TWICE, 105)}, REJECTD_INVALID_SAMPLES, "innermost"},
    {{CHANGE(DROP, 200)}, REJECTD_INVALID_SAMPLES, "number of channels"},
    {{CHANGE(TYPE, 200), .number = 4}, REJECTD_INVALID_SAMPLES, "type 0x4"},
    {{CHANGE(WORD, 200), .number = 0}, REJECTD_INVALID_VALUE, "0 channels"},
    {{CHANGE(WORD, 200), .number = 0xffffffff}, REJECTD_INVALID_VALUE, "-1 channels"},
    {{CHANGE(WORD, 200), .number = 4097}, REJECTD_INVALID_VALUE, "1 to 4096"},
    {{CHANGE(WORD, 200), .number = 6}, REJECTD_INVALID_SAMPLES, "6 channels x"},
    {{CHANGE(WORD, 200), .number = 1}, REJECTD_INVALID_SAMPLES, "5 channels (tag 203)"},
    {{CHANGE(DATA, 200), LONG_TEXT("\0\0\0\4\0\0\0\4")}, REJECTD_INVALID_SAMPLES, "8 bytes"},
    {{CHANGE(DROP, 201)}, REJECTD_INVALID_SAMPLES, "sampling rate"},
    {{CHANGE(WORD, 201), .number = 0x7fc00000}, REJECTD_INVALID_VALUE, "nan Hz"},
    {{CHANGE(WORD, 201), .number = 0x7f800000}, REJECTD_INVALID_VALUE, "inf Hz"},
    {{CHANGE(WORD, 201), .number = 0}, REJECTD_INVALID_VALUE, "0 Hz"},
    {{CHANGE(WORD, 201), .number = 0xbf800000}, REJECTD_INVALID_VALUE, "-1 Hz"},
    {{CHANGE(TYPE, 201), .number = 3}, REJECTD_INVALID_SAMPLES, "sampling rate"},
    {{CHANGE(DROP, 203)}, REJECTD_INVALID_SAMPLES, "4 channels (tag 203)"},
    {{CHANGE(TWICE, 203)}, REJECTD_INVALID_SAMPLES, "6 channels (tag 203)"},
    {{CHANGE(TYPE, 203), .number = 31}, REJECTD_INVALID_SAMPLES, "type 0x1f"},
    {{CHANGE(DATA, 203), LONG_TEXT("short")}, REJECTD_INVALID_SAMPLES, "96 are accepted"},
    {{CHANGE(WORD, 203), .number = 0, .at = 16}, REJECTD_INVALID_VALUE, "calibrated with 0"},
    {{CHANGE(WORD, 203), .number = 0x7fc00000, .at = 16},
     REJECTD_INVALID_VALUE,
     "calibrated with nan"},
    {{CHANGE(WORD, 203), .number = 0x4e000000, .at = 24},
     REJECTD_INVALID_VALUE,
     "head coordinates"},
    {{CHANGE(DATA, 258), LONG_TEXT("x")}, REJECTD_OK, ""},
    {{CHANGE(DATA, 258), LONG_TEXT("")}, REJECTD_INVALID_VALUE, "this one has 0"},
    {{CHANGE(DATA, 258), LONG_TEXT("a\nb")}, REJECTD_INVALID_VALUE, "control"},
    {{CHANGE(DATA, 258),
      LONG_TEXT("012345678901234567890123456789012345678901234567890123456789012\xe9")},
     REJECTD_INVALID_VALUE,
     "this one has 65"},
    {{CHANGE(DATA, 258), LONG_TEXT("a long name \xe9 &#8364; of channel 1")},
     REJECTD_INVALID_VALUE,
     "unique"},
    {{CHANGE(TYPE, 258), .number = 3}, REJECTD_INVALID_SAMPLES, "type 0x3"},
    {{CHANGE(DATA, 104), INT("\x72"), .skip = 5}, REJECTD_INVALID_SAMPLES, "innermost"},
    {{CHANGE(TYPE, 222), .number = 3}, REJECTD_INVALID_SAMPLES, "coordinate transform"},
    {{CHANGE(DATA, 222), LONG_TEXT("x")}, REJECTD_INVALID_SAMPLES, "104 are accepted"},
    {{CHANGE(TYPE, 3507), .number = 3}, REJECTD_INVALID_SAMPLES, "list of channel names"},
    {{CHANGE(DROP, 3417)}, REJECTD_INVALID_SAMPLES, "lacks"},
    {{CHANGE(DROP, 3414)}, REJECTD_INVALID_SAMPLES, "lacks"},
    {{CHANGE(DROP, 3415)}, REJECTD_INVALID_SAMPLES, "lacks"},
    {{CHANGE(DATA, 3417), LONG_TEXT("short 0")}, REJECTD_INVALID_SAMPLES, "has a matrix"},
    {{CHANGE(WORD, 3414), .number = 2}, REJECTD_INVALID_SAMPLES, "has a matrix"},
    {{CHANGE(WORD, 3414), .number = 0}, REJECTD_TOO_LARGE, "0 vectors"},
    {{CHANGE(WORD, 3414), .number = 257}, REJECTD_TOO_LARGE, "257 vectors"},
    {{CHANGE(WORD, 3414), .number = 0x80000000}, REJECTD_TOO_LARGE, "vectors"},
    {{CHANGE(WORD, 3415), .number = 3, .at = -4}, REJECTD_INVALID_SAMPLES, "has a matrix"},
    {{CHANGE(WORD, 3415), .number = 7, .at = -8}, REJECTD_INVALID_SAMPLES, "has a matrix"},
    {{CHANGE(TYPE, 3415), .number = 4}, REJECTD_INVALID_SAMPLES, "projection vectors"},
    {{CHANGE(WORD, 3415), .number = 0x7fc00000}, REJECTD_INVALID_SAMPLES, "not finite"},
    {{CHANGE(DATA, 3560), LONG_TEXT("x")}, REJECTD_INVALID_SAMPLES, "4 are accepted"},
    {{CHANGE(DROP, 208)}, REJECTD_INVALID_SAMPLES, "first and last"},
    {{CHANGE(DROP, 209)}, REJECTD_INVALID_SAMPLES, "first and last"},
    {{CHANGE(WORD, 208), .number = 0x80000000}, REJECTD_INVALID_VALUE, "-2147483648"},
    {{CHANGE(WORD, 208), .number = 0x7fffffff}, REJECTD_INVALID_VALUE, "2147483647"},
    {{CHANGE(WORD, 208), .number = 0}, REJECTD_INVALID_SAMPLES, "no multiple"},
    {{CHANGE(DROP, 302)}, REJECTD_INVALID_SAMPLES, "no epochs (tag 302"},
    {{CHANGE(TWICE, 302)}, REJECTD_INVALID_SAMPLES, "twice"},
    {{CHANGE(TYPE, 302), .number = 0x40000014}, REJECTD_INVALID_SAMPLES, "0x40000014"},
    {{CHANGE(TYPE, 302), .number = 0x40000015}, REJECTD_INVALID_SAMPLES, "0x40000015"},
    {{CHANGE(TYPE, 302), .number = 0x40200004}, REJECTD_INVALID_SAMPLES, "0x40200004"},
    {{CHANGE(TYPE, 302), .number = 4}, REJECTD_INVALID_SAMPLES, "0x4"},
    {{CHANGE(TYPE, 302), .number = 0x40000005}, REJECTD_INVALID_SAMPLES, "no matrix"},
    {{CHANGE(DATA, 302), LONG_TEXT("\0\0\0\7\0\0\0\5\0\0\0\0\0\0\0\3")},
     REJECTD_INVALID_VALUE,
     "no epochs: all"},
    {{CHANGE(DATA, 302), LONG_TEXT("x")}, REJECTD_INVALID_SAMPLES, "no matrix"},
    {{CHANGE(SIZE, 302), .number = 0x80000000}, REJECTD_INVALID_SAMPLES, "-2147483648 bytes"},
    {{CHANGE(SIZE, 302), .number = 0xffffffff}, REJECTD_INVALID_SAMPLES, "size of -1"},
    {{CHANGE(SIZE, 302), .number = 35 * 4 * 3 * 1000 + 16},
     REJECTD_INVALID_SAMPLES,
     "cut off in tag 302"},
    {{CHANGE(WORD, 302), .number = 2, .at = -4}, REJECTD_INVALID_SAMPLES, "2 dimensions"},
    {{CHANGE(WORD, 302), .number = 4, .at = -8}, REJECTD_INVALID_SAMPLES, "(4, 5, 7)"},
    {{CHANGE(WORD, 302), .number = 7, .at = -12}, REJECTD_INVALID_SAMPLES, "(3, 7, 7)"},
    {{CHANGE(WORD, 302), .number = 5, .at = -16}, REJECTD_INVALID_SAMPLES, "(3, 5, 5)"},
    {{CHANGE(NEXT, 201), .number = 1}, REJECTD_INVALID_SAMPLES, "follow each other"},
    {{CHANGE(NEXT, 201), .number = 0xfffffffe}, REJECTD_INVALID_SAMPLES, "cannot be"},
    {{CHANGE(NEXT, 201), .number = 0xffffffff}, REJECTD_INVALID_SAMPLES, "after its last tag"},
    {{CHANGE(NEXT, 302), .number = 7}, REJECTD_INVALID_SAMPLES, "follow each other"},
    {{CHANGE(TWICE, 108)}, REJECTD_INVALID_SAMPLES, "after its last tag"},
    {{CHANGE(DROP, 108)}, REJECTD_OK, ""},
    {{CHANGE(DROP, 3561)}, REJECTD_INVALID_SAMPLES, "no events"},
    {{CHANGE(TYPE, 3561), .number = 4}, REJECTD_INVALID_SAMPLES, "(events)"},
    {{CHANGE(DATA, 3561), LONG_TEXT("0123456789ab")}, REJECTD_INVALID_SAMPLES, "1 events"},
    {{CHANGE(DATA, 3561), LONG_TEXT("0123456789abc")}, REJECTD_INVALID_SAMPLES, "multiples"},
    {{CHANGE(DATA, 206), LONG_TEXT("a")}, REJECTD_INVALID_VALUE, "name:number"},
    {{CHANGE(DATA, 206), LONG_TEXT("a:b")}, REJECTD_INVALID_VALUE, "name:number"},
    {{CHANGE(DATA, 206), LONG_TEXT("a:1;")}, REJECTD_OK, ""},
    {{CHANGE(DATA, 206), LONG_TEXT("a:1;;")}, REJECTD_INVALID_VALUE, "name:number"},
    {{CHANGE(DATA, 206), LONG_TEXT("a:2147483648")}, REJECTD_INVALID_VALUE, "name:number"},
    {{CHANGE(TYPE, 206), .number = 3}, REJECTD_INVALID_SAMPLES, "description"},
    {{CHANGE(DATA, 206), LONG_TEXT("{}"), .skip = 1}, REJECTD_INVALID_SAMPLES, "metadata"},
    {{CHANGE(DATA, 206), LONG_TEXT("[{}, {}]"), .skip = 1}, REJECTD_INVALID_SAMPLES, "2 rows"},
    {{CHANGE(DATA, 206), LONG_TEXT("[{}, {}, {]"), .skip = 1}, REJECTD_INVALID_SAMPLES, "array"},
    {{CHANGE(DATA, 3801), LONG_TEXT("[")}, REJECTD_INVALID_SAMPLES, "drop log"},
    {{CHANGE(DATA, 3801), LONG_TEXT("[[], [], []]")}, REJECTD_INVALID_SAMPLES, "has 3"},
    {{CHANGE(TYPE, 3801), .number = 3}, REJECTD_INVALID_SAMPLES, "drop log"},
    {{CHANGE(DROP, 3801)}, REJECTD_OK, ""},
    {{CHANGE(DROP, 3800)}, REJECTD_OK, ""},
    {{CHANGE(DATA, 3800), INT("\1")}, REJECTD_INVALID_SAMPLES, "1 selected"},
    {{CHANGE(WORD, 3800), .number = 0xffffffff, .at = 4}, REJECTD_INVALID_SAMPLES, "epoch 1 "},
    {{CHANGE(TYPE, 115), .number = 4}, REJECTD_INVALID_SAMPLES, "role"},
    {{CHANGE(TYPE, 117), .number = 4}, REJECTD_INVALID_SAMPLES, "number of the next"},
    {{CHANGE(TYPE, 118), .number = 4}, REJECTD_INVALID_SAMPLES, "name of the next"},
};

START_TEST(test_refusals)
{
    struct fif_recipe recipe = full;
    recipe.change = refusals[_i].change;
    struct fif_file file = fif_file_make(&recipe);
    for (size_t chunk = 0; chunk < 4; chunk++) {
        struct fif_reading reading = {0};
        const enum rejectd_status status =
            fif_reading_read(&reading, file.bytes, file.size, chunk * 5, 0);
        ck_assert_msg(status == refusals[_i].status &&
                          strstr(reading.error.message, refusals[_i].message) != NULL,
                      "status %s, message \"%s\"", rejectd_status_name(status),
                      reading.error.message);
        if (status != REJECTD_OK) {
            ck_assert_int_eq(reading.error.status, status);
            ck_assert_ptr_null(reading.description.channels);
            ck_assert_ptr_null(reading.leftover.head);
        }
        fif_reading_clear(&reading);
    }
    free(file.bytes);
}
END_TEST

START_TEST(test_truncated)
{
    struct fif_file file = fif_file_make(&full);
    const size_t nop = 16;
    for (size_t size = 0; size < file.size; size++) {
        struct fif_reading reading = {0};
        const enum rejectd_status status = fif_reading_read(&reading, file.bytes, size, 0, 0);
        /* Without its last, empty tag it's complete too. */
        ck_assert_int_eq(status, size == file.size - nop ? REJECTD_OK : REJECTD_INVALID_SAMPLES);
        fif_reading_clear(&reading);
    }
    free(file.bytes);
}
END_TEST

START_TEST(test_limits)
{
    struct fif_file file = fif_file_make(&full);
    struct fif_reading reading = {0};
    ck_assert_int_eq(fif_reading_read(&reading, file.bytes, file.size, 0, 100), REJECTD_TOO_LARGE);
    ck_assert_ptr_nonnull(strstr(reading.error.message, "at most 100 bytes"));
    fif_reading_clear(&reading);
    reading.fail_at = 50;
    ck_assert_int_eq(fif_reading_read(&reading, file.bytes, file.size, 0, 0), REJECTD_STORAGE_FULL);
    ck_assert_str_eq(reading.error.message, "no room");
    fif_reading_clear(&reading);
    const size_t head = file.size - 3 * 5 * 7 * 4;
    ck_assert_int_eq(fif_reading_read(&reading, file.bytes, file.size, 0, head), REJECTD_OK);
    ck_assert_uint_eq(reading.leftover.head_size, head);
    fif_reading_clear(&reading);
    free(file.bytes);
}
END_TEST

START_TEST(test_depth_and_tags)
{
    const struct fif_recipe recipe = {0};
    struct fif_file file;
    struct fif_reading reading = {0};
    fif_file_begin(&file, &recipe);
    for (int depth = 0; depth < 33; depth++)
        fif_file_int(&file, 104, 999);
    ck_assert_int_eq(fif_reading_read(&reading, file.bytes, file.size, 0, 0),
                     REJECTD_INVALID_SAMPLES);
    ck_assert_ptr_nonnull(strstr(reading.error.message, "deeper than 32"));
    fif_reading_clear(&reading);
    free(file.bytes);
    fif_file_begin(&file, &recipe);
    for (int tag = 0; tag < 1000000; tag++)
        fif_file_tag(&file, 107, 0, NULL, 0);
    ck_assert_int_eq(fif_reading_read(&reading, file.bytes, file.size, 0, 0), REJECTD_TOO_LARGE);
    ck_assert_ptr_nonnull(strstr(reading.error.message, "1000000 tags"));
    fif_reading_clear(&reading);
    free(file.bytes);
}
END_TEST

START_TEST(test_again_after_failure)
{
    struct rejectd_error first = {0}, again = {0};
    const struct fif_reader_options options = {0};
    struct fif_reader *reader;
    struct dataset_description description;
    struct fif_leftover leftover;
    ck_assert_int_eq(fif_reader_open(&options, &reader, NULL), REJECTD_OK);
    ck_assert_int_eq(fif_reader_write(reader, "something else at all", 21, &first),
                     REJECTD_INVALID_SAMPLES);
    ck_assert_int_eq(fif_reader_write(reader, "x", 1, &again), REJECTD_INVALID_SAMPLES);
    ck_assert_str_eq(first.message, again.message);
    ck_assert_int_eq(fif_reader_finish(reader, &description, &leftover, NULL),
                     REJECTD_INVALID_SAMPLES);
    fif_reader_close(reader);
    fif_reader_close(NULL);
    for (size_t n = 0; n < 3; n++) {
        ck_assert_int_eq(fif_reader_open(&options, &reader, NULL), REJECTD_OK);
        ck_assert_int_eq(fif_reader_write(reader, "\0\0", n, &first), REJECTD_OK);
        ck_assert_int_eq(fif_reader_finish(reader, &description, &leftover, &first),
                         REJECTD_INVALID_SAMPLES);
        ck_assert_ptr_nonnull(strstr(first.message, "epochs.save"));
        fif_reader_close(reader);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("protocol/fif refusals");
    TCase *tests = tcase_create("fif");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, test_refusals, 0, (int)(sizeof refusals / sizeof *refusals));
    tcase_add_test(tests, test_truncated);
    tcase_add_test(tests, test_limits);
    tcase_add_test(tests, test_depth_and_tags);
    tcase_add_test(tests, test_again_after_failure);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
