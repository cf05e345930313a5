/*
 * FIF files on the command line, for fif_files.py.
 *
 *   fif_tool read IN CHUNK SAMPLES DESCRIPTION HEAD
 *       reads a file in pieces of CHUNK bytes; writes the samples, the description as JSON and the
 *       head (two 8-byte numbers, samples_at and samples_bytes, then the head). Prints the name and
 *       number of the next part, if there is one.
 *   fif_tool write FOLDER NAME MAX_PART KEPT SAMPLES float32|float64 HEAD...
 *       writes the kept epochs (KEPT: a byte each) of all heads; prints the names of the files.
 *   fif_tool rate IN CHUNK
 *       reads without keeping the samples; prints GB/s, the file being in memory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "protocol/fif_reader.h"
#include "protocol/fif_writer.h"

static void fail(const char *what)
{
    fprintf(stderr, "fif_tool: %s\n", what);
    exit(2);
}

static void check(enum rejectd_status status, const struct rejectd_error *error)
{
    if (status == REJECTD_OK)
        return;
    fprintf(stderr, "%s %s: %s\n", rejectd_status_name(status), error->field, error->message);
    exit(1);
}

static unsigned char *load(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0)
        fail(path);
    *size = (size_t)ftell(file);
    rewind(file);
    unsigned char *bytes = malloc(*size + 1);
    if (bytes == NULL || fread(bytes, 1, *size, file) != *size)
        fail(path);
    fclose(file);
    return bytes;
}

static FILE *create(const char *path)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        fail(path);
    return file;
}

static void put(FILE *file, const void *bytes, size_t n)
{
    if (fwrite(bytes, 1, n, file) != n)
        fail("a file can't be written");
}

static enum rejectd_status take_samples(void *context, const void *bytes, size_t n,
                                        struct rejectd_error *error)
{
    (void)error;
    put(context, bytes, n);
    return REJECTD_OK;
}

static void read_all(struct fif_reader *reader, const unsigned char *bytes, size_t size,
                     size_t chunk)
{
    struct rejectd_error error = {0};
    for (size_t at = 0; at < size; at += chunk)
        check(fif_reader_write(reader, bytes + at, chunk < size - at ? chunk : size - at, &error),
              &error);
}

static void read_file(char **arguments)
{
    size_t size;
    unsigned char *bytes = load(arguments[0], &size);
    FILE *samples = create(arguments[2]), *json = create(arguments[3]),
         *head = create(arguments[4]);
    struct rejectd_error error = {0};
    struct fif_reader *reader;
    struct fif_reader_options options = {.context = samples, .samples = take_samples};
    struct dataset_description description;
    struct fif_leftover leftover;
    check(fif_reader_open(&options, &reader, &error), &error);
    read_all(reader, bytes, size, strtoul(arguments[1], NULL, 10));
    check(fif_reader_finish(reader, &description, &leftover, &error), &error);
    char *text = dataset_to_json(&description);
    put(json, text, strlen(text));
    const size_t numbers[2] = {leftover.samples_at, leftover.samples_bytes};
    put(head, numbers, sizeof numbers);
    put(head, leftover.head, leftover.head_size);
    if (leftover.has_next)
        printf("next %d %s\n", leftover.next_number, leftover.next_name);
    fclose(samples);
    fclose(json);
    fclose(head);
    free(text);
    free(bytes);
    fif_leftover_clear(&leftover);
    dataset_description_clear(&description);
    fif_reader_close(reader);
}

static void write_part(const struct fif_frame *frame, const char *folder,
                       const unsigned char *samples)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, frame->name);
    FILE *file = create(path);
    unsigned char *stored = malloc(frame->data_bytes);
    if (stored == NULL)
        fail("no memory");
    fif_frame_convert(frame, samples + frame->first_epoch * fif_frame_sample_epoch(frame),
                      frame->n_epochs, stored);
    put(file, frame->prefix, frame->prefix_bytes);
    put(file, stored, frame->data_bytes);
    put(file, frame->suffix, frame->suffix_bytes);
    free(stored);
    fclose(file);
    printf("%s\n", frame->name);
}

/* Moves the kept epochs together. */
static void pack(unsigned char *samples, size_t epoch, const unsigned char *kept, size_t n_epochs)
{
    size_t n = 0;
    for (size_t i = 0; i < n_epochs; i++)
        if (kept[i])
            memmove(samples + n++ * epoch, samples + i * epoch, epoch);
}

static void write_files(int count, char **arguments)
{
    enum { FIXED = 6, MAX_HEADS = 64 };
    struct fif_leftover heads[MAX_HEADS] = {0};
    unsigned char *loaded[MAX_HEADS];
    size_t n_samples;
    struct fif_writer_options options = {
        .heads = heads,
        .name = arguments[1],
        .max_part = strtoul(arguments[2], NULL, 10),
        .dtype = strcmp(arguments[5], "float32") == 0 ? REJECTD_FLOAT32 : REJECTD_FLOAT64,
    };
    unsigned char *kept = load(arguments[3], &options.n_epochs);
    unsigned char *samples = load(arguments[4], &n_samples);
    options.kept = kept;
    for (; options.n_heads < MAX_HEADS && (int)options.n_heads < count - FIXED; options.n_heads++) {
        struct fif_leftover *head = &heads[options.n_heads];
        size_t size;
        unsigned char *bytes = loaded[options.n_heads] =
            load(arguments[FIXED + options.n_heads], &size);
        memcpy(&head->samples_at, bytes, 8);
        head->head = bytes + 16;
        head->head_size = size - 16;
    }
    struct fif_writer *writer;
    struct rejectd_error error = {0};
    check(fif_writer_open(&options, &writer, &error), &error);
    pack(samples, n_samples / options.n_epochs, kept, options.n_epochs);
    for (size_t part = 0; part < fif_writer_parts(writer); part++) {
        struct fif_frame frame;
        check(fif_writer_frame(writer, part, &frame, &error), &error);
        write_part(&frame, arguments[0], samples);
        fif_frame_clear(&frame);
    }
    fif_writer_close(writer);
    for (size_t i = 0; i < options.n_heads; i++)
        free(loaded[i]);
    free(kept);
    free(samples);
}

static void measure(char **arguments)
{
    size_t size;
    unsigned char *bytes = load(arguments[0], &size);
    struct rejectd_error error = {0};
    struct fif_reader *reader;
    struct fif_reader_options options = {0};
    struct dataset_description description;
    struct fif_leftover leftover;
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    check(fif_reader_open(&options, &reader, &error), &error);
    read_all(reader, bytes, size, strtoul(arguments[1], NULL, 10));
    check(fif_reader_finish(reader, &description, &leftover, &error), &error);
    clock_gettime(CLOCK_MONOTONIC, &end);
    const double seconds =
        (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
    printf("%.2f GB/s\n", 1e-9 * (double)size / seconds);
    fif_leftover_clear(&leftover);
    dataset_description_clear(&description);
    fif_reader_close(reader);
    free(bytes);
}

int main(int count, char **arguments)
{
    if (count == 7 && strcmp(arguments[1], "read") == 0)
        read_file(arguments + 2);
    else if (count >= 9 && strcmp(arguments[1], "write") == 0)
        write_files(count - 2, arguments + 2);
    else if (count == 4 && strcmp(arguments[1], "rate") == 0)
        measure(arguments + 2);
    else
        fail("see the head of fif_tool.c for its arguments");
    return 0;
}
