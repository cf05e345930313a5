/*
 * Launches. Part of cuda_runtime.h; CUDA_LAUNCH (worker/cuda/launch.h) is made of this.
 *
 * A launch has run to its end when the macro's call returns. Its errors come from
 * cudaGetLastError(), as those of <<<>>> do. Pointers among the arguments must point to device
 * memory or to pinned host memory (or be null): a kernel that is given another ends the program
 * with a message.
 */
#ifndef CUDA_EMULATION_LAUNCH_H
#define CUDA_EMULATION_LAUNCH_H

#include "cuda_emulation/host_api.h"

#include <tuple>
#include <utility>

namespace cuda_emulation
{

struct Launch {
    const char *name;
    const void *kernel;
    dim3 grid;
    dim3 block;
    size_t shared_bytes;
    cudaStream_t stream;
    void (*thread)(const void *context); /* runs the kernel for the current thread */
    const void *context;
};

void run_launch(const Launch &launch);
void check_argument(const char *kernel, size_t position, const void *pointer);

template <typename T> void check_value(const char *kernel, size_t position, const T &value)
{
    if constexpr (std::is_pointer<T>::value && !std::is_function<std::remove_pointer_t<T>>::value)
        check_argument(kernel, position, value);
}

template <typename... Parameters> struct BoundKernel {
    void (*kernel)(Parameters...);
    std::tuple<std::remove_cv_t<Parameters>...> arguments;

    static void thread(const void *context)
    {
        const BoundKernel *self = static_cast<const BoundKernel *>(context);
        std::apply(self->kernel, self->arguments);
    }

    template <size_t... I> void check(const char *name, std::index_sequence<I...>) const
    {
        (void)name; /* of a kernel without arguments */
        (check_value(name, I, std::get<I>(arguments)), ...);
    }
};

/* A launch that only lacks its arguments: a call, so that they are converted as for the kernel. */
template <typename... Parameters> struct Launcher {
    const char *name;
    void (*kernel)(Parameters...);
    dim3 grid;
    dim3 block;
    size_t shared_bytes;
    cudaStream_t stream;

    void operator()(Parameters... arguments) const
    {
        static_assert((!std::is_reference<Parameters>::value && ...), "parameters are values");
        using Bound = BoundKernel<Parameters...>;
        const Bound bound{kernel, {std::move(arguments)...}};
        bound.check(name, std::index_sequence_for<Parameters...>());
        run_launch(Launch{name, reinterpret_cast<const void *>(kernel), grid, block, shared_bytes,
                          stream, Bound::thread, &bound});
    }
};

template <typename... Parameters>
Launcher<Parameters...> launcher(const char *name, void (*kernel)(Parameters...), dim3 grid,
                                 dim3 block, size_t shared_bytes, cudaStream_t stream)
{
    return {name, kernel, grid, block, shared_bytes, stream};
}

} // namespace cuda_emulation

#endif
