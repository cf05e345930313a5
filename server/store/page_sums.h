/*
 * Checksums of the pages of a SQLite database: a layer between SQLite and its files (a "VFS"), by
 * which each page ends with a sum of what is in it. One that was changed on the disk, if only by a
 * bit within a text, is no longer read as if nothing had happened: SQLite is told that the file is
 * corrupt.
 *
 * SQLite leaves the room for the sums in the pages of a database that was made with it, which the
 * header of the file tells; files without it are read and written as they always were. The
 * write-ahead log has sums of its own. A file with sums is to be written through this layer alone:
 * whatever else writes a page leaves the sum of the last one in it.
 */
#ifndef SERVER_STORE_PAGE_SUMS_H
#define SERVER_STORE_PAGE_SUMS_H

#include <sqlite3.h>
#include <stdbool.h>

/* The name for sqlite3_open_v2(); the layer is there afterwards, for the whole process. Opening
 * fails when there was no memory for it. */
const char *page_sums_layer(void);

/* Asks for the room: a database that is made afterwards, or made anew by VACUUM, has sums. */
void page_sums_request(sqlite3 *database);

/* True when the database, which was opened through the layer, has the room for them; false when
 * that can't be read, too. */
bool page_sums_present(sqlite3 *database);

#endif
