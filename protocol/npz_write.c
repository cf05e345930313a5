/* A stored .npz, built in memory: local header and data per member, then the directory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/checked.h"
#include "protocol/npz.h"
#include "protocol/utf8.h"

enum {
    VERSION = 20,        /* of the format that a reader needs: 2.0 */
    FIRST_DATE = 0x0021, /* 1980-01-01, as NumPy writes: the same log is the same bytes */
    FLAG_UTF8 = 1 << 11,
};

void npz_writer_init(struct npz_writer *writer, struct buffer *out)
{
    *writer = (struct npz_writer){.out = out};
}

static void append_number(struct buffer *out, uint32_t value, size_t bytes)
{
    unsigned char little[4];
    for (size_t i = 0; i < bytes; i++)
        little[i] = (unsigned char)(value >> 8 * i);
    buffer_append(out, little, bytes);
}

/* What the local header and the directory entry share. */
static void append_common(struct buffer *out, const struct npz_written *member)
{
    append_number(out, VERSION, 2);
    append_number(out, FLAG_UTF8, 2);
    append_number(out, 0, 2); /* stored */
    append_number(out, 0, 2); /* time */
    append_number(out, FIRST_DATE, 2);
    append_number(out, member->crc, 4);
    append_number(out, member->size, 4);
    append_number(out, member->size, 4);
    append_number(out, (uint32_t)strlen(member->name), 2);
    append_number(out, 0, 2); /* extra */
}

void npz_writer_array(struct npz_writer *writer, const char *name, const char *descr,
                      size_t n_dimensions, const size_t *shape, const void *items, size_t bytes)
{
    struct buffer *out = writer->out;
    unsigned char header[256];
    const size_t header_bytes = npy_header_write(descr, n_dimensions, shape, header);
    size_t size, end;
    if (writer->n_members == NPZ_WRITER_MEMBERS || strlen(name) + 5 > NPZ_NAME_SIZE ||
        !checked_add(header_bytes, bytes, &size) || !checked_add(out->length, size, &end) ||
        end >= UINT32_MAX - 65536) {
        out->failed = true;
        return;
    }
    struct npz_written *member = &writer->members[writer->n_members++];
    snprintf(member->name, sizeof member->name, "%s.npy", name);
    member->offset = (uint32_t)out->length;
    member->size = (uint32_t)size;
    member->crc = (uint32_t)crc32_z(0, header, header_bytes);
    if (bytes > 0) /* zlib takes NULL for a new beginning */
        member->crc = (uint32_t)crc32_z(member->crc, items, bytes);
    append_number(out, 0x04034b50, 4);
    append_common(out, member);
    buffer_append_text(out, member->name);
    buffer_append(out, header, header_bytes);
    buffer_append(out, items, bytes);
}

static size_t count_codes(const char *text)
{
    size_t count = 0, n;
    unsigned code;
    for (; *text != 0 && (n = utf8_decode(text, &code)) > 0; text += n)
        count++;
    return count;
}

static void decode(const char *text, unsigned char *out)
{
    size_t n;
    unsigned code;
    for (; *text != 0 && (n = utf8_decode(text, &code)) > 0; text += n)
        for (int i = 0; i < 4; i++)
            *out++ = (unsigned char)(code >> 8 * i);
}

void npz_writer_texts(struct npz_writer *writer, const char *name, const char *texts, size_t stride,
                      size_t count)
{
    size_t longest = 1, bytes;
    for (size_t i = 0; i < count; i++) {
        const size_t codes = count_codes(texts + i * stride);
        longest = codes > longest ? codes : longest;
    }
    unsigned char *items = NULL;
    if (checked_multiply3(longest, 4, count, &bytes))
        items = calloc(bytes + 1, 1);
    if (items == NULL) {
        writer->out->failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++)
        decode(texts + i * stride, items + i * longest * 4);
    char descr[32];
    snprintf(descr, sizeof descr, "<U%zu", longest);
    npz_writer_array(writer, name, descr, 1, &count, items, bytes);
    free(items);
}

void npz_writer_finish(struct npz_writer *writer)
{
    struct buffer *out = writer->out;
    const size_t begin = out->length;
    for (size_t i = 0; i < writer->n_members; i++) {
        const struct npz_written *member = &writer->members[i];
        append_number(out, 0x02014b50, 4);
        append_number(out, VERSION, 2);
        append_common(out, member);
        append_number(out, 0, 2); /* comment */
        append_number(out, 0, 2); /* disk */
        append_number(out, 0, 2); /* internal attributes */
        append_number(out, 0, 4); /* external attributes */
        append_number(out, member->offset, 4);
        buffer_append_text(out, member->name);
    }
    const uint32_t n = (uint32_t)writer->n_members, size = (uint32_t)(out->length - begin);
    append_number(out, 0x06054b50, 4);
    append_number(out, 0, 4); /* disks */
    append_number(out, n, 2);
    append_number(out, n, 2);
    append_number(out, size, 4);
    append_number(out, (uint32_t)begin, 4);
    append_number(out, 0, 2); /* comment */
}
