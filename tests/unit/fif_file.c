#include "fif_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put32(unsigned char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(value >> (24 - 8 * i));
}

static void put_float(unsigned char *at, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put32(at, bits);
}

static void put_double(unsigned char *at, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put32(at, (uint32_t)(bits >> 32));
    put32(at + 4, (uint32_t)bits);
}

static unsigned char *extend(struct fif_file *file, size_t n)
{
    if (file->size + n > file->capacity) {
        file->capacity = 2 * (file->size + n);
        file->bytes = realloc(file->bytes, file->capacity);
        if (file->bytes == NULL)
            abort();
    }
    file->size += n;
    return file->bytes + file->size - n;
}

static void put_tag(struct fif_file *file, int32_t kind, uint32_t type, const void *data,
                    size_t size, size_t declared, int32_t next)
{
    unsigned char *at = extend(file, 16 + size);
    put32(at, (uint32_t)kind);
    put32(at + 4, type);
    put32(at + 8, (uint32_t)declared);
    put32(at + 12, (uint32_t)next);
    if (size > 0)
        memcpy(at + 16, data, size);
}

void fif_file_tag(struct fif_file *file, int32_t kind, uint32_t type, const void *data, size_t size)
{
    const struct fif_change *change = &file->recipe->change;
    size_t declared = size;
    int32_t next = kind == 108                    ? -1
                   : file->recipe->next_positions ? (int32_t)(file->size + 16 + size)
                                                  : 0;
    const bool is_it =
        change->what != FIF_CHANGE_NONE && kind == change->kind && file->seen++ == change->skip;
    switch (is_it ? change->what : FIF_CHANGE_NONE) {
    case FIF_CHANGE_DROP:
        return;
    case FIF_CHANGE_TWICE:
        put_tag(file, kind, type, data, size, declared, next);
        break;
    case FIF_CHANGE_TYPE:
        type = change->number;
        break;
    case FIF_CHANGE_SIZE:
        declared = change->number;
        break;
    case FIF_CHANGE_NEXT:
        next = (int32_t)change->number;
        break;
    case FIF_CHANGE_DATA:
        put_tag(file, kind, type, change->data, change->size, change->size, next);
        return;
    default:
        break;
    }
    put_tag(file, kind, type, data, size, declared, next);
    if (is_it && change->what == FIF_CHANGE_WORD)
        put32(file->bytes + file->size - (change->at < 0 ? 0 : size) + change->at, change->number);
}

void fif_file_int(struct fif_file *file, int32_t kind, int32_t value)
{
    unsigned char bytes[4];
    put32(bytes, (uint32_t)value);
    fif_file_tag(file, kind, 3, bytes, sizeof bytes);
}

void fif_file_float(struct fif_file *file, int32_t kind, float value)
{
    unsigned char bytes[4];
    put_float(bytes, value);
    fif_file_tag(file, kind, 4, bytes, sizeof bytes);
}

void fif_file_text(struct fif_file *file, int32_t kind, const char *text)
{
    fif_file_tag(file, kind, 10, text, strlen(text));
}

void fif_file_begin(struct fif_file *file, const struct fif_recipe *recipe)
{
    static const unsigned char id[20] = {0, 1, 0, 3};
    *file = (struct fif_file){.recipe = recipe};
    fif_file_tag(file, 100, 31, id, sizeof id);
    fif_file_int(file, 101, -1);
    fif_file_int(file, 106, -1);
}

/* Channels are EEG but for the second, a magnetometer, the third, a trigger, and the fourth, whose
 * kind is unknown. */
static const int32_t kinds[] = {2, 1, 3, 12345};
static const int32_t units[] = {107, 112, 107, -1};

static void put_channel(struct fif_file *file, size_t i)
{
    unsigned char bytes[96] = {0};
    char name[16];
    put32(bytes, (uint32_t)i + 1);
    put32(bytes + 8, (uint32_t)(i < 4 ? kinds[i] : 2));
    put_float(bytes + 12, 1.0f);
    put_float(bytes + 16, file->recipe->cal != 0 ? file->recipe->cal : 1.0f);
    put32(bytes + 20, i == 1 ? 3024 | 1 << 16 : 1);
    for (size_t k = 0; k < 12; k++)
        put_float(bytes + 24 + 4 * k, (float)(i + 1) * 0.01f + (float)k);
    put32(bytes + 72, (uint32_t)(i < 4 ? units[i] : 107));
    snprintf(name, sizeof name, file->recipe->long_names ? "short %zu" : "CH %zu", i);
    memcpy(bytes + 80, name, strlen(name));
    fif_file_tag(file, 203, 30, bytes, sizeof bytes);
}

static void put_long_name(struct fif_file *file, size_t i)
{
    char name[64];
    snprintf(name, sizeof name, "a long name \xe9 &#8364; of channel %zu", i);
    fif_file_int(file, 104, 113);
    fif_file_int(file, 250, (int32_t)i + 1);
    fif_file_text(file, 258, name);
    fif_file_int(file, 105, 113);
}

static void put_transform(struct fif_file *file)
{
    unsigned char bytes[104] = {0};
    put32(bytes, 1);
    put32(bytes + 4, 4);
    for (size_t i = 0; i < 24; i++)
        put_float(bytes + 8 + 4 * i, (float)i);
    fif_file_tag(file, 222, 35, bytes, sizeof bytes);
}

static void put_projector(struct fif_file *file, const char *names, int32_t n_vectors,
                          int32_t n_names, bool transposed)
{
    unsigned char bytes[64];
    const size_t n = (size_t)n_vectors * (size_t)n_names;
    for (size_t i = 0; i < n; i++)
        put_float(bytes + 4 * i, 0.5f + (float)i);
    put32(bytes + 4 * n, (uint32_t)(transposed ? n_vectors : n_names));
    put32(bytes + 4 * n + 4, (uint32_t)(transposed ? n_names : n_vectors));
    put32(bytes + 4 * n + 8, 2);
    fif_file_int(file, 104, 314);
    fif_file_text(file, 3417, names);
    fif_file_text(file, 233, "a \tprojector");
    fif_file_int(file, 3411, 1);
    fif_file_int(file, 3414, n_vectors);
    fif_file_int(file, 3560, !transposed);
    fif_file_tag(file, 3415, 0x40000004, bytes, 4 * n + 12);
    fif_file_int(file, 105, 314);
}

static void put_info(struct fif_file *file)
{
    const struct fif_recipe *recipe = file->recipe;
    fif_file_int(file, 104, 101);
    if (recipe->transform)
        put_transform(file);
    fif_file_int(file, 200, (int32_t)recipe->n_channels);
    fif_file_float(file, 201, 250.0f);
    fif_file_float(file, 219, 40.0f);
    if (recipe->projectors) {
        fif_file_int(file, 104, 313);
        put_projector(file, recipe->long_names ? "short 0:elsewhere" : "CH 0:elsewhere", 1, 2,
                      false);
        put_projector(file, recipe->long_names ? "short 0:short 1:x" : "CH 0:CH 1:x", 2, 3, true);
        fif_file_int(file, 105, 313);
    }
    for (size_t i = 0; i < recipe->n_channels; i++)
        put_channel(file, i);
    for (size_t i = 0; i < recipe->n_channels && recipe->long_names; i++)
        put_long_name(file, i);
    if (recipe->bads) {
        fif_file_int(file, 104, 359);
        fif_file_text(file, 3507,
                      recipe->long_names ? "short 1:no{COLON}one" : "no{COLON}one:CH 1");
        fif_file_int(file, 105, 359);
    }
    if (recipe->fitted_transform) {
        fif_file_int(file, 104, 109);
        put_transform(file);
        fif_file_int(file, 105, 109);
    }
    fif_file_int(file, 105, 101);
}

double fif_file_sample(size_t i)
{
    return (double)((i * 7919) % 10007) * 0.125 - 600;
}

static void put_samples(struct fif_file *file)
{
    const struct fif_recipe *recipe = file->recipe;
    const size_t n = recipe->n_epochs * recipe->n_channels * recipe->n_times;
    const size_t item = recipe->is_double ? 8 : 4;
    unsigned char *bytes = malloc(n * item + 16);
    if (bytes == NULL)
        abort();
    for (size_t i = 0; i < n; i++)
        if (recipe->is_double)
            put_double(bytes + 8 * i, fif_file_sample(i));
        else
            put_float(bytes + 4 * i, (float)fif_file_sample(i));
    put32(bytes + item * n, (uint32_t)recipe->n_times);
    put32(bytes + item * n + 4, (uint32_t)recipe->n_channels);
    put32(bytes + item * n + 8, (uint32_t)recipe->n_epochs);
    put32(bytes + item * n + 12, 3);
    fif_file_tag(file, 302, recipe->is_double ? 0x40000005 : 0x40000004, bytes, item * n + 16);
    free(bytes);
}

/* The original index of an epoch. */
static size_t selected(const struct fif_recipe *recipe, size_t epoch)
{
    return recipe->log ? epoch + (epoch == 0 ? 1 : 2) : epoch;
}

static void put_lists(struct fif_file *file)
{
    const struct fif_recipe *recipe = file->recipe;
    const size_t n = recipe->n_epochs;
    unsigned char *bytes = malloc(12 * n + 1);
    if (bytes == NULL)
        abort();
    for (size_t i = 0; i < n; i++) {
        put32(bytes + 12 * i, (uint32_t)(recipe->first_event + (int32_t)(100 * i)));
        put32(bytes + 12 * i + 4, 0);
        put32(bytes + 12 * i + 8, (uint32_t)(1 + i % 2));
    }
    fif_file_int(file, 104, 361);
    fif_file_tag(file, 3561, 3, bytes, 12 * n);
    fif_file_text(file, 206, "a:b:1;\xe9t\xe9:2");
    fif_file_int(file, 105, 361);
    free(bytes);
}

static void put_metadata(struct fif_file *file)
{
    char text[4096] = "[";
    for (size_t i = 0; i < file->recipe->n_epochs; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text),
                 "%s{\"row\": %zu, \"[\": \"],\\\"\"}", i > 0 ? ", " : "", i);
    strncat(text, "]", 2);
    fif_file_int(file, 104, 3811);
    fif_file_text(file, 206, text);
    fif_file_int(file, 105, 3811);
}

static void put_log(struct fif_file *file)
{
    const struct fif_recipe *recipe = file->recipe;
    char text[4096] = "[[\"USER\"]";
    unsigned char *bytes = malloc(4 * recipe->n_epochs + 1);
    if (bytes == NULL)
        abort();
    for (size_t i = 0; i < recipe->n_epochs; i++)
        put32(bytes + 4 * i, (uint32_t)selected(recipe, i));
    for (size_t i = 0; i < recipe->n_epochs; i++)
        strncat(text, i == 0 ? ", [], [\"EEG 1\", \"EEG 2\"]" : ", []",
                sizeof text - strlen(text) - 1);
    strncat(text, "]", 2);
    fif_file_text(file, 3801, text);
    fif_file_tag(file, 3800, 3, bytes, 4 * recipe->n_epochs);
    free(bytes);
}

struct fif_file fif_file_make(const struct fif_recipe *recipe)
{
    static const unsigned char id[20] = {0};
    const int32_t block = recipe->old ? 122 : 373;
    struct fif_file file;
    fif_file_begin(&file, recipe);
    fif_file_int(&file, 104, 100);
    fif_file_tag(&file, 103, 31, id, sizeof id);
    put_info(&file);
    fif_file_int(&file, 104, 103);
    fif_file_int(&file, 104, block);
    put_lists(&file);
    if (recipe->metadata)
        put_metadata(&file);
    fif_file_int(&file, 208, -5);
    fif_file_int(&file, 209, -5 + (int32_t)recipe->n_times - 1);
    put_samples(&file);
    if (recipe->log)
        put_log(&file);
    if (recipe->next != NULL) {
        fif_file_int(&file, 104, 118);
        fif_file_int(&file, 115, 2);
        fif_file_text(&file, 118, recipe->next);
        fif_file_int(&file, 117, 1);
        fif_file_int(&file, 105, 118);
    }
    fif_file_int(&file, 105, block);
    fif_file_int(&file, 105, 103);
    fif_file_int(&file, 105, 100);
    fif_file_tag(&file, 108, 0, NULL, 0);
    return file;
}
