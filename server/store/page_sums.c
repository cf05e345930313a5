#include "server/store/page_sums.h"

#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAGE = 4096, /* bytes, as SQLite makes them; a database with others has no sums */
    SUM = 8,     /* bytes of them, the last ones */
    HEADER = 100,
    PAGE_SIZE_AT = 16, /* two bytes, the higher one first */
    RESERVED_AT = 20,
};

static const char layer_name[] = "rejectd-page-sums";

/* Behind what the system's own layer keeps for an open database. */
struct summed_file {
    sqlite3_io_methods methods; /* the system's, but for reading and writing */
    const sqlite3_io_methods *base;
    bool on; /* the header tells of room for sums */
};

/* SQLite keeps the address of `methods`, as of what never changes. */
static struct summed_file *summed_of(const sqlite3_file *file)
{
    return (struct summed_file *)(uintptr_t)file->pMethods;
}

static void compute_sum(const unsigned char *page, sqlite3_int64 offset, unsigned char sum[SUM])
{
    crypto_generichash_state state;
    unsigned char hash[crypto_generichash_BYTES_MIN];
    unsigned char place[8]; /* a page is wrong at another one's place */
    for (int i = 0; i < 8; i++) {
        place[i] = (unsigned char)((uint64_t)offset >> 8 * i);
    }
    crypto_generichash_init(&state, NULL, 0, sizeof hash);
    crypto_generichash_update(&state, place, sizeof place);
    crypto_generichash_update(&state, page, PAGE - SUM);
    crypto_generichash_final(&state, hash, sizeof hash);
    memcpy(sum, hash, SUM);
}

/* Pages that never were written, because nothing was in them yet, have no sums. */
static bool is_blank(const unsigned char *page)
{
    return page[0] == 0 && memcmp(page, page + 1, PAGE - 1) == 0;
}

static bool is_right(const unsigned char *page, sqlite3_int64 offset)
{
    unsigned char sum[SUM];
    compute_sum(page, offset, sum);
    return memcmp(sum, page + PAGE - SUM, SUM) == 0 || is_blank(page);
}

static void look_at_header(struct summed_file *summed, const unsigned char *bytes, int amount,
                           sqlite3_int64 offset)
{
    static const char magic[16] = "SQLite format 3";
    if (offset == 0 && amount >= HEADER) {
        summed->on = memcmp(bytes, magic, sizeof magic) == 0 && bytes[PAGE_SIZE_AT] == PAGE >> 8 &&
                     bytes[PAGE_SIZE_AT + 1] == (PAGE & 255) && bytes[RESERVED_AT] == SUM;
    }
}

static bool is_page(const struct summed_file *summed, int amount, sqlite3_int64 offset)
{
    return summed->on && amount == PAGE && offset % PAGE == 0;
}

static int read_summed(sqlite3_file *file, void *bytes, int amount, sqlite3_int64 offset)
{
    struct summed_file *summed = summed_of(file);
    const int code = summed->base->xRead(file, bytes, amount, offset);
    if (code != SQLITE_OK) {
        return code; /* or less than a page, which is none yet */
    }
    look_at_header(summed, bytes, amount, offset);
    return !is_page(summed, amount, offset) || is_right(bytes, offset) ? SQLITE_OK : SQLITE_CORRUPT;
}

static int write_summed(sqlite3_file *file, const void *bytes, int amount, sqlite3_int64 offset)
{
    struct summed_file *summed = summed_of(file);
    unsigned char page[PAGE];
    look_at_header(summed, bytes, amount, offset);
    if (is_page(summed, amount, offset)) {
        memcpy(page, bytes, PAGE - SUM);
        compute_sum(page, offset, page + PAGE - SUM);
        bytes = page;
    }
    return summed->base->xWrite(file, bytes, amount, offset);
}

static int open_summed(sqlite3_vfs *layer, const char *name, sqlite3_file *file, int flags,
                       int *flags_out)
{
    sqlite3_vfs *base = sqlite3_vfs_find(NULL);
    const int code = base->xOpen(base, name, file, flags, flags_out);
    if (code == SQLITE_OK && (flags & SQLITE_OPEN_MAIN_DB) != 0) {
        struct summed_file *summed =
            (void *)((char *)file + layer->szOsFile - sizeof(struct summed_file));
        *summed = (struct summed_file){.methods = *file->pMethods, .base = file->pMethods};
        summed->methods.xRead = read_summed;
        summed->methods.xWrite = write_summed;
        if (summed->methods.iVersion > 2) {
            summed->methods.iVersion = 2; /* later ones may map the file, and read past us */
        }
        file->pMethods = &summed->methods;
    }
    return code;
}

const char *page_sums_layer(void)
{
    sqlite3_vfs *base = sqlite3_vfs_find(NULL);
    sqlite3_vfs *layer = sqlite3_vfs_find(layer_name) != NULL ? NULL : malloc(sizeof *layer);
    if (base != NULL && layer != NULL) {
        const int own = (int)sizeof(struct summed_file);
        const int step = (int)_Alignof(struct summed_file);
        *layer = *base; /* all that isn't about an open file is the same */
        layer->pNext = NULL;
        layer->zName = layer_name;
        layer->szOsFile = (base->szOsFile + step - 1) / step * step + own;
        layer->xOpen = open_summed;
        sqlite3_vfs_register(layer, 0); /* and so it is SQLite's, as long as the process lives */
    }
    return layer_name;
}

void page_sums_request(sqlite3 *database)
{
    int bytes = SUM;
    sqlite3_file_control(database, "main", SQLITE_FCNTL_RESERVE_BYTES, &bytes);
}

bool page_sums_present(sqlite3 *database)
{
    sqlite3_file *file = NULL;
    /* The header is read with the first question. */
    if (sqlite3_exec(database, "PRAGMA schema_version", NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_file_control(database, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK) {
        return false;
    }
    return file != NULL && file->pMethods != NULL && file->pMethods->xRead == read_summed &&
           summed_of(file)->on;
}
