// The weight gradient: dweight[o, c, k] = sum over frames of g[t, o] * x[t + k * dilation - pad,
// c]. A block of threads sums one segment of the frames for a tile of output channels, of input
// channels and of taps, and writes its sums beside those of the other segments; reduce.h adds them
// up in the order of the segments. No atomics: the same numbers come out every time.
#pragma once

#include "product.h"
#include "rows.h"

namespace daart_fast::cuda {

template <class N>
struct WeightJob {
    Sequences<N> x, g;  // g: the gradient of the convolution's own result
    int width, dilation, pad_left;
    // Frames are taken in chunks of Weigher::kFrames that never straddle two sequences.
    int chunks, chunks_of_sequence, chunks_of_segment;
    int out_tiles, in_tiles, tap_tiles;
    int64_t blocks = 0;
    // (segments, output channels, row): a row's elements are (tap, input channel), then the bias
    typename N::Sum* sums;

    __host__ __device__ int row_size() const { return width * x.channels + 1; }
};

template <class N>
class Weigher {
    using Stored = typename N::Stored;
    using Sum = typename N::Sum;
    static constexpr int kPitch = 40;  // as Depth's: no two threads meet in a bank
    static constexpr int kWarpChannels = 16;
    using Matrix = View<N, 1, kPitch>;

  public:
    static constexpr int kChannels = 32, kTaps = 3, kFrames = 32;
    static_assert(kChannels / kWarpChannels * (kChannels / kWarpChannels) == kWarps);

    // Bytes of shared memory: g, and what the taps read of x.
    static __host__ __device__ int shared_bytes(const WeightJob<N>& job) {
        const TapRows<kFrames> rows(0, job.dilation);
        return int(sizeof(Stored)) * kPitch * (kFrames + rows.rows(smaller(kTaps, job.width)));
    }

    __device__ __forceinline__ void run(const WeightJob<N>& job, int64_t block) {
        const int in_tile = int(block % job.in_tiles);
        block /= job.in_tiles;
        const int out_tile = int(block % job.out_tiles);
        block /= job.out_tiles;
        const int tap = int(block % job.tap_tiles) * kTaps;
        const int segment = int(block / job.tap_tiles);
        const int o = out_tile * kChannels, c = in_tile * kChannels;
        const int taps = smaller(kTaps, job.width - tap);
        const bool with_bias = in_tile == 0 && tap == 0;

        Stored* const g = reinterpret_cast<Stored*>(shared_memory());
        Stored* const x = g + kFrames * kPitch;
        const int warp = threadIdx.x / kWarp;
        const int warp_o = warp / 2 * kWarpChannels, warp_c = warp % 2 * kWarpChannels;
        WarpTile<N, kWarpChannels, kWarpChannels> sums[kTaps];
        Sum bias = Sum(0);  // of this thread's channel and every kWarps-th frame

        const int first = segment * job.chunks_of_segment;
        const int last = smaller(first + job.chunks_of_segment, job.chunks);
        for (int chunk = first; chunk < last; chunk++) {
            const int sequence = chunk / job.chunks_of_sequence;
            const int frame = chunk % job.chunks_of_sequence * kFrames;
            const TapRows<kFrames> rows(frame + tap * job.dilation - job.pad_left, job.dilation);
            __syncthreads();
            load_rows<N, kChannels, kPitch>(
                job.g, sequence, o, kFrames, [&](int row) { return frame + row; }, g);
            load_rows<N, kChannels, kPitch>(job.x, sequence, c, rows.rows(taps), rows, x);
            __syncthreads();
#pragma unroll
            for (int k = 0; k < kTaps; k++) {
                if (k >= taps) break;
                sums[k].multiply(Matrix{g + warp_o}, Matrix{x + k * rows.step * kPitch + warp_c},
                                 kFrames);
            }
            if (with_bias) bias += bias_of(job, sequence, frame, o);
        }

        Sum* const to = job.sums + int64_t(segment) * job.g.channels * job.row_size();
#pragma unroll
        for (int k = 0; k < kTaps; k++) {
            if (k >= taps) break;
            sums[k].each([&](int row, int column, Sum& v) {
                const int at_o = o + warp_o + row, at_c = c + warp_c + column;
                if (at_o >= job.g.channels || at_c >= job.x.channels) return;
                to[int64_t(at_o) * job.row_size() + (tap + k) * job.x.channels + at_c] = v;
            });
        }
        if (with_bias) write_bias(job, o, bias, to);
    }

  private:
    // The unrounded gradients of channel o + lane in every kWarps-th frame of a chunk.
    __device__ __forceinline__ Sum bias_of(const WeightJob<N>& job, int sequence, int frame,
                                           int o) {
        Sum sum = Sum(0);
        const int channel = o + int(threadIdx.x) % kWarp;
        if (channel >= job.g.channels) return sum;
        const Stored* from = job.g.data + sequence * job.g.stride + channel;
        const int end = smaller(frame + kFrames, job.g.frames);
        for (int t = frame + int(threadIdx.x) / kWarp; t < end; t += kWarps) {
            sum += N::sum(from[int64_t(t) * job.g.channels]);
        }
        return sum;
    }

    __device__ __forceinline__ void write_bias(const WeightJob<N>& job, int o, Sum bias, Sum* to) {
        static_assert(kChannels == kWarp);
        Sum* const shared = reinterpret_cast<Sum*>(shared_memory());
        __syncthreads();
        shared[threadIdx.x] = bias;
        __syncthreads();
        const int channel = o + int(threadIdx.x);
        if (threadIdx.x >= kWarp || channel >= job.g.channels) return;
        Sum sum = Sum(0);
        for (int i = 0; i < kWarps; i++) sum += shared[i * kWarp + threadIdx.x];
        to[int64_t(channel) * job.row_size() + job.row_size() - 1] = sum;
    }
};

}  // namespace daart_fast::cuda
