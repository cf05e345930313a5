#include "state.h"

#include "pending.h"

#include <mutex>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

namespace cuda_emulation
{

namespace
{

struct State {
    std::mutex mutex;
    bool read = false;
    Settings settings{};
    cudaError_t sticky = cudaSuccess;
    uint64_t n_launches = 0;
    uint64_t failing_launch = UINT64_MAX;
    cudaError_t launch_error = cudaSuccess;
    uint64_t n_allocations = 0;
    uint64_t failing_allocation = UINT64_MAX;
};

/* Never destroyed: device memory may be freed by destructors of other static objects. */
State &state()
{
    static State *own = new State;
    return *own;
}

thread_local cudaError_t last = cudaSuccess;
thread_local int device = 0;

[[noreturn]] void bad_setting(const char *name, const char *text)
{
    fprintf(stderr, "cuda emulation: %s=%s is not understood\n", name, text);
    abort();
}

bool read_number(const char *name, uint64_t *value)
{
    const char *text = getenv(name);
    if (!text || !*text)
        return false;
    char *end;
    *value = strtoull(text, &end, 10);
    if (*end || *text == '-')
        bad_setting(name, text);
    return true;
}

Settings read_settings()
{
    Settings read{1, size_t(2) << 30, 80, 1, false, 0, Order::forward, 0, false};
    uint64_t value;
    if (read_number("REJECTD_EMULATED_DEVICES", &value))
        read.n_devices = value > max_devices ? max_devices : int(value);
    if (read_number("REJECTD_EMULATED_MEMORY", &value))
        read.memory_bytes = size_t(value);
    if (read_number("REJECTD_EMULATED_CAPABILITY", &value) && value >= 10 && value < 1000)
        read.capability = int(value);
    if (read_number("REJECTD_EMULATED_THREADS", &value) && value >= 1)
        read.n_threads = int(value);
    if (read_number("REJECTD_EMULATED_LAUNCH_LIMIT", &value)) {
        read.has_launch_limit = true;
        read.launch_limit = value;
    }
    read.only_loaded = read_number("REJECTD_EMULATION_ONLY_LOADED", &value) && value != 0;
    const char *name = "REJECTD_EMULATION_ORDER";
    const char *order = getenv(name);
    if (!order || !*order || strcmp(order, "forward") == 0) {
        read.order = Order::forward;
    } else if (strcmp(order, "reverse") == 0) {
        read.order = Order::reverse;
    } else if (strncmp(order, "shuffled:", 9) == 0) {
        char *end;
        read.order = Order::shuffled;
        read.seed = strtoull(order + 9, &end, 10);
        if (*end || !order[9])
            bad_setting(name, order);
    } else {
        bad_setting(name, order);
    }
    return read;
}

/* With the mutex held. */
Settings &known_settings(State &s)
{
    if (!s.read) {
        uint64_t full_at;
        s.settings = read_settings();
        s.read = true;
        if (read_number("REJECTD_EMULATED_FULL_AT", &full_at))
            s.failing_allocation = full_at;
    }
    return s.settings;
}

} // namespace

Settings settings()
{
    State &s = state();
    const std::lock_guard<std::mutex> lock(s.mutex);
    return known_settings(s);
}

size_t shared_bytes_optin()
{
    const int capability = settings().capability;
    const size_t kilobytes = capability < 80                        ? 64
                             : capability == 86 || capability == 89 ? 99
                             : capability < 90                      ? 163
                                                                    : 227;
    return kilobytes * 1024;
}

int current_device()
{
    return device;
}

void select_device(int selected)
{
    device = selected;
}

cudaError_t begin_call()
{
    State &s = state();
    const std::lock_guard<std::mutex> lock(s.mutex);
    if (s.sticky != cudaSuccess)
        return last = s.sticky;
    if (known_settings(s).n_devices == 0)
        return last = cudaErrorNoDevice;
    return cudaSuccess;
}

cudaError_t end_call(cudaError_t error)
{
    if (error != cudaSuccess)
        last = error;
    return error;
}

void set_sticky_error(cudaError_t error)
{
    forget_pending();
    State &s = state();
    const std::lock_guard<std::mutex> lock(s.mutex);
    if (s.sticky == cudaSuccess)
        s.sticky = error;
}

cudaError_t last_error(bool take)
{
    const cudaError_t error = last;
    if (take)
        last = cudaSuccess;
    return error;
}

cudaError_t count_launch()
{
    State &s = state();
    const std::lock_guard<std::mutex> lock(s.mutex);
    const Settings &known = known_settings(s);
    const uint64_t i = s.n_launches++;
    if (i == s.failing_launch)
        return s.launch_error;
    if (known.has_launch_limit && i >= known.launch_limit)
        return cudaErrorLaunchFailure;
    return cudaSuccess;
}

bool count_allocation()
{
    State &s = state();
    const std::lock_guard<std::mutex> lock(s.mutex);
    return s.n_allocations++ == s.failing_allocation;
}

void control_order(Order order, uint64_t seed)
{
    State &s = state();
    const std::lock_guard<std::mutex> lock(s.mutex);
    known_settings(s).order = order;
    s.settings.seed = seed;
}

void control_fail_launch(uint64_t n, cudaError_t error)
{
    State &s = state();
    const std::lock_guard<std::mutex> lock(s.mutex);
    s.failing_launch = s.n_launches + n;
    s.launch_error = error;
}

void control_fail_allocation(uint64_t n)
{
    State &s = state();
    const std::lock_guard<std::mutex> lock(s.mutex);
    s.failing_allocation = s.n_allocations + n;
}

void control_reset(void)
{
    forget_pending();
    State &s = state();
    const std::lock_guard<std::mutex> lock(s.mutex);
    s.settings = read_settings();
    s.read = true;
    s.sticky = cudaSuccess;
    s.n_launches = 0;
    s.failing_launch = UINT64_MAX;
    s.n_allocations = 0;
    s.failing_allocation = UINT64_MAX;
    last = cudaSuccess;
    device = 0;
}

} // namespace cuda_emulation
