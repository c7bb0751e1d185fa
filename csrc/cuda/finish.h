// What happens to a result on its way to memory (contract.h, Epilogue), one number at a time.
#pragma once

#include <math.h>

#include "../contract.h"
#include "numbers.h"

namespace daart_fast::cuda {

template <class Sum>
__device__ __forceinline__ Sum activate(Sum v, Activation activation) {
    switch (activation) {
        case Activation::relu:
            return v < Sum(0) ? Sum(0) : v;
        case Activation::lrelu:
            return v > Sum(0) ? v : Sum(kLeakySlope) * v;
        case Activation::sigmoid:
            return Sum(1) / (Sum(1) + exp(-v));
        case Activation::tanh:
            return tanh(v);
        case Activation::silu:
            return v / (Sum(1) + exp(-v));
        default:
            return v;
    }
}

// v times the activation's derivative at its gate (contract.h, Epilogue): silu's input, or y.
template <class Sum>
__device__ __forceinline__ Sum times_derivative(Sum v, Sum y, Activation activation) {
    switch (activation) {
        case Activation::relu:
            return y > Sum(0) ? v : Sum(0);
        case Activation::lrelu:
            return y > Sum(0) ? v : Sum(kLeakySlope) * v;
        case Activation::sigmoid:
            return v * y * (Sum(1) - y);
        case Activation::tanh:
            return v * (Sum(1) - y * y);
        case Activation::silu: {
            const Sum sigmoid = Sum(1) / (Sum(1) + exp(-y));
            return v * sigmoid * (Sum(1) + y * (Sum(1) - sigmoid));
        }
        default:
            return v;
    }
}

// An epilogue in two parts: what makes `inner`, and what follows it. `channels` are the result's;
// the residual is dense.
template <class N>
struct Finish {
    using Stored = typename N::Stored;
    using Sum = typename N::Sum;

    Epilogue<Stored> given;
    int channels = 0;

    __device__ __forceinline__ Sum to_inner(Sum v, int sequence, int c, int64_t at) const {
        if (given.bias) v += N::sum(given.bias[c]);
        if (given.before) given.before[at] = N::stored(v);
        v = activate(v, given.activation);
        Sum scale = Sum(1);
        if (given.scale) {
            const int64_t stride = given.scale_stride ? given.scale_stride : channels;
            scale = N::sum(given.scale[sequence * stride + c]);
            v *= scale;
        }
        if (given.gate) {
            Sum gate = N::sum(given.gate[at]);
            // Where a channel was dropped its gradient is zero whatever the derivative is.
            if (given.gate_scaled) gate = scale != Sum(0) ? gate / scale : Sum(0);
            v = times_derivative(v, gate, given.gate_activation);
        }
        if (given.inner) given.inner[at] = N::stored(v);
        return v;
    }

    __device__ __forceinline__ Sum to_outer(Sum v, int64_t at) const {
        if (given.residual) v += N::sum(given.residual[at]);
        if (given.before_outer) given.before_outer[at] = N::stored(v);
        return activate(v, given.outer);
    }
};

}  // namespace daart_fast::cuda
