/* The directory that a daemon owns. */
#ifndef SERVER_DATA_DIR_H
#define SERVER_DATA_DIR_H

#include "server/store/store.h"

/* Makes the directory and its parents where they are missing, readable by the user alone. */
enum rejectd_status data_dir_make(const char *path, struct rejectd_error *error);

/* Makes the directory, locks it against other daemons until close(*lock), and sees whether it can
 * be written to. */
enum rejectd_status data_dir_take(const char *path, int *lock, struct rejectd_error *error);

/* Makes the names of what was made in it durable. */
enum rejectd_status data_dir_sync(const char *path, int lock, struct rejectd_error *error);

/* STORAGE when there are blobs but no store: a store made now would have them swept. */
enum rejectd_status data_dir_check_store(const char *path, struct rejectd_error *error);
/* Does that, and opens the store, which is made when there is none. *store is owned by the caller:
 * functions->close(). */
enum rejectd_status data_dir_open_store(const char *path, struct store **store,
                                        struct rejectd_error *error);

/* When root runs this: becomes the user whose directory it is. A store that root writes to would
 * not be the daemon's any more. */
enum rejectd_status data_dir_become_owner(const char *path, struct rejectd_error *error);

#endif
