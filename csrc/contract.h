// What the rooms of the native code promise each other: read this first.
//
// Tensors are (batch, frames, channels), channels last, each frame's channels contiguous.
// Weights keep PyTorch's Conv1d shape (channels_out, channels_in, width), contiguous; a backend
// packs or transforms them inside the call. Nothing here knows Python, torch or an instruction set.
#pragma once

#include <cstdint>

#include "activations.h"

namespace daart_fast {

enum class Pass : int { forward = 0, input_grad = 1, weight_grad = 2 };

// One dilated convolution of stride 1, described by its forward pass in all three passes:
//   y[b, t, o] = sum over k, c of weight[o, c, k] * x[b, t + k * dilation - pad_left, c]
// with x taken as zero outside 0 <= frame < frames_in. frames_out carries the right-hand padding:
// frames_out = frames_in + pad_left + pad_right - dilation * (width - 1), at least 1.
// batch may be 0. pads may exceed frames_in, and so may dilation.
struct ConvShape {
    int64_t batch, frames_in, frames_out;
    int64_t channels_in, channels_out;
    int64_t width, dilation, pad_left;
    // Elements from one sequence's first frame to the next one's, in x (or its gradient) and in y
    // (or its gradient): a slice in time needs no copy.
    int64_t x_stride, y_stride;
};

// What happens to a value v of the result before it is stored, in this order; a null pointer or a
// linear activation leaves its step out:
//   v = v + bias[c]                          forward passes
//   before[b, t, c] = v                      only where the derivative is no function of the output
//   v = activation(v)
//   v = v * scale[b, c]                      channel dropout: 0 or 1 / (1 - p); rows scale_stride
//                                            apart, 0 standing for dense ones
//   v = v * derivative(gate[b, t, c])        backward passes, see below
//   inner[b, t, c] = v
//   v = v + residual[b, t, c]
//   before_outer[b, t, c] = v                as before
//   v = outer(v)
// The derivative is that of gate_activation. gate is the activation's output where the derivative
// is a function of that (activations.h), else what the activation was applied to. gate_scaled says
// that an output was stored after the dropout: gate[b, t, c] / scale[b, c] is taken then. c runs
// over the channels of the result (channels_out forward, channels_in for the input gradient);
// before, gate, inner, residual and before_outer are contiguous (batch, frames of the result,
// channels), with residual_skip more elements after each of residual's sequences.
template <typename T>
struct Epilogue {
    const T* bias = nullptr;
    Activation activation = Activation::linear;
    const T* scale = nullptr;
    int64_t scale_stride = 0;
    const T* gate = nullptr;
    Activation gate_activation = Activation::linear;
    bool gate_scaled = false;
    T* inner = nullptr;
    const T* residual = nullptr;
    int64_t residual_skip = 0;
    Activation outer = Activation::linear;
    T *before = nullptr, *before_outer = nullptr;
};

// The three passes. threads is the number of OpenMP threads to use (1: no parallel region is
// opened). Results do not depend on it. Outputs are overwritten, never added to.
//   forward:      x -> y
//   input_grad:   g, the gradient with respect to the convolution's own result (before any
//                 activation), (batch, frames_out, channels_out) at y_stride -> dx at x_stride
//   weight_grad:  x and g -> dweight in the shape of the weights, and, if dbias is not null,
//                 dbias (channels_out). Summed in blocks of frames for accuracy.
template <typename T>
struct ConvKernels {
    void (*forward)(const ConvShape&, const T* x, const T* weight, const Epilogue<T>&, T* y,
                    int threads) = nullptr;
    void (*input_grad)(const ConvShape&, const T* g, const T* weight, const Epilogue<T>&, T* dx,
                       int threads) = nullptr;
    void (*weight_grad)(const ConvShape&, const T* x, const T* g, T* dweight, T* dbias,
                        int threads) = nullptr;
};

// What has no convolution in it.
template <typename T>
struct ElementwiseKernels {
    // g[i] = dy[i] * the activation's derivative at gate[i], as the epilogue has it
    void (*times_derivative)(int64_t count, const T* dy, const T* gate, Activation, T* g,
                             int threads) = nullptr;

    // On contiguous (batch, frames, channels), but for g_skip elements after each sequence of g:
    //   g = dy * the activation's derivative at gate
    //   out = what the epilogue makes of g; only its scale and its gate are used
    void (*gradient_gates)(int64_t batch, int64_t frames, int64_t channels, const T* dy,
                           const T* gate, Activation, T* g, int64_t g_skip, const Epilogue<T>&,
                           T* out, int threads) = nullptr;

    // Weight normalisation of `rows` rows of `size` elements: weight = v * gain / norm, norm the
    // root of a row's sum of squares; and the gradients of v and gain from that of the weight.
    void (*normalise)(int64_t rows, int64_t size, const T* v, const T* gain, T* weight,
                      T* norm) = nullptr;
    void (*normalise_grad)(int64_t rows, int64_t size, const T* v, const T* gain, const T* norm,
                           const T* dweight, T* dv, T* dgain) = nullptr;
};

// The loss of a head: the cross-entropy of softmax(weight x[t] + bias), over the frames that count
// among [first, first + scored) of each sequence.
struct HeadShape {
    int64_t batch, frames, channels, classes;
    int64_t first, scored;
    int64_t label_stride;  // frames from one sequence's labels to the next one's
};

// Which frames count, and as what; each (batch, frames) at label_stride. A label counts where it is
// 0 or more and not `ignored`, and the mask holds (null: everywhere). A frame's target is its label
// where that counts and that of `unless` (null: none) does not.
struct HeadLabels {
    const int64_t *labels, *unless, *compared;  // compared may be null
    const bool* mask;
    int64_t ignored;
};

// The squared error of a prediction (batch, frames, channels) of frame t against a target's frame
// t + ahead, over [first, first + scored) of each sequence, where the mask (batch, frames; null:
// all) counts both frames and the target is not NaN. Targets and mask lie at target_stride.
struct ErrorShape {
    int64_t batch, frames, channels;
    int64_t first, scored, ahead;
    int64_t target_stride;  // frames from one sequence's targets, and mask, to the next one's
};

template <typename T>
struct LossKernels {
    // targets (batch, scored): the class, or -1 where none counts. slopes (batch, scored, classes):
    // the loss's derivative in the logits, 0 where nothing counts. sums (batch, 4): of the losses,
    // times their class's weight; of those weights; of the frames where the likeliest class is the
    // compared one; of the frames compared. Returns the first label that is no class, or -1.
    int64_t (*head)(const HeadShape&, const T* x, const T* weight, const T* bias, const HeadLabels&,
                    const T* class_weights, int64_t* targets, T* slopes, double* sums,
                    int threads) = nullptr;
    // Gradients of sum over b of factor[b] * sums[b, 0]; dx is whole, zero where nothing counts, or
    // added to where `add`. Null pointers leave a gradient out, but dweight and dbias come
    // together.
    void (*head_grad)(const HeadShape&, const T* x, const T* weight, const int64_t* targets,
                      const T* slopes, const T* factor, bool add, T* dx, T* dweight, T* dbias,
                      int threads) = nullptr;
    // sums (batch, 2): of the squared errors, and how many.
    void (*error)(const ErrorShape&, const T* prediction, const T* target, const bool* mask,
                  double* sums, int threads) = nullptr;
    // dprediction, whole, of sum over b of factor[b] * sums[b, 0].
    void (*error_grad)(const ErrorShape&, const T* prediction, const T* target, const bool* mask,
                       const T* factor, T* dprediction, int threads) = nullptr;
};

// One tensor's part in a step of Adam with amsgrad; step counts the steps taken.
template <typename T>
struct AdamTensor {
    T* parameter;
    const T* gradient;
    T *mean, *square, *largest_square;
    float* step;
    int64_t count;
};

struct AdamSettings {
    double rate, beta1, beta2, epsilon, weight_decay;
};

// Taps [first, last) of a convolution of one frame: rows streams at once.
struct OnlineProduct {
    const float* const* taps;  // (width) the frames that they read, each (rows, channels_in)
    int64_t first, last, width, channels_in, channels_out, rows;
};

// What csrc/online needs, frame by frame; float32. Sums are (rows, padded(channels_out)).
struct OnlineKernels {
    int64_t (*padded)(int64_t channels_out) = nullptr;
    // weight (channels_out, channels_in, width) -> packed, padded(channels_out) * channels_in *
    // width elements
    void (*pack)(int64_t channels_in, int64_t channels_out, int64_t width, const float* weight,
                 float* packed) = nullptr;
    void (*add)(const OnlineProduct&, const float* packed, float* sums) = nullptr;
    // Stores what the epilogue makes of the sums at y (rows, channels).
    void (*finish)(int64_t rows, int64_t channels, const float* sums, const Epilogue<float>&,
                   float* y) = nullptr;
};

// Everything that one instruction set provides. Each source file under cpu/ is compiled once for
// each instruction set and fills its part of that set's table. CUDA has tables of its own
// (cuda/interface.h, cuda/losses.h).
struct Kernels {
    const char* isa = nullptr;  // "avx512", "avx2", "neon", "generic"

    // Direct: one multiplication for each tap and pair of channels. Always there.
    ConvKernels<float> direct32;
    ConvKernels<double> direct64;

    // Minimal filtering, float32 only: fewer multiplications. filtered_pays is the cost model: may
    // this shape be filtered at all, and is it the faster choice? filtered_can answers only the
    // first question. Neither knows the number of threads, so that results do not depend on it.
    ConvKernels<float> filtered32;
    bool (*filtered_can)(const ConvShape&, Pass) = nullptr;
    bool (*filtered_pays)(const ConvShape&, Pass) = nullptr;

    ElementwiseKernels<float> elementwise32;
    ElementwiseKernels<double> elementwise64;

    LossKernels<float> losses32;
    LossKernels<double> losses64;
    void (*adam32)(const AdamTensor<float>*, int64_t tensors, const AdamSettings&,
                   int threads) = nullptr;

    OnlineKernels online;
#ifdef DAART_FAST_BENCHMARKS

    // Multiply-adds per second that this set sustains out of registers, float32, all threads.
    double (*fma_rate)(int threads, double seconds) = nullptr;
#endif
};

// Pieces of memory that outlive a call. No two that are in use at a time may have one name.
enum class Slot : int {
    direct_packed,
    direct_taps,
    direct_edges,
    direct_sums,
    filtered_weights,
    filtered_blocks,
    filtered_zeros,
    filtered_partials,
    conv_gradient,
    block_residual,
    block_outer_gradient,
    block_inner_gradient,
    block_hidden_gradient,
    block_weight_gradient,
    block_hidden,
    block_weights,
    stack_even,  // each block reads what the one before it wrote
    stack_odd,
    losses_packed,
    losses_gradients,
    objective_embedding_gradient,
    objective_more_gradient,
    objective_output_gradient,
    objective_error_gradient,
    count
};

// Kernels borrow memory instead of allocating it. Each thread has its own set of slots; a slot's
// contents are lost when the same slot is asked for again. 64-byte aligned. Throws std::bad_alloc.
void* scratch(Slot slot, int64_t bytes);

template <typename T>
T* scratch_of(Slot slot, int64_t count) {
    return static_cast<T*>(scratch(slot, count * static_cast<int64_t>(sizeof(T))));
}

}  // namespace daart_fast
