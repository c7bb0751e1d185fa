// What Python hands to the native code: structs of sizes and of tensors' addresses, and the checks
// of them that several functions share. Tensors come as addresses, so that one build serves every
// torch version; the callers in daart_fast/ops hold the tensors and see to dtype, shape and
// contiguity. An address of 0 stands for no tensor.
#pragma once

#include <cstdint>
#include <stdexcept>

#include "../contract.h"
#include "structs.h"

namespace daart_fast {

DAART_FAST_STRUCT(CpuCall, int64_t, is_double, threads);

// math: 0 float32, 1 tf32, 2 bfloat16, 3 float64. stream is a cudaStream_t of the device.
DAART_FAST_STRUCT(CudaCall, uintptr_t, math, device, stream, workspace);

DAART_FAST_STRUCT(ConvSizes, int64_t, batch, frames_in, frames_out, channels_in, channels_out,
                  width, dilation, pad_left, x_stride);
DAART_FAST_STRUCT(ConvTensors, uintptr_t, x, weight, bias, y);
DAART_FAST_STRUCT(ConvGradients, uintptr_t, grad, x, weight, gate, dx, dweight, dbias);

DAART_FAST_STRUCT(HeadSizes, int64_t, batch, frames, channels, classes, first, scored);
DAART_FAST_STRUCT(HeadTensors, uintptr_t, x, weight, bias, class_weights, labels, unless, compared,
                  mask, targets, slopes, loss, agreement, factor);
DAART_FAST_STRUCT(HeadGradients, uintptr_t, x, weight, targets, slopes, factor, grad, dx, dweight,
                  dbias);

DAART_FAST_STRUCT(ErrorSizes, int64_t, batch, frames, channels, first, scored, ahead);
DAART_FAST_STRUCT(ErrorTensors, uintptr_t, prediction, target, mask, loss, factor);
DAART_FAST_STRUCT(ErrorGradients, uintptr_t, prediction, target, mask, factor, grad, dprediction);

inline void require(bool condition, const char* sentence) {
    if (!condition) throw std::invalid_argument(sentence);
}

inline void check_threads(int64_t threads) {
    require(threads >= 1 && threads <= 1024, "threads must lie between 1 and 1024");
}

inline Activation activation_of(int64_t number) {
    require(number >= 0 && number < kActivationCount, "activation must be the number of one");
    return static_cast<Activation>(number);
}

// By number: name -> whether the derivative is a function of the output.
inline pybind11::dict activation_table() {
    pybind11::dict table;
    for (const ActivationRow& row : kActivations) table[row.name] = row.of_output;
    return table;
}

template <typename T>
T* pointer(uintptr_t address) {
    return reinterpret_cast<T*>(address);
}

// y and its gradient are contiguous. Sizes are checked after this, so their product may overflow.
inline ConvShape conv_shape(const ConvSizes& n) {
    const int64_t y_stride = int64_t(uint64_t(n.frames_out) * uint64_t(n.channels_out));
    return {n.batch, n.frames_in, n.frames_out, n.channels_in, n.channels_out,
            n.width, n.dilation,  n.pad_left,   n.x_stride,    y_stride};
}

inline HeadShape head_shape(const HeadSizes& n) {
    return {n.batch, n.frames, n.channels, n.classes, n.first, n.scored, n.frames};
}

inline ErrorShape error_shape(const ErrorSizes& n) {
    return {n.batch, n.frames, n.channels, n.first, n.scored, n.ahead, n.frames};
}

inline HeadLabels head_labels(const HeadTensors& t, int64_t ignored) {
    return {pointer<int64_t>(t.labels), pointer<int64_t>(t.unless), pointer<int64_t>(t.compared),
            pointer<bool>(t.mask), ignored};
}

}  // namespace daart_fast
