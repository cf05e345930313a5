/* Stores of every older version, with records in them, are brought up to date whole or not at all.
 */
#include <check.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run_suite.h"
#include "server/store/sqlite.h"
#include "store_file.h"

#define SAMPLES "1111111111111111111111111111111111111111111111111111111111111111"
#define LABELS "2222222222222222222222222222222222222222222222222222222222222222"
#define CLEANED "3333333333333333333333333333333333333333333333333333333333333333"
#define HEAD "4444444444444444444444444444444444444444444444444444444444444444"

/* What the versions from `since` on have rows for. Later ones are asked for nothing more than that
 * they keep them. */
static const struct {
    size_t since;
    size_t until; /* the last such version */
    const char *sql;
} rows[] = {
    {1, SIZE_MAX,
     "INSERT INTO datasets (id, sha256, bytes, description, created_at) VALUES "
     "('ds_ready', '" SAMPLES "', 8, '{}', 5), ('ds_awaits', NULL, 8, '{}', 6)"},
    {1, SIZE_MAX,
     "INSERT INTO models (id, job, dataset, model, created_at) VALUES "
     "('md_1', 'jb_done', 'ds_ready', '{\"a\":1}', 7)"},
    {1, SIZE_MAX,
     "INSERT INTO jobs (id, type, dataset, device, priority, parameters, state, created_at, "
     "result, attempt, fence) VALUES "
     "('jb_done', 'fit', 'ds_ready', 'cpu', 0, '{}', 'succeeded', 8, '{\"b\":2}', 1, 1),"
     "('jb_waits', 'fit', 'ds_ready', 'auto', 3, '{}', 'queued', 9, NULL, 0, 0),"
     "('jb_runs', 'fit', 'ds_ready', 'auto', 0, '{}', 'running', 10, NULL, 1, 1)"},
    {1, 1,
     "UPDATE jobs SET labels_sha256 = '" LABELS "', cleaned_sha256 = '" CLEANED
     "' WHERE id = 'jb_done'"},
    {2, SIZE_MAX,
     "INSERT INTO artifacts (job, name, sha256) VALUES ('jb_done', 'labels.npy', '" LABELS
     "'), ('jb_done', 'cleaned.npy', '" CLEANED "')"},
    {3, SIZE_MAX,
     "INSERT INTO parts (dataset, number, format, head_sha256, head_bytes, samples_at, n_epochs) "
     "VALUES ('ds_ready', 0, 'fif', '" HEAD "', 100, 50, 1)"},
    {5, SIZE_MAX,
     "INSERT INTO tokens (id, user, role, hash, created_at) VALUES "
     "('0123456789abcdef', 'ann', 'user', zeroblob(32), 11)"},
};

/* A store as that version left it. */
static sqlite3 *make_store(size_t version)
{
    sqlite3 *database = NULL;
    char pragma[64];
    ck_assert_int_eq(sqlite3_open(store_file, &database), SQLITE_OK);
    store_file_run(database, "PRAGMA journal_mode = WAL");
    for (size_t i = 0; i < version; i++) {
        store_file_run(database, sqlite_migrations[i]);
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].since <= version && version <= rows[i].until) {
            store_file_run(database, rows[i].sql);
        }
    }
    snprintf(pragma, sizeof pragma, "PRAGMA user_version = %zu", version);
    store_file_run(database, pragma);
    return database;
}

static void check_records(struct store *store, size_t version)
{
    const struct store_functions *functions = store->functions;
    struct rejectd_error error = {0};
    struct dataset_view dataset = {0};
    struct job_view job = {0};
    struct model_view model = {0};
    struct store_result result = {0};
    struct store_recovery recovery = {0};
    struct store_part *parts = NULL;
    size_t n_parts = 0;
    char identity[STORE_IDENTITY_SIZE];

    ck_assert_int_eq(functions->dataset_get(store, "ds_ready", &dataset, &error), REJECTD_OK);
    ck_assert_str_eq(dataset.sha256, SAMPLES);
    ck_assert_uint_eq(dataset.bytes, 8);
    ck_assert_int_eq(dataset.used_at, 10); /* when the latest of its jobs was made */
    ck_assert_int_eq(dataset.state, DATASET_READY);
    dataset_view_clear(&dataset);
    ck_assert_int_eq(functions->dataset_get(store, "ds_awaits", &dataset, &error), REJECTD_OK);
    ck_assert_int_eq(dataset.state, DATASET_AWAITING_SAMPLES);
    dataset_view_clear(&dataset);
    ck_assert_int_eq(functions->model_get(store, "md_1", &model, &error), REJECTD_OK);
    ck_assert_str_eq(model.model_json, "{\"a\":1}");
    model_view_clear(&model);

    ck_assert_int_eq(functions->job_result(store, "jb_done", &result, &error), REJECTD_OK);
    ck_assert_str_eq(result.json, "{\"b\":2}");
    ck_assert_str_eq(result.artifacts[ARTIFACT_LABELS], LABELS);
    ck_assert_str_eq(result.artifacts[ARTIFACT_CLEANED], CLEANED);
    free(result.json);
    ck_assert_int_eq(functions->recover(store, &recovery, &error), REJECTD_OK);
    ck_assert_uint_eq(recovery.n_requeued, 1);
    ck_assert_int_eq(functions->job_get(store, "jb_waits", &job, &error), REJECTD_OK);
    ck_assert_int_eq(job.state, JOB_STATE_QUEUED);
    ck_assert_int_eq(job.priority, 3);
    job_view_clear(&job);

    ck_assert_int_eq(functions->dataset_parts(store, "ds_ready", &parts, &n_parts, &error),
                     REJECTD_OK);
    ck_assert_uint_eq(n_parts, version >= 3);
    free(parts);
    ck_assert(functions->blob_is_needed(store, SAMPLES));
    ck_assert(functions->blob_is_needed(store, LABELS));
    ck_assert(functions->blob_is_needed(store, CLEANED));
    ck_assert_int_eq(functions->blob_is_needed(store, HEAD), version >= 3);
    ck_assert_int_eq(functions->identity(store, identity, &error), REJECTD_OK);
    ck_assert_uint_eq(strlen(identity), STORE_IDENTITY_SIZE - 1);
    if (version >= 5) {
        struct store_token token;
        ck_assert_int_eq(functions->token_get(store, "0123456789abcdef", &token, &error),
                         REJECTD_OK);
        ck_assert_str_eq(token.user, "ann");
    }
}

START_TEST(test_every_version_is_brought_up_to_date)
{
    for (size_t version = 1; version <= sqlite_n_migrations; version++) {
        struct rejectd_error error = {0};
        struct store *store = NULL;
        sqlite3_close(make_store(version));
        ck_assert_msg(store_sqlite_open(store_file, &store, &error) == REJECTD_OK,
                      "version %zu: %s", version, error.message);
        check_records(store, version);
        store->functions->close(store);
        /* And once more, which has nothing to do. */
        ck_assert_int_eq(store_sqlite_open(store_file, &store, &error), REJECTD_OK);
        store->functions->close(store);
        ck_assert_int_eq(unlink(store_file), 0);
    }
}
END_TEST

static int append_row(void *context, int n, char **values, char **names)
{
    char *text = context;
    (void)names;
    for (int i = 0; i < n; i++) {
        const size_t length = strlen(text);
        snprintf(text + length, (1 << 16) - length, "%s|", values[i] == NULL ? "" : values[i]);
    }
    return 0;
}

/* Schema, version and some rows, as text. */
static void describe(sqlite3 *database, char out[1 << 16])
{
    out[0] = '\0';
    ck_assert_int_eq(sqlite3_exec(database,
                                  "PRAGMA user_version; SELECT sql FROM sqlite_schema ORDER BY sql;"
                                  "SELECT * FROM jobs ORDER BY seq; SELECT * FROM datasets",
                                  append_row, out, NULL),
                     SQLITE_OK);
}

/* A late step meets something that is in its way: everything stays as it was. */
START_TEST(test_failed_migration_changes_nothing)
{
    static char before[1 << 16], after[1 << 16];
    size_t late = 0;
    while (strstr(sqlite_migrations[late], "CREATE TABLE identity") == NULL) {
        late++;
    }
    for (size_t version = 1; version <= late; version++) {
        struct rejectd_error error = {0};
        struct store *store = NULL;
        sqlite3 *database = make_store(version);
        store_file_run(database, "CREATE TABLE identity (something INTEGER)");
        describe(database, before);
        sqlite3_close(database);
        ck_assert_int_ne(store_sqlite_open(store_file, &store, &error), REJECTD_OK);
        ck_assert_ptr_null(store);
        ck_assert_msg(strstr(error.message, "identity") != NULL, "%s", error.message);
        ck_assert_int_eq(sqlite3_open(store_file, &database), SQLITE_OK);
        describe(database, after);
        ck_assert_str_eq(before, after);
        store_file_run(database, "DROP TABLE identity");
        sqlite3_close(database);
        ck_assert_int_eq(store_sqlite_open(store_file, &store, &error), REJECTD_OK);
        check_records(store, version);
        store->functions->close(store);
        ck_assert_int_eq(unlink(store_file), 0);
    }
}
END_TEST

/* Of a commit that failed nothing comes back: the next question settles it. */
START_TEST(test_settling)
{
    struct rejectd_error error = {0};
    struct store *store = NULL;
    ck_assert_int_eq(store_sqlite_open(store_file, &store, &error), REJECTD_OK);
    struct sqlite_connection *writer = &sqlite_store_of(store)->writer;
    ck_assert_int_eq(transaction_settle(writer, &error), REJECTD_OK);
    writer->uncertain = true;
    ck_assert(!store->functions->blob_is_needed(store, SAMPLES));
    ck_assert(!writer->uncertain);
    writer->uncertain = true;
    ck_assert_int_eq(sqlite_run(writer, "PRAGMA query_only = ON", &error), REJECTD_OK);
    ck_assert(store->functions->blob_is_needed(store, SAMPLES));
    ck_assert(writer->uncertain);
    store->functions->close(store);
}
END_TEST

START_TEST(test_copy_of_a_store_in_use)
{
    struct rejectd_error error = {0};
    struct store *store = NULL, *copy = NULL;
    char target[sizeof store_file + 8];
    snprintf(target, sizeof target, "%s.copy", store_file);
    sqlite3_close(make_store(sqlite_n_migrations));
    ck_assert_int_eq(store_sqlite_open(store_file, &store, &error), REJECTD_OK);
    ck_assert_int_eq(store_sqlite_copy(store_file, target, &error), REJECTD_OK);
    ck_assert_int_eq(store_sqlite_open(target, &copy, &error), REJECTD_OK);
    check_records(copy, sqlite_n_migrations);
    copy->functions->close(copy);
    check_records(store, sqlite_n_migrations);
    store->functions->close(store);
    ck_assert_int_eq(store_sqlite_copy("/nonexistent", target, &error), REJECTD_STORAGE);
    ck_assert_int_eq(store_sqlite_copy(store_file, "/nonexistent/store", &error), REJECTD_STORAGE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("migrations");
    TCase *test_case = tcase_create("sqlite");
    tcase_add_checked_fixture(test_case, store_file_set_up, store_file_tear_down);
    tcase_set_timeout(test_case, 60);
    tcase_add_test(test_case, test_every_version_is_brought_up_to_date);
    tcase_add_test(test_case, test_failed_migration_changes_nothing);
    tcase_add_test(test_case, test_settling);
    tcase_add_test(test_case, test_copy_of_a_store_in_use);
    suite_add_tcase(suite, test_case);
    return run_suite(suite);
}
