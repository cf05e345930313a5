#include "worker/cuda/residents.h"

#include <cstdio>

typedef std::lock_guard<std::mutex> locked;

static size_t spare_bytes(const struct resident &one)
{
    return one.predictions.rows.bytes() + one.losses.ptp.bytes() + one.losses.losses.bytes();
}

static size_t bytes_of(const struct resident &one)
{
    return one.samples.bytes() + one.ptp.bytes() + one.medians.medians.bytes() +
           one.cells.cells.bytes() + spare_bytes(one);
}

static bool has_samples_of(const struct resident &one, const struct backend_samples *samples,
                           enum rejectd_dtype storage)
{
    return one.storage == storage && one.dtype == samples->dtype &&
           one.n_epochs == samples->content_epochs && one.n_times == samples->n_times &&
           one.picks.size() == samples->n_picks &&
           memcmp(one.picks.data(), samples->picks, samples->n_picks * sizeof(size_t)) == 0 &&
           strcmp(one.content, samples->content) == 0;
}

std::shared_ptr<resident> residents_take(struct backend_device *device,
                                         const struct backend_samples *samples,
                                         enum rejectd_dtype storage)
{
    const locked guard(device->lock);
    for (auto at = device->residents.begin(); at != device->residents.end(); ++at) {
        if (!has_samples_of(**at, samples, storage))
            continue;
        const std::shared_ptr<resident> found = *at;
        device->residents.splice(device->residents.begin(), device->residents, at);
        found->n_sessions++;
        found->n_uses++;
        return found;
    }
    return nullptr;
}

void residents_add(struct backend_device *device, const std::shared_ptr<resident> &added)
{
    const locked guard(device->lock);
    added->n_sessions = 1;
    added->n_uses = 1;
    added->serial = ++device->n_added;
    device->residents.push_front(added);
}

void residents_leave(struct backend_device *device, const std::shared_ptr<resident> &left,
                     bool keep)
{
    const locked guard(device->lock);
    left->n_sessions--;
    if (!keep || (left->forgotten && left->n_sessions == 0))
        device->residents.remove(left);
}

size_t residents_idle_bytes(struct backend_device *device)
{
    const locked guard(device->lock);
    size_t bytes = 0;
    for (const auto &one : device->residents)
        bytes += one->n_sessions == 0 ? bytes_of(*one) : spare_bytes(*one);
    return bytes;
}

bool residents_drop_one(struct backend_device *device)
{
    const locked guard(device->lock);
    for (auto at = device->residents.rbegin(); at != device->residents.rend(); ++at) {
        if (spare_bytes(**at) > 0) {
            (*at)->predictions.rows.clear();
            (*at)->losses.ptp.clear();
            (*at)->losses.losses.clear();
            return true;
        }
    }
    for (auto at = device->residents.end(); at != device->residents.begin();) {
        --at;
        if ((*at)->n_sessions == 0) {
            device->residents.erase(at);
            device->n_evictions++;
            return true;
        }
    }
    return false;
}

void residents_clear(struct backend_device *device)
{
    const locked guard(device->lock);
    device->residents.clear();
}

size_t residents_list(struct backend_device *device, struct rejectd_resident *list, size_t capacity)
{
    const locked guard(device->lock);
    size_t n = 0;
    for (const auto &one : device->residents) {
        if (n < capacity) {
            struct rejectd_resident *entry = &list[n];
            snprintf(entry->content, sizeof entry->content, "%s", one->content);
            entry->bytes = one->samples.bytes();
            entry->table_bytes = bytes_of(*one) - one->samples.bytes();
            entry->in_use = one->n_sessions > 0;
            entry->n_uses = one->n_uses;
            entry->serial = one->serial;
        }
        n++;
    }
    return n;
}

uint64_t residents_evictions(struct backend_device *device)
{
    const locked guard(device->lock);
    return device->n_evictions;
}

/* What no session uses goes at once; the rest is marked, and found by no further session. */
void residents_forget(struct backend_device *device, const char *content)
{
    const locked guard(device->lock);
    for (auto at = device->residents.begin(); at != device->residents.end();) {
        const auto next = std::next(at);
        if (strcmp((*at)->content, content) == 0) {
            if ((*at)->n_sessions == 0) {
                device->residents.erase(at);
            } else {
                (*at)->forgotten = true;
                (*at)->content[0] = '\0';
            }
        }
        at = next;
    }
}
