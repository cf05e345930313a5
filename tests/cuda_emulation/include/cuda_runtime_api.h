/* Stands for CUDA's header of this name in an emulated build: tests/cuda_emulation. */
#ifndef CUDA_EMULATION_CUDA_RUNTIME_API_H
#define CUDA_EMULATION_CUDA_RUNTIME_API_H

#include "cuda_emulation/host_api.h"

#endif
