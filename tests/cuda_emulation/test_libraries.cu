/* cuBLAS and cuSOLVER against plain loops. */
#include "checks.h"

#include <cublas_v2.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cusolverDn.h>
#include <math.h>
#include <string.h>

namespace
{

struct Product {
    cublasOperation_t op_a, op_b;
    int m, n, k, lda, ldb, ldc;
};

double element(const std::vector<double> &x, size_t start, int row, int column, int ld,
               cublasOperation_t op)
{
    return op == CUBLAS_OP_N ? x[start + row + size_t(column) * ld]
                             : x[start + column + size_t(row) * ld];
}

std::vector<double> made_numbers(size_t n, unsigned seed)
{
    std::vector<double> x(n);
    for (size_t i = 0; i < n; i++)
        x[i] = test_number(unsigned(i) + seed);
    return x;
}

template <typename T> std::vector<T> as_type(const std::vector<double> &x)
{
    std::vector<T> y(x.size());
    for (size_t i = 0; i < x.size(); i++)
        y[i] = T(x[i]);
    return y;
}

/* Of element i of a batch: the largest difference from a plain loop. */
template <typename C>
double error_of(const Product &p, const std::vector<double> &a, size_t start_a,
                const std::vector<double> &b, size_t start_b, double alpha, double beta, double old,
                const std::vector<C> &c, size_t start_c)
{
    double worst = 0;
    for (int column = 0; column < p.n; column++)
        for (int row = 0; row < p.m; row++) {
            double sum = 0;
            for (int i = 0; i < p.k; i++)
                sum += element(a, start_a, row, i, p.lda, p.op_a) *
                       element(b, start_b, i, column, p.ldb, p.op_b);
            const double found = c[start_c + row + size_t(column) * p.ldc];
            worst = fmax(worst, fabs(found - (alpha * sum + beta * old)));
        }
    return worst;
}

cublasStatus_t gemm_batch(cublasHandle_t handle, const Product &p, const double *alpha,
                          const double *a, long long sa, const double *b, long long sb,
                          const double *beta, double *c, long long sc, int count)
{
    return cublasDgemmStridedBatched(handle, p.op_a, p.op_b, p.m, p.n, p.k, alpha, a, p.lda, sa, b,
                                     p.ldb, sb, beta, c, p.ldc, sc, count);
}

cublasStatus_t gemm_batch(cublasHandle_t handle, const Product &p, const float *alpha,
                          const float *a, long long sa, const float *b, long long sb,
                          const float *beta, float *c, long long sc, int count)
{
    return cublasSgemmStridedBatched(handle, p.op_a, p.op_b, p.m, p.n, p.k, alpha, a, p.lda, sa, b,
                                     p.ldb, sb, beta, c, p.ldc, sc, count);
}

template <typename T> void check_gemm(cublasHandle_t handle, const Product &p, double tolerance)
{
    const int count = 5;
    const size_t size_a = size_t(p.lda) * (p.op_a == CUBLAS_OP_N ? p.k : p.m);
    const size_t size_b = size_t(p.ldb) * (p.op_b == CUBLAS_OP_N ? p.n : p.k);
    const size_t size_c = size_t(p.ldc) * p.n;
    const std::vector<T> a = as_type<T>(made_numbers(size_a * count, 1));
    const std::vector<T> b = as_type<T>(made_numbers(size_b * count, 2));
    const std::vector<double> a64(a.begin(), a.end()), b64(b.begin(), b.end());
    DeviceArray<T> device_a(a), device_b(b), c(size_c * count, T(3));
    const T alpha = T(1.5), beta = T(0.25);
    CHECK(gemm_batch(handle, p, &alpha, device_a, size_a, device_b, size_b, &beta, c, size_c,
                     count) == CUBLAS_STATUS_SUCCESS);
    const std::vector<T> result = c.read();
    for (int i = 0; i < count; i++)
        CHECK(error_of(p, a64, i * size_a, b64, i * size_b, 1.5, 0.25, 3, result, i * size_c) <
              tolerance);

#ifdef REJECTD_CUDA_EMULATION
    DeviceArray<T> alone(size_c, T(3));
    CHECK(gemm_batch(handle, p, &alpha, device_a + 3 * size_a, 0, device_b + 3 * size_b, 0, &beta,
                     alone, 0, 1) == CUBLAS_STATUS_SUCCESS);
    CHECK(memcmp(alone.read().data(), result.data() + 3 * size_c, size_c * sizeof(T)) == 0);
#endif
}

const Product products[] = {
    {CUBLAS_OP_N, CUBLAS_OP_N, 13, 9, 21, 15, 22, 13},
    {CUBLAS_OP_T, CUBLAS_OP_N, 40, 5, 33, 33, 40, 41},
    {CUBLAS_OP_N, CUBLAS_OP_T, 7, 64, 10, 7, 64, 7},
    {CUBLAS_OP_T, CUBLAS_OP_T, 1, 3, 100, 100, 3, 2},
};

void products_of_batches()
{
    cublasHandle_t handle;
    cudaStream_t stream;
    CHECK(cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS);
    CHECK_CUDA(cudaStreamCreate(&stream));
    CHECK(cublasSetStream(handle, stream) == CUBLAS_STATUS_SUCCESS);
    CHECK(cublasSetMathMode(handle, CUBLAS_PEDANTIC_MATH) == CUBLAS_STATUS_SUCCESS);
    DeviceArray<char> workspace(1 << 20);
    CHECK(cublasSetWorkspace(handle, workspace, 1 << 20) == CUBLAS_STATUS_SUCCESS);
    for (const Product &p : products) {
        check_gemm<double>(handle, p, 1e-13);
        check_gemm<float>(handle, p, 1e-4);
    }
    CHECK_CUDA(cudaStreamSynchronize(stream));
    CHECK(cublasDestroy(handle) == CUBLAS_STATUS_SUCCESS);
    CHECK_CUDA(cudaStreamDestroy(stream));
}

void products_of_pointers()
{
    const Product p = products[0];
    const size_t size_a = size_t(p.lda) * p.k, size_b = size_t(p.ldb) * p.n;
    const size_t size_c = size_t(p.ldc) * p.n;
    const std::vector<double> a = made_numbers(2 * size_a, 3), b = made_numbers(2 * size_b, 4);
    DeviceArray<double> device_a(a), device_b(b), c(2 * size_c);
    /* The second product takes the first B; C is written without being read. */
    DeviceArray<const double *> list_a(std::vector<const double *>{device_a, device_a + size_a});
    DeviceArray<const double *> list_b(std::vector<const double *>{device_b, device_b});
    DeviceArray<double *> list_c(std::vector<double *>{c, c + size_c});
    const double alpha = 1, beta = 0;
    cublasHandle_t handle;
    CHECK(cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS);
    CHECK(cublasDgemmBatched(handle, p.op_a, p.op_b, p.m, p.n, p.k, &alpha, list_a, p.lda, list_b,
                             p.ldb, &beta, list_c, p.ldc, 2) == CUBLAS_STATUS_SUCCESS);
    std::vector<double> result = c.read();
    CHECK(error_of(p, a, 0, b, 0, 1, 0, 0, result, 0) < 1e-13);
    CHECK(error_of(p, a, size_a, b, 0, 1, 0, 0, result, size_c) < 1e-13);
    CHECK(cublasDgemm(handle, p.op_a, p.op_b, p.m, p.n, p.k, &alpha, device_a, p.lda,
                      device_b + size_b, p.ldb, &beta, c, p.ldc) == CUBLAS_STATUS_SUCCESS);
    result = c.read();
    CHECK(error_of(p, a, 0, b, size_b, 1, 0, 0, result, 0) < 1e-13);
    CHECK(cublasDgemm(handle, p.op_a, p.op_b, p.m, p.n, p.k, &alpha, device_a, p.m - 1, device_b,
                      p.ldb, &beta, c, p.ldc) == CUBLAS_STATUS_INVALID_VALUE);
    CHECK(strlen(cublasGetStatusString(CUBLAS_STATUS_INVALID_VALUE)) > 0);
    CHECK(cublasDestroy(handle) == CUBLAS_STATUS_SUCCESS);
}

/* C of the small type too: what was there is added before the one rounding. */
template <typename T>
void check_small_sums(cublasHandle_t handle, cudaDataType type, const Product &p,
                      const std::vector<double> &a64, const std::vector<double> &b64,
                      const T *device_a, const T *device_b)
{
    const size_t size_c = size_t(p.ldc) * size_t(p.n);
    const double unit = type == CUDA_R_16F ? 0x1p-11 : 0x1p-8;
    std::vector<T> before(size_c);
    for (size_t i = 0; i < size_c; i++)
        before[i] = T(float(test_number(unsigned(i) + 777)));
    DeviceArray<T> c(before);
    const float alpha = 1, beta = 1;
    CHECK(cublasGemmEx(handle, p.op_a, p.op_b, p.m, p.n, p.k, &alpha, device_a, type, p.lda,
                       device_b, type, p.ldb, &beta, c, type, p.ldc, CUBLAS_COMPUTE_32F,
                       CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS);
    const std::vector<T> result = c.read();
    size_t different = 0;
    for (int j = 0; j < p.n; j++)
        for (int i = 0; i < p.m; i++) {
            const size_t at = size_t(j) * size_t(p.ldc) + size_t(i);
            double sum = float(before[at]);
            for (int l = 0; l < p.k; l++)
                sum += a64[size_t(i) * size_t(p.lda) + size_t(l)] *
                       b64[size_t(j) * size_t(p.ldb) + size_t(l)];
            /* One rounding, and a little for the sums in float. */
            different += !(fabs(float(result[at]) - sum) <= 1.01 * unit * fabs(sum) + 1e-5);
        }
    CHECK(different == 0);
    CHECK(cublasGemmEx(handle, p.op_a, p.op_b, p.m, p.n, p.k, &alpha, device_a, type, p.lda,
                       device_b, type, p.ldb, &beta, c, CUDA_R_64F, p.ldc, CUBLAS_COMPUTE_32F,
                       CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_NOT_SUPPORTED);
}

template <typename T> void check_small(cublasHandle_t handle, cudaDataType type)
{
    const Product p = {CUBLAS_OP_T, CUBLAS_OP_N, 16, 24, 32, 32, 32, 16};
    const size_t size_a = 32 * 16, size_b = 32 * 24, size_c = 16 * 24;
    std::vector<T> a(2 * size_a), b(2 * size_b);
    std::vector<double> a64(a.size()), b64(b.size());
    for (size_t i = 0; i < a.size(); i++)
        a64[i] = float(a[i] = T(float(test_number(unsigned(i)))));
    for (size_t i = 0; i < b.size(); i++)
        b64[i] = float(b[i] = T(float(test_number(unsigned(i) + 9999))));
    DeviceArray<T> device_a(a), device_b(b);
    DeviceArray<float> c(2 * size_c);
    const float alpha = 1, beta = 0;
    CHECK(cublasGemmStridedBatchedEx(handle, p.op_a, p.op_b, p.m, p.n, p.k, &alpha, device_a, type,
                                     p.lda, size_a, device_b, type, p.ldb, size_b, &beta, c,
                                     CUDA_R_32F, p.ldc, size_c, 2, CUBLAS_COMPUTE_32F,
                                     CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS);
    std::vector<float> result = c.read();
    CHECK(error_of(p, a64, 0, b64, 0, 1, 0, 0, result, 0) < 1e-5);
    CHECK(error_of(p, a64, size_a, b64, size_b, 1, 0, 0, result, size_c) < 1e-5);
    CHECK(cublasGemmEx(handle, p.op_a, p.op_b, p.m, p.n, p.k, &alpha, device_a, type, p.lda,
                       device_b + size_b, type, p.ldb, &beta, c, CUDA_R_32F, p.ldc,
                       CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS);
    result = c.read();
    CHECK(error_of(p, a64, 0, b64, size_b, 1, 0, 0, result, 0) < 1e-5);
    check_small_sums<T>(handle, type, p, a64, b64, device_a, device_b);
}

void products_of_small_floats()
{
    cublasHandle_t handle;
    CHECK(cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS);
    check_small<__half>(handle, CUDA_R_16F);
    check_small<__nv_bfloat16>(handle, CUDA_R_16BF);
    CHECK(cublasDestroy(handle) == CUBLAS_STATUS_SUCCESS);
}

constexpr int order = 12;
constexpr int n_matrices = 3;

std::vector<double> symmetric_matrices()
{
    std::vector<double> a(order * order * n_matrices);
    for (int i = 0; i < n_matrices; i++)
        for (int column = 0; column < order; column++)
            for (int row = 0; row < order; row++)
                a[(i * order + column) * order + row] = test_number(unsigned(
                    1000 * i + 50 * (row < column ? row : column) + (row < column ? column : row)));
    return a;
}

/* A v = w v for every pair, the w ascending, and A read from its lower triangle. */
void check_pairs(const std::vector<double> &a, const std::vector<double> &v,
                 const std::vector<double> &w, const std::vector<int> &info)
{
    for (int i = 0; i < n_matrices; i++) {
        CHECK(info[i] == 0);
        const double *matrix = &a[size_t(i) * order * order];
        const double *vectors = &v[size_t(i) * order * order];
        for (int pair = 0; pair < order; pair++) {
            const double value = w[size_t(i) * order + pair];
            CHECK(pair == 0 || value >= w[size_t(i) * order + pair - 1]);
            for (int row = 0; row < order; row++) {
                double sum = 0;
                for (int j = 0; j < order; j++)
                    sum += matrix[row + j * order] * vectors[j + pair * order];
                CHECK(fabs(sum - value * vectors[row + pair * order]) < 1e-7);
            }
        }
    }
}

void eigenvalues()
{
    const std::vector<double> a = symmetric_matrices();
    cusolverDnHandle_t handle;
    syevjInfo_t params;
    CHECK(cusolverDnCreate(&handle) == CUSOLVER_STATUS_SUCCESS);
    CHECK(cusolverDnCreateSyevjInfo(&params) == CUSOLVER_STATUS_SUCCESS);
    DeviceArray<double> v(a), w(order * n_matrices);
    DeviceArray<int> info(n_matrices, -1);
    int count = 0;
    CHECK(cusolverDnDsyevjBatched_bufferSize(handle, CUSOLVER_EIG_MODE_VECTOR,
                                             CUBLAS_FILL_MODE_LOWER, order, v, order, w, &count,
                                             params, n_matrices) == CUSOLVER_STATUS_SUCCESS);
    DeviceArray<double> work(count);
    CHECK(cusolverDnDsyevjBatched(handle, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER, order,
                                  v, order, w, work, count, info, params,
                                  n_matrices) == CUSOLVER_STATUS_SUCCESS);
    check_pairs(a, v.read(), w.read(), info.read());
    CHECK(cusolverDnDestroySyevjInfo(params) == CUSOLVER_STATUS_SUCCESS);
    CHECK(cusolverDnDestroy(handle) == CUSOLVER_STATUS_SUCCESS);
}

void eigenvalues_of_any_type()
{
    const std::vector<double> a = symmetric_matrices();
    cusolverDnHandle_t handle;
    cusolverDnParams_t params;
    CHECK(cusolverDnCreate(&handle) == CUSOLVER_STATUS_SUCCESS);
    CHECK(cusolverDnCreateParams(&params) == CUSOLVER_STATUS_SUCCESS);
    DeviceArray<double> v(a), w(order * n_matrices);
    DeviceArray<int> info(n_matrices, -1);
    double *vectors = v, *values = w;
    size_t device_bytes = 0, host_bytes = 0;
    CHECK(cusolverDnXsyevBatched_bufferSize(handle, params, CUSOLVER_EIG_MODE_VECTOR,
                                            CUBLAS_FILL_MODE_LOWER, order, CUDA_R_64F, vectors,
                                            order, CUDA_R_64F, values, CUDA_R_64F, &device_bytes,
                                            &host_bytes, n_matrices) == CUSOLVER_STATUS_SUCCESS);
    DeviceArray<char> work(device_bytes + 1);
    std::vector<char> host_work(host_bytes + 1);
    CHECK(cusolverDnXsyevBatched(handle, params, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER,
                                 order, CUDA_R_64F, vectors, order, CUDA_R_64F, values, CUDA_R_64F,
                                 static_cast<char *>(work), device_bytes, host_work.data(),
                                 host_bytes, info, n_matrices) == CUSOLVER_STATUS_SUCCESS);
    check_pairs(a, v.read(), w.read(), info.read());
    CHECK(cusolverDnDestroyParams(params) == CUSOLVER_STATUS_SUCCESS);
    CHECK(cusolverDnDestroy(handle) == CUSOLVER_STATUS_SUCCESS);
}

} // namespace

const Case library_cases[] = {
    {"products_of_batches", products_of_batches},
    {"products_of_pointers", products_of_pointers},
    {"products_of_small_floats", products_of_small_floats},
    {"eigenvalues", eigenvalues},
    {"eigenvalues_of_any_type", eigenvalues_of_any_type},
    {nullptr, nullptr},
};
