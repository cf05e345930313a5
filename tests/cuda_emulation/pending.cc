#include "pending.h"

#include "memory.h"

#include <algorithm>
#include <list>
#include <mutex>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

namespace cuda_emulation
{

namespace
{

struct Pending {
    uint64_t number;
    uint64_t stream;
    bool blocking;
    bool to_host;
    HostRows rows;
    std::vector<char> data;
};

struct Queue {
    std::mutex mutex;
    std::list<Pending> copies; /* the oldest first */
    uint64_t n_copies = 0;
    uint64_t n_streams = 0;
    CUstream_st default_stream{0, true, {}};
};

/* Never destroyed: see state.cc. */
Queue &queue()
{
    static Queue *own = new Queue;
    return *own;
}

/* With the mutex held, as all of what follows. */
CUstream_st &resolve(Queue &q, cudaStream_t stream)
{
    return stream ? *stream : q.default_stream;
}

bool contains(const std::vector<uint64_t> &numbers, uint64_t number)
{
    return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

std::vector<char> contents(const HostRows &rows)
{
    std::vector<char> data(rows.width * rows.height);
    for (size_t row = 0; row < rows.height; row++)
        memcpy(data.data() + row * rows.width, rows.first + row * rows.pitch, rows.width);
    return data;
}

bool overlap(const HostRows &rows, const char *first, size_t bytes)
{
    const char *end = rows.first + (rows.height - 1) * rows.pitch + rows.width;
    return rows.first < first + bytes && first < end;
}

void finish(const Pending &copy)
{
    const HostRows &rows = copy.rows;
    for (size_t row = 0; row < rows.height; row++) {
        char *host = rows.first + row * rows.pitch;
        const char *data = copy.data.data() + row * rows.width;
        if (copy.to_host) {
            memcpy(host, data, rows.width);
        } else if (memcmp(host, data, rows.width) != 0) {
            fprintf(stderr,
                    "cuda emulation: a copy of %zu bytes from %p to the device had perhaps not "
                    "read them when the host changed them: it has not waited for the stream\n",
                    rows.width * rows.height, static_cast<void *>(rows.first));
            abort();
        }
    }
}

template <typename Which> void finish_if(Queue &q, Which which)
{
    for (auto copy = q.copies.begin(); copy != q.copies.end();) {
        if (which(*copy)) {
            finish(*copy);
            copy = q.copies.erase(copy);
        } else {
            ++copy;
        }
    }
}

void add(Queue &q, cudaStream_t stream, const HostRows &rows, bool to_host, std::vector<char> data)
{
    const CUstream_st &s = resolve(q, stream);
    q.copies.push_back(Pending{q.n_copies++, s.id, s.blocking, to_host, rows, std::move(data)});
}

} // namespace

uint64_t new_stream_id()
{
    Queue &q = queue();
    const std::lock_guard<std::mutex> lock(q.mutex);
    return ++q.n_streams;
}

void pending_to_host(cudaStream_t stream, const HostRows &rows)
{
    Queue &q = queue();
    const std::lock_guard<std::mutex> lock(q.mutex);
    add(q, stream, rows, true, contents(rows));
    for (size_t row = 0; row < rows.height; row++)
        poison(rows.first + row * rows.pitch, rows.width);
}

void pending_from_host(cudaStream_t stream, const HostRows &rows)
{
    Queue &q = queue();
    const std::lock_guard<std::mutex> lock(q.mutex);
    add(q, stream, rows, false, contents(rows));
}

std::vector<uint64_t> pending_of_stream(cudaStream_t stream)
{
    Queue &q = queue();
    const std::lock_guard<std::mutex> lock(q.mutex);
    const CUstream_st &s = resolve(q, stream);
    std::vector<uint64_t> numbers;
    for (const Pending &copy : q.copies)
        if (copy.stream == s.id || contains(s.waits, copy.number) ||
            (s.blocking && (s.id == 0 ? copy.blocking : copy.stream == 0)))
            numbers.push_back(copy.number);
    return numbers;
}

void pending_wait(cudaStream_t stream, const std::vector<uint64_t> &copies)
{
    Queue &q = queue();
    const std::lock_guard<std::mutex> lock(q.mutex);
    CUstream_st &s = resolve(q, stream);
    std::vector<uint64_t> waits;
    for (const Pending &copy : q.copies)
        if (contains(copies, copy.number) || contains(s.waits, copy.number))
            waits.push_back(copy.number);
    s.waits = waits;
}

void settle(const std::vector<uint64_t> &copies)
{
    Queue &q = queue();
    const std::lock_guard<std::mutex> lock(q.mutex);
    finish_if(q, [&](const Pending &copy) { return contains(copies, copy.number); });
}

void settle_all()
{
    Queue &q = queue();
    const std::lock_guard<std::mutex> lock(q.mutex);
    finish_if(q, [](const Pending &) { return true; });
}

void settle_range(const void *first, size_t bytes)
{
    Queue &q = queue();
    const std::lock_guard<std::mutex> lock(q.mutex);
    finish_if(q, [=](const Pending &copy) {
        return overlap(copy.rows, static_cast<const char *>(first), bytes);
    });
}

void settle_range_of(cudaStream_t stream, const void *first, size_t bytes)
{
    const std::vector<uint64_t> before = pending_of_stream(stream);
    Queue &q = queue();
    const std::lock_guard<std::mutex> lock(q.mutex);
    finish_if(q, [&](const Pending &copy) {
        return overlap(copy.rows, static_cast<const char *>(first), bytes) &&
               contains(before, copy.number);
    });
}

void settle_stream(cudaStream_t stream)
{
    settle(pending_of_stream(stream));
}

void forget_pending()
{
    Queue &q = queue();
    const std::lock_guard<std::mutex> lock(q.mutex);
    q.copies.clear();
}

} // namespace cuda_emulation
