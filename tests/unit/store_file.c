#include "store_file.h"

#include <check.h>
#include <stdio.h>

#include "folder.h"

static char folder[FOLDER_SIZE];
char store_file[STORE_FILE_SIZE];

void store_file_set_up(void)
{
    folder_make("store", folder);
    snprintf(store_file, sizeof store_file, "%s/store.sqlite", folder);
}

void store_file_tear_down(void)
{
    folder_remove(folder);
}

void store_file_run(sqlite3 *database, const char *sql)
{
    char *message = NULL;
    const int code = sqlite3_exec(database, sql, NULL, NULL, &message);
    ck_assert_msg(code == SQLITE_OK, "%s: %s", sql, message);
}
