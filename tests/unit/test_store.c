/* The SQLite store: the contract of every store, and what is its own. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "folder.h"
#include "run_suite.h"
#include "server/store/page_sums.h"
#include "server/store/sqlite.h"
#include "store_suite.h"

static char folder[FOLDER_SIZE];
static char path[sizeof folder + 16];

static struct store *open_store(void)
{
    struct rejectd_error error = {0};
    struct store *store = NULL;
    ck_assert_msg(store_sqlite_open(path, &store, &error) == REJECTD_OK, "%s", error.message);
    return store;
}

static struct store *make_store(void)
{
    folder_make("store", folder);
    snprintf(path, sizeof path, "%s/store.sqlite", folder);
    return open_store();
}

static struct store *reopen_store(struct store *store)
{
    store->functions->close(store);
    return open_store();
}

static void discard_store(struct store *store)
{
    store->functions->close(store);
    folder_remove(folder);
}

static const struct store_under_test sqlite = {make_store, reopen_store, discard_store};

static void run_sql(const char *sql)
{
    sqlite3 *database = NULL;
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    ck_assert_int_eq(sqlite3_open_v2(path, &database, flags, page_sums_layer()), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(database, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
}

START_TEST(test_newer_schema_is_refused)
{
    struct rejectd_error error = {0};
    struct store *store = make_store();
    store->functions->close(store);
    run_sql("PRAGMA user_version = 1000");
    ck_assert_int_eq(store_sqlite_open(path, &store, &error), REJECTD_STORAGE);
    ck_assert_ptr_nonnull(strstr(error.message, "1000"));
    ck_assert_ptr_null(store);
    char restore[64];
    snprintf(restore, sizeof restore, "PRAGMA user_version = %zu", sqlite_n_migrations);
    run_sql(restore);
    discard_store(open_store());
}
END_TEST

/* Version 1 kept two arrays in columns of the jobs, and had no owners. */
START_TEST(test_first_schema_is_brought_up_to_date)
{
    static const char labels[] = "1111111111111111111111111111111111111111111111111111111111111111";
    static const char cleaned[] =
        "2222222222222222222222222222222222222222222222222222222222222222";
    struct rejectd_error error = {0};
    struct store_result result = {0};
    struct ownership ownership;
    struct store *store = make_store();
    store->functions->close(store);
    ck_assert_int_eq(unlink(path), 0);
    run_sql(sqlite_migrations[0]);
    run_sql("INSERT INTO jobs (id, type, dataset, device, priority, parameters, state, created_at, "
            "result, labels_sha256, cleaned_sha256) VALUES ('jb_old', 'fit', 'ds_old', 'cpu', 0, "
            "'{}', 'succeeded', 1, '{}', "
            "'1111111111111111111111111111111111111111111111111111111111111111', "
            "'2222222222222222222222222222222222222222222222222222222222222222');"
            "PRAGMA user_version = 1");
    store = open_store();
    ck_assert_int_eq(store->functions->job_result(store, "jb_old", &result, &error), REJECTD_OK);
    ck_assert_str_eq(result.artifacts[ARTIFACT_LABELS], labels);
    ck_assert_str_eq(result.artifacts[ARTIFACT_CLEANED], cleaned);
    ck_assert(store->functions->blob_is_needed(store, labels));
    ck_assert(store->functions->blob_is_needed(store, cleaned));
    ck_assert_int_eq(store->functions->ownership_get(store, NULL, "jb_old", &ownership, &error),
                     REJECTD_OK);
    ck_assert_str_eq(ownership.owner, "");
    ck_assert_int_eq(ownership.visibility, VISIBILITY_PRIVATE);
    free(result.json);
    discard_store(store);
}
END_TEST

START_TEST(test_other_files_are_refused)
{
    struct rejectd_error error = {0};
    struct store *store = make_store();
    discard_store(store);
    ck_assert_int_eq(store_sqlite_open("/nonexistent/store.sqlite", &store, &error),
                     REJECTD_STORAGE);
    ck_assert_ptr_null(store);
    snprintf(path, sizeof path, "/tmp/rejectd-none-XXXXXX");
    const int file = mkstemp(path);
    ck_assert_int_ge(file, 0);
    static const char text[] = "this is no database, and long enough to be looked at as one.....";
    for (int i = 0; i < 64; i++) {
        ck_assert_int_eq(write(file, text, sizeof text), sizeof text);
    }
    close(file);
    ck_assert_int_eq(store_sqlite_open(path, &store, &error), REJECTD_STORAGE);
    ck_assert_ptr_null(store);
    unlink(path);
}
END_TEST

START_TEST(test_check_answers)
{
    struct rejectd_error error = {0};
    struct store *store = make_store();
    ck_assert_int_eq(store->functions->check(store, &error), REJECTD_OK);
    run_sql("DROP TABLE models");
    ck_assert_int_eq(store->functions->check(store, &error), REJECTD_STORAGE);
    discard_store(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store");
    TCase *own = tcase_create("sqlite");
    tcase_add_test(own, test_newer_schema_is_refused);
    tcase_add_test(own, test_first_schema_is_brought_up_to_date);
    tcase_add_test(own, test_other_files_are_refused);
    tcase_add_test(own, test_check_answers);
    suite_add_tcase(suite, store_suite(&sqlite));
    suite_add_tcase(suite, store_suite_devices(&sqlite));
    suite_add_tcase(suite, store_suite_users(&sqlite));
    suite_add_tcase(suite, store_suite_removal(&sqlite));
    suite_add_tcase(suite, store_suite_answers(&sqlite));
    suite_add_tcase(suite, store_suite_partials(&sqlite));
    suite_add_tcase(suite, own);
    return run_suite(suite);
}
