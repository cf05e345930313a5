/*
 * An open device: its streams, its memory, its staging buffers, and the datasets it holds.
 *
 * One thread at a time computes on a device; the list of residents alone may be asked by others.
 * Everything a device allocates is counted against its budget. When an allocation does not fit,
 * residents that no session uses are dropped, the longest unused first, before it fails with
 * REJECTD_DEVICE_MEMORY.
 */
#ifndef WORKER_CUDA_DEVICE_H
#define WORKER_CUDA_DEVICE_H

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <cusolverDn.h>

#include <atomic>
#include <list>
#include <memory>
#include <mutex>
#include <utility>

#include "worker/backend.h"
#include "worker/cuda/launch.h"
#include "worker/cuda/sizes.h"
#include "worker/cuda/trace.h"
#include "worker/module.h"

/* Whether cuSOLVER finds the eigenvectors of many matrices at once: from CUDA 12.6.2 on. */
#define CUDA_HAS_BATCHED_EIGENVECTORS (CUSOLVER_VERSION >= 11701)

struct resident;

/* A pinned host buffer and its twin on the device: a chunk of samples on its way. */
struct staging_slot {
    void *host;
    void *device;
    cudaEvent_t copied; /* the host's buffer may be filled again */
    cudaEvent_t taken;  /* the device's may */
};

/* A fault that the environment asks for, to test what becomes of it. */
struct injected_fault {
    uint64_t at; /* the call that fails, the first being 1; 0: none */
    uint64_t calls;
};

struct backend_device {
    int ordinal;
    cudaStream_t compute;
    cudaStream_t copy;     /* samples on their way, and nothing else, so that the link is busy */
    cudaStream_t arrivals; /* what is done with them at once; goes before what is computed */
    cudaEvent_t turn;      /* what one of them has done before another goes on */
    cublasHandle_t blas;
    cusolverDnHandle_t solver;
    cusolverDnParams_t solver_parameters;
    struct staging_slot slots[STAGING_SLOTS];
    size_t shared_limit;      /* bytes of shared memory that a block may ask for */
    bool multiplies_bfloat16; /* compute capability 8.0 or higher */
    size_t budget;            /* bytes */
    std::atomic<size_t> used; /* bytes allocated now */
    std::mutex lock;          /* of residents and what others may read of them */
    std::list<std::shared_ptr<resident>> residents; /* the latest used first */
    std::atomic<uint64_t> n_shortages;              /* rejectd_device_shortages() */
    uint64_t n_added;                               /* residents that it has had */
    uint64_t n_evictions;               /* those that were dropped for the room of others */
    struct injected_fault fault;        /* REJECTD_FAULT=cuda:N: every call from there on */
    struct injected_fault memory_fault; /* cuda-memory:N: that allocation alone */
    struct trace *trace;                /* or NULL */
    bool failed; /* an error that stays was met: nothing more can be computed */
};

/*
 * What became of a call: REJECTD_OK, REJECTD_DEVICE_MEMORY, or REJECTD_DEVICE_FAILED, which stays.
 * Every call of the runtime, of cuBLAS and of cuSOLVER goes through here; REJECTD_FAULT=cuda:N in
 * the environment makes the Nth fail, and REJECTD_FAULT=cuda-memory:N lets the Nth allocation after
 * the device was opened find no room, as when others use it as well.
 */
enum rejectd_status device_check(struct backend_device *device, cudaError_t result,
                                 const char *what, struct rejectd_error *error);
enum rejectd_status device_check_blas(struct backend_device *device, cublasStatus_t result,
                                      const char *what, struct rejectd_error *error);
enum rejectd_status device_check_solver(struct backend_device *device, cusolverStatus_t result,
                                        const char *what, struct rejectd_error *error);

/* Whether a call found no room. It counts as a shortage: there is another way, that takes longer.
 */
static inline bool device_is_short(struct backend_device *device, enum rejectd_status status)
{
    device->n_shortages += status == REJECTD_DEVICE_MEMORY;
    return status == REJECTD_DEVICE_MEMORY;
}

/* What became of the launch just made, and a mark of it for a trace. */
enum rejectd_status device_launched(struct backend_device *device, const char *what,
                                    struct rejectd_error *error);

/* For functions with `device` and `error` in scope: returns what a failed call, or launch,
 * became. */
#define CUDA_TRY(call)                                                                             \
    do {                                                                                           \
        const enum rejectd_status try_status = device_check(device, (call), #call, error);         \
        if (try_status != REJECTD_OK)                                                              \
            return try_status;                                                                     \
    } while (0)
#define CUDA_LAUNCHED(what)                                                                        \
    do {                                                                                           \
        const enum rejectd_status try_status = device_launched(device, what, error);               \
        if (try_status != REJECTD_OK)                                                              \
            return try_status;                                                                     \
    } while (0)
#define TRY(call)                                                                                  \
    do {                                                                                           \
        const enum rejectd_status try_status = (call);                                             \
        if (try_status != REJECTD_OK)                                                              \
            return try_status;                                                                     \
    } while (0)

enum rejectd_status device_open(size_t ordinal, size_t budget, struct backend_device **device,
                                struct rejectd_error *error);
void device_close(struct backend_device *device);

/* Bytes of the budget that residents in use and sessions leave; what idle residents hold counts as
 * free. */
size_t device_available(struct backend_device *device);

/* Allocates on the compute stream. *memory is freed with device_free(). */
enum rejectd_status device_alloc(struct backend_device *device, size_t bytes, void **memory,
                                 struct rejectd_error *error);
void device_free(struct backend_device *device, void *memory, size_t bytes);

/* What is queued on `later` from now on waits for what was queued on `earlier` before. */
enum rejectd_status device_put_in_order(struct backend_device *device, cudaStream_t earlier,
                                        cudaStream_t later, struct rejectd_error *error);

/* Waits for the compute stream. */
enum rejectd_status device_wait(struct backend_device *device, struct rejectd_error *error);

/* An array on the device that frees itself. Its memory may be reused by what is queued on the
 * compute stream later. */
template <typename T> class device_array
{
  public:
    device_array() = default;
    device_array(const device_array &) = delete;
    device_array &operator=(const device_array &) = delete;
    ~device_array()
    {
        clear();
    }

    /* Makes room for n items; the contents are lost when it has to grow. */
    enum rejectd_status reserve(struct backend_device *owner, size_t n, struct rejectd_error *error)
    {
        if (n <= capacity_)
            return REJECTD_OK;
        clear();
        void *memory;
        if (n > SIZE_MAX / sizeof(T))
            return REJECTD_FAIL(error, REJECTD_DEVICE_MEMORY, "", "%zu items are too many", n);
        TRY(device_alloc(owner, n * sizeof(T), &memory, error));
        data_ = static_cast<T *>(memory);
        capacity_ = n;
        device_ = owner;
        return REJECTD_OK;
    }

    /* Makes room for n items and copies them here; `from` must stay until device_wait(). */
    enum rejectd_status upload(struct backend_device *device, const T *from, size_t n,
                               struct rejectd_error *error)
    {
        TRY(reserve(device, n > 0 ? n : 1, error));
        if (n > 0)
            CUDA_TRY(cudaMemcpyAsync(data_, from, n * sizeof(T), cudaMemcpyHostToDevice,
                                     device->compute));
        return REJECTD_OK;
    }

    void clear()
    {
        if (data_ != nullptr)
            device_free(device_, data_, capacity_ * sizeof(T));
        data_ = nullptr;
        capacity_ = 0;
    }

    void swap(device_array &other)
    {
        std::swap(device_, other.device_);
        std::swap(data_, other.data_);
        std::swap(capacity_, other.capacity_);
    }

    T *get() const
    {
        return data_;
    }
    size_t bytes() const
    {
        return capacity_ * sizeof(T);
    }

  private:
    struct backend_device *device_ = nullptr;
    T *data_ = nullptr;
    size_t capacity_ = 0;
};

/* Copies n items from the device and waits for them. */
template <typename T>
enum rejectd_status download(struct backend_device *device, T *to, const T *from, size_t n,
                             struct rejectd_error *error)
{
    CUDA_TRY(cudaMemcpyAsync(to, from, n * sizeof(T), cudaMemcpyDeviceToHost, device->compute));
    return device_wait(device, error);
}

static inline unsigned blocks_for(size_t n, size_t per_block)
{
    return (unsigned)((n + per_block - 1) / per_block);
}

#endif
