// The kernels of a backward pass: the gates, one step of gradients, and the sums of segments.
#pragma once

#include "convolve.h"
#include "weigh.h"

namespace daart_fast::cuda {

// outer = dy * the activation's derivative at gate; inner = what the epilogue makes of outer.
// Either may be null.
template <class N>
struct GateJob {
    const typename N::Stored *dy, *gate;
    Activation activation;
    Finish<N> finish;  // only what leads to `inner`
    int frames;
    int64_t count;
    typename N::Stored *outer, *inner;
};

template <class N>
__global__ void __launch_bounds__(kThreads) gate(GateJob<N> job) {
    const int64_t at = int64_t(blockIdx.x) * kThreads + threadIdx.x;
    if (at >= job.count) return;
    const auto v = times_derivative(N::sum(job.dy[at]), N::sum(job.gate[at]), job.activation);
    if (job.outer) job.outer[at] = N::stored(v);
    if (!job.inner) return;
    const int channels = job.finish.channels;
    const int sequence = int(at / channels / job.frames);
    job.inner[at] = N::stored(job.finish.to_inner(v, sequence, int(at % channels), at));
}

// An input gradient and weight gradients that need not wait for each other: the blocks of one
// launch are dealt to them in this order.
template <class N>
struct GradientStep {
    static constexpr int kWeightJobs = 2;
    ConvJob<N> input;
    WeightJob<N> weights[kWeightJobs];
};

template <class N, class Tiling>
__global__ void __launch_bounds__(kThreads) gradients(GradientStep<N> step) {
    int64_t block = blockIdx.x;
    if (block < step.input.blocks) {
        Convolver<N, Tiling>().run(step.input, block);
        return;
    }
    block -= step.input.blocks;
    const bool second = block >= step.weights[0].blocks;
    if (second) block -= step.weights[0].blocks;
    Weigher<N>().run(step.weights[second], block);
}

// Adds up the segments of one weight gradient and takes it through the weight normalisation:
// weight = v * gain / norm, row by row.
template <class N>
struct ReduceJob {
    using Stored = typename N::Stored;
    int rows = 0, row_size, channels, width, segments;  // row_size and sums as in WeightJob
    typename N::Sum* sums;
    const Stored *v = nullptr, *gain = nullptr;  // gain null: not normalised
    const typename N::Sum* norms = nullptr;
    Stored *dweight, *dgain, *dbias;  // dbias may be null
};

template <class N>
struct ReduceStep {
    static constexpr int kJobs = 3;
    ReduceJob<N> jobs[kJobs];
};

// The sum of all threads' values, in every thread.
template <class Sum>
__device__ __forceinline__ Sum sum_of_block(Sum v) {
    Sum* const shared = reinterpret_cast<Sum*>(shared_memory());
    for (int apart = kWarp / 2; apart > 0; apart /= 2) {
        v += __shfl_xor_sync(0xffffffffu, v, apart);
    }
    if (threadIdx.x % kWarp == 0) shared[threadIdx.x / kWarp] = v;
    __syncthreads();
    v = Sum(0);
    for (int i = 0; i < kWarps; i++) v += shared[i];
    return v;
}

// A block for each row.
template <class N>
__global__ void __launch_bounds__(kThreads) reduce(ReduceStep<N> step) {
    using Sum = typename N::Sum;
    int row = blockIdx.x, number = 0;
    while (row >= step.jobs[number].rows) row -= step.jobs[number++].rows;
    const ReduceJob<N>& job = step.jobs[number];

    Sum* const sums = job.sums + int64_t(row) * job.row_size;
    const int64_t segment = int64_t(job.rows) * job.row_size;
    const int64_t at_row = int64_t(row) * (job.row_size - 1);
    const auto place = [&](int e) {  // (tap, channel) -> (channel, tap)
        return at_row + e % job.channels * job.width + e / job.channels;
    };
    Sum dot = Sum(0);
    for (int e = threadIdx.x; e < job.row_size; e += kThreads) {
        Sum sum = Sum(0);
#pragma unroll 4
        for (int i = 0; i < job.segments; i++) sum += sums[i * segment + e];
        if (e == job.row_size - 1) {
            if (job.dbias) job.dbias[row] = N::stored(sum);
            break;
        }
        if (!job.gain) {
            job.dweight[place(e)] = N::stored(sum);
            continue;
        }
        sums[e] = sum;  // this thread alone reads it again
        dot += sum * N::sum(job.v[place(e)]);
    }
    if (!job.gain) return;
    dot = sum_of_block(dot);
    const Sum norm = job.norms[row], factor = N::sum(job.gain[row]) / norm;
    for (int e = threadIdx.x; e < job.row_size - 1; e += kThreads) {
        const Sum along = N::sum(job.v[place(e)]) * dot / (norm * norm);
        job.dweight[place(e)] = N::stored(factor * (sums[e] - along));
    }
    if (threadIdx.x == 0) job.dgain[row] = N::stored(dot / norm);
}

}  // namespace daart_fast::cuda
