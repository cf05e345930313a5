/*
 * EEGLAB's .set files, which rejectd-convert reads (converter/converter.h), in one step or two: the
 * .set with its samples inside; or first the .set, whose dataset then awaits the .fdt, and then
 * that. The .set is kept, because a cleaned one is made of it, and because it describes the .fdt.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/utf8.h"
#include "server/uploads/file_private.h"

static const char set_name[] = "input.set", fdt_name[] = "input.fdt";

bool file_set_has_magic(const void *first, size_t count)
{
    static const char hdf5[8] = "\x89HDF\r\n\x1a\n", mat73[] = "MATLAB 7.3 MAT-file";
    static const char little[4] = {0, 1, 'I', 'M'}, big[4] = {1, 0, 'M', 'I'};
    enum { MARK_AT = 124 };
    const char *bytes = first;
    if (count >= sizeof hdf5 && memcmp(bytes, hdf5, sizeof hdf5) == 0) {
        return true;
    }
    if (count >= sizeof mat73 - 1 && memcmp(bytes, mat73, sizeof mat73 - 1) == 0) {
        return true;
    }
    return count >= MARK_AT + sizeof little &&
           (memcmp(bytes + MARK_AT, little, sizeof little) == 0 ||
            memcmp(bytes + MARK_AT, big, sizeof big) == 0);
}

static enum rejectd_status open_scratch(struct file_upload *upload, const char *name,
                                        struct rejectd_error *error)
{
    const enum rejectd_status status =
        converter_scratch(upload->service->converter, &upload->folder, error);
    return status == REJECTD_OK ? scratch_create(&upload->folder, name, &upload->scratch, error)
                                : status;
}

enum rejectd_status file_set_open(struct file_upload *upload, struct rejectd_error *error)
{
    return open_scratch(upload, set_name, error);
}

/* ---- what the program made of it ---- */

static enum rejectd_status run(struct file_upload *upload, bool with_fdt, uint64_t input_bytes,
                               bool *needs_fdt, struct rejectd_error *error)
{
    const struct scratch_path set = scratch_file(&upload->folder, set_name);
    const struct scratch_path fdt = scratch_file(&upload->folder, fdt_name);
    const char *const plain[] = {"read-set", set.text, upload->folder.path, NULL};
    const char *const both[] = {"read-set", set.text, "--fdt", fdt.text, upload->folder.path, NULL};
    const struct converter_call call = {
        .arguments = with_fdt ? both : plain,
        .input_bytes = input_bytes,
        .refused = REJECTD_INVALID_SAMPLES,
        .task = "read",
    };
    return converter_run(upload->service->converter, &call, needs_fdt, error);
}

static enum rejectd_status read_description(struct file_upload *upload, struct rejectd_error *error)
{
    const size_t most = (size_t)upload->service->config->max_json_bytes;
    char *text = NULL;
    size_t length = 0;
    void *samples = NULL;
    enum rejectd_status status =
        scratch_read(&upload->folder, "description.json", most, &text, &length, error);
    if (status == REJECTD_OK) {
        status = dataset_from_json(text, length, &upload->description, &samples, error);
    }
    if (status == REJECTD_OK && samples != NULL) {
        status = REJECTD_FAIL(error, REJECTD_INTERNAL, "", "a description has samples in it");
    }
    free(samples);
    free(text);
    return status;
}

static enum rejectd_status read_samples(struct file_upload *upload, struct rejectd_error *error)
{
    const uint64_t needed = dataset_sample_bytes(&upload->description);
    uint64_t size = 0;
    int fd;
    enum rejectd_status status = scratch_open(&upload->folder, "samples.bin", &fd, &size, error);
    if (status != REJECTD_OK) {
        return status;
    }
    status = size == needed ? file_open_writer(upload, &upload->description, error)
                            : REJECTD_FAIL(error, REJECTD_INTERNAL, "",
                                           "a converted file has %llu bytes instead of %llu",
                                           (unsigned long long)size, (unsigned long long)needed);
    if (status == REJECTD_OK) {
        status = scratch_pump(fd, needed, file_write_samples, upload, error);
    }
    close(fd);
    return status;
}

/* The last segment of a path of Windows or Unix, when it can be shown. */
static void show_name(const char *path, char out[256])
{
    static const char unnamed[] = "(the .fdt file)";
    const char *name = path;
    for (const char *at = path; *at != '\0'; at++) {
        if (*at == '/' || *at == '\\') {
            name = at + 1;
        }
    }
    if (name[0] == '\0' || strlen(name) >= 256 || !utf8_is_printable(name)) {
        name = unnamed;
    }
    memcpy(out, name, strlen(name) + 1);
}

static enum rejectd_status read_needs(struct file_upload *upload, struct rejectd_error *error)
{
    enum { MOST_NEEDS = 4096 };
    char *text = NULL;
    size_t length = 0;
    enum rejectd_status status =
        scratch_read(&upload->folder, "needs.json", MOST_NEEDS, &text, &length, error);
    if (status == REJECTD_OK) {
        json_t *needs = json_loadb(text, length, 0, NULL);
        const char *name = json_string_value(json_object_get(needs, "name"));
        upload->leftover.has_next = true;
        show_name(name == NULL ? "" : name, upload->leftover.next_name);
        json_decref(needs);
    }
    free(text);
    return status;
}

enum rejectd_status file_set_finish(struct file_upload *upload, struct rejectd_error *error)
{
    bool needs_fdt = false;
    enum rejectd_status status = run(upload, false, upload->scratch_bytes, &needs_fdt, error);
    if (status == REJECTD_OK) {
        status = read_description(upload, error);
    }
    if (status == REJECTD_OK) {
        status = needs_fdt ? read_needs(upload, error) : read_samples(upload, error);
    }
    upload->scratch_is_head = upload->scratch_bytes <= FILE_MAX_SET_HEAD;
    if (status == REJECTD_OK && needs_fdt && !upload->scratch_is_head) {
        status = REJECTD_FAIL(error, REJECTD_TOO_LARGE, "",
                              "the .set has %llu bytes beside its samples; accepted are at most %d",
                              (unsigned long long)upload->scratch_bytes, FILE_MAX_SET_HEAD);
    }
    return status;
}

/* ---- .fdt ---- */

static enum rejectd_status fdt_open(struct file_upload *upload, struct rejectd_error *error)
{
    return open_scratch(upload, fdt_name, error);
}

static enum rejectd_status put_set(struct file_upload *upload, struct rejectd_error *error)
{
    struct blob_map set = {0};
    enum rejectd_status status = blobs_map(upload->service->blobs, upload->head_sha256,
                                           (size_t)upload->head_bytes, &set, error);
    if (status == REJECTD_OK) {
        status = scratch_put(&upload->folder, set_name, set.data, set.size, error);
    }
    blobs_unmap(&set);
    return status;
}

static enum rejectd_status fail_fdt_length(const struct file_upload *upload, uint64_t bytes,
                                           struct rejectd_error *error)
{
    return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                        "the file has %llu bytes; %.200s has %llu", (unsigned long long)bytes,
                        upload->fdt_name, (unsigned long long)upload->fdt_bytes);
}

static enum rejectd_status fdt_finish(struct file_upload *upload, struct rejectd_error *error)
{
    if (upload->scratch_bytes != upload->fdt_bytes) {
        return fail_fdt_length(upload, upload->scratch_bytes, error);
    }
    enum rejectd_status status = put_set(upload, error);
    if (status == REJECTD_OK) {
        status = run(upload, true, upload->scratch_bytes + upload->head_bytes, NULL, error);
    }
    if (status == REJECTD_OK) {
        status = read_description(upload, error);
    }
    return status == REJECTD_OK ? read_samples(upload, error) : status;
}

static const struct file_format format_fdt = {"fdt", NULL, fdt_open, file_keep, fdt_finish};

bool file_is_fdt(const struct file_upload *upload)
{
    return upload->format == &format_fdt;
}

enum rejectd_status file_fdt_begin(struct file_upload *upload, const struct dataset_view *dataset,
                                   const struct store_part *set,
                                   const struct file_upload_options *options,
                                   struct rejectd_error *error)
{
    struct dataset_description description = {0};
    void *samples = NULL;
    enum rejectd_status status =
        dataset_from_json(dataset->description_json, strlen(dataset->description_json),
                          &description, &samples, error);
    free(samples);
    if (status != REJECTD_OK) {
        return status;
    }
    const uint64_t needed = (uint64_t)description.n_epochs * description.n_channels *
                            description.n_times * sizeof(float);
    memcpy(upload->name, description.name, sizeof upload->name);
    memcpy(upload->head_sha256, set->head_sha256, sizeof upload->head_sha256);
    upload->head_bytes = set->head_bytes;
    dataset_description_clear(&description);
    memcpy(upload->fdt_name, dataset->next_part, sizeof upload->fdt_name);
    upload->fdt_bytes = needed;
    if (options->coding == HTTP_IDENTITY && options->content_length != needed) {
        return fail_fdt_length(upload, options->content_length, error);
    }
    upload->format = &format_fdt;
    return upload->format->open(upload, error);
}
