/*
 * The tags of a FIF file ("Functional Image File", Neuromag/MEGIN; as MNE-Python writes it), over a
 * head: the bytes of a file without its samples. Internal to protocol/.
 *
 * A tag is 16 bytes of header (kind, type, size, next; big-endian) and its data. Tags 104 and 105
 * open and close blocks. The samples are the data of tag 302 in the epochs block; a head has that
 * tag's header and the dimensions at the end of its data, but none of the samples between.
 */
#ifndef PROTOCOL_FIF_TAGS_H
#define PROTOCOL_FIF_TAGS_H

#include <rejectd/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    FIF_HEADER_SIZE = 16,
    FIF_MAX_DEPTH = 32,
    FIF_MAX_TAGS = 1000000,
    FIF_DIMENSIONS_SIZE = 16, /* n_times, n_channels, n_epochs, 3: the end of the samples' tag */
};

enum fif_kind {
    FIF_FILE_ID = 100,
    FIF_DIRECTORY_POINTER = 101,
    FIF_DIRECTORY = 102,
    FIF_BLOCK_START = 104,
    FIF_BLOCK_END = 105,
    FIF_NOP = 108,
    FIF_REF_ROLE = 115,
    FIF_REF_NUMBER = 117,
    FIF_REF_NAME = 118,
    FIF_N_CHANNELS = 200,
    FIF_SFREQ = 201,
    FIF_CHANNEL = 203,
    FIF_DESCRIPTION = 206,
    FIF_FIRST_SAMPLE = 208,
    FIF_LAST_SAMPLE = 209,
    FIF_TRANSFORM = 222,
    FIF_NAME = 233,
    FIF_CHANNEL_KIND = 252,
    FIF_CHANNEL_CAL = 254,
    FIF_CHANNEL_LOC = 255,
    FIF_CHANNEL_UNIT = 256,
    FIF_CHANNEL_NAME = 258,
    FIF_SAMPLES = 302,
    FIF_CHANNEL_COIL = 350,
    FIF_PROJECTOR_N_VECTORS = 3414,
    FIF_PROJECTOR_VECTORS = 3415,
    FIF_PROJECTOR_NAMES = 3417,
    FIF_NAME_LIST = 3507,
    FIF_PROJECTOR_ACTIVE = 3560,
    FIF_EVENTS = 3561,
    FIF_SELECTION = 3800,
    FIF_DROP_LOG = 3801,
};

enum fif_block {
    FIF_MEAS = 100,
    FIF_MEAS_INFO = 101,
    FIF_RAW_DATA = 102,
    FIF_EVOKED = 104,
    FIF_HPI_RESULT = 109,
    FIF_CONTINUOUS_DATA = 112,
    FIF_CHANNEL_EXTRA = 113,
    FIF_REF = 118,
    FIF_IAS_RAW_DATA = 119,
    FIF_OLD_EPOCHS = 122, /* what MNE-Python before 0.11 wrote */
    FIF_PROJECTORS = 313,
    FIF_PROJECTOR = 314,
    FIF_BAD_CHANNELS = 359,
    FIF_EVENTS_BLOCK = 361,
    FIF_EPOCHS = 373,
    FIF_METADATA = 3811,
};

enum fif_type {
    FIF_VOID = 0,
    FIF_INT = 3,
    FIF_FLOAT = 4,
    FIF_DOUBLE = 5,
    FIF_STRING = 10,
    FIF_CHANNEL_STRUCT = 30,
    FIF_ID_STRUCT = 31,
    FIF_TRANSFORM_STRUCT = 35,
};
#define FIF_MATRIX UINT32_C(0x40000000) /* or'ed with FIF_FLOAT or FIF_DOUBLE: dense */

/* ---- numbers ---- */

static inline uint32_t fif_get_u32(const unsigned char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return __builtin_bswap32(value);
}

static inline int32_t fif_get_i32(const unsigned char *at)
{
    return (int32_t)fif_get_u32(at);
}

static inline float fif_get_f32(const unsigned char *at)
{
    uint32_t bits = fif_get_u32(at);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline void fif_put_u32(unsigned char *at, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(at, &value, sizeof value);
}

static inline void fif_put_header(unsigned char at[FIF_HEADER_SIZE], int32_t kind, uint32_t type,
                                  size_t size, int32_t next)
{
    fif_put_u32(at, (uint32_t)kind);
    fif_put_u32(at + 4, type);
    fif_put_u32(at + 8, (uint32_t)size);
    fif_put_u32(at + 12, (uint32_t)next);
}

/* ---- blocks ---- */

/* The blocks that are open, the innermost last. */
struct fif_blocks {
    int32_t id[FIF_MAX_DEPTH];
    size_t depth;
};

/* Takes tag 104 or 105 with the id of its block; INVALID_SAMPLES when it cannot be. */
enum rejectd_status fif_blocks_take(struct fif_blocks *blocks, int32_t kind, int32_t id,
                                    struct rejectd_error *error);
/* The innermost open block; -1 outside of all. */
int32_t fif_blocks_innermost(const struct fif_blocks *blocks);
bool fif_blocks_contain(const struct fif_blocks *blocks, int32_t id);
/* True directly in the block of the epochs. */
bool fif_blocks_in_epochs(const struct fif_blocks *blocks);

/* ---- walking over a head ---- */

struct fif_tag {
    int32_t kind;
    uint32_t type;
    const unsigned char *data; /* borrowed from the head; of the samples only the dimensions */
    size_t size;               /* bytes of data in the head */
    size_t declared_size;      /* as the header says; more than size for the samples only */
    bool is_samples;
};

struct fif_walk {
    const unsigned char *head;
    size_t size;
    size_t samples_at; /* where the samples were: after the header of their tag */
    size_t at;
    size_t n_tags;
    struct fif_blocks blocks; /* that hold the tag; its own block isn't open yet or not any more */
    int32_t opens;            /* the block that the last tag opened, or -1 */
    bool damaged;             /* it ended where no head can end */
};

void fif_walk_begin(struct fif_walk *walk, const void *head, size_t size, size_t samples_at);
/*
 * The next tag; false at the end. A head that ends right after the header of the samples' tag (the
 * samples are still to come) ends there. Never reads outside the head, whatever it holds.
 */
bool fif_walk_next(struct fif_walk *walk, struct fif_tag *tag);

/* ---- values of tags; failures are INVALID_SAMPLES that name the tag ---- */

/* What a tag is, for people: "sampling rate"; "tag" when it has no name here. Static storage. */
const char *fif_kind_name(int32_t kind);

enum rejectd_status fif_tag_i32(const struct fif_tag *tag, int32_t *out,
                                struct rejectd_error *error);
enum rejectd_status fif_tag_f32(const struct fif_tag *tag, float *out, struct rejectd_error *error);
/* Checks the type, and that the data are a multiple of item_size bytes (count items unless 0). */
enum rejectd_status fif_tag_check(const struct fif_tag *tag, uint32_t type, size_t item_size,
                                  size_t count, struct rejectd_error *error);

#endif
