/* What the disk does to a page of the store is noticed, whichever page and bit it is. */
#include <check.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run_suite.h"
#include "server/store/page_sums.h"
#include "server/store/sqlite.h"
#include "store_file.h"

enum { PAGE = 4096, ROWS = 400 };

static struct rejectd_error error;

/* Some rows on pages of their own, and some that go over several; `times` as many. */
static void fill(sqlite3 *database, int times)
{
    char sql[256];
    snprintf(sql, sizeof sql,
             "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
             "INSERT INTO models (id, job, dataset, model, created_at) SELECT 'md_' || i, 'jb', "
             "'ds', hex(zeroblob(200 * (1 + i %% 40))) || i, i FROM n",
             times * ROWS);
    store_file_run(database, sql);
}

static struct store *open_store(const char *name)
{
    struct store *store = NULL;
    ck_assert_msg(store_sqlite_open(name, &store, &error) == REJECTD_OK, "%s", error.message);
    return store;
}

static sqlite3 *writer_of(struct store *store)
{
    return sqlite_store_of(store)->writer.database;
}

static void make_filled(int times)
{
    struct store *store = open_store(store_file);
    fill(writer_of(store), times);
    store->functions->close(store);
}

/* A store as versions before the sums left it. */
static void make_old(int times)
{
    sqlite3 *database = NULL;
    char pragma[64];
    ck_assert_int_eq(sqlite3_open(store_file, &database), SQLITE_OK);
    store_file_run(database, "PRAGMA journal_mode = WAL");
    for (size_t i = 0; i < sqlite_n_migrations; i++) {
        store_file_run(database, sqlite_migrations[i]);
    }
    snprintf(pragma, sizeof pragma, "PRAGMA user_version = %zu", sqlite_n_migrations);
    store_file_run(database, pragma);
    fill(database, times);
    sqlite3_close(database);
}

/* XORs a byte of the file. */
static void flip(const char *name, off_t at, unsigned char bits)
{
    unsigned char byte;
    const int file = open(name, O_RDWR);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(pread(file, &byte, 1, at), 1);
    byte ^= bits;
    ck_assert_int_eq(pwrite(file, &byte, 1, at), 1);
    close(file);
}

static off_t size_of(const char *name)
{
    struct stat status;
    ck_assert_int_eq(stat(name, &status), 0);
    return status.st_size;
}

static void is_damaged(const char *name, off_t at)
{
    struct store *store = NULL;
    ck_assert_msg(store_sqlite_open(name, &store, &error) == REJECTD_STORAGE, "byte %lld",
                  (long long)at);
    ck_assert_msg(strstr(error.message, "damaged") != NULL, "byte %lld: %s", (long long)at,
                  error.message);
    ck_assert_ptr_null(store);
}

/* A bit of every page, wherever in it. */
static void check_each_page(const char *name)
{
    const off_t size = size_of(name);
    srand(1);
    ck_assert_int_gt(size, 20 * PAGE);
    for (off_t page = 0; page < size; page += (1 + size / PAGE / 40) * (off_t)PAGE) {
        const off_t at = page + (page == 0 ? 100 : 0) + rand() % (PAGE - 100);
        const unsigned char bits = (unsigned char)(1 << rand() % 8);
        flip(name, at, bits);
        is_damaged(name, at);
        flip(name, at, bits);
    }
    struct store *store = open_store(name);
    store->functions->close(store);
}

START_TEST(test_each_page_is_looked_at)
{
    make_filled(1);
    check_each_page(store_file);
}
END_TEST

START_TEST(test_page_at_another_place)
{
    unsigned char page[PAGE];
    make_filled(1);
    const int file = open(store_file, O_RDWR);
    const off_t last = size_of(store_file) - PAGE;
    ck_assert_int_eq(pread(file, page, PAGE, last - PAGE), PAGE);
    ck_assert_int_eq(pwrite(file, page, PAGE, last), PAGE);
    close(file);
    is_damaged(store_file, last);
}
END_TEST

/* What comes while it is open is found when the page is read. */
START_TEST(test_damage_meanwhile)
{
    make_filled(1);
    struct store *store = open_store(store_file);
    struct model_view model = {0};
    const off_t size = size_of(store_file);
    for (off_t at = 2 * PAGE; at < size; at += PAGE) {
        flip(store_file, at - 20, 2);
    }
    store_file_run(writer_of(store), "PRAGMA shrink_memory");
    store_file_run(sqlite_store_of(store)->reader.database, "PRAGMA shrink_memory");
    ck_assert_int_eq(store->functions->model_get(store, "md_7", &model, &error), REJECTD_STORAGE);
    ck_assert_ptr_nonnull(strstr(error.message, "malformed"));
    store->functions->close(store);
}
END_TEST

/* A copy has more pages than SQLite keeps in memory, and gets them in any order. */
START_TEST(test_copies_have_them)
{
    char target[sizeof store_file + 8];
    snprintf(target, sizeof target, "%s.copy", store_file);
    make_filled(4);
    struct store *store = open_store(store_file);
    store_file_run(writer_of(store), "UPDATE models SET dataset = 'other'"); /* in the log */
    ck_assert_int_gt(size_of(store_file), 4 << 20);
    ck_assert_int_eq(store_sqlite_copy(store_file, target, &error), REJECTD_OK);
    store->functions->close(store);
    store = open_store(target);
    ck_assert(page_sums_present(writer_of(store)));
    store->functions->close(store);
    check_each_page(target);
}
END_TEST

static int64_t sum_of_rows(struct store *store)
{
    int64_t number = 0;
    ck_assert_int_eq(sqlite_lookup(&sqlite_store_of(store)->writer,
                                   "SELECT sum(created_at * length(model)) FROM models", NULL,
                                   &number, &error),
                     REJECTD_OK);
    return number;
}

START_TEST(test_earlier_stores_get_them)
{
    bool added = false;
    make_old(4);
    struct store *store = open_store(store_file);
    const int64_t before = sum_of_rows(store);
    ck_assert(!page_sums_present(writer_of(store)));
    ck_assert_int_eq(store_sqlite_add_sums(store, &added, &error), REJECTD_OK);
    ck_assert(added && page_sums_present(writer_of(store)));
    ck_assert_int_eq(store_sqlite_add_sums(store, &added, &error), REJECTD_OK);
    ck_assert(!added);
    ck_assert_int_eq(sum_of_rows(store), before);
    store->functions->close(store);
    check_each_page(store_file);
    store = open_store(store_file);
    ck_assert_int_eq(sum_of_rows(store), before);
    store->functions->close(store);
}
END_TEST

/* Without them an earlier store is used, and copied, as ever. */
START_TEST(test_earlier_stores_go_on_without)
{
    bool added = false;
    char target[sizeof store_file + 8];
    snprintf(target, sizeof target, "%s.copy", store_file);
    make_old(4);
    struct store *store = open_store(store_file);
    const int64_t before = sum_of_rows(store);
    store_file_run(writer_of(store), "PRAGMA query_only = ON");
    ck_assert_int_ne(store_sqlite_add_sums(store, &added, &error), REJECTD_OK);
    store_file_run(writer_of(store),
                   "PRAGMA query_only = OFF; UPDATE models SET dataset = 'other'");
    ck_assert_int_eq(sum_of_rows(store), before);
    ck_assert_int_eq(store_sqlite_copy(store_file, target, &error), REJECTD_OK);
    store->functions->close(store);
    store = open_store(target);
    ck_assert(!page_sums_present(writer_of(store)));
    ck_assert_int_eq(sum_of_rows(store), before);
    store->functions->close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("page sums");
    TCase *test_case = tcase_create("sums");
    tcase_add_checked_fixture(test_case, store_file_set_up, store_file_tear_down);
    tcase_set_timeout(test_case, 60);
    tcase_add_test(test_case, test_each_page_is_looked_at);
    tcase_add_test(test_case, test_page_at_another_place);
    tcase_add_test(test_case, test_damage_meanwhile);
    tcase_add_test(test_case, test_copies_have_them);
    tcase_add_test(test_case, test_earlier_stores_get_them);
    tcase_add_test(test_case, test_earlier_stores_go_on_without);
    suite_add_tcase(suite, test_case);
    return run_suite(suite);
}
