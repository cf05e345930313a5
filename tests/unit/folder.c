#define _GNU_SOURCE /* nftw */
#include "folder.h"

#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

void folder_make(const char *purpose, char path[FOLDER_SIZE])
{
    snprintf(path, FOLDER_SIZE, "/tmp/rejectd-%s-XXXXXX", purpose);
    ck_assert_ptr_nonnull(mkdtemp(path));
}

static int remove_entry(const char *name, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(name);
}

void folder_remove(const char *path)
{
    nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}
