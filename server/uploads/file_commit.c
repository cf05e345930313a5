/*
 * Records of an uploaded file. The head of a file (all of it but the samples) is a blob, so that
 * cleaned epochs can be given back as such a file. The parts of a divided recording keep their
 * samples apart until the last one is there; then all are written into one blob.
 */
#include <stdlib.h>
#include <string.h>

#include "protocol/fif_writer.h"
#include "server/uploads/file_private.h"
#include "server/uploads/upload.h"

/* Everything that becomes durable together. */
struct commit {
    struct file_upload *upload;
    struct dataset_view *dataset;
    struct store_part part;
    bool published; /* the samples of this part, so that they could be joined */
    struct blob_writer *head;
    struct blob_writer *joined; /* the samples of all parts */
    struct store_part *before;  /* parts that are there already, owned */
    size_t n_before;
};

static enum rejectd_status finish_samples(struct commit *commit, char sha256[SHA256_TEXT_SIZE],
                                          struct rejectd_error *error)
{
    struct file_upload *upload = commit->upload;
    size_t bad_sample = SIZE_MAX;
    const enum rejectd_status status =
        blob_writer_finish(upload->writer, sha256, &bad_sample, error);
    return bad_sample == SIZE_MAX ? status
                                  : upload_fail_sample(&upload->description, bad_sample, error);
}

static enum rejectd_status write_piece(void *context, const void *bytes, size_t count,
                                       struct rejectd_error *error)
{
    return blob_writer_write(context, bytes, count, error);
}

static enum rejectd_status write_head(struct commit *commit, struct rejectd_error *error)
{
    const struct file_upload *upload = commit->upload;
    const struct fif_leftover *leftover = &upload->leftover;
    const uint64_t bytes = upload->scratch_is_head ? upload->scratch_bytes : leftover->head_size;
    const struct blob_writer_options options = {.expected_bytes = bytes};
    struct store_part *part = &commit->part;
    memcpy(part->format, upload->format->name, strlen(upload->format->name) + 1);
    part->n_epochs = upload->description.n_epochs;
    if (leftover->head == NULL && !upload->scratch_is_head) {
        return REJECTD_OK;
    }
    part->head_bytes = bytes;
    part->samples_at = leftover->samples_at;
    enum rejectd_status status =
        blob_writer_open(upload->service->blobs, &options, &commit->head, error);
    if (status == REJECTD_OK) {
        status = upload->scratch_is_head
                     ? scratch_pump(upload->scratch, bytes, write_piece, commit->head, error)
                     : blob_writer_write(commit->head, leftover->head, bytes, error);
    }
    if (status == REJECTD_OK) {
        status = blob_writer_finish(commit->head, part->head_sha256, NULL, error);
    }
    return status;
}

/* ---- joining ---- */

static enum rejectd_status fail_part(const char *what, struct rejectd_error *error)
{
    return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "",
                        "the file has other %s than the part before it: it is of another "
                        "recording",
                        what);
}

static enum rejectd_status check_same_recording(const struct dataset_description *before,
                                                const struct dataset_description *part,
                                                struct rejectd_error *error)
{
    if (before->n_channels != part->n_channels) {
        return fail_part("channels", error);
    }
    for (size_t c = 0; c < part->n_channels; c++) {
        if (strcmp(before->channels[c].name, part->channels[c].name) != 0 ||
            before->channels[c].type != part->channels[c].type) {
            return fail_part("channels", error);
        }
    }
    if (before->n_times != part->n_times || before->sfreq != part->sfreq ||
        before->tmin != part->tmin) {
        return fail_part("times", error);
    }
    return before->dtype == part->dtype ? REJECTD_OK : fail_part("precision", error);
}

/* "[[1,0,2]]" and "[[3,0,4]]" make "[[1,0,2],[3,0,4]]". */
static char *join_events(const char *a, const char *b)
{
    const size_t n = strlen(a), m = strlen(b);
    char *joined = malloc(n + m + 1);
    if (joined != NULL) {
        memcpy(joined, a, n - 1);
        joined[n - 1] = ',';
        memcpy(joined + n, b + 1, m);
    }
    return joined;
}

/* What is described so far, with the epochs of this part behind. */
static enum rejectd_status extend_description(struct dataset_description *whole,
                                              const struct dataset_description *part,
                                              struct rejectd_error *error)
{
    whole->n_epochs += part->n_epochs;
    if (whole->events_json != NULL && part->events_json != NULL) {
        char *events = join_events(whole->events_json, part->events_json);
        if (events == NULL) {
            return REJECTD_FAIL_MEMORY(error, strlen(part->events_json));
        }
        free(whole->events_json);
        whole->events_json = events;
    }
    return dataset_description_check(whole, error);
}

/* Reads the record, and extends its description by this part. */
static enum rejectd_status open_whole(struct commit *commit, struct dataset_description *whole,
                                      struct rejectd_error *error)
{
    struct file_upload *upload = commit->upload;
    struct store *store = upload->service->store;
    void *samples = NULL;
    enum rejectd_status status =
        store->functions->dataset_get(store, upload->dataset, commit->dataset, error);
    if (status == REJECTD_OK) {
        status = store->functions->dataset_parts(store, upload->dataset, &commit->before,
                                                 &commit->n_before, error);
    }
    if (status == REJECTD_OK) {
        status =
            dataset_from_json(commit->dataset->description_json,
                              strlen(commit->dataset->description_json), whole, &samples, error);
    }
    free(samples);
    if (status == REJECTD_OK) {
        status = check_same_recording(whole, &upload->description, error);
    }
    return status == REJECTD_OK ? extend_description(whole, &upload->description, error) : status;
}

static enum rejectd_status append_blob(struct commit *commit, const char *sha256, size_t bytes,
                                       struct rejectd_error *error)
{
    struct blob_map map = {0};
    enum rejectd_status status =
        blobs_map(commit->upload->service->blobs, sha256, bytes, &map, error);
    if (status == REJECTD_OK) {
        status = blob_writer_write(commit->joined, map.data, map.size, error);
    }
    blobs_unmap(&map);
    return status;
}

/* The samples of all parts, this last one included, which has been published. */
static enum rejectd_status join_samples(struct commit *commit,
                                        const struct dataset_description *whole,
                                        struct rejectd_error *error)
{
    const struct blob_writer_options options = {.expected_bytes = dataset_sample_bytes(whole)};
    const size_t epoch_bytes = dataset_sample_bytes(whole) / whole->n_epochs;
    enum rejectd_status status =
        blob_writer_open(commit->upload->service->blobs, &options, &commit->joined, error);
    for (size_t i = 0; i < commit->n_before && status == REJECTD_OK; i++) {
        status = append_blob(commit, commit->before[i].samples_sha256,
                             commit->before[i].n_epochs * epoch_bytes, error);
    }
    if (status == REJECTD_OK) {
        status = append_blob(commit, commit->part.samples_sha256,
                             commit->part.n_epochs * epoch_bytes, error);
    }
    if (status == REJECTD_OK) {
        status = blob_writer_finish(commit->joined, commit->dataset->sha256, NULL, error);
    }
    return status;
}

/* ---- records ---- */

static enum rejectd_status publish(struct commit *commit, struct rejectd_error *error)
{
    struct blobs *blobs = commit->upload->service->blobs;
    struct blob_writer *const writers[] = {commit->upload->writer, commit->head, commit->joined};
    enum rejectd_status status = REJECTD_OK;
    for (size_t i = 0; i < sizeof writers / sizeof writers[0] && status == REJECTD_OK; i++) {
        if (writers[i] != NULL && !(i == 0 && commit->published)) {
            status = blob_writer_publish(writers[i], error);
        }
    }
    return status == REJECTD_OK ? blobs_sync(blobs, error) : status;
}

/* Blobs that no record refers to (any more). Under the blobs' lock. */
static void remove_unneeded(struct commit *commit)
{
    struct service *service = commit->upload->service;
    const char *names[3] = {commit->part.samples_sha256, commit->part.head_sha256,
                            commit->dataset->sha256};
    for (size_t i = 0; i < 3 + commit->n_before; i++) {
        const char *sha256 = i < 3 ? names[i] : commit->before[i - 3].samples_sha256;
        if (sha256[0] != '\0' &&
            !service->store->functions->blob_is_needed(service->store, sha256)) {
            blobs_remove(service->blobs, sha256);
        }
    }
}

static enum rejectd_status insert(struct commit *commit, struct rejectd_error *error)
{
    struct service *service = commit->upload->service;
    struct store *store = service->store;
    const uint64_t most = (uint64_t)service->config->user_bytes;
    blobs_lock(service->blobs);
    enum rejectd_status status = publish(commit, error);
    if (status == REJECTD_OK) {
        status = commit->upload->dataset[0] == '\0'
                     ? store->functions->dataset_insert(store, commit->dataset, &commit->part, most,
                                                        error)
                     : store->functions->dataset_add_part(store, commit->dataset, commit->n_before,
                                                          &commit->part, most, error);
    }
    remove_unneeded(commit);
    blobs_unlock(service->blobs);
    return status;
}

/* The dataset's record as it will be. */
static enum rejectd_status describe(struct commit *commit, const struct dataset_description *whole,
                                    struct rejectd_error *error)
{
    struct dataset_view *dataset = commit->dataset;
    const uint64_t most = (uint64_t)commit->upload->service->config->max_upload_bytes;
    free(dataset->description_json);
    dataset->description_json = dataset_to_json(whole);
    dataset->bytes = dataset_sample_bytes(whole);
    if (dataset->description_json == NULL) {
        return REJECTD_FAIL(error, REJECTD_OUT_OF_MEMORY, "", "no memory for the dataset");
    }
    if (dataset->bytes > most) {
        return REJECTD_FAIL(error, REJECTD_TOO_LARGE, "",
                            "all parts together have %llu bytes of samples; accepted are at most "
                            "%llu",
                            (unsigned long long)dataset->bytes, (unsigned long long)most);
    }
    return REJECTD_OK;
}

static void name_next_part(const struct fif_leftover *leftover, struct dataset_view *dataset)
{
    static const char unnamed[] = "(the next part)";
    const char *name = leftover->next_name[0] != '\0' ? leftover->next_name : unnamed;
    dataset->next_part[0] = '\0';
    if (leftover->has_next) {
        memcpy(dataset->next_part, name, strlen(name) + 1);
    }
}

static enum rejectd_status commit_new(struct commit *commit, const char *name,
                                      struct rejectd_error *error)
{
    struct file_upload *upload = commit->upload;
    struct dataset_description *description = &upload->description;
    if (strlen(name) >= sizeof description->name) {
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "name", "a name has at most %zu bytes",
                            sizeof description->name - 1);
    }
    memcpy(description->name, name, strlen(name) + 1);
    enum rejectd_status status = dataset_description_check(description, error);
    if (status == REJECTD_OK) {
        status = describe(commit, description, error);
    }
    if (status == REJECTD_OK && upload->writer != NULL) {
        status = finish_samples(commit,
                                upload->leftover.has_next ? commit->part.samples_sha256
                                                          : commit->dataset->sha256,
                                error);
    }
    return status;
}

static enum rejectd_status commit_next(struct commit *commit, struct rejectd_error *error)
{
    struct file_upload *upload = commit->upload;
    struct dataset_description whole = {0};
    enum rejectd_status status = open_whole(commit, &whole, error);
    if (status == REJECTD_OK) {
        status = describe(commit, &whole, error);
    }
    if (status == REJECTD_OK) {
        status = finish_samples(commit, commit->part.samples_sha256, error);
    }
    if (status == REJECTD_OK && !upload->leftover.has_next) {
        blobs_lock(upload->service->blobs);
        status = blob_writer_publish(upload->writer, error);
        blobs_unlock(upload->service->blobs);
        commit->published = true;
        if (status == REJECTD_OK) {
            status = join_samples(commit, &whole, error);
        }
    }
    dataset_description_clear(&whole);
    return status;
}

/* The samples of a .set that was there already: the whole of them. */
static enum rejectd_status commit_fdt(struct commit *commit, struct rejectd_error *error)
{
    struct file_upload *upload = commit->upload;
    struct store *store = upload->service->store;
    memcpy(upload->description.name, upload->name, sizeof upload->name);
    enum rejectd_status status =
        store->functions->dataset_get(store, upload->dataset, commit->dataset, error);
    if (status == REJECTD_OK) {
        status = store->functions->dataset_parts(store, upload->dataset, &commit->before,
                                                 &commit->n_before, error);
    }
    if (status == REJECTD_OK) {
        status = describe(commit, &upload->description, error);
    }
    return status == REJECTD_OK ? finish_samples(commit, commit->dataset->sha256, error) : status;
}

static enum rejectd_status commit_samples(struct commit *commit, const char *name,
                                          struct rejectd_error *error)
{
    if (commit->upload->dataset[0] == '\0') {
        return commit_new(commit, name, error);
    }
    return file_is_fdt(commit->upload) ? commit_fdt(commit, error) : commit_next(commit, error);
}

enum rejectd_status file_commit(struct file_upload *upload, const char *name,
                                const struct ownership *ownership, struct dataset_view *dataset,
                                struct rejectd_error *error)
{
    struct commit commit = {.upload = upload, .dataset = dataset};
    *dataset = (struct dataset_view){.ownership = *ownership};
    enum rejectd_status status = write_head(&commit, error);
    if (status == REJECTD_OK) {
        status = commit_samples(&commit, name, error);
    }
    if (status == REJECTD_OK) {
        name_next_part(&upload->leftover, dataset);
        status = insert(&commit, error);
    } else if (commit.published) {
        blobs_lock(upload->service->blobs);
        remove_unneeded(&commit);
        blobs_unlock(upload->service->blobs);
    }
    if (status != REJECTD_OK) {
        dataset_view_clear(dataset);
    } else {
        dataset->state = dataset->sha256[0] == '\0' ? DATASET_AWAITING_SAMPLES : DATASET_READY;
    }
    blob_writer_close(commit.head);
    blob_writer_close(commit.joined);
    free(commit.before);
    return status;
}
