#include "store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct store *store;
struct rejectd_error error;

const char sha_a[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const char sha_b[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const char sha_c[] = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";
const struct store_taker processor = {.device = "cpu", .wishes = " ", .others = true};

static const struct store_under_test *under_test;

static void set_up_store(void)
{
    error = (struct rejectd_error){0};
    store = under_test->make();
}

static void tear_down_store(void)
{
    under_test->discard(store);
}

TCase *store_case(const char *name, const struct store_under_test *implementation,
                  void (*set_up)(void))
{
    TCase *tests = tcase_create(name);
    under_test = implementation;
    tcase_add_checked_fixture(tests, set_up_store, tear_down_store);
    if (set_up != NULL) {
        tcase_add_checked_fixture(tests, set_up, NULL);
    }
    return tests;
}

void store_reopen(void)
{
    store = under_test->reopen(store);
}

void insert_dataset(const struct dataset_view *view, char id[RESOURCE_ID_SIZE])
{
    struct dataset_view made = *view;
    made.bytes = 960;
    made.description_json = strdup("{\"sfreq\":100}");
    ck_assert_ptr_nonnull(made.description_json);
    OK(dataset_insert, &made, NULL, 0);
    memcpy(id, made.id, RESOURCE_ID_SIZE);
    dataset_view_clear(&made);
}

void insert_samples(const char *sha256, char id[RESOURCE_ID_SIZE])
{
    struct dataset_view view = {0};
    snprintf(view.sha256, sizeof view.sha256, "%s", sha256);
    insert_dataset(&view, id);
}

void delete_dataset(const char *id)
{
    struct store_removed removed;
    OK(dataset_delete, id, STORE_WHENEVER_USED, &removed);
    store_removed_clear(&removed);
}

int64_t claim(const char *job)
{
    struct store_claim claimed = {0};
    bool found = false;
    OK(job_claim, &processor, &found, &claimed);
    ck_assert(found);
    ck_assert_str_eq(claimed.job, job);
    const int64_t fence = claimed.fence;
    store_claim_clear(&claimed);
    return fence;
}

bool queue_is_empty(void)
{
    struct store_claim claimed = {0};
    bool found = true;
    OK(job_claim, &processor, &found, &claimed);
    store_claim_clear(&claimed);
    return !found;
}

struct store_outcome success(const char *model_id)
{
    return (struct store_outcome){
        .state = JOB_STATE_SUCCEEDED,
        .result_json = "{\"bad_epochs\":[]}",
        .artifacts = {[ARTIFACT_LABELS] = sha_b, [ARTIFACT_CLEANED] = sha_c},
        .model_id = model_id,
        .model_json = model_id == NULL ? NULL : "{\"channels\":[],\"types\":[]}",
    };
}
