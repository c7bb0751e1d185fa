#include "block.h"

#include <algorithm>

#include "dispatch.h"

namespace daart_fast {
namespace {

// The part of `in` that outputs `out` of a block's convolutions depend on.
Span needed(const BlockShape& s, Span out) {
    const int64_t first = out.first - s.pad_left;
    const int64_t last = out.last - s.pad_left + s.dilation * (s.width - 1);
    return {first > 0 ? first : 0, last < s.frames ? last : s.frames};
}

// A convolution of the frames `in`, of which a sequence holds `in_held`.
ConvShape conv_shape(const BlockShape& s, Span in, int64_t in_held, int64_t channels_in, Span out,
                     int64_t channels_out) {
    return {s.batch,
            in.frames(),
            out.frames(),
            channels_in,
            channels_out,
            s.width,
            s.dilation,
            s.pad_left + in.first - out.first,
            in_held * channels_in,
            out.frames() * channels_out};
}
ConvShape first_conv(const BlockShape& s, const BlockSpans& spans) {
    return conv_shape(s, spans.x_needed, spans.x.frames(), s.channels_in, spans.hidden,
                      s.channels_hidden);
}
ConvShape second_conv(const BlockShape& s, const BlockSpans& spans) {
    return conv_shape(s, spans.hidden, spans.hidden.frames(), s.channels_hidden, spans.y,
                      s.channels_out);
}
// Of the frames `span`, both sides held as x is.
ConvShape residual_conv(const BlockShape& s, const BlockSpans& spans, Span span) {
    ConvShape conv = conv_shape(s, span, spans.x.frames(), s.channels_in, span, s.channels_out);
    conv.width = conv.dilation = 1;
    conv.pad_left = 0;
    conv.y_stride = spans.x.frames() * s.channels_out;
    return conv;
}

int64_t first_weights(const BlockShape& s) {
    return s.channels_hidden * s.channels_in * s.width;
}
int64_t second_weights(const BlockShape& s) {
    return s.channels_out * s.channels_hidden * s.width;
}

// Where the normalised weights and their norms lie in BlockSaved::weights.
template <typename T>
struct Weights {
    T *first, *second, *first_norm, *second_norm;
    Weights(const BlockShape& s, T* all) {
        first = all;
        second = first + first_weights(s);
        first_norm = second + second_weights(s);
        second_norm = first_norm + s.channels_hidden;
    }
};

// Zeros in the frames of `outer` that lie outside `inner`, of a tensor that holds `outer`.
template <typename T>
void clear_outside(int64_t batch, Span outer, Span inner, int64_t channels, T* values) {
    const int64_t before = (inner.first - outer.first) * channels;
    const int64_t after = (inner.last - outer.first) * channels, all = outer.frames() * channels;
    for (int64_t b = 0; b < batch; b++, values += all) {
        std::fill(values, values + before, T(0));
        std::fill(values + after, values + all, T(0));
    }
}

template <typename T>
void forward_pass(const ConvShape& conv, const T* x, const T* weight, const Epilogue<T>& epilogue,
                  T* y, int threads) {
    kernels_for<T>(conv, Pass::forward)
        .forward(conv, x, weight, epilogue, y, worth_threads(conv, threads));
}
template <typename T>
void input_pass(const ConvShape& conv, const T* g, const T* weight, const Epilogue<T>& epilogue,
                T* dx, int threads) {
    kernels_for<T>(conv, Pass::input_grad)
        .input_grad(conv, g, weight, epilogue, dx, worth_threads(conv, threads));
}
template <typename T>
void weight_pass(const ConvShape& conv, const T* x, const T* g, T* dweight, T* dbias, int threads) {
    kernels_for<T>(conv, Pass::weight_grad)
        .weight_grad(conv, x, g, dweight, dbias, worth_threads(conv, threads));
}

// The gradients of a weight-normalised convolution's parameters.
template <typename T>
void normalised_weight_pass(const ConvShape& conv, const T* x, const T* g,
                            const NormalisedWeights<const T>& weights, const T* norm,
                            const NormalisedWeights<T>& gradients, int threads) {
    const int64_t row_size = conv.channels_in * conv.width;
    T* dweight = scratch_of<T>(Slot::block_weight_gradient, conv.channels_out * row_size);
    weight_pass(conv, x, g, dweight, gradients.bias, threads);
    elementwise_kernels<T>().normalise_grad(conv.channels_out, row_size, weights.v, weights.gain,
                                            norm, dweight, gradients.v, gradients.gain);
}

}  // namespace

BlockSpans block_spans(const BlockShape& s, Span wanted) {
    const Span hidden = needed(s, wanted), x = needed(s, hidden);
    return {x, x, hidden, wanted};
}

int64_t block_weights_size(const BlockShape& s) {
    return first_weights(s) + second_weights(s) + s.channels_hidden + s.channels_out;
}

template <typename T>
void block_forward(const BlockShape& s, const BlockSpans& spans, const BlockTensors<T>& t,
                   const BlockSaved<T>& saved, int threads) {
    const Weights<T> weights(s, saved.weights
                                    ? saved.weights
                                    : scratch_of<T>(Slot::block_weights, block_weights_size(s)));
    T* hidden = saved.hidden;
    if (!hidden) {
        hidden =
            scratch_of<T>(Slot::block_hidden, s.batch * spans.hidden.frames() * s.channels_hidden);
    }
    const auto& elementwise = elementwise_kernels<T>();
    elementwise.normalise(s.channels_hidden, s.channels_in * s.width, t.first.v, t.first.gain,
                          weights.first, weights.first_norm);
    elementwise.normalise(s.channels_out, s.channels_hidden * s.width, t.second.v, t.second.gain,
                          weights.second, weights.second_norm);

    const bool from_output = of_output(s.activation);
    Epilogue<T> to_hidden;
    to_hidden.bias = t.first.bias;
    to_hidden.activation = s.activation;
    to_hidden.scale = t.mask0;
    to_hidden.scale_stride = t.mask_stride;
    to_hidden.before = from_output ? nullptr : saved.hidden_before;
    const T* x_needed = t.x + (spans.x_needed.first - spans.x.first) * s.channels_in;
    forward_pass<T>(first_conv(s, spans), x_needed, weights.first, to_hidden, hidden, threads);

    Epilogue<T> to_y;
    to_y.bias = t.second.bias;
    to_y.activation = to_y.outer = s.activation;
    to_y.scale = t.mask1;
    to_y.scale_stride = t.mask_stride;
    (from_output ? to_y.inner : to_y.before) = saved.inner;
    to_y.before_outer = from_output ? nullptr : saved.y_before;
    to_y.residual = t.x + (spans.y.first - spans.x.first) * s.channels_in;
    to_y.residual_skip = (spans.x.frames() - spans.y.frames()) * s.channels_out;
    if (t.residual_weight) {
        ConvShape conv = residual_conv(s, spans, spans.y);
        conv.y_stride = spans.y.frames() * s.channels_out;
        T* residual = scratch_of<T>(Slot::block_residual, s.batch * conv.y_stride);
        Epilogue<T> with_bias;
        with_bias.bias = t.residual_bias;
        forward_pass<T>(conv, to_y.residual, t.residual_weight, with_bias, residual, threads);
        to_y.residual = residual;
        to_y.residual_skip = 0;
    }
    forward_pass<T>(second_conv(s, spans), hidden, weights.second, to_y, saved.y, threads);
}

template <typename T>
void block_backward(const BlockShape& s, const BlockSpans& spans, const BlockTensors<T>& t,
                    const BlockSaved<const T>& saved, const T* dy,
                    const BlockGradients<T>& gradients, int threads) {
    const ConvShape first = first_conv(s, spans), second = second_conv(s, spans);
    const Weights<const T> weights(s, saved.weights);
    const int64_t y_in_x = spans.y.first - spans.x.first;
    const int64_t needed_in_x = spans.x_needed.first - spans.x.first;
    const bool from_output = of_output(s.activation);

    // Through the last activation, and on through dropout and activation of the second convolution.
    // outer holds the frames that x does: it is the gradient of the residual too.
    T* outer =
        scratch_of<T>(Slot::block_outer_gradient, s.batch * spans.x.frames() * s.channels_out);
    T* inner =
        scratch_of<T>(Slot::block_inner_gradient, s.batch * spans.y.frames() * s.channels_out);
    clear_outside(s.batch, spans.x, spans.y, s.channels_out, outer);
    Epilogue<T> to_inner;
    to_inner.scale = t.mask1;
    to_inner.scale_stride = t.mask_stride;
    to_inner.gate = saved.inner;
    to_inner.gate_activation = s.activation;
    to_inner.gate_scaled = from_output && t.mask1;
    elementwise_kernels<T>().gradient_gates(
        s.batch, spans.y.frames(), s.channels_out, dy, from_output ? saved.y : saved.y_before,
        s.activation, outer + y_in_x * s.channels_out,
        (spans.x.frames() - spans.y.frames()) * s.channels_out, to_inner, inner, threads);

    T* hidden = scratch_of<T>(Slot::block_hidden_gradient,
                              s.batch * spans.hidden.frames() * s.channels_hidden);
    Epilogue<T> to_hidden;
    to_hidden.scale = t.mask0;
    to_hidden.scale_stride = t.mask_stride;
    to_hidden.gate = from_output ? saved.hidden : saved.hidden_before;
    to_hidden.gate_activation = s.activation;
    to_hidden.gate_scaled = from_output && t.mask0;
    input_pass<T>(second, inner, weights.second, to_hidden, hidden, threads);

    if (gradients.first.v) {
        normalised_weight_pass<T>(second, saved.hidden, inner, t.second, weights.second_norm,
                                  gradients.second, threads);
        normalised_weight_pass<T>(first, t.x + needed_in_x * s.channels_in, hidden, t.first,
                                  weights.first_norm, gradients.first, threads);
        if (gradients.residual_weight) {
            weight_pass<T>(residual_conv(s, spans, spans.y), t.x + y_in_x * s.channels_in,
                           outer + y_in_x * s.channels_out, gradients.residual_weight,
                           gradients.residual_bias, threads);
        }
    }
    if (!gradients.dx) return;
    Epilogue<T> to_x;
    to_x.residual = outer;
    if (t.residual_weight) {
        T* through =
            scratch_of<T>(Slot::block_residual, s.batch * spans.x.frames() * s.channels_in);
        input_pass<T>(residual_conv(s, spans, spans.x), outer, t.residual_weight, {}, through,
                      threads);
        to_x.residual = through;
    }
    to_x.residual += needed_in_x * s.channels_in;
    to_x.residual_skip = (spans.x.frames() - spans.x_needed.frames()) * s.channels_in;
    clear_outside(s.batch, spans.x, spans.x_needed, s.channels_in, gradients.dx);
    input_pass<T>(first, hidden, weights.first, to_x, gradients.dx + needed_in_x * s.channels_in,
                  threads);
}

template void block_forward<float>(const BlockShape&, const BlockSpans&, const BlockTensors<float>&,
                                   const BlockSaved<float>&, int);
template void block_forward<double>(const BlockShape&, const BlockSpans&,
                                    const BlockTensors<double>&, const BlockSaved<double>&, int);
template void block_backward<float>(const BlockShape&, const BlockSpans&,
                                    const BlockTensors<float>&, const BlockSaved<const float>&,
                                    const float*, const BlockGradients<float>&, int);
template void block_backward<double>(const BlockShape&, const BlockSpans&,
                                     const BlockTensors<double>&, const BlockSaved<const double>&,
                                     const double*, const BlockGradients<double>&, int);

}  // namespace daart_fast
