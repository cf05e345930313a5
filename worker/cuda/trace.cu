#include "worker/cuda/trace.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <new>
#include <string>
#include <vector>

struct mark {
    const char *what;
    cudaEvent_t event;
};

struct trace {
    std::vector<mark> marks;
};

struct trace *trace_open(void)
{
    return getenv("REJECTD_CUDA_TRACE") != nullptr ? new (std::nothrow) trace() : nullptr;
}

void trace_mark(struct trace *trace, cudaStream_t stream, const char *what)
{
    cudaEvent_t event;
    if (trace == nullptr || cudaEventCreate(&event) != cudaSuccess)
        return;
    cudaEventRecord(event, stream);
    trace->marks.push_back({what, event});
}

static void forget(struct trace *trace)
{
    for (const mark &one : trace->marks)
        cudaEventDestroy(one.event);
    trace->marks.clear();
}

void trace_print(struct trace *trace)
{
    if (trace == nullptr)
        return;
    struct total {
        int calls;
        float milliseconds;
    };
    std::map<std::string, total> totals;
    for (size_t i = 1; i < trace->marks.size(); i++) {
        float milliseconds = 0.0f;
        if (cudaEventElapsedTime(&milliseconds, trace->marks[i - 1].event, trace->marks[i].event) !=
            cudaSuccess)
            cudaGetLastError();
        total &sum = totals[trace->marks[i].what];
        sum.calls++;
        sum.milliseconds += milliseconds;
    }
    for (const auto &one : totals)
        fprintf(stderr, "trace %s %d %.4f\n", one.first.c_str(), one.second.calls,
                (double)one.second.milliseconds);
    forget(trace);
}

void trace_close(struct trace *trace)
{
    if (trace != nullptr)
        forget(trace);
    delete trace;
}
