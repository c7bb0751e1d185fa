// The numbers that a kernel computes in. Stored is what tensors hold, Sum what products are summed
// in; a tile in shared memory holds Stored, rounded to what the product takes.
#pragma once

#include <cstring>

#include "device.h"
#include "interface.h"

namespace daart_fast::cuda {

__device__ __forceinline__ float to_float(Bfloat16 v) {
    const uint32_t bits = uint32_t(v.bits) << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

// To the nearest; of two, the even one.
__device__ __forceinline__ Bfloat16 to_bfloat16(float f) {
#ifdef DAART_FAST_SHIM
    return {shim::bfloat16_bits(f)};
#else
    uint16_t bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(f));
    return {bits};
#endif
}

// To the nearest number with 10 bits of mantissa; of two, the one further from zero.
__device__ __forceinline__ float to_tf32(float f) {
#ifdef DAART_FAST_SHIM
    return shim::tf32(f);
#else
    uint32_t bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(f));
    return __uint_as_float(bits);
#endif
}

struct Float32 {
    using Stored = float;
    using Sum = float;
    static constexpr bool kTensorCores = false;
    static constexpr int kStep = 1;  // depth of one product
    __device__ static float sum(float v) { return v; }
    __device__ static float stored(float v) { return v; }
    __device__ static float rounded(float v) { return v; }
};

struct Tf32 : Float32 {
    static constexpr bool kTensorCores = true;
    static constexpr int kStep = 8;
    __device__ static float rounded(float v) { return to_tf32(v); }
};

struct Bf16 {
    using Stored = Bfloat16;
    using Sum = float;
    static constexpr bool kTensorCores = true;
    static constexpr int kStep = 16;
    __device__ static float sum(Bfloat16 v) { return to_float(v); }
    __device__ static Bfloat16 stored(float v) { return to_bfloat16(v); }
    __device__ static Bfloat16 rounded(Bfloat16 v) { return v; }
};

struct Float64 {
    using Stored = double;
    using Sum = double;
    static constexpr bool kTensorCores = false;
    static constexpr int kStep = 1;
    __device__ static double sum(double v) { return v; }
    __device__ static double stored(double v) { return v; }
    __device__ static double rounded(double v) { return v; }
};

// 16 bytes of numbers, moved at once.
template <class N>
struct alignas(16) Pack {
    static constexpr int kSize = 16 / sizeof(typename N::Stored);
    typename N::Stored v[kSize];
};

__host__ __device__ inline int smaller(int a, int b) {
    return a < b ? a : b;
}

}  // namespace daart_fast::cuda
