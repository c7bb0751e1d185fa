#include "block.h"

#include "dispatch.h"

namespace daart_fast {
namespace {

// Slots of scratch().
enum Slot {
    kResidual = 13,
    kOuterGradient = 14,
    kInnerGradient = 15,
    kHiddenGradient = 16,
    kWeightGradient = 17,
    kHidden = 18,
    kWeights = 19
};

ConvShape conv_shape(const BlockShape& s, int64_t in, int64_t out) {
    return {s.batch,    s.frames,      s.frames,      in, out, s.width, s.dilation,
            s.pad_left, s.frames * in, s.frames * out};
}
ConvShape first_conv(const BlockShape& s) {
    return conv_shape(s, s.channels_in, s.channels_hidden);
}
ConvShape second_conv(const BlockShape& s) {
    return conv_shape(s, s.channels_hidden, s.channels_out);
}
ConvShape residual_conv(const BlockShape& s) {
    ConvShape conv = conv_shape(s, s.channels_in, s.channels_out);
    conv.width = conv.dilation = 1;
    conv.pad_left = 0;
    return conv;
}

int64_t row_size(const ConvShape& conv) {
    return conv.channels_in * conv.width;
}
int64_t weight_size(const ConvShape& conv) {
    return conv.channels_out * row_size(conv);
}

// Where the normalised weights and their norms lie in BlockSaved::weights.
template <typename T>
struct Weights {
    T *first, *second, *first_norm, *second_norm;
    Weights(const BlockShape& s, T* all) {
        first = all;
        second = first + weight_size(first_conv(s));
        first_norm = second + weight_size(second_conv(s));
        second_norm = first_norm + s.channels_hidden;
    }
};

template <typename T>
void forward_pass(const ConvShape& conv, const T* x, const T* weight, const Epilogue<T>& epilogue,
                  T* y, int threads) {
    kernels_for<T>(conv, Pass::forward).forward(conv, x, weight, epilogue, y, threads);
}
template <typename T>
void input_pass(const ConvShape& conv, const T* g, const T* weight, const Epilogue<T>& epilogue,
                T* dx, int threads) {
    kernels_for<T>(conv, Pass::input_grad).input_grad(conv, g, weight, epilogue, dx, threads);
}
template <typename T>
void weight_pass(const ConvShape& conv, const T* x, const T* g, T* dweight, T* dbias, int threads) {
    kernels_for<T>(conv, Pass::weight_grad).weight_grad(conv, x, g, dweight, dbias, threads);
}

// The gradients of a weight-normalised convolution's parameters.
template <typename T>
void normalised_weight_pass(const ConvShape& conv, const T* x, const T* g,
                            const NormalisedWeights<const T>& weights, const T* norm,
                            const NormalisedWeights<T>& gradients, int threads) {
    T* dweight = scratch_of<T>(kWeightGradient, weight_size(conv));
    weight_pass(conv, x, g, dweight, gradients.bias, threads);
    elementwise_kernels<T>().normalise_grad(conv.channels_out, row_size(conv), weights.v,
                                            weights.gain, norm, dweight, gradients.v,
                                            gradients.gain);
}

}  // namespace

int64_t block_weights_size(const BlockShape& s) {
    return weight_size(first_conv(s)) + weight_size(second_conv(s)) + s.channels_hidden +
           s.channels_out;
}

template <typename T>
void block_forward(const BlockShape& s, const BlockTensors<T>& t, const BlockSaved<T>& saved,
                   int threads) {
    const ConvShape first = first_conv(s), second = second_conv(s);
    const Weights<T> weights(
        s, saved.weights ? saved.weights : scratch_of<T>(kWeights, block_weights_size(s)));
    T* hidden = saved.hidden;
    if (!hidden) hidden = scratch_of<T>(kHidden, s.batch * first.y_stride);
    const auto& elementwise = elementwise_kernels<T>();
    elementwise.normalise(s.channels_hidden, row_size(first), t.first.v, t.first.gain,
                          weights.first, weights.first_norm);
    elementwise.normalise(s.channels_out, row_size(second), t.second.v, t.second.gain,
                          weights.second, weights.second_norm);

    Epilogue<T> to_hidden;
    to_hidden.bias = t.first.bias;
    to_hidden.activation = s.activation;
    to_hidden.scale = t.mask0;
    forward_pass<T>(first, t.x, weights.first, to_hidden, hidden, threads);

    Epilogue<T> to_y;
    to_y.bias = t.second.bias;
    to_y.activation = to_y.outer = s.activation;
    to_y.scale = t.mask1;
    to_y.inner = saved.inner;
    to_y.residual = t.x;
    if (t.residual_weight) {
        const ConvShape conv = residual_conv(s);
        T* residual = scratch_of<T>(kResidual, s.batch * conv.y_stride);
        Epilogue<T> with_bias;
        with_bias.bias = t.residual_bias;
        forward_pass<T>(conv, t.x, t.residual_weight, with_bias, residual, threads);
        to_y.residual = residual;
    }
    forward_pass<T>(second, hidden, weights.second, to_y, saved.y, threads);
}

template <typename T>
void block_backward(const BlockShape& s, const BlockTensors<T>& t, const BlockSaved<const T>& saved,
                    const T* dy, const BlockGradients<T>& gradients, int threads) {
    const ConvShape first = first_conv(s), second = second_conv(s), residual = residual_conv(s);
    const Weights<const T> weights(s, saved.weights);

    // Through the last activation, and on through dropout and activation of the second convolution.
    const int64_t out_size = s.batch * s.frames * s.channels_out;
    T* outer = scratch_of<T>(kOuterGradient, out_size);
    T* inner = scratch_of<T>(kInnerGradient, out_size);
    Epilogue<T> to_inner;
    to_inner.scale = t.mask1;
    to_inner.gate = saved.inner;
    to_inner.gate_activation = s.activation;
    to_inner.gate_scaled = t.mask1 != nullptr;
    elementwise_kernels<T>().gradient_gates(s.batch, s.frames, s.channels_out, dy, saved.y,
                                            s.activation, outer, to_inner, inner, threads);

    T* hidden = scratch_of<T>(kHiddenGradient, s.batch * s.frames * s.channels_hidden);
    Epilogue<T> to_hidden;
    to_hidden.scale = t.mask0;
    to_hidden.gate = saved.hidden;
    to_hidden.gate_activation = s.activation;
    to_hidden.gate_scaled = t.mask0 != nullptr;
    input_pass<T>(second, inner, weights.second, to_hidden, hidden, threads);

    if (gradients.first.v) {
        normalised_weight_pass<T>(second, saved.hidden, inner, t.second, weights.second_norm,
                                  gradients.second, threads);
        normalised_weight_pass<T>(first, t.x, hidden, t.first, weights.first_norm, gradients.first,
                                  threads);
        if (gradients.residual_weight) {
            weight_pass<T>(residual, t.x, outer, gradients.residual_weight, gradients.residual_bias,
                           threads);
        }
    }
    if (!gradients.dx) return;
    Epilogue<T> to_x;
    to_x.residual = outer;
    if (t.residual_weight) {
        T* through = scratch_of<T>(kResidual, s.batch * s.frames * s.channels_in);
        input_pass<T>(residual, outer, t.residual_weight, {}, through, threads);
        to_x.residual = through;
    }
    input_pass<T>(first, hidden, weights.first, to_x, gradients.dx, threads);
}

template void block_forward<float>(const BlockShape&, const BlockTensors<float>&,
                                   const BlockSaved<float>&, int);
template void block_forward<double>(const BlockShape&, const BlockTensors<double>&,
                                    const BlockSaved<double>&, int);
template void block_backward<float>(const BlockShape&, const BlockTensors<float>&,
                                    const BlockSaved<const float>&, const float*,
                                    const BlockGradients<float>&, int);
template void block_backward<double>(const BlockShape&, const BlockTensors<double>&,
                                     const BlockSaved<const double>&, const double*,
                                     const BlockGradients<double>&, int);

}  // namespace daart_fast
