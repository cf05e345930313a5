/* What one owner may take of a store: jobs in the queue, bytes. */
#ifndef SERVER_STORE_QUOTA_H
#define SERVER_STORE_QUOTA_H

#include "server/store/store.h"

/* TOO_MANY_REQUESTS when there is no place for one more among the `most` jobs that may be queued;
 * 0: any number. */
enum rejectd_status quota_check_jobs(const struct store_usage *usage, uint64_t most,
                                     struct rejectd_error *error);

/* TOO_LARGE when there is no room for `bytes` more in the `most` that may be stored; 0: any. */
enum rejectd_status quota_check_bytes(const struct store_usage *usage, uint64_t bytes,
                                      uint64_t most, struct rejectd_error *error);

#endif
