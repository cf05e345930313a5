/*
 * OpenBLAS on one thread.
 *
 * OpenBLAS splits a product or a factorisation by the number of threads it finds, and another
 * split adds up in another order: results would depend on OMP_NUM_THREADS in their last digits.
 * So every call here is made on one thread, and parallelism is ours, outside of it.
 */
#ifndef WORKER_BLAS_THREADS_H
#define WORKER_BLAS_THREADS_H

/* From now on, for the calling thread. Returns what blas_threads_restore() takes. */
int blas_threads_pin(void);
/* Gives the calling thread back the number of OpenMP threads that its program had set. */
void blas_threads_restore(int before);

#endif
