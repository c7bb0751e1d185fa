// A chain of residual blocks as one operation: each block's x is the y before it. Only frames that
// the wanted ones depend on are computed.
#pragma once

#include <cstddef>
#include <vector>

#include "block.h"

namespace daart_fast {

struct StackLayer {
    int64_t channels_hidden, channels_out, width, dilation, pad_left;
};

struct StackShape {
    int64_t batch, frames, channels_in;
    std::vector<StackLayer> layers;
    Span wanted;  // the frames of the last y
    Activation activation;
};

template <typename T>
struct StackParameters {
    NormalisedWeights<T> first, second;
    T *residual_weight, *residual_bias;
};

// The addresses in StackParameters.
constexpr std::size_t kBlockParameters = 8;

// How many elements stack_forward keeps for stack_backward.
int64_t stack_saved_size(const StackShape&);

// masks is null or (batch, all channels): for each block those of its hidden, then of its y.
// saved may be null where no backward pass follows.
template <typename T>
void stack_forward(const StackShape&, const T* x,
                   const std::vector<StackParameters<const T>>& parameters, const T* masks, T* y,
                   T* saved, int threads);

// dx, or the parameters' gradients (all of them), may be left out.
template <typename T>
void stack_backward(const StackShape&, const T* x,
                    const std::vector<StackParameters<const T>>& parameters, const T* masks,
                    const T* y, const T* saved, const T* dy, T* dx,
                    const std::vector<StackParameters<T>>& gradients, int threads);

}  // namespace daart_fast
