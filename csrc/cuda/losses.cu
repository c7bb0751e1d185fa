// Sums are made in a fixed order, of blocks of frames that never straddle two sequences: first in
// each block of threads, then by one more launch over the blocks' sums.
#include <math.h>

#include "device.h"
#include "losses.h"

namespace daart_fast::cuda {
namespace {

constexpr unsigned kAll = 0xffffffffu;
constexpr int kSums = 4;  // of a block: the loss and its weight, what agrees and what was compared

template <typename T>
__device__ __forceinline__ T warp_sum(T v) {
#pragma unroll
    for (int apart = kWarp / 2; apart; apart /= 2) v += __shfl_xor_sync(kAll, v, apart);
    return v;
}

// Writes the sum over the block's threads of each of Count numbers. Shared memory: Count * kWarps.
template <int Count>
__device__ __forceinline__ void block_sums(const double (&own)[Count], double* to) {
    double* const parts = reinterpret_cast<double*>(shared_memory());
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
    __syncthreads();
#pragma unroll
    for (int j = 0; j < Count; j++) {
        const double sum = warp_sum(own[j]);
        if (lane == 0) parts[warp * Count + j] = sum;
    }
    __syncthreads();
    if (threadIdx.x >= Count) return;
    double sum = 0;
    for (int i = 0; i < kWarps; i++) sum += parts[i * Count + threadIdx.x];
    to[threadIdx.x] = sum;
}

// ---- means of blocks' sums ---------------------------------------------------------------------

template <typename T>
struct MeanJob {
    const double* sums;  // (batch, chunks, kSums)
    int batch, chunks;
    bool by_sequence;
    HeadMeans<T> means;
};

template <typename T>
__device__ __forceinline__ T mean_of(double sum, double weight, bool by_sequence) {
    if (weight > 0) return T(sum / weight);
    // a sum that is NaN was reported by a frame; no weight is no number for a sequence alone
    return by_sequence || sum != sum ? T(NAN) : T(0);
}

// A block of threads for each sequence, or one for the batch.
template <typename T>
__global__ void __launch_bounds__(kThreads) means_of_sums(MeanJob<T> job) {
    const int rows = job.by_sequence ? job.chunks : job.batch * job.chunks;
    const double* const sums = job.sums + int64_t(blockIdx.x) * rows * kSums;
    double own[kSums] = {};
    for (int row = threadIdx.x; row < rows; row += kThreads) {
#pragma unroll
        for (int j = 0; j < kSums; j++) own[j] += sums[row * kSums + j];
    }
    double* const all = reinterpret_cast<double*>(shared_memory()) + kWarps * kSums;
    block_sums(own, all);
    __syncthreads();
    const int at = int(blockIdx.x);
    if (threadIdx.x == 0) {
        job.means.loss[at] = mean_of<T>(all[0], all[1], job.by_sequence);
        if (job.means.agreement) {
            job.means.agreement[at] = mean_of<T>(all[2], all[3], job.by_sequence);
        }
    }
    const T factor = all[1] > 0 ? T(1 / all[1]) : T(0);
    if (job.by_sequence) {
        if (threadIdx.x == 0) job.means.factor[at] = factor;
    } else {
        for (int b = threadIdx.x; b < job.batch; b += kThreads) job.means.factor[b] = factor;
    }
}

template <typename T>
void start_means(const Queue& queue, const MeanJob<T>& job) {
    launch(means_of_sums<T>, job.by_sequence ? job.batch : 1, (kWarps + 1) * kSums * 8,
           queue.stream, job);
}

// ---- a head ------------------------------------------------------------------------------------

constexpr int kHeadFrames = 16;  // of a block of threads: its warps take turns

template <typename T>
struct HeadJob {
    HeadShape s;
    HeadLabels labels;
    const T *x, *weight, *bias, *class_weights;
    int64_t* targets;
    T* slopes;
    double* sums;
    int chunks;  // blocks of frames of a sequence
};

// The label of a frame if it counts, else -1.
__device__ __forceinline__ int64_t counted(const HeadLabels& l, const int64_t* labels, int at) {
    if (!labels || (l.mask && !l.mask[at])) return -1;
    return labels[at] == l.ignored || labels[at] < 0 ? -1 : labels[at];
}

// What a warp makes of a frame, whose labels are at `label`, its input at `in` and its slopes at
// `out`; `logits` is the warp's own memory for one number of each class.
template <typename T>
__device__ __forceinline__ void score(const HeadJob<T>& job, int label, int in, int out, T* logits,
                                      double (&sums)[kSums]) {
    const int lane = threadIdx.x % kWarp;
    const int classes = int(job.s.classes), channels = int(job.s.channels);
    int64_t target = counted(job.labels, job.labels.labels, label);
    const int64_t compared = counted(job.labels, job.labels.compared, label);
    if (counted(job.labels, job.labels.unless, label) >= 0) target = -1;
    const bool wrong = target >= classes;
    if (lane == 0) {
        job.targets[out] = wrong ? -1 : target;
        if (wrong) sums[0] = NAN;
        if (compared >= classes) sums[2] = NAN;
        if (compared >= 0) sums[3] += 1;
    }
    T* const slopes = job.slopes + int64_t(out) * classes;
    const bool scored = target >= 0 && !wrong;
    if (!scored) {
        for (int k = lane; k < classes; k += kWarp) slopes[k] = T(0);
        if (compared < 0) return;
    }
    const T* const x = job.x + int64_t(in) * channels;
    T largest = T(0), of_target = T(0);
    int likeliest = 0;
    for (int k = 0; k < classes; k++) {
        const T* const weight = job.weight + k * channels;
        T part = T(0);
        for (int c = lane; c < channels; c += kWarp) part += weight[c] * x[c];
        const T logit = warp_sum(part) + (job.bias ? job.bias[k] : T(0));
        if (k % kWarp == lane) logits[k] = logit;  // nobody else reads it
        if (k == 0 || logit > largest) {
            largest = logit;
            likeliest = k;
        }
        if (k == target) of_target = logit;
    }
    if (lane == 0 && likeliest == compared) sums[2] += 1;
    if (!scored) return;
    T part = T(0);
    for (int k = lane; k < classes; k += kWarp) {
        logits[k] = exp(logits[k] - largest);
        part += logits[k];
    }
    const T sum = warp_sum(part);
    const T weight = job.class_weights ? job.class_weights[target] : T(1);
    const T share = weight / sum;
    for (int k = lane; k < classes; k += kWarp) {
        slopes[k] = logits[k] * share - (k == target ? weight : T(0));
    }
    if (lane == 0) {
        sums[0] += double(weight * (log(sum) + (largest - of_target)));
        sums[1] += double(weight);
    }
}

template <typename T>
__global__ void __launch_bounds__(kThreads) head_kernel(HeadJob<T> job) {
    const int sequence = int(blockIdx.x) / job.chunks;
    const int begin = int(blockIdx.x) % job.chunks * kHeadFrames;
    const int warp = threadIdx.x / kWarp, first = int(job.s.first), scored = int(job.s.scored);
    T* const logits = reinterpret_cast<T*>(shared_memory()) + warp * int(job.s.classes);
    double sums[kSums] = {};
    for (int t = begin + warp; t < begin + kHeadFrames && t < scored; t += kWarps) {
        score(job, sequence * int(job.s.label_stride) + first + t,
              sequence * int(job.s.frames) + first + t, sequence * scored + t, logits, sums);
    }
    block_sums(sums, job.sums + int64_t(blockIdx.x) * kSums);
}

// Blocks of frames of a sequence.
int chunks_of(int64_t batch, int64_t frames, int64_t of_chunk) {
    return batch ? int((frames + of_chunk - 1) / of_chunk) : 0;
}

int64_t sums_bytes(int64_t batch, int64_t chunks) {
    return batch * chunks * kSums * int64_t(sizeof(double));
}

template <typename T>
struct HeadGradJob {
    HeadShape s;
    const T *x, *weight;
    const int64_t* targets;
    const T *slopes, *factor, *grad;
    bool by_sequence;
    T* dx;
    double* sums;  // (blocks, weights and biases), or null
    int chunks, of_chunk;
};

template <typename T>
__device__ __forceinline__ void frame_grad(const HeadGradJob<T>& job, int in, int out, T factor) {
    const int lane = threadIdx.x % kWarp;
    const int classes = int(job.s.classes), channels = int(job.s.channels);
    const bool counts = out >= 0 && job.targets[out] >= 0;
    const T* const slopes = counts ? job.slopes + int64_t(out) * classes : nullptr;
    for (int c = lane; c < channels; c += kWarp) {
        T sum = T(0);
        for (int k = 0; counts && k < classes; k++) sum += slopes[k] * job.weight[k * channels + c];
        job.dx[int64_t(in) * channels + c] = sum * factor;
    }
}

// dx of a block of frames, and what they add to the gradients of weights and biases.
template <typename T>
__global__ void __launch_bounds__(kThreads) head_grad_kernel(HeadGradJob<T> job) {
    const int sequence = int(blockIdx.x) / job.chunks;
    const int begin = int(blockIdx.x) % job.chunks * job.of_chunk;
    const int frames = int(job.s.frames), first = int(job.s.first), scored = int(job.s.scored);
    const int classes = int(job.s.classes), channels = int(job.s.channels);
    const int end = begin + job.of_chunk < frames ? begin + job.of_chunk : frames;
    const T factor = job.factor[sequence] * job.grad[job.by_sequence ? sequence : 0];
    for (int t = begin + int(threadIdx.x) / kWarp; job.dx && t < end; t += kWarps) {
        const bool inside = t >= first && t < first + scored;
        frame_grad(job, sequence * frames + t, inside ? sequence * scored + t - first : -1, factor);
    }
    if (!job.sums) return;
    const int low = begin > first ? begin : first;
    const int high = end < first + scored ? end : first + scored;
    const int weights = classes * channels;
    for (int e = threadIdx.x; e < weights + classes; e += kThreads) {
        const int k = e < weights ? e / channels : e - weights, c = e - k * channels;
        T sum = T(0);
        for (int t = low; t < high; t++) {
            const int out = sequence * scored + t - first;
            if (job.targets[out] < 0) continue;
            const T slope = job.slopes[int64_t(out) * classes + k];
            sum +=
                e < weights ? slope * job.x[int64_t(sequence * frames + t) * channels + c] : slope;
        }
        job.sums[int64_t(blockIdx.x) * (weights + classes) + e] = double(sum * factor);
    }
}

template <typename T>
struct WeightSumJob {
    const double* sums;  // (blocks, weights + biases)
    int blocks, weights, biases;
    T *dweight, *dbias;
};

// kWarp weights to a block of threads, whose warps share the rows.
template <typename T>
__global__ void __launch_bounds__(kThreads) sum_weights(WeightSumJob<T> job) {
    double* const parts = reinterpret_cast<double*>(shared_memory());
    const int row_size = job.weights + job.biases;
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
    const int e = int(blockIdx.x) * kWarp + lane;
    double sum = 0;
    for (int row = warp; e < row_size && row < job.blocks; row += kWarps) {
        sum += job.sums[int64_t(row) * row_size + e];
    }
    parts[threadIdx.x] = sum;
    __syncthreads();
    if (warp > 0 || e >= row_size) return;
    for (int i = 1; i < kWarps; i++) sum += parts[i * kWarp + lane];
    (e < job.weights ? job.dweight[e] : job.dbias[e - job.weights]) = T(sum);
}

// Frames of a block in the gradient's pass: its blocks' sums must be added up, so they are few.
int head_grad_frames(const HeadShape& s) {
    constexpr int64_t kFewest = 32, kMostBlocks = 1024;
    const int64_t share = (s.batch * s.frames + kMostBlocks - 1) / kMostBlocks;
    return int(share > kFewest ? share : kFewest);
}

// ---- squared errors ----------------------------------------------------------------------------

constexpr int kErrorFrames = 32;  // of a block of threads

template <typename T>
struct ErrorJob {
    ErrorShape s;
    const T *prediction, *target;
    const bool* mask;
    double* sums;
    int chunks;
};

// Prediction minus target, or 0 where that does not count.
template <typename T>
__device__ __forceinline__ T difference(const ErrorShape& s, const T* prediction, const T* target,
                                        const bool* mask, int sequence, int t, int c, bool& known) {
    const int first = int(s.first), stride = int(s.target_stride), ahead = int(s.ahead);
    known = t >= first && t < first + int(s.scored);
    if (!known) return T(0);
    const int at = sequence * stride + t;
    known = !mask || (mask[at] && mask[at + ahead]);
    if (!known) return T(0);
    const int channels = int(s.channels);
    const T wanted = target[int64_t(at + ahead) * channels + c];
    known = wanted == wanted;
    return known ? prediction[int64_t(sequence * int(s.frames) + t) * channels + c] - wanted : T(0);
}

template <typename T>
__global__ void __launch_bounds__(kThreads) error_kernel(ErrorJob<T> job) {
    const int sequence = int(blockIdx.x) / job.chunks, channels = int(job.s.channels);
    const int begin = int(job.s.first) + int(blockIdx.x) % job.chunks * kErrorFrames;
    double sums[kSums] = {};
    for (int i = threadIdx.x; i < kErrorFrames * channels; i += kThreads) {
        bool known;
        const T error = difference(job.s, job.prediction, job.target, job.mask, sequence,
                                   begin + i / channels, i % channels, known);
        sums[0] += double(error * error);
        sums[1] += known ? 1 : 0;
    }
    block_sums(sums, job.sums + int64_t(blockIdx.x) * kSums);
}

template <typename T>
struct ErrorGradJob {
    ErrorShape s;
    const T *prediction, *target;
    const bool* mask;
    const T *factor, *grad;
    bool by_sequence;
    T* dprediction;
    int count;
};

template <typename T>
__global__ void __launch_bounds__(kThreads) error_grad_kernel(ErrorGradJob<T> job) {
    const int i = int(blockIdx.x) * kThreads + int(threadIdx.x);
    if (i >= job.count) return;
    const int channels = int(job.s.channels), frames = int(job.s.frames);
    const int row = i / channels, sequence = row / frames;
    bool known;
    const T error = difference(job.s, job.prediction, job.target, job.mask, sequence,
                               row - sequence * frames, i - row * channels, known);
    const T factor = job.factor[sequence] * job.grad[job.by_sequence ? sequence : 0];
    job.dprediction[i] = known ? 2 * factor * error : T(0);
}

// ---- the passes --------------------------------------------------------------------------------

template <typename T>
struct Losses {
    static int64_t head_bytes(const HeadShape& s) {
        return sums_bytes(s.batch, chunks_of(s.batch, s.scored, kHeadFrames));
    }

    static void head(const Queue& queue, const HeadShape& s, bool by_sequence, const T* x,
                     const T* weight, const T* bias, const HeadLabels& labels,
                     const T* class_weights, int64_t* targets, T* slopes, const HeadMeans<T>& means,
                     void* workspace) {
        double* const sums = static_cast<double*>(workspace);
        const int chunks = chunks_of(s.batch, s.scored, kHeadFrames);
        const int logits = kWarps * int(s.classes) * int(sizeof(T)), rest = kWarps * kSums * 8;
        launch(
            head_kernel<T>, s.batch * chunks, logits > rest ? logits : rest, queue.stream,
            HeadJob<T>{s, labels, x, weight, bias, class_weights, targets, slopes, sums, chunks});
        start_means(queue, MeanJob<T>{sums, int(s.batch), chunks, by_sequence, means});
    }

    static int64_t head_grad_bytes(const HeadShape& s) {
        const int64_t row = s.classes * (s.channels + 1) * int64_t(sizeof(double));
        return s.batch * chunks_of(s.batch, s.frames, head_grad_frames(s)) * row;
    }

    static void head_grad(const Queue& queue, const HeadShape& s, bool by_sequence, const T* x,
                          const T* weight, const int64_t* targets, const T* slopes, const T* factor,
                          const T* grad, T* dx, T* dweight, T* dbias, void* workspace) {
        const int of_chunk = head_grad_frames(s), chunks = chunks_of(s.batch, s.frames, of_chunk);
        double* const sums = dweight ? static_cast<double*>(workspace) : nullptr;
        launch(head_grad_kernel<T>, s.batch * chunks, 0, queue.stream,
               HeadGradJob<T>{s, x, weight, targets, slopes, factor, grad, by_sequence, dx, sums,
                              chunks, of_chunk});
        if (!dweight) return;
        const int weights = int(s.classes * s.channels), biases = int(s.classes);
        launch(sum_weights<T>, (weights + biases + kWarp - 1) / kWarp, kThreads * 8, queue.stream,
               WeightSumJob<T>{sums, int(s.batch) * chunks, weights, biases, dweight, dbias});
    }

    static int64_t error_bytes(const ErrorShape& s) {
        return sums_bytes(s.batch, chunks_of(s.batch, s.scored, kErrorFrames));
    }

    static void error(const Queue& queue, const ErrorShape& s, bool by_sequence,
                      const T* prediction, const T* target, const bool* mask,
                      const HeadMeans<T>& means, void* workspace) {
        double* const sums = static_cast<double*>(workspace);
        const int chunks = chunks_of(s.batch, s.scored, kErrorFrames);
        launch(error_kernel<T>, s.batch * chunks, kWarps * kSums * 8, queue.stream,
               ErrorJob<T>{s, prediction, target, mask, sums, chunks});
        start_means(queue, MeanJob<T>{sums, int(s.batch), chunks, by_sequence, means});
    }

    static void error_grad(const Queue& queue, const ErrorShape& s, bool by_sequence,
                           const T* prediction, const T* target, const bool* mask, const T* factor,
                           const T* grad, T* dprediction) {
        const int count = int(s.batch * s.frames * s.channels);
        launch(error_grad_kernel<T>, (int64_t(count) + kThreads - 1) / kThreads, 0, queue.stream,
               ErrorGradJob<T>{s, prediction, target, mask, factor, grad, by_sequence, dprediction,
                               count});
    }

    static constexpr LossPasses<T> all() {
        return {head_bytes, head_grad_bytes, error_bytes, head, head_grad, error, error_grad};
    }
};

}  // namespace

const LossPasses<float> losses32 = Losses<float>::all();
const LossPasses<double> losses64 = Losses<double>::all();

}  // namespace daart_fast::cuda
