/* OpenBLAS on one thread: its results depend on the number of threads. */
#ifndef CUDA_EMULATION_OPENBLAS_H
#define CUDA_EMULATION_OPENBLAS_H

#include <cblas.h>
#include <omp.h>

namespace cuda_emulation
{

/* While one exists. Setting OpenBLAS's number sets OpenMP's for the calling thread, too. */
class OneBlasThread
{
  public:
    OneBlasThread() : before_(omp_get_max_threads())
    {
        openblas_set_num_threads(1);
    }
    ~OneBlasThread()
    {
        omp_set_num_threads(before_);
    }
    OneBlasThread(const OneBlasThread &) = delete;
    OneBlasThread &operator=(const OneBlasThread &) = delete;

  private:
    int before_;
};

} // namespace cuda_emulation

#endif
