// What the kernels need of CUDA, and how they are started. The tests compile the kernels for the
// processor instead (DAART_FAST_SHIM, tests/native/cuda).
#pragma once

#include <cstdint>

#ifdef DAART_FAST_SHIM
#include "shim.h"
#else
#include <cuda_runtime.h>
#endif

namespace daart_fast::cuda {

constexpr int kWarp = 32;
// Every kernel runs in blocks of four warps.
constexpr int kThreads = 128, kWarps = kThreads / kWarp;

#ifdef DAART_FAST_SHIM

template <typename Arguments>
void launch(void (*kernel)(Arguments), int64_t blocks, int shared_bytes, void*,
            const Arguments& arguments) {
    shim::run(blocks, kThreads, shared_bytes, [&] { kernel(arguments); });
}

__device__ inline unsigned char* shared_memory() {
    return shim::shared_memory();
}

#else

// Throws std::runtime_error with CUDA's own words where the call failed.
void check(cudaError_t error, const char* call);

template <typename Arguments>
void launch(void (*kernel)(Arguments), int64_t blocks, int shared_bytes, void* stream,
            const Arguments& arguments) {
    if (blocks == 0) return;
    void* list[] = {const_cast<Arguments*>(&arguments)};
    check(cudaLaunchKernel(reinterpret_cast<const void*>(kernel),
                           dim3(static_cast<unsigned>(blocks)), dim3(kThreads), list,
                           static_cast<size_t>(shared_bytes), static_cast<cudaStream_t>(stream)),
          "starting a kernel");
}

__device__ inline unsigned char* shared_memory() {
    extern __shared__ __align__(16) unsigned char memory[];
    return memory;
}

#endif

}  // namespace daart_fast::cuda
