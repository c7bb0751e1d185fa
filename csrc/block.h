// The residual block of a dilated network as one operation, in terms of the table of kernels:
//   hidden = activation(conv(x, weight0) + bias0) * mask0
//   inner = activation(conv(hidden, weight1) + bias1) * mask1
//   y = activation(inner + residual)
// with weight = v * gain / norm for each output channel, and the residual x itself or, where the
// number of channels changes, a convolution of width 1 of it. All tensors are contiguous.
#pragma once

#include "contract.h"

namespace daart_fast {

// Frames [first, last) of a sequence.
struct Span {
    int64_t first, last;
    int64_t frames() const { return last - first; }
};

struct BlockShape {
    int64_t batch, frames, channels_in, channels_hidden, channels_out;
    int64_t width, dilation, pad_left;  // of both convolutions; as many frames come out as go in
    Activation activation;
};

// Which frames each tensor of a block holds: as many of y as are wanted, of hidden and x as they
// need. x may hold more. Frames beyond the sequence are zeros, and never held.
struct BlockSpans {
    Span x, x_needed, hidden, y;
};

// For y's frames `wanted`; x's are x_needed's until somebody says otherwise.
BlockSpans block_spans(const BlockShape&, Span wanted);

// A weight-normalised convolution's parameters, or their gradients. bias may be null.
template <typename T>
struct NormalisedWeights {
    T *v, *gain, *bias;
};

template <typename T>
struct BlockTensors {
    const T* x;
    NormalisedWeights<const T> first, second;
    const T *residual_weight, *residual_bias;  // null: the residual is x
    const T *mask0, *mask1;                    // (batch, channels), or null
    int64_t mask_stride;                       // from row to row of both masks; 0: dense rows
};

// What forward makes and backward needs: (batch, frames held, channels) each, and the normalised
// weights, block_weights_size elements. Only y must be given where no backward pass follows.
// Where the derivative is no function of the activation's output, inner is what the activation was
// applied to, as are hidden_before and y_before; else those are not looked at.
template <typename T>
struct BlockSaved {
    T *y, *hidden, *inner, *weights;
    T *hidden_before = nullptr, *y_before = nullptr;
};

int64_t block_weights_size(const BlockShape&);

template <typename T>
void block_forward(const BlockShape&, const BlockSpans&, const BlockTensors<T>&,
                   const BlockSaved<T>&, int threads);

// dx holds the frames that x does. Null pointers leave a gradient out; the parameters' come all or
// none (but biases may be null).
template <typename T>
struct BlockGradients {
    T* dx;
    NormalisedWeights<T> first, second;
    T *residual_weight, *residual_bias;
};

template <typename T>
void block_backward(const BlockShape&, const BlockSpans&, const BlockTensors<T>&,
                    const BlockSaved<const T>&, const T* dy, const BlockGradients<T>&, int threads);

}  // namespace daart_fast
