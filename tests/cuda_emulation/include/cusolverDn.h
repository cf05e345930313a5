/*
 * Stands for CUDA's header of this name in an emulated build: tests/cuda_emulation.
 *
 * Eigenvalues of symmetric matrices, by LAPACK's dsyev (OpenBLAS on one thread), one matrix of a
 * batch after the other. Workspaces are asked for as large as CUDA might, and hardly used.
 */
#ifndef CUDA_EMULATION_CUSOLVERDN_H
#define CUDA_EMULATION_CUSOLVERDN_H

#include "cublas_v2.h"

#define CUSOLVER_VERSION 12000 /* what the emulated toolkit has */

typedef struct cusolverDnContext *cusolverDnHandle_t;
typedef struct syevjInfo *syevjInfo_t;
typedef struct cusolverDnParams *cusolverDnParams_t;

typedef enum {
    CUSOLVER_STATUS_SUCCESS = 0,
    CUSOLVER_STATUS_NOT_INITIALIZED = 1,
    CUSOLVER_STATUS_ALLOC_FAILED = 2,
    CUSOLVER_STATUS_INVALID_VALUE = 3,
    CUSOLVER_STATUS_ARCH_MISMATCH = 4,
    CUSOLVER_STATUS_MAPPING_ERROR = 5,
    CUSOLVER_STATUS_EXECUTION_FAILED = 6,
    CUSOLVER_STATUS_INTERNAL_ERROR = 7,
    CUSOLVER_STATUS_MATRIX_TYPE_NOT_SUPPORTED = 8,
    CUSOLVER_STATUS_NOT_SUPPORTED = 9
} cusolverStatus_t;

typedef enum { CUSOLVER_EIG_MODE_NOVECTOR = 0, CUSOLVER_EIG_MODE_VECTOR = 1 } cusolverEigMode_t;

cusolverStatus_t cusolverDnCreate(cusolverDnHandle_t *handle);
cusolverStatus_t cusolverDnDestroy(cusolverDnHandle_t handle);
cusolverStatus_t cusolverDnSetStream(cusolverDnHandle_t handle, cudaStream_t stream);
cusolverStatus_t cusolverDnCreateParams(cusolverDnParams_t *params);
cusolverStatus_t cusolverDnDestroyParams(cusolverDnParams_t params);
cusolverStatus_t cusolverDnCreateSyevjInfo(syevjInfo_t *info);
cusolverStatus_t cusolverDnDestroySyevjInfo(syevjInfo_t info);
cusolverStatus_t cusolverDnXsyevjSetTolerance(syevjInfo_t info, double tolerance);
cusolverStatus_t cusolverDnXsyevjSetMaxSweeps(syevjInfo_t info, int max_sweeps);
cusolverStatus_t cusolverDnXsyevjSetSortEig(syevjInfo_t info, int sort);

/* `work` counts doubles. Eigenvalues ascend, whatever was asked of the order. */
cusolverStatus_t cusolverDnDsyevd_bufferSize(cusolverDnHandle_t handle, cusolverEigMode_t job,
                                             cublasFillMode_t triangle, int n, const double *a,
                                             int lda, const double *w, int *work_count);
cusolverStatus_t cusolverDnDsyevd(cusolverDnHandle_t handle, cusolverEigMode_t job,
                                  cublasFillMode_t triangle, int n, double *a, int lda, double *w,
                                  double *work, int work_count, int *info);
cusolverStatus_t cusolverDnDsyevjBatched_bufferSize(cusolverDnHandle_t handle,
                                                    cusolverEigMode_t job,
                                                    cublasFillMode_t triangle, int n,
                                                    const double *a, int lda, const double *w,
                                                    int *work_count, syevjInfo_t params,
                                                    int batch_count);
cusolverStatus_t cusolverDnDsyevjBatched(cusolverDnHandle_t handle, cusolverEigMode_t job,
                                         cublasFillMode_t triangle, int n, double *a, int lda,
                                         double *w, double *work, int work_count, int *info,
                                         syevjInfo_t params, int batch_count);
/* Of doubles. */
cusolverStatus_t cusolverDnXsyevBatched_bufferSize(cusolverDnHandle_t handle,
                                                   cusolverDnParams_t params, cusolverEigMode_t job,
                                                   cublasFillMode_t triangle, int64_t n,
                                                   cudaDataType type_a, const void *a, int64_t lda,
                                                   cudaDataType type_w, const void *w,
                                                   cudaDataType compute, size_t *device_bytes,
                                                   size_t *host_bytes, int64_t batch_count);
cusolverStatus_t cusolverDnXsyevBatched(cusolverDnHandle_t handle, cusolverDnParams_t params,
                                        cusolverEigMode_t job, cublasFillMode_t triangle, int64_t n,
                                        cudaDataType type_a, void *a, int64_t lda,
                                        cudaDataType type_w, void *w, cudaDataType compute,
                                        void *device_work, size_t device_bytes, void *host_work,
                                        size_t host_bytes, int *info, int64_t batch_count);

#endif
