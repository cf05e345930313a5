/* The store that a test of the contract has, and what the suites do with it again and again. */
#ifndef TESTS_UNIT_STORE_FIXTURE_H
#define TESTS_UNIT_STORE_FIXTURE_H

#include "store_suite.h"

extern struct store *store;
extern struct rejectd_error error;
extern const char sha_a[RESOURCE_SHA256_SIZE], sha_b[RESOURCE_SHA256_SIZE],
    sha_c[RESOURCE_SHA256_SIZE];

#define CALL(function, ...) store->functions->function(store, __VA_ARGS__, &error)
#define OK(function, ...)                                                                          \
    ck_assert_msg(CALL(function, __VA_ARGS__) == REJECTD_OK, "%s", error.message)
#define FAILS(status, function, ...) ck_assert_int_eq(CALL(function, __VA_ARGS__), status)

/* A test case whose tests have an empty store each; set_up (may be NULL) is called when it is
 * there. */
TCase *store_case(const char *name, const struct store_under_test *under_test,
                  void (*set_up)(void));
void store_reopen(void);

/* Inserts a dataset that is like the view but for its bytes (960) and description. */
void insert_dataset(const struct dataset_view *view, char id[RESOURCE_ID_SIZE]);
/* One with these samples; "": it awaits them. */
void insert_samples(const char *sha256, char id[RESOURCE_ID_SIZE]);
void delete_dataset(const char *id);

/* As the processor where there is no GPU. */
extern const struct store_taker processor;
/* Claims what must be this job, for the processor; its fence. */
int64_t claim(const char *job);
bool queue_is_empty(void);

/* With labels sha_b and cleaned samples sha_c; model_id may be NULL. */
struct store_outcome success(const char *model_id);

#endif
