// The passes (interface.h) as launches: two for a block's forward pass, four for its backward pass.
// Included by one source file for each kind of numbers, so that they compile side by side.
#pragma once

#include <algorithm>

#include "backward.h"
#include "interface.h"

namespace daart_fast::cuda {

// What a block of threads may have without asking for more, on every device.
constexpr int kSharedBytes = 48 * 1024;
// Beyond so many bytes of partial sums, longer segments of frames.
constexpr int64_t kMostSums = int64_t(256) << 20;
// Chunks of frames in a segment, at most: longer sums in float32 would be less accurate.
constexpr int kMostChunks = 64;

inline int64_t divided_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

// Hands out parts of a workspace, or, from null, only counts its bytes.
class Workspace {
  public:
    explicit Workspace(void* memory) : memory_(static_cast<unsigned char*>(memory)) {}

    template <typename T>
    T* take(int64_t count) {
        unsigned char* const part = memory_ ? memory_ + bytes_ : nullptr;
        bytes_ += divided_up(count * int64_t(sizeof(T)), 256) * 256;
        return reinterpret_cast<T*>(part);
    }
    int64_t bytes() const { return bytes_; }

  private:
    unsigned char* memory_;
    int64_t bytes_ = 0;
};

template <class N>
class Launcher {
    using Stored = typename N::Stored;
    using Sum = typename N::Sum;
    using Job = ConvJob<N>;

  public:
    static void conv_forward(const Queue& queue, const ConvShape& s, const Stored* x,
                             const Stored* weight, const Stored* bias, Activation activation,
                             Stored* y) {
        Job job = forward_job(s, x, weight, y);
        job.finish.given.bias = bias;
        job.finish.given.activation = activation;
        start(queue, job);
    }

    static int64_t conv_backward_bytes(const ConvShape& s, int processors) {
        return ConvMemory(s, processors, nullptr).bytes;
    }

    static void conv_backward(const Queue& queue, const ConvShape& s, const Stored* g,
                              const Stored* x, const Stored* weight, const Stored* y,
                              Activation activation, Stored* dx, Stored* dweight, Stored* dbias,
                              void* workspace) {
        const ConvMemory memory(s, queue.processors, workspace);
        if (activation != Activation::linear) {
            GateJob<N> gates = gate_job(s.batch, s.frames_out, s.channels_out, g, y, activation);
            gates.outer = memory.gated;
            start(queue, gates);
            g = memory.gated;
        }
        GradientStep<N> step;
        step.input = dx ? turned_job(s, g, weight, dx) : Job();
        if (dweight) step.weights[0] = weight_job(s, x, g, queue.processors, memory.sums);
        start(queue, step);
        if (!dweight) return;
        ReduceStep<N> sums;
        sums.jobs[0] = reduce_job(s, step.weights[0], {dweight, nullptr, dbias});
        start(queue, sums);
    }

    static void block_forward(const Queue& queue, const BlockShape& s,
                              const BlockTensors<Stored>& t, const Saved<Stored, Sum>& saved) {
        Job first = forward_job(first_conv(s), t.x, t.first.v, saved.hidden);
        first.main.gain = t.first.gain;
        first.norms_found = saved.norms;
        first.finish.given.bias = t.first.bias;
        first.finish.given.activation = s.activation;
        first.finish.given.scale = t.mask0;
        first.finish.given.scale_stride = t.mask_stride;
        const bool from_output = of_output(s.activation);
        first.finish.given.before = from_output ? nullptr : saved.hidden_before;
        start(queue, first);

        Job second = forward_job(second_conv(s), saved.hidden, t.second.v, saved.y);
        second.main.gain = t.second.gain;
        second.norms_found = saved.norms ? saved.norms + s.channels_hidden : nullptr;
        Epilogue<Stored>& epilogue = second.finish.given;
        epilogue.bias = t.second.bias;
        epilogue.activation = epilogue.outer = s.activation;
        epilogue.scale = t.mask1;
        epilogue.scale_stride = t.mask_stride;
        (from_output ? epilogue.inner : epilogue.before) = saved.inner;
        epilogue.before_outer = from_output ? nullptr : saved.y_before;
        if (t.residual_weight) {
            second.extra = forward_operand(residual_conv(s), t.x, t.residual_weight);
            second.extra_bias = t.residual_bias;
        } else {
            epilogue.residual = t.x;
        }
        start(queue, second);
    }

    static int64_t block_backward_bytes(const BlockShape& s, int processors) {
        return BlockMemory(s, processors, nullptr).bytes;
    }

    static void block_backward(const Queue& queue, const BlockShape& s,
                               const BlockTensors<Stored>& t,
                               const Saved<const Stored, const Sum>& saved, const Stored* dy,
                               const BlockGradients<Stored>& gradients, void* workspace) {
        const ConvShape first = first_conv(s), second = second_conv(s), residual = residual_conv(s);
        const BlockMemory memory(s, queue.processors, workspace);
        const Sum* norms = saved.norms;
        const bool weights = gradients.first.v, residual_weights = gradients.residual_weight;

        // Through the last activation, and on through dropout and activation of the second
        // convolution.
        const bool from_output = of_output(s.activation);
        GateJob<N> gates = gate_job(s.batch, s.frames, s.channels_out, dy,
                                    from_output ? saved.y : saved.y_before, s.activation);
        gates.outer = memory.outer;
        gates.inner = memory.inner;
        pass_gate(gates.finish.given, t.mask1, t.mask_stride, saved.inner, s.activation);
        start(queue, gates);

        GradientStep<N> to_hidden, to_x;
        to_hidden.input = turned_job(second, memory.inner, t.second.v, memory.hidden);
        to_hidden.input.main.gain = t.second.gain;
        to_hidden.input.main.norms = norms + s.channels_hidden;
        pass_gate(to_hidden.input.finish.given, t.mask0, t.mask_stride,
                  from_output ? saved.hidden : saved.hidden_before, s.activation);
        if (weights) {
            to_hidden.weights[0] =
                weight_job(second, saved.hidden, memory.inner, queue.processors, memory.second);
            to_x.weights[0] = weight_job(first, t.x, memory.hidden, queue.processors, memory.first);
        }
        if (residual_weights) {
            to_x.weights[1] =
                weight_job(residual, t.x, memory.outer, queue.processors, memory.residual);
        }
        start(queue, to_hidden);

        if (gradients.dx) {
            to_x.input = turned_job(first, memory.hidden, t.first.v, gradients.dx);
            to_x.input.main.gain = t.first.gain;
            to_x.input.main.norms = norms;
            if (t.residual_weight) {
                to_x.input.extra = turned_operand(residual, memory.outer, t.residual_weight);
            } else {
                to_x.input.finish.given.residual = memory.outer;
            }
        }
        start(queue, to_x);
        if (!weights) return;

        ReduceStep<N> sums;
        sums.jobs[0] = reduce_job(first, to_x.weights[0], gradients.first);
        sums.jobs[1] = reduce_job(second, to_hidden.weights[0], gradients.second);
        normalise(sums.jobs[0], t.first, norms);
        normalise(sums.jobs[1], t.second, norms + s.channels_hidden);
        if (residual_weights) {
            sums.jobs[2] =
                reduce_job(residual, to_x.weights[1],
                           {gradients.residual_weight, nullptr, gradients.residual_bias});
        }
        start(queue, sums);
    }

  private:
    // What the passes keep between their launches.
    struct ConvMemory {
        Stored* gated;
        Sum* sums;
        int64_t bytes;
        ConvMemory(const ConvShape& s, int processors, void* memory) {
            Workspace workspace(memory);
            gated = workspace.take<Stored>(s.batch * s.frames_out * s.channels_out);
            sums = workspace.take<Sum>(sums_size(s, processors));
            bytes = workspace.bytes();
        }
    };
    struct BlockMemory {
        Stored *outer, *inner, *hidden;
        Sum *first, *second, *residual;
        int64_t bytes;
        BlockMemory(const BlockShape& s, int processors, void* memory) {
            Workspace workspace(memory);
            const int64_t frames = s.batch * s.frames;
            outer = workspace.take<Stored>(frames * s.channels_out);
            inner = workspace.take<Stored>(frames * s.channels_out);
            hidden = workspace.take<Stored>(frames * s.channels_hidden);
            first = workspace.take<Sum>(sums_size(first_conv(s), processors));
            second = workspace.take<Sum>(sums_size(second_conv(s), processors));
            residual = workspace.take<Sum>(sums_size(residual_conv(s), processors));
            bytes = workspace.bytes();
        }
    };

    static ConvShape conv_shape(const BlockShape& s, int64_t in, int64_t out) {
        return {s.batch,    s.frames,      s.frames,      in, out, s.width, s.dilation,
                s.pad_left, s.frames * in, s.frames * out};
    }
    static ConvShape first_conv(const BlockShape& s) {
        return conv_shape(s, s.channels_in, s.channels_hidden);
    }
    static ConvShape second_conv(const BlockShape& s) {
        return conv_shape(s, s.channels_hidden, s.channels_out);
    }
    static ConvShape residual_conv(const BlockShape& s) {
        ConvShape conv = conv_shape(s, s.channels_in, s.channels_out);
        conv.width = conv.dilation = 1;
        conv.pad_left = 0;
        return conv;
    }

    static Sequences<N> sequences(const Stored* data, int64_t frames, int64_t channels,
                                  int64_t stride) {
        const auto fits = [](int64_t n) { return n % Pack<N>::kSize == 0; };
        const bool packs = reinterpret_cast<uintptr_t>(data) % sizeof(Pack<N>) == 0 &&
                           fits(channels) && fits(stride);
        return {data, int(frames), int(channels), stride, packs};
    }

    static Operand<N> operand(const ConvShape& s, const Sequences<N>& from) {
        Operand<N> in;
        in.from = from;
        in.width = int(s.width);
        in.dilation = int(s.dilation);
        return in;
    }
    static Operand<N> forward_operand(const ConvShape& s, const Stored* x, const Stored* weight) {
        Operand<N> in = operand(s, sequences(x, s.frames_in, s.channels_in, s.x_stride));
        in.weight = weight;
        in.out_step = int(s.channels_in * s.width);
        in.in_step = int(s.width);
        in.tap_step = 1;
        in.pad_left = int(s.pad_left);
        return in;
    }
    // The taps in reverse, from the result's channels to the input's.
    static Operand<N> turned_operand(const ConvShape& s, const Stored* g, const Stored* weight) {
        Operand<N> in = operand(s, sequences(g, s.frames_out, s.channels_out, s.y_stride));
        in.weight = weight + (s.width - 1);
        in.turned = true;
        in.out_step = int(s.width);
        in.in_step = int(s.channels_in * s.width);
        in.tap_step = -1;
        in.pad_left = int(s.dilation * (s.width - 1) - s.pad_left);
        return in;
    }

    static Job conv_job(const ConvShape& s, const Operand<N>& main, int64_t frames,
                        int64_t channels, Stored* y) {
        Job job;
        job.main = main;
        job.batch = int(s.batch);
        job.frames = int(frames);
        job.finish.channels = int(channels);
        job.y = y;
        return job;
    }
    static Job forward_job(const ConvShape& s, const Stored* x, const Stored* weight, Stored* y) {
        return conv_job(s, forward_operand(s, x, weight), s.frames_out, s.channels_out, y);
    }
    static Job turned_job(const ConvShape& s, const Stored* g, const Stored* weight, Stored* dx) {
        return conv_job(s, turned_operand(s, g, weight), s.frames_in, s.channels_in, dx);
    }

    static GateJob<N> gate_job(int64_t batch, int64_t frames, int64_t channels, const Stored* dy,
                               const Stored* gate, Activation activation) {
        GateJob<N> job{};
        job.dy = dy;
        job.gate = gate;
        job.activation = activation;
        job.finish.channels = int(channels);
        job.frames = int(frames);
        job.count = batch * frames * channels;
        return job;
    }
    static void pass_gate(Epilogue<Stored>& epilogue, const Stored* mask, int64_t mask_stride,
                          const Stored* gate, Activation activation) {
        epilogue.scale = mask;
        epilogue.scale_stride = mask_stride;
        epilogue.gate = gate;
        epilogue.gate_activation = activation;
        epilogue.gate_scaled = mask && of_output(activation);
    }

    // Enough segments to keep every multiprocessor busy, not so many that adding them up takes
    // long.
    static WeightJob<N> weight_job(const ConvShape& s, const Stored* x, const Stored* g,
                                   int processors, Sum* sums) {
        WeightJob<N> job;
        job.x = sequences(x, s.frames_in, s.channels_in, s.x_stride);
        job.g = sequences(g, s.frames_out, s.channels_out, s.y_stride);
        job.width = int(s.width);
        job.dilation = int(s.dilation);
        job.pad_left = int(s.pad_left);
        job.sums = sums;
        job.out_tiles = int(divided_up(s.channels_out, Weigher<N>::kChannels));
        job.in_tiles = int(divided_up(s.channels_in, Weigher<N>::kChannels));
        job.tap_tiles = int(divided_up(s.width, Weigher<N>::kTaps));
        job.chunks_of_sequence = int(divided_up(s.frames_out, Weigher<N>::kFrames));
        const int64_t chunks = s.batch * job.chunks_of_sequence;
        const int64_t tiles = int64_t(job.out_tiles) * job.in_tiles * job.tap_tiles;
        const int64_t segment_bytes = int64_t(sizeof(Sum)) * s.channels_out * job.row_size();
        int64_t segments = divided_up(2 * processors, tiles);
        segments = std::max(segments, divided_up(chunks, kMostChunks));
        segments = std::min({segments, chunks, std::max<int64_t>(1, kMostSums / segment_bytes)});
        job.chunks = int(chunks);
        job.chunks_of_segment = segments ? int(divided_up(chunks, segments)) : 1;
        job.blocks = tiles * segments_of(job);
        return job;
    }
    static int64_t segments_of(const WeightJob<N>& job) {
        return divided_up(job.chunks, job.chunks_of_segment);
    }
    static int64_t sums_size(const ConvShape& s, int processors) {
        const WeightJob<N> job = weight_job(s, nullptr, nullptr, processors, nullptr);
        return segments_of(job) * s.channels_out * job.row_size();
    }

    static ReduceJob<N> reduce_job(const ConvShape& s, const WeightJob<N>& from,
                                   const NormalisedWeights<Stored>& to) {
        ReduceJob<N> job;
        job.rows = int(s.channels_out);
        job.row_size = from.row_size();
        job.channels = int(s.channels_in);
        job.width = int(s.width);
        job.segments = int(segments_of(from));
        job.sums = from.sums;
        job.dweight = to.v;
        job.dgain = to.gain;
        job.dbias = to.bias;
        return job;
    }
    static void normalise(ReduceJob<N>& job, const NormalisedWeights<const Stored>& weights,
                          const Sum* norms) {
        job.v = weights.v;
        job.gain = weights.gain;
        job.norms = norms;
    }

    template <class Tiling>
    static int64_t blocks_of(const Job& job) {
        return job.batch * divided_up(job.frames, Tiling::kRows) *
               divided_up(job.finish.channels, Tiling::kColumns);
    }

    // Divides the work among blocks; returns the bytes of shared memory that one needs.
    template <class Tiling>
    static int plan(Job& job) {
        if (!job.main.weight) return 0;
        job.frame_tiles = int(divided_up(job.frames, Tiling::kRows));
        job.channel_tiles = int(divided_up(job.finish.channels, Tiling::kColumns));
        job.blocks = blocks_of<Tiling>(job);
        int bytes = plan_taps<Tiling>(job.main);
        if (job.extra.weight) bytes = std::max(bytes, plan_taps<Tiling>(job.extra));
        return bytes;
    }
    // As many taps at once as shared memory has room for, evenly divided.
    template <class Tiling>
    static int plan_taps(Operand<N>& in) {
        using C = Convolver<N, Tiling>;
        const auto fits = [&](int taps) {
            in.taps_at_once = taps;
            return C::shared_bytes(in) <= kSharedBytes;
        };
        int most = 1;
        while (most < in.width && fits(most + 1)) most++;
        in.taps_at_once = int(divided_up(in.width, divided_up(in.width, most)));
        return C::shared_bytes(in);
    }

    template <class Tiling>
    static void start_as(const Queue& queue, Job& job) {
        const int bytes = plan<Tiling>(job);
        launch(&convolve<N, Tiling>, job.blocks, bytes, queue.stream, job);
    }
    template <class Tiling>
    static void start_as(const Queue& queue, GradientStep<N>& step) {
        int bytes = plan<Tiling>(step.input);
        int64_t blocks = step.input.blocks;
        for (const WeightJob<N>& job : step.weights) {
            if (job.blocks) bytes = std::max(bytes, Weigher<N>::shared_bytes(job));
            blocks += job.blocks;
        }
        launch(&gradients<N, Tiling>, blocks, bytes, queue.stream, step);
    }
    // Large tiles where a convolution has frames enough for them to reach every multiprocessor.
    template <class Work>
    static void start_tiled(const Queue& queue, const Job& job, Work& work) {
        if constexpr (!std::is_same_v<N, Float64>) {
            if (blocks_of<LargeTiling>(job) >= queue.processors) {
                return start_as<LargeTiling>(queue, work);
            }
        }
        start_as<SmallTiling>(queue, work);
    }
    static void start(const Queue& queue, Job& job) { start_tiled(queue, job, job); }
    static void start(const Queue& queue, GradientStep<N>& step) {
        start_tiled(queue, step.input, step);
    }
    static void start(const Queue& queue, const GateJob<N>& job) {
        launch(&gate<N>, divided_up(job.count, kThreads), 0, queue.stream, job);
    }
    static void start(const Queue& queue, const ReduceStep<N>& step) {
        int64_t rows = 0;
        for (const ReduceJob<N>& job : step.jobs) rows += job.rows;
        launch(&reduce<N>, rows, kWarps * int(sizeof(Sum)), queue.stream, step);
    }
};

template <class N>
constexpr Passes<typename N::Stored> passes_of() {
    using L = Launcher<N>;
    return {&L::conv_forward,  &L::conv_backward_bytes,  &L::conv_backward,
            &L::block_forward, &L::block_backward_bytes, &L::block_backward};
}

}  // namespace daart_fast::cuda
