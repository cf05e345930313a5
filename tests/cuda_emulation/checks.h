/*
 * What the parts of test_emulation share. The same program runs on a GPU (built by nvcc), so it
 * says what the emulation has to do; what only the emulation can is under REJECTD_CUDA_EMULATION.
 */
#ifndef CUDA_EMULATION_CHECKS_H
#define CUDA_EMULATION_CHECKS_H

#include "worker/cuda/launch.h"

#include <stdio.h>
#include <stdlib.h>
#include <vector>

/* Of the case that runs. */
extern int failed_checks;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            failed_checks++;                                                                       \
            if (failed_checks < 10)                                                                \
                printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                     \
        }                                                                                          \
    } while (0)

/* The call returns that error, and no other. */
#define CHECK_ERROR(call, expected)                                                                \
    do {                                                                                           \
        const cudaError_t check_error = (call), check_expected = (expected);                       \
        if (check_error != check_expected) {                                                       \
            failed_checks++;                                                                       \
            printf("%s:%d: %s: %s, expected %s\n", __FILE__, __LINE__, #call,                      \
                   cudaGetErrorName(check_error), cudaGetErrorName(check_expected));               \
        }                                                                                          \
    } while (0)

#define CHECK_CUDA(call) CHECK_ERROR(call, cudaSuccess)

struct Case {
    const char *name;
    void (*run)();
};

/* Each ends with a name of NULL. */
extern const Case thread_cases[];
extern const Case warp_cases[];
extern const Case arithmetic_cases[];
extern const Case library_cases[];
extern const Case runtime_cases[];
extern const Case misuse_cases[]; /* of the emulation only */
extern const Case last_cases[];   /* after them the device is lost */

/* n values on the device; not movable. */
template <typename T> class DeviceArray
{
  public:
    explicit DeviceArray(size_t n) : n_(n)
    {
        CHECK_CUDA(cudaMalloc(&data_, n * sizeof(T)));
    }
    explicit DeviceArray(const std::vector<T> &values) : DeviceArray(values.size())
    {
        CHECK_CUDA(cudaMemcpy(data_, values.data(), n_ * sizeof(T), cudaMemcpyHostToDevice));
    }
    DeviceArray(size_t n, T value) : DeviceArray(std::vector<T>(n, value))
    {
    }
    ~DeviceArray()
    {
        cudaFree(data_);
    }
    DeviceArray(const DeviceArray &) = delete;
    DeviceArray &operator=(const DeviceArray &) = delete;

    /* Waits for the kernels before, and reports their errors. */
    std::vector<T> read() const
    {
        std::vector<T> values(n_);
        CHECK_CUDA(cudaGetLastError());
        CHECK_CUDA(cudaDeviceSynchronize());
        CHECK_CUDA(cudaMemcpy(values.data(), data_, n_ * sizeof(T), cudaMemcpyDeviceToHost));
        return values;
    }
    operator T *() const
    {
        return data_;
    }

  private:
    T *data_ = nullptr;
    size_t n_;
};

/* The same numbers on every machine. */
inline double test_number(unsigned i)
{
    unsigned x = i * 2654435761u;
    x ^= x >> 15;
    x *= 2246822519u;
    x ^= x >> 13;
    return x / 4294967296.0 - 0.5;
}

#endif
