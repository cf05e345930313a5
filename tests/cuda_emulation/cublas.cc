#include "cublas_v2.h"

#include "cuda_bf16.h"
#include "cuda_fp16.h"
#include "memory.h"
#include "openblas.h"
#include "state.h"

#include <vector>

using namespace cuda_emulation;

struct cublasContext {
    cudaStream_t stream;
    cublasMath_t math;
};

namespace
{

struct Shape {
    cublasOperation_t op_a, op_b;
    int m, n, k;
    int lda, ldb, ldc;
};

CBLAS_TRANSPOSE transpose(cublasOperation_t op)
{
    return op == CUBLAS_OP_N ? CblasNoTrans : CblasTrans;
}

/* Elements from the first to the last of a column-major matrix. */
size_t extent(int rows, int columns, int ld)
{
    return rows && columns ? size_t(columns - 1) * size_t(ld) + size_t(rows) : 0;
}

size_t extent_a(const Shape &s)
{
    return s.op_a == CUBLAS_OP_N ? extent(s.m, s.k, s.lda) : extent(s.k, s.m, s.lda);
}

size_t extent_b(const Shape &s)
{
    return s.op_b == CUBLAS_OP_N ? extent(s.k, s.n, s.ldb) : extent(s.n, s.k, s.ldb);
}

cublasStatus_t check(cublasHandle_t handle, const Shape &s, int batch_count)
{
    if (!handle)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    const int rows_a = s.op_a == CUBLAS_OP_N ? s.m : s.k;
    const int rows_b = s.op_b == CUBLAS_OP_N ? s.k : s.n;
    if (s.m < 0 || s.n < 0 || s.k < 0 || batch_count < 0 || s.lda < rows_a || s.lda < 1 ||
        s.ldb < rows_b || s.ldb < 1 || s.ldc < s.m || s.ldc < 1)
        return CUBLAS_STATUS_INVALID_VALUE;
    return begin_call() == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

void check_ranges(const char *name, const Shape &s, const void *a, const void *b, const void *c,
                  size_t input_bytes, size_t output_bytes)
{
    if (s.k > 0) {
        require_device_range(name, "A", a, extent_a(s) * input_bytes);
        require_device_range(name, "B", b, extent_b(s) * input_bytes);
    }
    require_device_range(name, "C", c, extent(s.m, s.n, s.ldc) * output_bytes);
}

void multiply(const Shape &s, float alpha, const float *a, const float *b, float beta, float *c)
{
    cblas_sgemm(CblasColMajor, transpose(s.op_a), transpose(s.op_b), s.m, s.n, s.k, alpha, a, s.lda,
                b, s.ldb, beta, c, s.ldc);
}

void multiply(const Shape &s, double alpha, const double *a, const double *b, double beta,
              double *c)
{
    cblas_dgemm(CblasColMajor, transpose(s.op_a), transpose(s.op_b), s.m, s.n, s.k, alpha, a, s.lda,
                b, s.ldb, beta, c, s.ldc);
}

/* at(i) gives the three matrices of element i of the batch. */
template <typename T, typename At>
cublasStatus_t batch(const char *name, cublasHandle_t handle, const Shape &s, const T *alpha,
                     const T *beta, int batch_count, At at)
{
    const cublasStatus_t status = check(handle, s, batch_count);
    if (status != CUBLAS_STATUS_SUCCESS || s.m == 0 || s.n == 0)
        return status;
    const DeviceAccess access;
    const OneBlasThread one;
    for (int i = 0; i < batch_count; i++) {
        const T *a, *b;
        T *c;
        at(i, &a, &b, &c);
        check_ranges(name, s, a, b, c, sizeof(T), sizeof(T));
        multiply(s, *alpha, a, b, *beta, c);
    }
    return CUBLAS_STATUS_SUCCESS;
}

template <typename From> std::vector<float> to_floats(const void *matrix, size_t n)
{
    const From *from = static_cast<const From *>(matrix);
    std::vector<float> floats(n);
    for (size_t i = 0; i < n; i++)
        floats[i] = float(from[i]);
    return floats;
}

std::vector<float> to_floats(const void *matrix, cudaDataType type, size_t n)
{
    return type == CUDA_R_16F ? to_floats<__half>(matrix, n) : to_floats<__nv_bfloat16>(matrix, n);
}

/* c = alpha product + beta c, rounded once. */
template <typename To>
void round_product(const Shape &s, float alpha, const float *product, float beta, void *matrix)
{
    To *c = static_cast<To *>(matrix);
    for (int j = 0; j < s.n; j++)
        for (int i = 0; i < s.m; i++) {
            const float sum = alpha * product[size_t(j) * size_t(s.m) + size_t(i)];
            To *at = c + size_t(j) * size_t(s.ldc) + size_t(i);
            *at = To(beta == 0.0f ? sum : sum + beta * float(*at));
        }
}

/* One product of halves or bfloat16, added up in float; C of the same type, or float. */
void multiply_small(const Shape &s, cudaDataType type, cudaDataType type_c, float alpha,
                    const std::vector<float> &a, const std::vector<float> &b, float beta, void *c)
{
    if (type_c == CUDA_R_32F) {
        multiply(s, alpha, a.data(), b.data(), beta, static_cast<float *>(c));
        return;
    }
    Shape packed = s;
    packed.ldc = s.m;
    std::vector<float> product(size_t(s.m) * size_t(s.n));
    multiply(packed, 1.0f, a.data(), b.data(), 0.0f, product.data());
    if (type == CUDA_R_16F)
        round_product<__half>(s, alpha, product.data(), beta, c);
    else
        round_product<__nv_bfloat16>(s, alpha, product.data(), beta, c);
}

size_t size_of(cudaDataType type)
{
    switch (type) {
    case CUDA_R_32F:
        return 4;
    case CUDA_R_64F:
        return 8;
    case CUDA_R_16F:
    case CUDA_R_16BF:
        return 2;
    }
    return 0;
}

} // namespace

cublasStatus_t cublasCreate(cublasHandle_t *handle)
{
    if (begin_call() != cudaSuccess)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    *handle = new cublasContext{nullptr, CUBLAS_DEFAULT_MATH};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t handle)
{
    if (!handle)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetVersion(cublasHandle_t, int *version)
{
    *version = 130000;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream)
{
    if (!handle)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    handle->stream = stream;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetStream(cublasHandle_t handle, cudaStream_t *stream)
{
    if (!handle)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    *stream = handle->stream;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void *workspace, size_t bytes)
{
    if (!handle)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    if (bytes)
        require_device_range("cublasSetWorkspace", "workspace", workspace, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode)
{
    if (!handle)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    handle->math = mode;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t *mode)
{
    if (!handle)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    *mode = handle->math;
    return CUBLAS_STATUS_SUCCESS;
}

/* The host can read either here. */
cublasStatus_t cublasSetPointerMode(cublasHandle_t handle, cublasPointerMode_t)
{
    return handle ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_INITIALIZED;
}

const char *cublasGetStatusName(cublasStatus_t status)
{
    switch (status) {
    case CUBLAS_STATUS_SUCCESS:
        return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
        return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
        return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
        return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH:
        return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_MAPPING_ERROR:
        return "CUBLAS_STATUS_MAPPING_ERROR";
    case CUBLAS_STATUS_EXECUTION_FAILED:
        return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
        return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED:
        return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_LICENSE_ERROR:
        return "CUBLAS_STATUS_LICENSE_ERROR";
    }
    return "unknown status";
}

const char *cublasGetStatusString(cublasStatus_t status)
{
    return cublasGetStatusName(status);
}

#define GEMM(letter, type)                                                                         \
    cublasStatus_t cublas##letter##gemm(cublasHandle_t handle, cublasOperation_t op_a,             \
                                        cublasOperation_t op_b, int m, int n, int k,               \
                                        const type *alpha, const type *a, int lda, const type *b,  \
                                        int ldb, const type *beta, type *c, int ldc)               \
    {                                                                                              \
        return cublas##letter##gemmStridedBatched(handle, op_a, op_b, m, n, k, alpha, a, lda, 0,   \
                                                  b, ldb, 0, beta, c, ldc, 0, 1);                  \
    }                                                                                              \
    cublasStatus_t cublas##letter##gemmStridedBatched(                                             \
        cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n,       \
        int k, const type *alpha, const type *a, int lda, long long stride_a, const type *b,       \
        int ldb, long long stride_b, const type *beta, type *c, int ldc, long long stride_c,       \
        int batch_count)                                                                           \
    {                                                                                              \
        return batch<type>("cublas" #letter "gemmStridedBatched", handle,                          \
                           Shape{op_a, op_b, m, n, k, lda, ldb, ldc}, alpha, beta, batch_count,    \
                           [=](int i, const type **at_a, const type **at_b, type **at_c) {         \
                               *at_a = a + i * stride_a;                                           \
                               *at_b = b + i * stride_b;                                           \
                               *at_c = c + i * stride_c;                                           \
                           });                                                                     \
    }                                                                                              \
    cublasStatus_t cublas##letter##gemmBatched(                                                    \
        cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n,       \
        int k, const type *alpha, const type *const a[], int lda, const type *const b[], int ldb,  \
        const type *beta, type *const c[], int ldc, int batch_count)                               \
    {                                                                                              \
        const char *name = "cublas" #letter "gemmBatched";                                         \
        if (batch_count > 0) {                                                                     \
            const size_t bytes = size_t(batch_count) * sizeof(void *);                             \
            require_device_range(name, "the array of A", a, bytes);                                \
            require_device_range(name, "the array of B", b, bytes);                                \
            require_device_range(name, "the array of C", c, bytes);                                \
        }                                                                                          \
        return batch<type>(name, handle, Shape{op_a, op_b, m, n, k, lda, ldb, ldc}, alpha, beta,   \
                           batch_count,                                                            \
                           [=](int i, const type **at_a, const type **at_b, type **at_c) {         \
                               *at_a = a[i];                                                       \
                               *at_b = b[i];                                                       \
                               *at_c = c[i];                                                       \
                           });                                                                     \
    }
GEMM(S, float)
GEMM(D, double)
#undef GEMM

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,
                            int m, int n, int k, const void *alpha, const void *a,
                            cudaDataType type_a, int lda, const void *b, cudaDataType type_b,
                            int ldb, const void *beta, void *c, cudaDataType type_c, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t algorithm)
{
    return cublasGemmStridedBatchedEx(handle, op_a, op_b, m, n, k, alpha, a, type_a, lda, 0, b,
                                      type_b, ldb, 0, beta, c, type_c, ldc, 0, 1, compute,
                                      algorithm);
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t op_a,
                                          cublasOperation_t op_b, int m, int n, int k,
                                          const void *alpha, const void *a, cudaDataType type_a,
                                          int lda, long long stride_a, const void *b,
                                          cudaDataType type_b, int ldb, long long stride_b,
                                          const void *beta, void *c, cudaDataType type_c, int ldc,
                                          long long stride_c, int batch_count,
                                          cublasComputeType_t compute, cublasGemmAlgo_t)
{
    if (type_a != type_b)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    const bool doubles = compute == CUBLAS_COMPUTE_64F || compute == CUBLAS_COMPUTE_64F_PEDANTIC;
    if (doubles) {
        if (type_a != CUDA_R_64F || type_c != CUDA_R_64F)
            return CUBLAS_STATUS_NOT_SUPPORTED;
        return cublasDgemmStridedBatched(
            handle, op_a, op_b, m, n, k, static_cast<const double *>(alpha),
            static_cast<const double *>(a), lda, stride_a, static_cast<const double *>(b), ldb,
            stride_b, static_cast<const double *>(beta), static_cast<double *>(c), ldc, stride_c,
            batch_count);
    }
    if (type_a == CUDA_R_64F || (type_c != CUDA_R_32F && type_c != type_a))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (type_a == CUDA_R_32F)
        return cublasSgemmStridedBatched(
            handle, op_a, op_b, m, n, k, static_cast<const float *>(alpha),
            static_cast<const float *>(a), lda, stride_a, static_cast<const float *>(b), ldb,
            stride_b, static_cast<const float *>(beta), static_cast<float *>(c), ldc, stride_c,
            batch_count);

    const Shape s{op_a, op_b, m, n, k, lda, ldb, ldc};
    const cublasStatus_t status = check(handle, s, batch_count);
    if (status != CUBLAS_STATUS_SUCCESS || m == 0 || n == 0)
        return status;
    const DeviceAccess access;
    const OneBlasThread one;
    const size_t bytes = size_of(type_a), bytes_c = size_of(type_c);
    for (int i = 0; i < batch_count; i++) {
        const char *at_a = static_cast<const char *>(a) + i * stride_a * (long long)bytes;
        const char *at_b = static_cast<const char *>(b) + i * stride_b * (long long)bytes;
        char *at_c = static_cast<char *>(c) + i * stride_c * (long long)bytes_c;
        check_ranges("cublasGemmStridedBatchedEx", s, at_a, at_b, at_c, bytes, bytes_c);
        const std::vector<float> floats_a = to_floats(at_a, type_a, k ? extent_a(s) : 0);
        const std::vector<float> floats_b = to_floats(at_b, type_b, k ? extent_b(s) : 0);
        multiply_small(s, type_a, type_c, *static_cast<const float *>(alpha), floats_a, floats_b,
                       *static_cast<const float *>(beta), at_c);
    }
    return CUBLAS_STATUS_SUCCESS;
}
