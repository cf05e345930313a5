/*
 * The directory of a zip archive.
 *
 * It is found from the end of the file and must end exactly where its end record begins, so that
 * there is one way to read an archive and nothing hides between its parts. Numbers are taken as
 * 64 bits and compared by subtraction from what is known to fit.
 */
#include "protocol/npz.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/utf8.h"

enum {
    END_SIZE = 22,
    END64_SIZE = 56,
    LOCATOR_SIZE = 20,
    CENTRAL_SIZE = 46,
    LOCAL_SIZE = 30,
    MAX_COMMENT = 0xffff,
    FLAG_DESCRIPTOR = 1 << 3, /* sizes and CRC follow the data; the directory has them anyway */
    FLAG_UTF8 = 1 << 11,
    FLAGS_ACCEPTED = FLAG_DESCRIPTOR | FLAG_UTF8 | 1 << 1 | 1 << 2 /* how hard deflate tried */,
    FLAGS_ENCRYPTED = 1 | 1 << 6 | 1 << 13,
    METHOD_STORED = 0,
    METHOD_DEFLATED = 8,
    EXTRA_ZIP64 = 1,
    MAX_RATIO = 1032, /* that deflate reaches: 258 bytes for 2 bits */
};

static const uint32_t local_signature = 0x04034b50, central_signature = 0x02014b50,
                      end_signature = 0x06054b50, end64_signature = 0x06064b50,
                      locator_signature = 0x07064b50, saturated = 0xffffffff;

struct directory {
    uint64_t offset;
    uint64_t size;
    uint64_t count;
};

static uint64_t number(const unsigned char *at, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = bytes; i-- > 0;)
        value = value << 8 | at[i];
    return value;
}

static uint32_t u16(const unsigned char *at)
{
    return (uint32_t)number(at, 2);
}

static uint32_t u32(const unsigned char *at)
{
    return (uint32_t)number(at, 4);
}

static enum rejectd_status broken(struct rejectd_error *error, const char *what)
{
    return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "npz",
                        "the .npz is damaged or unusual: %s; what numpy.savez and "
                        "savez_compressed write is accepted",
                        what);
}

bool npz_has_magic(const void *bytes, size_t length)
{
    return length >= 4 && (u32(bytes) == local_signature || u32(bytes) == end_signature);
}

/* ---- where the directory is ---- */

/* The end record is the last thing in the file, but for its comment. */
static enum rejectd_status find_end(const struct npz_archive *archive, size_t *end,
                                    struct rejectd_error *error)
{
    if (archive->length >= END_SIZE)
        for (size_t comment = 0; comment <= MAX_COMMENT && comment <= archive->length - END_SIZE;
             comment++) {
            *end = archive->length - END_SIZE - comment;
            const unsigned char *at = archive->bytes + *end;
            if (u32(at) == end_signature && u16(at + 20) == comment)
                return REJECTD_OK;
        }
    return broken(error, "it has no end of a zip directory (is it complete?)");
}

static enum rejectd_status read_end64(const struct npz_archive *archive, size_t *end,
                                      struct directory *directory, struct rejectd_error *error)
{
    if (*end < LOCATOR_SIZE + END64_SIZE)
        return broken(error, "its ZIP64 end record is missing");
    const size_t at = *end - LOCATOR_SIZE;
    const unsigned char *locator = archive->bytes + at;
    if (u32(locator) != locator_signature)
        return broken(error, "its ZIP64 locator is missing");
    const uint64_t end64 = number(locator + 8, 8);
    if (u32(locator + 4) != 0 || u32(locator + 16) > 1)
        return broken(error, "it spans several disks");
    if (end64 > at - END64_SIZE || u32(archive->bytes + end64) != end64_signature)
        return broken(error, "its ZIP64 locator points nowhere");
    const unsigned char *record = archive->bytes + end64;
    if (number(record + 4, 8) != at - end64 - 12)
        return broken(error, "its ZIP64 end record has a wrong size");
    if (u32(record + 16) != 0 || u32(record + 20) != 0 ||
        number(record + 24, 8) != number(record + 32, 8))
        return broken(error, "it spans several disks");
    *directory = (struct directory){
        .count = number(record + 32, 8),
        .size = number(record + 40, 8),
        .offset = number(record + 48, 8),
    };
    *end = (size_t)end64;
    return REJECTD_OK;
}

static enum rejectd_status find_directory(const struct npz_archive *archive,
                                          struct directory *directory, struct rejectd_error *error)
{
    size_t end = 0;
    enum rejectd_status status = find_end(archive, &end, error);
    if (status != REJECTD_OK)
        return status;
    const unsigned char *record = archive->bytes + end;
    *directory = (struct directory){
        .count = u16(record + 10),
        .size = u32(record + 12),
        .offset = u32(record + 16),
    };
    const uint32_t disk = u16(record + 4), first = u16(record + 6), here = u16(record + 8);
    if (directory->count == 0xffff || directory->size == saturated ||
        directory->offset == saturated)
        status = read_end64(archive, &end, directory, error);
    else if (disk != 0 || first != 0 || here != directory->count)
        status = broken(error, "it spans several disks");
    if (status != REJECTD_OK)
        return status;
    if (directory->size > end || directory->offset != end - directory->size)
        return broken(error, "its directory is not where its end says, or something precedes the "
                             "archive");
    if (directory->count > NPZ_MAX_MEMBERS)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, "npz",
                            "the .npz has %llu members; at most %d are accepted",
                            (unsigned long long)directory->count, NPZ_MAX_MEMBERS);
    return REJECTD_OK;
}

/* ---- the members ---- */

static enum rejectd_status read_name(const unsigned char *bytes, size_t length,
                                     struct npz_member *member, struct rejectd_error *error)
{
    if (length == 0 || length >= sizeof member->name || memchr(bytes, 0, length) != NULL)
        return broken(error, "a member's name is empty, too long or not text");
    memcpy(member->name, bytes, length);
    member->name[length] = 0;
    if (!utf8_is_valid(member->name) || !utf8_is_printable(member->name))
        return broken(error, "a member's name is not printable UTF-8");
    if (strpbrk(member->name, "/\\") != NULL)
        return broken(error, "a member's name is a path");
    member->is_array = length > 4 && strcmp(member->name + length - 4, ".npy") == 0;
    if (member->is_array)
        member->name[length - 4] = 0;
    return REJECTD_OK;
}

/* Replaces the saturated ones of size, compressed size and offset by those of the ZIP64 field. */
static bool read_extra(const unsigned char *at, size_t length, uint64_t values[3])
{
    while (length >= 4) {
        const size_t id = u16(at), size = u16(at + 2);
        if (size > length - 4)
            return false;
        if (id == EXTRA_ZIP64) {
            size_t used = 4;
            for (size_t i = 0; i < 3; i++)
                if (values[i] == saturated) {
                    if (used + 8 > size + 4)
                        return false;
                    values[i] = number(at + used, 8);
                    used += 8;
                }
            return true;
        }
        at += 4 + size;
        length -= 4 + size;
    }
    return values[0] != saturated && values[1] != saturated && values[2] != saturated;
}

static enum rejectd_status check_flags(const struct npz_member *member, uint32_t flags,
                                       uint32_t method, struct rejectd_error *error)
{
    if ((flags & FLAGS_ENCRYPTED) != 0)
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, member->name,
                            "is encrypted; members without encryption are accepted");
    if ((flags & ~(uint32_t)FLAGS_ACCEPTED) != 0 ||
        (method != METHOD_STORED && method != METHOD_DEFLATED))
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, member->name,
                            "is compressed by method %u (flags 0x%x); stored (0) and deflated (8) "
                            "members are accepted",
                            (unsigned)method, (unsigned)flags);
    return REJECTD_OK;
}

/* Goes from the local header to the member's bytes, which end before `end`. */
static enum rejectd_status find_bytes(const struct npz_archive *archive, const unsigned char *entry,
                                      uint64_t local, uint64_t end, struct npz_member *member,
                                      struct rejectd_error *error)
{
    if (end < LOCAL_SIZE || local > end - LOCAL_SIZE)
        return broken(error, "a member lies outside of it");
    const unsigned char *header = archive->bytes + local;
    const size_t name_length = u16(header + 26), extra = u16(header + 28);
    if (u32(header) != local_signature || u16(header + 6) != u16(entry + 8) ||
        u16(header + 8) != u16(entry + 10) || name_length != u16(entry + 28))
        return broken(error, "a member's header contradicts the directory");
    const uint64_t room = end - local - LOCAL_SIZE;
    if (name_length + extra > room || member->compressed > room - name_length - extra)
        return broken(error, "a member lies outside of it");
    if (memcmp(header + LOCAL_SIZE, entry + CENTRAL_SIZE, name_length) != 0)
        return broken(error, "a member has two names");
    member->offset = (size_t)local + LOCAL_SIZE + name_length + extra;
    return REJECTD_OK;
}

static enum rejectd_status check_sizes(const struct npz_member *member, struct rejectd_error *error)
{
    if (!member->deflated && member->size != member->compressed)
        return broken(error, "a stored member has two sizes");
    if (member->deflated &&
        (member->compressed == 0 || member->size / MAX_RATIO > member->compressed))
        return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, member->name,
                            "claims %zu bytes, more than its %zu compressed bytes can hold",
                            member->size, member->compressed);
    return REJECTD_OK;
}

struct extent {
    size_t begin, end; /* of local header and data */
};

/* The entry at *at, which then moves behind it. */
static enum rejectd_status read_entry(const struct npz_archive *archive,
                                      const struct directory *directory, size_t *at,
                                      struct npz_member *member, struct extent *extent,
                                      struct rejectd_error *error)
{
    const size_t end = (size_t)(directory->offset + directory->size);
    const unsigned char *entry = archive->bytes + *at;
    if (end - *at < CENTRAL_SIZE || u32(entry) != central_signature)
        return broken(error, "its directory is cut short");
    const size_t name = u16(entry + 28), extra = u16(entry + 30), comment = u16(entry + 32);
    if (name + extra + comment > end - *at - CENTRAL_SIZE)
        return broken(error, "its directory is cut short");
    if (u16(entry + 34) != 0)
        return broken(error, "it spans several disks");
    uint64_t values[3] = {u32(entry + 24), u32(entry + 20), u32(entry + 42)};
    if (!read_extra(entry + CENTRAL_SIZE + name, extra, values))
        return broken(error, "a ZIP64 field is cut short");
    member->crc = u32(entry + 16);
    member->deflated = u16(entry + 10) == METHOD_DEFLATED;
    member->size = (size_t)values[0];
    member->compressed = (size_t)values[1];
    enum rejectd_status status;
    if ((status = read_name(entry + CENTRAL_SIZE, name, member, error)) != 0 ||
        (status = check_flags(member, u16(entry + 8), u16(entry + 10), error)) != 0 ||
        (status = find_bytes(archive, entry, values[2], directory->offset, member, error)) != 0 ||
        (status = check_sizes(member, error)) != 0)
        return status;
    *extent = (struct extent){(size_t)values[2], member->offset + member->compressed};
    *at += CENTRAL_SIZE + name + extra + comment;
    return REJECTD_OK;
}

static int by_begin(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

static int by_name(const void *a, const void *b)
{
    const struct npz_member *x = *(const struct npz_member *const *)a,
                            *y = *(const struct npz_member *const *)b;
    const int order = strcmp(x->name, y->name);
    return order != 0 ? order : x->is_array - y->is_array;
}

static enum rejectd_status check_overlap(struct extent *extents, size_t count,
                                         struct rejectd_error *error)
{
    qsort(extents, count, sizeof *extents, by_begin);
    for (size_t i = 1; i < count; i++)
        if (extents[i].begin < extents[i - 1].end)
            return broken(error, "two members overlap");
    return REJECTD_OK;
}

static enum rejectd_status check_unique(const struct npz_archive *archive,
                                        const struct npz_member **order,
                                        struct rejectd_error *error)
{
    for (size_t i = 0; i < archive->n_members; i++)
        order[i] = &archive->members[i];
    qsort(order, archive->n_members, sizeof *order, by_name);
    for (size_t i = 1; i < archive->n_members; i++)
        if (by_name(&order[i - 1], &order[i]) == 0)
            return REJECTD_FAIL(error, REJECTD_INVALID_SAMPLES, order[i]->name,
                                "is in the .npz twice; names must be unique");
    return REJECTD_OK;
}

static enum rejectd_status read_directory(struct npz_archive *archive,
                                          const struct directory *directory,
                                          struct rejectd_error *error)
{
    const size_t n = (size_t)directory->count;
    struct extent *extents = calloc(n + 1, sizeof *extents);
    const struct npz_member **order = calloc(n + 1, sizeof *order);
    archive->members = calloc(n + 1, sizeof *archive->members);
    enum rejectd_status status = REJECTD_OK;
    size_t at = (size_t)directory->offset;
    if (extents == NULL || order == NULL || archive->members == NULL)
        status = REJECTD_FAIL_MEMORY(error, n * sizeof *archive->members);
    for (; archive->n_members < n && status == REJECTD_OK; archive->n_members++)
        status = read_entry(archive, directory, &at, &archive->members[archive->n_members],
                            &extents[archive->n_members], error);
    if (status == REJECTD_OK && at != directory->offset + directory->size)
        status = broken(error, "its directory has more than its members");
    if (status == REJECTD_OK)
        status = check_overlap(extents, n, error);
    if (status == REJECTD_OK)
        status = check_unique(archive, order, error);
    free(extents);
    free(order);
    return status;
}

enum rejectd_status npz_open(const void *bytes, size_t length, struct npz_archive *archive,
                             struct rejectd_error *error)
{
    *archive = (struct npz_archive){.bytes = bytes, .length = length};
    struct directory directory;
    enum rejectd_status status = find_directory(archive, &directory, error);
    if (status == REJECTD_OK)
        status = read_directory(archive, &directory, error);
    if (status != REJECTD_OK)
        npz_close(archive);
    return status;
}

void npz_close(struct npz_archive *archive)
{
    free(archive->members);
    *archive = (struct npz_archive){0};
}

void npz_find(const struct npz_archive *archive, const char *name, const struct npz_member **member)
{
    *member = NULL;
    for (size_t i = 0; i < archive->n_members; i++)
        if (archive->members[i].is_array && strcmp(archive->members[i].name, name) == 0)
            *member = &archive->members[i];
}
