// A dilated convolution as a product of tiles: a block of threads makes Rows frames of Columns
// channels of one sequence. The input gradient is the same with the weights turned round.
#pragma once

#include "finish.h"
#include "product.h"
#include "rows.h"

namespace daart_fast::cuda {

// Warps lie over a block's tile as over a sheet, WarpRows x WarpColumns each.
template <int Rows, int Columns, int WarpRows, int WarpColumns>
struct Tiling {
    static constexpr int kRows = Rows, kColumns = Columns;
    static constexpr int kWarpRows = WarpRows, kWarpColumns = WarpColumns;
    static_assert(Rows / WarpRows * (Columns / WarpColumns) == kWarps);
};
using SmallTiling = Tiling<32, 16, 16, 8>;    // many blocks, where there are few frames
using LargeTiling = Tiling<128, 32, 32, 32>;  // few loads, where there are many

// Tiles of frames and of weights hold 64 bytes of channels, 80 bytes apart: no two threads of a
// warp then meet in a bank when they read the operands of a product.
template <class N>
struct Depth {
    static constexpr int kChannels = 64 / sizeof(typename N::Stored);
    static constexpr int kPitch = 80 / sizeof(typename N::Stored);
    static constexpr int kPad = 16 / sizeof(typename N::Stored);  // between two taps' weights
};

// A tensor and the weights it is multiplied by. weight[j * out_step + i * in_step + k * tap_step]
// is that of output channel j, input channel i, tap k.
template <class N>
struct Operand {
    using Stored = typename N::Stored;
    using Sum = typename N::Sum;

    Sequences<N> from;
    const Stored* weight = nullptr;  // null: there is no such operand
    bool turned = false;  // a row of the parameter is an input channel, not an output channel
    int out_step, in_step, tap_step;
    int width, dilation, pad_left;
    int taps_at_once;
    // Weight normalisation multiplies a row of the parameter by gain / norm. Where the rows are
    // output channels the norms are found on the way; where they are turned they are given.
    const Stored* gain = nullptr;
    const Sum* norms = nullptr;
};

template <class N>
struct ConvJob {
    Operand<N> main, extra;  // the extra one is added after the first half of the epilogue
    int batch = 0, frames = 0, frame_tiles, channel_tiles;
    int64_t blocks = 0;
    Finish<N> finish;
    const typename N::Stored* extra_bias = nullptr;
    typename N::Sum* norms_found = nullptr;  // (channels), or null
    typename N::Stored* y;                   // contiguous
};

template <class N, class Tiling>
class Convolver {
    using Stored = typename N::Stored;
    using Sum = typename N::Sum;
    using D = Depth<N>;
    using Matrix = View<N, D::kPitch, 1>;
    static constexpr int kTapStep = Tiling::kColumns * D::kPitch + D::kPad;

  public:
    // Bytes of shared memory: squares of the weights; frames and weights, later the sums.
    static __host__ __device__ int shared_bytes(const Operand<N>& in) {
        const TapRows<Tiling::kRows> rows(0, in.dilation);
        const int tiles = int(sizeof(Stored)) *
                          (rows.rows(in.taps_at_once) * D::kPitch + in.taps_at_once * kTapStep);
        return kSquaresBytes + (tiles > kSumsBytes ? tiles : kSumsBytes);
    }

    __device__ __forceinline__ void run(const ConvJob<N>& job, int64_t block) {
        const int columns = int(block % job.channel_tiles);
        const int64_t tile = block / job.channel_tiles;
        sequence_ = int(tile / job.frame_tiles);
        frame_ = int(tile % job.frame_tiles) * Tiling::kRows;
        channel_ = columns * Tiling::kColumns;
        const int warp = threadIdx.x / kWarp;
        constexpr int kWarpsAcross = Tiling::kColumns / Tiling::kWarpColumns;
        warp_row_ = warp / kWarpsAcross * Tiling::kWarpRows;
        warp_column_ = warp % kWarpsAcross * Tiling::kWarpColumns;
        squares_ = reinterpret_cast<Sum*>(shared_memory());
        tiles_ = reinterpret_cast<Stored*>(shared_memory() + kSquaresBytes);

        const bool normalises = job.main.gain && !job.main.turned;
        if (normalises && threadIdx.x < Tiling::kColumns) squares_[threadIdx.x] = Sum(0);
        add(job.main, job.finish.channels);
        share_sums();
        if (normalises && job.norms_found && tile == 0) keep_norms(job);
        each_shared(job, [&](int c, int64_t at, Sum& v) {
            if (normalises) v *= N::sum(job.main.gain[c]) / sqrt(squares_[c - channel_]);
            v = job.finish.to_inner(v, sequence_, c, at);
            if (!job.extra.weight) job.y[at] = N::stored(job.finish.to_outer(v, at));
        });
        if (!job.extra.weight) return;
        take_sums();
        add(job.extra, job.finish.channels);
        share_sums();
        each_shared(job, [&](int c, int64_t at, Sum& v) {
            if (job.extra_bias) v += N::sum(job.extra_bias[c]);
            job.y[at] = N::stored(job.finish.to_outer(v, at));
        });
    }

  private:
    static constexpr int kSquaresBytes = Tiling::kColumns * int(sizeof(Sum));
    static constexpr int kSumsPitch = Tiling::kColumns + 4;
    static constexpr int kSumsBytes = Tiling::kRows * kSumsPitch * int(sizeof(Sum));

    __device__ __forceinline__ void add(const Operand<N>& in, int channels_out) {
        Stored* const frames = tiles_;
        for (int tap = 0; tap < in.width; tap += in.taps_at_once) {
            const int taps = smaller(in.taps_at_once, in.width - tap);
            const TapRows<Tiling::kRows> rows(frame_ + tap * in.dilation - in.pad_left,
                                              in.dilation);
            Stored* const weights = frames + rows.rows(taps) * D::kPitch;
            for (int c = 0; c < in.from.channels; c += D::kChannels) {
                __syncthreads();
                load_rows<N, D::kChannels, D::kPitch>(in.from, sequence_, c, rows.rows(taps), rows,
                                                      frames);
                load_weights(in, channels_out, c, tap, taps, weights);
                __syncthreads();
                const int left = smaller(in.from.channels - c, D::kChannels);
                const int depth = (left + N::kStep - 1) / N::kStep * N::kStep;
                for (int k = 0; k < taps; k++) {
                    const Matrix x{frames + (warp_row_ + k * rows.step) * D::kPitch};
                    const Matrix w{weights + k * kTapStep + warp_column_ * D::kPitch};
                    sums_.multiply(x, w, depth);
                }
            }
        }
    }

    // Taps [tap, tap + taps) of the weights of this block's output channels and D::kChannels input
    // channels, zero beyond the last: (tap, output channel, input channel). A warp takes a row of
    // the parameter, whose taps lie side by side.
    __device__ __forceinline__ void load_weights(const Operand<N>& in, int channels_out,
                                                 int channel_in, int tap, int taps, Stored* to) {
        const int rows = in.turned ? D::kChannels : Tiling::kColumns;
        const int others = in.turned ? Tiling::kColumns : D::kChannels;
        const int lane = threadIdx.x % kWarp, next_other = kWarp / taps, next_tap = kWarp % taps;
        for (int row = threadIdx.x / kWarp; row < rows; row += kWarps) {
            Sum squares = Sum(0), factor = Sum(1);
            if (in.turned && in.gain && channel_in + row < in.from.channels) {
                factor = N::sum(in.gain[channel_in + row]) / in.norms[channel_in + row];
            }
            int other = lane / taps, k = lane % taps;
#pragma unroll 4
            for (int e = lane; e < others * taps; e += kWarp) {
                const int i = in.turned ? row : other, j = in.turned ? other : row;
                Sum v = Sum(0);
                if (channel_in + i < in.from.channels && channel_ + j < channels_out) {
                    v = N::sum(in.weight[(channel_ + j) * in.out_step +
                                         (channel_in + i) * in.in_step + (tap + k) * in.tap_step]);
                }
                squares += v * v;
                to[k * kTapStep + j * D::kPitch + i] = N::rounded(N::stored(v * factor));
                other += next_other;
                k += next_tap;
                if (k >= taps) {
                    k -= taps;
                    other++;
                }
            }
            if (!in.gain || in.turned) continue;
            for (int apart = kWarp / 2; apart > 0; apart /= 2) {
                squares += __shfl_xor_sync(0xffffffffu, squares, apart);
            }
            if (lane == 0) squares_[row] += squares;
        }
    }

    __device__ __forceinline__ void keep_norms(const ConvJob<N>& job) {
        const int c = channel_ + int(threadIdx.x);
        if (threadIdx.x < Tiling::kColumns && c < job.finish.channels) {
            job.norms_found[c] = sqrt(squares_[threadIdx.x]);
        }
    }

    // The sums go through shared memory, so that neighbouring threads finish neighbouring channels.
    __device__ __forceinline__ void share_sums() {
        __syncthreads();
        sums_.each([&](int row, int column, Sum& v) { *shared_sum(row, column) = v; });
        __syncthreads();
    }
    __device__ __forceinline__ void take_sums() {
        __syncthreads();
        sums_.each([&](int row, int column, Sum& v) { v = *shared_sum(row, column); });
    }
    __device__ __forceinline__ Sum* shared_sum(int row, int column) {
        return sums_shared() + (warp_row_ + row) * kSumsPitch + warp_column_ + column;
    }
    __device__ __forceinline__ Sum* sums_shared() { return reinterpret_cast<Sum*>(tiles_); }

    // visit(channel, place in y, sum) for each sum that belongs to the result.
    template <class Visit>
    __device__ __forceinline__ void each_shared(const ConvJob<N>& job, const Visit& visit) {
#pragma unroll 1
        for (int e = threadIdx.x; e < Tiling::kRows * Tiling::kColumns; e += kThreads) {
            const int row = e / Tiling::kColumns, column = e % Tiling::kColumns;
            const int t = frame_ + row, c = channel_ + column;
            if (t >= job.frames || c >= job.finish.channels) continue;
            visit(c, (int64_t(sequence_) * job.frames + t) * job.finish.channels + c,
                  sums_shared()[row * kSumsPitch + column]);
        }
    }

    int sequence_, frame_, channel_, warp_row_, warp_column_;
    Sum* squares_;
    Stored* tiles_;
    WarpTile<N, Tiling::kWarpRows, Tiling::kWarpColumns> sums_;
};

template <class N, class Tiling>
__global__ void __launch_bounds__(kThreads) convolve(ConvJob<N> job) {
    Convolver<N, Tiling>().run(job, blockIdx.x);
}

}  // namespace daart_fast::cuda
