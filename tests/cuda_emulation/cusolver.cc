#include "cusolverDn.h"

#include "memory.h"
#include "openblas.h"
#include "state.h"

#include <vector>

using namespace cuda_emulation;

extern "C" void dsyev_(const char *job, const char *triangle, const int *n, double *a,
                       const int *lda, double *w, double *work, const int *work_count, int *info,
                       size_t job_length, size_t triangle_length);

struct cusolverDnContext {
    cudaStream_t stream;
};
struct syevjInfo {
    int sort;
};
struct cusolverDnParams {
    int unused;
};

namespace
{

int work_for(int n)
{
    return n * n + 34 * n + 1;
}

cusolverStatus_t check(cusolverDnHandle_t handle, int64_t n, int64_t lda, int64_t batch_count)
{
    if (!handle)
        return CUSOLVER_STATUS_NOT_INITIALIZED;
    if (n < 0 || n > 0x3fff || lda < n || lda < 1 || batch_count < 0)
        return CUSOLVER_STATUS_INVALID_VALUE;
    return begin_call() == cudaSuccess ? CUSOLVER_STATUS_SUCCESS : CUSOLVER_STATUS_EXECUTION_FAILED;
}

/* Matrices of zeros fill up batches. LAPACK would find these vectors, too, in as long as others
 * take. */
bool solve_zeros(int n, double *a, int lda, double *w, int *info)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            if (a[size_t(i) * size_t(lda) + size_t(j)] != 0.0)
                return false;
    for (int i = 0; i < n; i++) {
        a[size_t(i) * size_t(lda) + size_t(i)] = 1.0;
        w[i] = 0.0;
    }
    *info = 0;
    return true;
}

cusolverStatus_t solve(const char *name, cusolverDnHandle_t handle, cusolverEigMode_t job,
                       cublasFillMode_t triangle, int n, double *a, int lda, double *w, void *work,
                       size_t work_bytes, int *info, int batch_count)
{
    const cusolverStatus_t status = check(handle, n, lda, batch_count);
    if (status != CUSOLVER_STATUS_SUCCESS || n == 0)
        return status;
    if (work_bytes < size_t(work_for(n)) * sizeof(double))
        return CUSOLVER_STATUS_INVALID_VALUE;
    const size_t count = size_t(batch_count);
    require_device_range(name, "A", a, sizeof(double) * size_t(n) * size_t(lda) * count);
    require_device_range(name, "W", w, sizeof(double) * size_t(n) * count);
    require_device_range(name, "info", info, sizeof(int) * count);
    require_device_range(name, "the workspace", work, work_bytes);
    const DeviceAccess access;
    const OneBlasThread one;
    const int scratch_count = 34 * n + 1;
    std::vector<double> scratch((size_t(scratch_count)));
    for (size_t i = 0; i < count; i++) {
        double *matrix = a + i * size_t(n) * size_t(lda), *values = w + i * size_t(n);
        if (!solve_zeros(n, matrix, lda, values, info + i))
            dsyev_(job == CUSOLVER_EIG_MODE_VECTOR ? "V" : "N",
                   triangle == CUBLAS_FILL_MODE_LOWER ? "L" : "U", &n, matrix, &lda, values,
                   scratch.data(), &scratch_count, info + i, 1, 1);
    }
    return CUSOLVER_STATUS_SUCCESS;
}

} // namespace

cusolverStatus_t cusolverDnCreate(cusolverDnHandle_t *handle)
{
    if (begin_call() != cudaSuccess)
        return CUSOLVER_STATUS_NOT_INITIALIZED;
    *handle = new cusolverDnContext{nullptr};
    return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnDestroy(cusolverDnHandle_t handle)
{
    delete handle;
    return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnSetStream(cusolverDnHandle_t handle, cudaStream_t stream)
{
    if (!handle)
        return CUSOLVER_STATUS_NOT_INITIALIZED;
    handle->stream = stream;
    return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnCreateParams(cusolverDnParams_t *params)
{
    *params = new cusolverDnParams{0};
    return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnDestroyParams(cusolverDnParams_t params)
{
    delete params;
    return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnCreateSyevjInfo(syevjInfo_t *info)
{
    *info = new syevjInfo{1};
    return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnDestroySyevjInfo(syevjInfo_t info)
{
    delete info;
    return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnXsyevjSetTolerance(syevjInfo_t info, double)
{
    return info ? CUSOLVER_STATUS_SUCCESS : CUSOLVER_STATUS_NOT_INITIALIZED;
}

cusolverStatus_t cusolverDnXsyevjSetMaxSweeps(syevjInfo_t info, int)
{
    return info ? CUSOLVER_STATUS_SUCCESS : CUSOLVER_STATUS_NOT_INITIALIZED;
}

cusolverStatus_t cusolverDnXsyevjSetSortEig(syevjInfo_t info, int sort)
{
    if (!info)
        return CUSOLVER_STATUS_NOT_INITIALIZED;
    info->sort = sort;
    return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnDsyevd_bufferSize(cusolverDnHandle_t handle, cusolverEigMode_t,
                                             cublasFillMode_t, int n, const double *, int lda,
                                             const double *, int *work_count)
{
    *work_count = work_for(n);
    return check(handle, n, lda, 1);
}

cusolverStatus_t cusolverDnDsyevd(cusolverDnHandle_t handle, cusolverEigMode_t job,
                                  cublasFillMode_t triangle, int n, double *a, int lda, double *w,
                                  double *work, int work_count, int *info)
{
    return solve("cusolverDnDsyevd", handle, job, triangle, n, a, lda, w, work,
                 size_t(work_count) * sizeof *work, info, 1);
}

cusolverStatus_t cusolverDnDsyevjBatched_bufferSize(cusolverDnHandle_t handle, cusolverEigMode_t,
                                                    cublasFillMode_t, int n, const double *,
                                                    int lda, const double *, int *work_count,
                                                    syevjInfo_t, int batch_count)
{
    *work_count = work_for(n);
    return check(handle, n, lda, batch_count);
}

cusolverStatus_t cusolverDnDsyevjBatched(cusolverDnHandle_t handle, cusolverEigMode_t job,
                                         cublasFillMode_t triangle, int n, double *a, int lda,
                                         double *w, double *work, int work_count, int *info,
                                         syevjInfo_t params, int batch_count)
{
    if (!params)
        return CUSOLVER_STATUS_INVALID_VALUE;
    return solve("cusolverDnDsyevjBatched", handle, job, triangle, n, a, lda, w, work,
                 size_t(work_count) * sizeof *work, info, batch_count);
}

cusolverStatus_t cusolverDnXsyevBatched_bufferSize(cusolverDnHandle_t handle, cusolverDnParams_t,
                                                   cusolverEigMode_t, cublasFillMode_t, int64_t n,
                                                   cudaDataType, const void *, int64_t lda,
                                                   cudaDataType, const void *, cudaDataType,
                                                   size_t *device_bytes, size_t *host_bytes,
                                                   int64_t batch_count)
{
    const cusolverStatus_t status = check(handle, n, lda, batch_count);
    if (status != CUSOLVER_STATUS_SUCCESS)
        return status;
    *device_bytes = size_t(work_for(int(n))) * sizeof(double);
    *host_bytes = 0;
    return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnXsyevBatched(cusolverDnHandle_t handle, cusolverDnParams_t,
                                        cusolverEigMode_t job, cublasFillMode_t triangle, int64_t n,
                                        cudaDataType type_a, void *a, int64_t lda,
                                        cudaDataType type_w, void *w, cudaDataType compute,
                                        void *device_work, size_t device_bytes, void *, size_t,
                                        int *info, int64_t batch_count)
{
    if (type_a != CUDA_R_64F || type_w != CUDA_R_64F || compute != CUDA_R_64F)
        return CUSOLVER_STATUS_NOT_SUPPORTED;
    const cusolverStatus_t status = check(handle, n, lda, batch_count);
    if (status != CUSOLVER_STATUS_SUCCESS)
        return status;
    return solve("cusolverDnXsyevBatched", handle, job, triangle, int(n), static_cast<double *>(a),
                 int(lda), static_cast<double *>(w), device_work, device_bytes, info,
                 int(batch_count));
}
