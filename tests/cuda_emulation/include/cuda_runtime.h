/* Stands for CUDA's header of this name in an emulated build: tests/cuda_emulation. */
#ifndef CUDA_EMULATION_CUDA_RUNTIME_H
#define CUDA_EMULATION_CUDA_RUNTIME_H

#include "cuda_emulation/errors.h"
#include "cuda_emulation/types.h"

#include "cuda_emulation/host_api.h"

#include "cuda_emulation/atomics.h"
#include "cuda_emulation/builtins.h"
#include "cuda_emulation/launch.h"
#include "cuda_emulation/math.h"

#endif
