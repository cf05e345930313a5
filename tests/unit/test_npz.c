/* .npz files: what the writer makes is read again, and everything that a zip may hide is refused.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "protocol/dataset_npz.h"
#include "protocol/reject_log_npz.h"
#include "run_suite.h"

enum { N_EPOCHS = 2, N_CHANNELS = 3, N_TIMES = 4 };

struct channel_texts {
    char names[N_CHANNELS][8];
    char types[N_CHANNELS][8];
};

static const struct channel_texts good_texts = {{"Fp1", "\xc2\xb5V", "Cz"}, {"eeg", "mag", "eog"}};

static void fill(double samples[N_EPOCHS * N_CHANNELS * N_TIMES])
{
    for (int i = 0; i < N_EPOCHS * N_CHANNELS * N_TIMES; i++)
        samples[i] = i * 1e-6;
}

/* A small dataset as a stored .npz. */
static void write_dataset(struct buffer *out, const struct channel_texts *texts, double sfreq)
{
    static const size_t shape[] = {N_EPOCHS, N_CHANNELS, N_TIMES};
    static const size_t position_shape[] = {N_CHANNELS, 3};
    static const int64_t events[] = {10, 0, 1, 20, 0, 2};
    static const size_t event_shape[] = {N_EPOCHS, 3};
    static const double positions[] = {0, 0.1, 0, NAN, NAN, NAN, 0.1, 0, 0};
    double samples[N_EPOCHS * N_CHANNELS * N_TIMES];
    fill(samples);
    struct npz_writer writer;
    buffer_init(out, 1 << 20);
    npz_writer_init(&writer, out);
    npz_writer_array(&writer, "data", "<f8", 3, shape, samples, sizeof samples);
    npz_writer_texts(&writer, "ch_names", texts->names[0], sizeof texts->names[0], N_CHANNELS);
    npz_writer_texts(&writer, "ch_types", texts->types[0], sizeof texts->types[0], N_CHANNELS);
    npz_writer_array(&writer, "sfreq", "<f8", 0, NULL, &sfreq, sizeof sfreq);
    npz_writer_array(&writer, "positions", "<f8", 2, position_shape, positions, sizeof positions);
    npz_writer_texts(&writer, "bads", texts->names[2], sizeof texts->names[2], 1);
    npz_writer_array(&writer, "events", "<i8", 2, event_shape, events, sizeof events);
    npz_writer_finish(&writer);
    ck_assert(!out->failed);
}

struct received {
    unsigned char bytes[4096];
    size_t count;
};

static enum rejectd_status receive(void *context, const void *bytes, size_t count,
                                   struct rejectd_error *error)
{
    (void)error;
    struct received *received = context;
    ck_assert_uint_le(count, sizeof received->bytes - received->count);
    memcpy(received->bytes + received->count, bytes, count);
    received->count += count;
    return REJECTD_OK;
}

static enum rejectd_status refuse(void *context, const void *bytes, size_t count,
                                  struct rejectd_error *error)
{
    (void)context;
    (void)bytes;
    return REJECTD_FAIL(error, REJECTD_STORAGE_FULL, "", "no room for %zu bytes", count);
}

START_TEST(test_dataset)
{
    struct buffer file;
    struct dataset_description d;
    struct rejectd_error error = {0};
    struct received received = {0};
    double samples[N_EPOCHS * N_CHANNELS * N_TIMES];
    fill(samples);
    write_dataset(&file, &good_texts, 250);
    ck_assert(npz_has_magic(file.data, file.length) && !npz_has_magic("PK\3", 3));
    ck_assert_int_eq(dataset_npz_describe(file.data, file.length, sizeof samples, &d, &error), 0);
    ck_assert_uint_eq(d.n_epochs, N_EPOCHS);
    ck_assert_uint_eq(d.n_channels, N_CHANNELS);
    ck_assert_uint_eq(d.n_times, N_TIMES);
    ck_assert_int_eq(d.dtype, REJECTD_FLOAT64);
    ck_assert_double_eq(d.sfreq, 250);
    ck_assert_str_eq(d.channels[1].name, "\xc2\xb5V");
    ck_assert_int_eq(d.channels[1].type, REJECTD_CHANNEL_MAG);
    ck_assert(d.channels[0].has_position && !d.channels[1].has_position);
    ck_assert(d.channels[2].bad && !d.channels[0].bad);
    ck_assert_str_eq(d.events_json, "[[10,0,1],[20,0,2]]");
    ck_assert_int_eq(dataset_npz_samples(file.data, file.length, &d, receive, &received, &error),
                     0);
    ck_assert_uint_eq(received.count, sizeof samples);
    ck_assert_mem_eq(received.bytes, samples, sizeof samples);
    ck_assert_int_eq(dataset_npz_samples(file.data, file.length, &d, refuse, NULL, &error),
                     REJECTD_STORAGE_FULL);
    dataset_description_clear(&d);
    ck_assert_int_eq(dataset_npz_describe(file.data, file.length, sizeof samples - 1, &d, &error),
                     REJECTD_TOO_LARGE);
    ck_assert_str_eq(error.field, "data");
    buffer_free(&file);
}
END_TEST

static const struct {
    struct channel_texts texts;
    double sfreq;
    const char *field;
} bad_datasets[] = {
    {{{"Fp1", "Fp1", "Cz"}, {"eeg", "eeg", "eeg"}}, 250, "ch_names[1]"},
    {{{"Fp1", "", "Cz"}, {"eeg", "eeg", "eeg"}}, 250, "ch_names[1]"},
    {{{"Fp1", "a\nb", "Cz"}, {"eeg", "eeg", "eeg"}}, 250, "ch_names[1]"},
    {{{"Fp1", "Fp2", "Cz"}, {"eeg", "eeg", "EEG"}}, 250, "ch_types[2]"},
    {{{"Fp1", "Fp2", "Cz"}, {"eeg", "eeg", "eeg"}}, 0, "sfreq"},
    {{{"Fp1", "Fp2", "Cz"}, {"eeg", "eeg", "eeg"}}, NAN, "sfreq"},
};

START_TEST(test_bad_dataset)
{
    struct buffer file;
    struct dataset_description d;
    struct rejectd_error error = {0};
    write_dataset(&file, &bad_datasets[_i].texts, bad_datasets[_i].sfreq);
    ck_assert_int_ne(dataset_npz_describe(file.data, file.length, 1 << 20, &d, &error), 0);
    ck_assert_str_eq(error.field, bad_datasets[_i].field);
    ck_assert_ptr_null(d.channels);
    buffer_free(&file);
}
END_TEST

/* Any beginning of a file, and any byte of it changed, is refused or gives the same samples. */
START_TEST(test_damage)
{
    struct buffer file;
    double samples[N_EPOCHS * N_CHANNELS * N_TIMES];
    fill(samples);
    write_dataset(&file, &good_texts, 250);
    size_t length = file.length, accepted = 0;
    for (size_t at = 0; at < 2 * length; at++) {
        /* Memory of exactly that size, so that a sanitizer sees a read past it. */
        const size_t n = at < length ? at : length;
        char *copy = malloc(n + (n == 0));
        memcpy(copy, file.data, n);
        if (at >= length)
            copy[at - length] ^= 0x55;
        struct dataset_description d;
        struct received received = {0};
        if (dataset_npz_describe(copy, n, 1 << 20, &d, NULL) == REJECTD_OK) {
            if (dataset_npz_samples(copy, n, &d, receive, &received, NULL) == REJECTD_OK) {
                ck_assert_mem_eq(received.bytes, samples, sizeof samples);
                accepted++;
            }
            dataset_description_clear(&d);
        }
        free(copy);
    }
    /* Dates, versions, attributes and the names of members that may be missing. */
    ck_assert_uint_lt(accepted, length / 4);
    buffer_free(&file);
}
END_TEST

/* ---- zips made by hand ---- */

enum { LOCAL = 30, CENTRAL = 46, END = 22 };

static void put(char *at, size_t bytes, uint64_t value)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (char)(value >> 8 * i);
}

/* One member "x.npy" , its header empty but for what is given. */
static void write_zip(struct buffer *out, const char *content, size_t compressed, size_t size,
                      int method, uint32_t crc)
{
    char local[LOCAL] = "PK\3\4", central[CENTRAL] = "PK\1\2", end[END] = "PK\5\6";
    buffer_init(out, 1 << 20);
    put(local + 8, 2, (uint64_t)method);
    put(local + 26, 2, 5);
    buffer_append(out, local, sizeof local);
    buffer_append_text(out, "x.npy");
    buffer_append(out, content, compressed);
    const size_t directory = out->length;
    put(central + 10, 2, (uint64_t)method);
    put(central + 16, 4, crc);
    put(central + 20, 4, compressed);
    put(central + 24, 4, size);
    put(central + 28, 2, 5);
    buffer_append(out, central, sizeof central);
    buffer_append_text(out, "x.npy");
    put(end + 8, 2, 1);
    put(end + 10, 2, 1);
    put(end + 12, 4, out->length - directory);
    put(end + 16, 4, directory);
    buffer_append(out, end, sizeof end);
}

/* A change of `bytes` bytes at an offset, which counts from the end where it is negative. */
static const struct {
    int at;
    size_t bytes;
    uint64_t value;
    const char *message;
} bad_zips[] = {
    {-END, 1, 'X', "no end"},
    {-2, 2, 1, "no end"},
    {-END + 4, 2, 1, "several disks"},
    {-END + 10, 2, 2, "several disks"},
    {-END + 8, 4, 0x00020002, "cut short"},
    {-END + 8, 4, 0, "more than its members"},
    {-END + 12, 4, 9, "directory is not where"},
    {-END + 16, 4, 9, "directory is not where"},
    {-END + 16, 4, 0xffffffff, "ZIP64"},
    {-END - 5, 1, '/', "is a path"},
    {-END - 5, 1, '\\', "is a path"},
    {-END - 5, 1, 0, "not text"},
    {-END - 5, 1, 0xff, "UTF-8"},
    {-END - 5, 1, 7, "UTF-8"},
    {-END - 5, 1, 'y', "two names"},
    {-END - 5 - CENTRAL + 8, 2, 1, "encrypted"},
    {-END - 5 - CENTRAL + 8, 2, 1 << 5, "method 0"},
    {-END - 5 - CENTRAL + 8, 2, 1 << 11, "contradicts"},
    {-END - 5 - CENTRAL + 10, 2, 12, "method 12"},
    {-END - 5 - CENTRAL + 20, 4, 9, "outside"},
    {-END - 5 - CENTRAL + 20, 4, 7, "two sizes"},
    {-END - 5 - CENTRAL + 24, 4, 0xffffffff, "ZIP64"},
    {-END - 5 - CENTRAL + 28, 2, 0, "empty"},
    {-END - 5 - CENTRAL + 30, 2, 9, "cut short"},
    {-END - 5 - CENTRAL + 34, 2, 1, "several disks"},
    {-END - 5 - CENTRAL + 42, 4, 1000, "outside"},
    {-END - 5 - CENTRAL + 42, 4, 1, "contradicts"},
    {0, 1, 'X', "contradicts"},
    {8, 2, 8, "contradicts"},
    {26, 2, 6, "contradicts"},
    {28, 2, 9, "outside"},
};

START_TEST(test_bad_zip)
{
    struct buffer file;
    struct npz_archive archive;
    struct rejectd_error error = {0};
    write_zip(&file, "12345678", 8, 8, 0, 0);
    ck_assert_int_eq(npz_open(file.data, file.length, &archive, &error), REJECTD_OK);
    npz_close(&archive);
    const int at = bad_zips[_i].at;
    put(file.data + (at < 0 ? (int)file.length + at : at), bad_zips[_i].bytes, bad_zips[_i].value);
    ck_assert_int_eq(npz_open(file.data, file.length, &archive, &error), REJECTD_INVALID_SAMPLES);
    ck_assert_msg(strstr(error.message, bad_zips[_i].message) != NULL, "%d: %s", _i, error.message);
    ck_assert_ptr_null(archive.members);
    buffer_free(&file);
}
END_TEST

START_TEST(test_members)
{
    struct buffer file;
    struct npz_archive archive;
    const struct npz_member *member;
    unsigned char *bytes;
    struct rejectd_error error = {0};
    struct received received = {0};
    const uint32_t crc = (uint32_t)crc32(0, (const unsigned char *)"12345678", 8);
    write_zip(&file, "12345678", 8, 8, 0, crc);
    ck_assert_int_eq(npz_open(file.data, file.length, &archive, &error), 0);
    npz_find(&archive, "y", &member);
    ck_assert_ptr_null(member);
    npz_find(&archive, "x", &member);
    ck_assert_ptr_nonnull(member);
    ck_assert_int_eq(npz_member_read(&archive, member, 7, &bytes, &error), REJECTD_TOO_LARGE);
    ck_assert_int_eq(npz_member_read(&archive, member, 8, &bytes, &error), 0);
    ck_assert_mem_eq(bytes, "12345678", 8);
    free(bytes);
    ck_assert_int_eq(npz_member_stream(&archive, member, 3, receive, &received, &error), 0);
    ck_assert_uint_eq(received.count, 5);
    ck_assert_mem_eq(received.bytes, "45678", 5);
    npz_close(&archive);
    buffer_free(&file);
    write_zip(&file, "12345678", 8, 8, 0, crc + 1);
    ck_assert_int_eq(npz_open(file.data, file.length, &archive, &error), 0);
    npz_find(&archive, "x", &member);
    ck_assert_int_eq(npz_member_read(&archive, member, 8, &bytes, &error), REJECTD_INVALID_SAMPLES);
    ck_assert_ptr_nonnull(strstr(error.message, "CRC-32"));
    ck_assert_ptr_null(bytes);
    npz_close(&archive);
    buffer_free(&file);
}
END_TEST

/* The deflated bytes of n zeros. */
static size_t deflate_zeros(size_t n, char *out, size_t size)
{
    z_stream stream = {0};
    unsigned char *zeros = calloc(n, 1);
    ck_assert_int_eq(deflateInit2(&stream, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = zeros;
    stream.avail_in = (uInt)n;
    stream.next_out = (unsigned char *)out;
    stream.avail_out = (uInt)size;
    ck_assert_int_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    const size_t length = stream.total_out;
    deflateEnd(&stream);
    free(zeros);
    return length;
}

/* Whatever size the directory claims, no more and no less than it is given. */
START_TEST(test_deflated)
{
    static const struct {
        size_t size, cut; /* claimed, of 1000000; bytes missing at the end */
        const char *message;
    } cases[] = {{1000000, 0, NULL},
                 {999999, 0, "do not expand"},
                 {1000001, 0, "do not expand"},
                 {1000000, 1, "do not expand"},
                 {0, 0, "do not expand"},
                 {4000000000, 0, "more than its"}};
    char zeros[4096];
    const size_t n = deflate_zeros(1000000, zeros, sizeof zeros);
    unsigned char *plain = calloc(1000000, 1), *bytes = NULL;
    struct buffer file;
    struct npz_archive archive;
    struct rejectd_error error = {0};
    write_zip(&file, zeros, n - cases[_i].cut, cases[_i].size, 8,
              (uint32_t)crc32(0, plain, 1000000));
    enum rejectd_status status = npz_open(file.data, file.length, &archive, &error);
    if (status == REJECTD_OK) {
        status = npz_member_read(&archive, &archive.members[0], 1 << 24, &bytes, &error);
        npz_close(&archive);
    }
    ck_assert_msg((status == REJECTD_OK) == (cases[_i].message == NULL), "%s", error.message);
    if (status == REJECTD_OK)
        ck_assert_mem_eq(bytes, plain, 1000000);
    else
        ck_assert_msg(strstr(error.message, cases[_i].message) != NULL, "%s", error.message);
    free(bytes);
    free(plain);
    buffer_free(&file);
}
END_TEST

START_TEST(test_twice_and_overlap)
{
    for (int overlap = 0; overlap < 2; overlap++) {
        struct buffer file;
        struct npz_archive archive;
        struct rejectd_error error = {0};
        write_zip(&file, "12345678", 8, 8, 0, 0);
        /* A second entry for the same bytes or, with a second local header, of the same name. */
        char *all = malloc(2 * file.length);
        const size_t member = LOCAL + 5 + 8, entry = CENTRAL + 5;
        const size_t copies = overlap ? 1 : 2, directory = copies * member;
        for (size_t i = 0; i < copies; i++)
            memcpy(all + i * member, file.data, member);
        for (size_t i = 0; i < 2; i++)
            memcpy(all + directory + i * entry, file.data + member, entry);
        if (!overlap)
            put(all + directory + entry + 42, 4, member);
        char *end = all + directory + 2 * entry;
        memcpy(end, file.data + file.length - END, END);
        put(end + 8, 4, 0x00020002);
        put(end + 12, 4, 2 * entry);
        put(end + 16, 4, directory);
        ck_assert_int_eq(npz_open(all, directory + 2 * entry + END, &archive, &error),
                         REJECTD_INVALID_SAMPLES);
        ck_assert_ptr_nonnull(strstr(error.message, overlap ? "overlap" : "twice"));
        free(all);
        buffer_free(&file);
    }
}
END_TEST

START_TEST(test_empty_zip)
{
    struct npz_archive archive;
    struct dataset_description d;
    struct rejectd_error error = {0};
    const char end[END] = "PK\5\6";
    ck_assert_int_eq(npz_open(end, sizeof end, &archive, &error), REJECTD_OK);
    ck_assert_uint_eq(archive.n_members, 0);
    npz_close(&archive);
    ck_assert_int_eq(npz_open("", 0, &archive, &error), REJECTD_INVALID_SAMPLES);
    ck_assert_int_eq(dataset_npz_describe(end, sizeof end, 1, &d, &error), REJECTD_INVALID_SAMPLES);
    ck_assert_str_eq(error.field, "data");
}
END_TEST

/* ---- reject logs ---- */

START_TEST(test_log)
{
    int8_t labels[] = {0, 1, 2, -1, 0, 0};
    uint8_t bad_epochs[] = {0, 1};
    struct rejectd_channel channels[3] = {
        {.name = "a"}, {.name = "\xc3\xbc\xf0\x9f\x98\x80"}, {.name = "long name"}};
    const struct rejectd_reject_log log = {2, 3, labels, bad_epochs};
    struct rejectd_reject_log again;
    char(*names)[REJECTD_NAME_SIZE];
    struct rejectd_error error = {0};
    struct buffer file;
    buffer_init(&file, 1 << 20);
    reject_log_to_npz(&log, channels, &file);
    ck_assert(!file.failed);
    ck_assert_int_eq(reject_log_from_npz(file.data, file.length, &again, &names, &error), 0);
    ck_assert_uint_eq(again.n_epochs, 2);
    ck_assert_uint_eq(again.n_channels, 3);
    ck_assert_mem_eq(again.labels, labels, sizeof labels);
    ck_assert_mem_eq(again.bad_epochs, bad_epochs, sizeof bad_epochs);
    for (int i = 0; i < 3; i++)
        ck_assert_str_eq(names[i], channels[i].name);
    free(names);
    reject_log_npz_clear(&again);
    buffer_free(&file);
    buffer_init(&file, 100);
    reject_log_to_npz(&log, channels, &file);
    ck_assert(file.failed);
    buffer_free(&file);
}
END_TEST

START_TEST(test_bad_logs)
{
    static const struct {
        size_t shape[2], n_bad, n_names;
        double label;
        uint8_t bad;
        const char *field;
    } cases[] = {
        {{2, 2}, 2, 2, 1, 1, ""},
        {{2, 2}, 2, 2, 3, 1, "labels[1][1]"},
        {{2, 2}, 2, 2, 0.5, 1, "labels[1][1]"},
        {{2, 2}, 2, 2, -1, 1, "labels[1][1]"},
        {{2, 2}, 2, 2, INFINITY, 1, "labels[1][1]"},
        {{2, 2}, 2, 2, 0, 2, "bad_epochs[1]"},
        {{2, 2}, 1, 2, 0, 1, "bad_epochs"},
        {{2, 2}, 2, 1, 0, 1, "ch_names"},
        {{0, 2}, 0, 2, 0, 1, "labels"},
    };
    const double labels[] = {0, NAN, 2, cases[_i].label};
    const uint8_t bad[] = {0, cases[_i].bad};
    struct rejectd_reject_log log;
    char(*names)[REJECTD_NAME_SIZE];
    struct rejectd_error error = {0};
    struct buffer file;
    struct npz_writer writer;
    buffer_init(&file, 1 << 20);
    npz_writer_init(&writer, &file);
    npz_writer_texts(&writer, "ch_names", "a\0b", 2, cases[_i].n_names);
    npz_writer_array(&writer, "bad_epochs", "|u1", 1, &cases[_i].n_bad, bad, cases[_i].n_bad);
    npz_writer_array(&writer, "labels", "<f8", 2, cases[_i].shape, labels,
                     cases[_i].shape[0] * cases[_i].shape[1] * sizeof *labels);
    npz_writer_finish(&writer);
    ck_assert_int_eq(reject_log_from_npz(file.data, file.length, &log, &names, &error),
                     cases[_i].field[0] == 0 ? REJECTD_OK : REJECTD_INVALID_SAMPLES);
    ck_assert_str_eq(error.field, cases[_i].field);
    free(names);
    reject_log_npz_clear(&log);
    buffer_free(&file);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("protocol/npz");
    TCase *tests = tcase_create("npz");
    tcase_add_test(tests, test_dataset);
    tcase_add_loop_test(tests, test_bad_dataset, 0,
                        (int)(sizeof bad_datasets / sizeof *bad_datasets));
    tcase_add_test(tests, test_damage);
    tcase_add_loop_test(tests, test_bad_zip, 0, (int)(sizeof bad_zips / sizeof *bad_zips));
    tcase_add_test(tests, test_members);
    tcase_add_loop_test(tests, test_deflated, 0, 6);
    tcase_add_test(tests, test_twice_and_overlap);
    tcase_add_test(tests, test_empty_zip);
    tcase_add_test(tests, test_log);
    tcase_add_loop_test(tests, test_bad_logs, 0, 9);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
