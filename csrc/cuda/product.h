// The product of two tiles in shared memory, summed in a warp's registers: on the tensor cores, or
// by multiply-adds of each thread.
#pragma once

#include "numbers.h"

namespace daart_fast::cuda {

// A matrix in shared memory: element (i, depth) lies at data[i * Step + depth * DepthStep].
template <class N, int Step, int DepthStep>
struct View {
    using Stored = typename N::Stored;
    const Stored* data;

    __device__ __forceinline__ Stored operator()(int i, int depth) const {
        return data[i * Step + depth * DepthStep];
    }
};

// d (16 x 8) += a (16 x 8) b (8 x 8), spread over a warp's registers as the PTX manual says.
__device__ __forceinline__ void multiply_add(Tf32, float (&d)[4], const uint32_t (&a)[4],
                                             const uint32_t (&b)[2]) {
#ifdef DAART_FAST_SHIM
    shim::multiply_tf32(d, a, b);
#else
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// d (16 x 8) += a (16 x 16) b (16 x 8)
__device__ __forceinline__ void multiply_add(Bf16, float (&d)[4], const uint32_t (&a)[4],
                                             const uint32_t (&b)[2]) {
#ifdef DAART_FAST_SHIM
    shim::multiply_bfloat16(d, a, b);
#else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// The register that holds depth `quarter` (of four) of a step's half `half`, of row i.
template <int Step, int DepthStep>
__device__ __forceinline__ uint32_t operand(const View<Tf32, Step, DepthStep>& m, int i, int depth,
                                            int quarter, int half) {
    const float v = m(i, depth + half * 4 + quarter);
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

template <int Step, int DepthStep>
__device__ __forceinline__ uint32_t operand(const View<Bf16, Step, DepthStep>& m, int i, int depth,
                                            int quarter, int half) {
    const int first = depth + half * 8 + quarter * 2;
    if (DepthStep == 1) return *reinterpret_cast<const uint32_t*>(&m.data[i * Step + first]);
    return uint32_t(m(i, first).bits) | uint32_t(m(i, first + 1).bits) << 16;
}

// A warp's Rows x Columns tile of sums.
template <class N, int Rows, int Columns, bool TensorCores = N::kTensorCores>
class WarpTile {
    static constexpr int kRowTiles = Rows / 16, kColumnTiles = Columns / 8;
    static_assert(Rows % 16 == 0 && Columns % 8 == 0);

  public:
    // Adds a (Rows x depth) times b, given as Columns x depth; depth is a multiple of N::kStep.
    template <class A, class B>
    __device__ __forceinline__ void multiply(const A& a, const B& b, int depth) {
        const int lane = threadIdx.x % kWarp, group = lane / 4, quarter = lane % 4;
        for (int k = 0; k < depth; k += N::kStep) {
            uint32_t left[kRowTiles][4], right[kColumnTiles][2];
#pragma unroll
            for (int i = 0; i < kRowTiles; i++) {
#pragma unroll
                for (int part = 0; part < 4; part++) {
                    left[i][part] = operand(a, i * 16 + group + part % 2 * 8, k, quarter, part / 2);
                }
            }
#pragma unroll
            for (int j = 0; j < kColumnTiles; j++) {
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    right[j][half] = operand(b, j * 8 + group, k, quarter, half);
                }
            }
#pragma unroll
            for (int i = 0; i < kRowTiles; i++) {
#pragma unroll
                for (int j = 0; j < kColumnTiles; j++) {
                    multiply_add(N{}, sums_[i][j], left[i], right[j]);
                }
            }
        }
    }

    // Calls visit(row, column, sum) for each of this thread's sums; it may change them.
    template <class Visit>
    __device__ __forceinline__ void each(const Visit& visit) {
        const int lane = threadIdx.x % kWarp, group = lane / 4, quarter = lane % 4;
#pragma unroll
        for (int i = 0; i < kRowTiles; i++) {
#pragma unroll
            for (int j = 0; j < kColumnTiles; j++) {
#pragma unroll
                for (int part = 0; part < 4; part++) {
                    visit(i * 16 + group + part / 2 * 8, j * 8 + quarter * 2 + part % 2,
                          sums_[i][j][part]);
                }
            }
        }
    }

  private:
    float sums_[kRowTiles][kColumnTiles][4] = {};
};

template <class N, int Rows, int Columns>
class WarpTile<N, Rows, Columns, false> {
    using Sum = typename N::Sum;
    static constexpr int kRows = Rows / 8, kColumns = Columns / 4;  // of a thread
    static_assert(Rows % 8 == 0 && Columns % 4 == 0);

  public:
    template <class A, class B>
    __device__ __forceinline__ void multiply(const A& a, const B& b, int depth) {
        const int lane = threadIdx.x % kWarp, group = lane / 4, quarter = lane % 4;
        for (int k = 0; k < depth; k++) {
            Sum left[kRows], right[kColumns];
#pragma unroll
            for (int i = 0; i < kRows; i++) left[i] = N::sum(a(group + i * 8, k));
#pragma unroll
            for (int j = 0; j < kColumns; j++) right[j] = N::sum(b(quarter + j * 4, k));
#pragma unroll
            for (int i = 0; i < kRows; i++) {
#pragma unroll
                for (int j = 0; j < kColumns; j++) sums_[i][j] += left[i] * right[j];
            }
        }
    }

    template <class Visit>
    __device__ __forceinline__ void each(const Visit& visit) {
        const int lane = threadIdx.x % kWarp, group = lane / 4, quarter = lane % 4;
#pragma unroll
        for (int i = 0; i < kRows; i++) {
#pragma unroll
            for (int j = 0; j < kColumns; j++) {
                visit(group + i * 8, quarter + j * 4, sums_[i][j]);
            }
        }
    }

  private:
    Sum sums_[kRows][kColumns] = {};
};

}  // namespace daart_fast::cuda
