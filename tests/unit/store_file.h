/* The file of a store in a folder of its own, for tests that look at it or change it by SQLite. */
#ifndef TESTS_UNIT_STORE_FILE_H
#define TESTS_UNIT_STORE_FILE_H

#include <sqlite3.h>

enum { STORE_FILE_SIZE = 96 };

extern char store_file[STORE_FILE_SIZE]; /* its path; nothing is there yet */

/* Fixtures of a test case. */
void store_file_set_up(void);
void store_file_tear_down(void);

/* Runs SQL that must succeed. */
void store_file_run(sqlite3 *database, const char *sql);

#endif
