// Enough of CUDA to run the kernels' own source on the processor: a block's threads are fibres that
// take turns, so that barriers, shuffles and the tensor cores' products wait for each other as they
// do on a GPU, and AddressSanitizer sees every access. Shared memory is as large as the launch says
// and starts as NaNs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

#define __device__
#define __host__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(threads)

namespace shim {

struct Index {
    unsigned x;
};
extern Index thread_index, block_index;

// The order in which a block's threads take turns: results must not depend on it.
enum class Turns { ascending, descending };
extern Turns turns;

// How many kernels were started, and of how many blocks the last one was.
extern int launches;

void run(int64_t blocks, int threads, int shared_bytes, const std::function<void()>& kernel);
unsigned char* shared_memory();

void wait_for_block();

// Every lane of a warp brings a value; the last to come calls all(lanes' values).
void wait_for_warp(const char* what, void* value, void (*all)(void** lanes));

// As the instructions round: to the nearest, ties away from zero, and ties to even.
float tf32(float v);
uint16_t bfloat16_bits(float v);

// mma.m16n8k8 for tf32 and mma.m16n8k16 for bfloat16, with the PTX manual's distribution of the
// matrices over the lanes' registers.
void multiply_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
void multiply_bfloat16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);

template <typename T>
T shuffle_xor(T value, int apart) {
    struct Lane {
        T value, given;
        int apart;
    } mine{value, value, apart};
    wait_for_warp("shuffle", &mine, [](void** lanes) {
        for (int i = 0; i < 32; i++) {
            auto* lane = static_cast<Lane*>(lanes[i]);
            lane->value = static_cast<Lane*>(lanes[i ^ lane->apart])->given;
        }
    });
    return mine.value;
}

}  // namespace shim

#define threadIdx (::shim::thread_index)
#define blockIdx (::shim::block_index)
#define __syncthreads ::shim::wait_for_block
#define __shfl_xor_sync(mask, value, apart) ::shim::shuffle_xor(value, apart)
