#include "worker/blas_threads.h"

#include <cblas.h>
#include <omp.h>

int blas_threads_pin(void)
{
    const int before = omp_get_max_threads();
    openblas_set_num_threads(1); /* sets OpenMP's number, too, and follows it from then on */
    return before;
}

void blas_threads_restore(int before)
{
    omp_set_num_threads(before);
}
