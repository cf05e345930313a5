#include "golden_case.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/npy.h"

static _Noreturn void give_up(const char *what, const char *detail)
{
    fprintf(stderr, "%s: %s\n", what, detail);
    exit(2);
}

static void *need(void *pointer)
{
    if (pointer == NULL)
        give_up("memory", "an allocation failed");
    return pointer;
}

static unsigned char *read_file(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return NULL;
    fseek(file, 0, SEEK_END);
    *length = (size_t)ftell(file);
    rewind(file);
    unsigned char *bytes = need(malloc(*length + 1));
    if (fread(bytes, 1, *length, file) != *length)
        give_up(path, "cannot be read");
    fclose(file);
    return bytes;
}

static struct npy_header read_header(const char *path, const unsigned char *bytes, size_t length)
{
    struct npy_header header;
    struct rejectd_error error;
    bool complete;
    if (npy_header_read(bytes, length, &header, &complete, &error) != REJECTD_OK)
        give_up(path, error.message);
    if (!complete || header.data_offset + header.data_bytes != length)
        give_up(path, "is not a complete .npy file");
    return header;
}

static double item_as_double(const char *descr, const unsigned char *item)
{
    if (strcmp(descr, "<f8") == 0) {
        double value;
        memcpy(&value, item, sizeof value);
        return value;
    }
    if (strcmp(descr, "<f4") == 0) {
        float value;
        memcpy(&value, item, sizeof value);
        return value;
    }
    if (strcmp(descr, "<i4") == 0) {
        int32_t value;
        memcpy(&value, item, sizeof value);
        return value;
    }
    if (strcmp(descr, "<i8") == 0) {
        int64_t value;
        memcpy(&value, item, sizeof value);
        return (double)value;
    }
    if (strcmp(descr, "|i1") == 0)
        return (double)(int8_t)*item;
    if (strcmp(descr, "|b1") == 0 || strcmp(descr, "|u1") == 0)
        return *item;
    give_up(descr, "is a type that reference arrays do not use");
}

struct golden_array golden_array(const struct golden_case *golden, const char *name)
{
    char path[640];
    size_t length;
    snprintf(path, sizeof path, "%s/expected/%s.npy", golden->folder, name);
    unsigned char *bytes = read_file(path, &length);
    if (bytes == NULL)
        return (struct golden_array){0};
    struct npy_header header = read_header(path, bytes, length);
    struct golden_array array = {.n_dimensions = header.n_dimensions, .n_values = 1};
    for (size_t i = 0; i < header.n_dimensions; i++) {
        array.shape[i] = header.shape[i];
        array.n_values *= header.shape[i];
    }
    array.values = need(malloc((array.n_values + 1) * sizeof(double)));
    for (size_t i = 0; i < array.n_values; i++)
        array.values[i] =
            item_as_double(header.descr, bytes + header.data_offset + i * header.item_size);
    free(bytes);
    return array;
}

void golden_array_free(struct golden_array *array)
{
    free(array->values);
    *array = (struct golden_array){0};
}

static json_t *read_json(const struct golden_case *golden, const char *name)
{
    char path[640];
    snprintf(path, sizeof path, "%s/%s", golden->folder, name);
    json_error_t error;
    json_t *json = json_load_file(path, 0, &error);
    if (json == NULL)
        give_up(path, error.text);
    return json;
}

static bool is_listed(json_t *list, const char *text)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) if (strcmp(json_string_value(item), text) == 0) return true;
    return false;
}

static enum rejectd_channel_type type_of(const char *name)
{
    static const char *const names[] = {
#define TYPE_NAME(symbol, text, analysed) text,
        REJECTD_CHANNEL_TYPE_LIST(TYPE_NAME)
#undef TYPE_NAME
    };
    for (int i = 0; i < REJECTD_CHANNEL_TYPE_COUNT; i++)
        if (strcmp(names[i], name) == 0)
            return (enum rejectd_channel_type)i;
    return REJECTD_CHANNEL_MISC;
}

/* Where the MEG sensors are, in the cases that have any. */
static void read_coils(struct golden_case *golden)
{
    json_t *locs = json_object_get(golden->meta, "loc");
    json_t *coil_types = json_object_get(golden->meta, "coil_type");
    json_t *rows = json_object_get(golden->meta, "dev_head_t");
    for (size_t c = 0; c < json_array_size(locs); c++) {
        struct rejectd_channel *channel = &golden->channels[c];
        json_t *loc = json_array_get(locs, c);
        channel->has_loc = json_is_array(loc);
        for (size_t i = 0; i < 12; i++) {
            json_t *number = json_array_get(loc, i);
            channel->loc[i] = json_is_number(number) ? json_number_value(number) : NAN;
        }
        channel->has_coil_type = true;
        channel->coil_type = (int32_t)json_integer_value(json_array_get(coil_types, c));
    }
    golden->epochs.has_device_to_head = json_is_array(rows);
    for (size_t i = 0; i < 16 && json_is_array(rows); i++)
        golden->epochs.device_to_head[i / 4][i % 4] =
            json_number_value(json_array_get(json_array_get(rows, i / 4), i % 4));
}

static size_t channel_number(const struct golden_case *golden, const char *name)
{
    for (size_t c = 0; c < golden->epochs.n_channels; c++)
        if (strcmp(golden->channels[c].name, name) == 0)
            return c;
    give_up(name, "is no channel of the case");
}

static void read_projectors(struct golden_case *golden)
{
    json_t *projs = json_object_get(golden->meta, "projs");
    const size_t n = json_array_size(projs), n_channels = golden->epochs.n_channels;
    golden->projectors = need(calloc(n + 1, sizeof *golden->projectors));
    for (size_t p = 0; p < n; p++) {
        json_t *proj = json_array_get(projs, p), *names = json_object_get(proj, "channels");
        json_t *vectors = json_object_get(proj, "vectors");
        struct rejectd_projector *projector = &golden->projectors[p];
        projector->active = json_is_true(json_object_get(proj, "active"));
        projector->n_vectors = json_array_size(vectors);
        projector->vectors = need(calloc(projector->n_vectors * n_channels, sizeof(double)));
        for (size_t i = 0; i < json_array_size(names); i++) {
            const size_t c = channel_number(golden, json_string_value(json_array_get(names, i)));
            for (size_t v = 0; v < projector->n_vectors; v++)
                projector->vectors[v * n_channels + c] =
                    json_number_value(json_array_get(json_array_get(vectors, v), i));
        }
    }
    golden->epochs.projectors = golden->projectors;
    golden->epochs.n_projectors = n;
}

static void read_channels(struct golden_case *golden)
{
    json_t *names = json_object_get(golden->meta, "ch_names");
    json_t *types = json_object_get(golden->meta, "ch_types");
    json_t *positions = json_object_get(golden->meta, "ch_pos");
    json_t *bads = json_object_get(golden->meta, "bads");
    const size_t n = json_array_size(names);
    golden->channels = need(calloc(n, sizeof *golden->channels));
    for (size_t c = 0; c < n; c++) {
        struct rejectd_channel *channel = &golden->channels[c];
        const char *name = json_string_value(json_array_get(names, c));
        snprintf(channel->name, sizeof channel->name, "%s", name);
        channel->type = type_of(json_string_value(json_array_get(types, c)));
        channel->bad = is_listed(bads, name);
        json_t *position = json_array_get(positions, c);
        channel->has_position = json_is_array(position);
        for (size_t i = 0; channel->has_position && i < 3; i++) {
            json_t *number = json_array_get(position, i);
            channel->has_position = json_is_number(number);
            channel->position[i] = json_number_value(number);
        }
    }
    golden->epochs.n_channels = n;
    golden->epochs.channels = golden->channels;
    read_coils(golden);
    read_projectors(golden);
}

static void read_samples(struct golden_case *golden)
{
    char path[640];
    size_t length;
    snprintf(path, sizeof path, "%s/epochs.npy", golden->folder);
    unsigned char *bytes = read_file(path, &length);
    if (bytes == NULL)
        give_up(path, "cannot be read");
    struct npy_header header = read_header(path, bytes, length);
    if (header.n_dimensions != 3 || header.shape[1] != golden->epochs.n_channels)
        give_up(path, "is not epochs x channels x times");
    void *samples = need(malloc(header.data_bytes));
    memcpy(samples, bytes + header.data_offset, header.data_bytes);
    free(bytes);
    golden->epochs.n_epochs = header.shape[0];
    golden->epochs.n_times = header.shape[2];
    golden->epochs.dtype = strcmp(header.descr, "<f4") == 0 ? REJECTD_FLOAT32 : REJECTD_FLOAT64;
    golden->epochs.samples = samples;
}

static void read_picks(struct golden_case *golden)
{
    json_t *all = json_object_get(golden->expected, "picks");
    json_t *by_type = json_object_get(golden->expected, "picks_by_type");
    json_t *eeg = json_object_get(by_type, "eeg");
    golden->n_picks = json_array_size(eeg);
    golden->only_eeg = json_object_size(by_type) == 1;
    golden->picks = need(malloc((golden->n_picks + 1) * sizeof(size_t)));
    golden->positions = need(malloc((golden->n_picks + 1) * sizeof(size_t)));
    golden->n_all_picks = json_array_size(all);
    golden->all_picks = need(malloc((golden->n_all_picks + 1) * sizeof(size_t)));
    for (size_t i = 0; i < golden->n_all_picks; i++)
        golden->all_picks[i] = (size_t)json_integer_value(json_array_get(all, i));
    for (size_t i = 0; i < golden->n_picks; i++) {
        json_int_t pick = json_integer_value(json_array_get(eeg, i));
        golden->picks[i] = (size_t)pick;
        for (size_t j = 0; j < json_array_size(all); j++)
            if (json_integer_value(json_array_get(all, j)) == pick)
                golden->positions[i] = j;
    }
}

static void read_parameters(struct golden_case *golden)
{
    json_t *parameters = json_object_get(json_object_get(golden->expected, "autoreject"), "params");
    json_t *consensus = json_object_get(parameters, "consensus");
    json_t *n_interpolate = json_object_get(parameters, "n_interpolate");
    golden->seed = (uint32_t)json_integer_value(json_object_get(parameters, "random_state"));
    golden->cv = (size_t)json_integer_value(json_object_get(parameters, "cv"));
    golden->n_consensus = json_array_size(consensus);
    golden->n_n_interpolate = json_array_size(n_interpolate);
    golden->consensus = need(malloc(golden->n_consensus * sizeof(double)));
    golden->n_interpolate = need(malloc(golden->n_n_interpolate * sizeof(int)));
    for (size_t i = 0; i < golden->n_consensus; i++)
        golden->consensus[i] = json_number_value(json_array_get(consensus, i));
    for (size_t i = 0; i < golden->n_n_interpolate; i++)
        golden->n_interpolate[i] = (int)json_integer_value(json_array_get(n_interpolate, i));
}

void golden_open(struct golden_case *golden, const char *folder)
{
    *golden = (struct golden_case){0};
    snprintf(golden->folder, sizeof golden->folder, "%s", folder);
    for (size_t n = strlen(golden->folder); n > 1 && golden->folder[n - 1] == '/'; n--)
        golden->folder[n - 1] = '\0';
    const char *slash = strrchr(golden->folder, '/');
    golden->name = slash != NULL ? slash + 1 : golden->folder;
    golden->meta = read_json(golden, "meta.json");
    golden->expected = read_json(golden, "expected/expected.json");
    read_channels(golden);
    read_samples(golden);
    read_picks(golden);
    read_parameters(golden);
}

void golden_close(struct golden_case *golden)
{
    json_decref(golden->meta);
    json_decref(golden->expected);
    free(golden->channels);
    for (size_t p = 0; p < golden->epochs.n_projectors; p++)
        free(golden->projectors[p].vectors);
    free(golden->projectors);
    free((void *)(uintptr_t)golden->epochs.samples);
    free(golden->picks);
    free(golden->all_picks);
    free(golden->positions);
    free(golden->consensus);
    free(golden->n_interpolate);
}

struct rejectd_fit_parameters golden_parameters(const struct golden_case *golden)
{
    return (struct rejectd_fit_parameters){
        .n_interpolate = golden->n_interpolate,
        .n_n_interpolate = golden->n_n_interpolate,
        .consensus = golden->consensus,
        .n_consensus = golden->n_consensus,
        .cv = golden->cv,
        .thresh_method = REJECTD_THRESHOLD_BAYESIAN_OPTIMIZATION,
        .random_state = golden->seed,
        .picks = golden->picks,
        .n_picks = golden->n_picks,
        .precision = REJECTD_FLOAT64,
    };
}
