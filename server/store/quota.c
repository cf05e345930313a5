#include "server/store/quota.h"

enum rejectd_status quota_check_jobs(const struct store_usage *usage, uint64_t most,
                                     struct rejectd_error *error)
{
    if (most == 0 || usage->queued_jobs < most) {
        return REJECTD_OK;
    }
    return REJECTD_FAIL(error, REJECTD_TOO_MANY_REQUESTS, "",
                        "%llu of your jobs are queued; accepted are at most %llu at a time",
                        (unsigned long long)usage->queued_jobs, (unsigned long long)most);
}

enum rejectd_status quota_check_bytes(const struct store_usage *usage, uint64_t bytes,
                                      uint64_t most, struct rejectd_error *error)
{
    if (most == 0 || (usage->stored_bytes <= most && bytes <= most - usage->stored_bytes)) {
        return REJECTD_OK;
    }
    return REJECTD_FAIL(error, REJECTD_TOO_LARGE, "",
                        "your datasets have %llu bytes and this one would add %llu; accepted are "
                        "at most %llu: delete what is not needed any more",
                        (unsigned long long)usage->stored_bytes, (unsigned long long)bytes,
                        (unsigned long long)most);
}
