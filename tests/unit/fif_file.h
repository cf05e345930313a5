/* FIF files built tag by tag, right ones and wrong ones, for the tests of the reader. */
#ifndef FIF_FILE_H
#define FIF_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One deviation from a right file: what becomes of the first tag of that kind. */
enum fif_change_what {
    FIF_CHANGE_NONE,
    FIF_CHANGE_DROP,
    FIF_CHANGE_TWICE,
    FIF_CHANGE_TYPE, /* to `number` */
    FIF_CHANGE_SIZE, /* in the header only, to `number` */
    FIF_CHANGE_NEXT, /* to `number` */
    FIF_CHANGE_DATA, /* to `data`, `size` */
    FIF_CHANGE_WORD, /* the 4 bytes at `at`, from the end when negative, to `number` */
};

struct fif_change {
    enum fif_change_what what;
    int32_t kind;
    uint32_t number;
    long at;
    const char *data;
    size_t size;
    int skip; /* tags of that kind that stay as they are */
};

struct fif_recipe {
    size_t n_epochs, n_channels, n_times;
    bool is_double;
    float cal; /* 0: 1 */
    bool long_names;
    bool projectors; /* two: one of a vector, applied; one of two vectors, transposed */
    bool transform;
    bool fitted_transform; /* in the block of the HPI fit */
    bool bads;
    bool metadata;
    bool log; /* two original epochs were lost: the first and the third */
    bool old; /* block 122 */
    bool next_positions;
    const char *next; /* name of the next part */
    int32_t first_event;
    struct fif_change change;
};

struct fif_file {
    unsigned char *bytes; /* owned: free() */
    size_t size, capacity;
    const struct fif_recipe *recipe;
    int seen; /* tags of the kind to change */
};

void fif_file_tag(struct fif_file *file, int32_t kind, uint32_t type, const void *data,
                  size_t size);
void fif_file_int(struct fif_file *file, int32_t kind, int32_t value);
void fif_file_float(struct fif_file *file, int32_t kind, float value);
void fif_file_text(struct fif_file *file, int32_t kind, const char *text);
void fif_file_begin(struct fif_file *file, const struct fif_recipe *recipe); /* tags 100, 101 */

struct fif_file fif_file_make(const struct fif_recipe *recipe);

/* What the file stores as sample number i of all, before calibration. */
double fif_file_sample(size_t i);

#endif
