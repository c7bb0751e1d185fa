#include "objective.h"

#include <cstddef>

#include "../dispatch.h"
#include "means.h"

namespace daart_fast {
namespace {

bool has(const ObjectiveShape& s, int heads) {
    return (s.heads & heads) != 0;
}

StackShape encoder_of(const ObjectiveShape& s) {
    // the decoders look at the embedding of the padding too
    const Span whole{0, s.frames}, scored{s.first, s.first + s.scored};
    const Span wanted = has(s, kPredictor | kDecoder) ? whole : scored;
    return {s.batch, s.frames, s.inputs, s.encoder, wanted, s.activation};
}

int64_t units(const ObjectiveShape& s) {
    return s.encoder.back().channels_out;
}

StackShape decoder_of(const ObjectiveShape& s) {
    const Span scored{s.first, s.first + s.scored};
    return {s.batch, s.frames, units(s), s.decoder, scored, s.activation};
}

// The 1x1 convolution at a decoder's end.
ConvShape last_layer(const ObjectiveShape& s) {
    const int64_t stride = s.scored * s.inputs;
    return {s.batch, s.scored, s.scored, s.inputs, s.inputs, 1, 1, 0, stride, stride};
}

HeadShape head_of(const ObjectiveShape& s) {
    const Span z = encoder_of(s).wanted;
    return {s.batch, z.frames(), units(s), s.classes, s.first - z.first, s.scored, s.frames};
}

ErrorShape error_of(const ObjectiveShape& s, int64_t ahead) {
    // the last frame inside the padding has no successor there
    const int64_t counted = s.scored > ahead ? s.scored - ahead : 0;
    return {s.batch, s.scored, s.inputs, 0, counted, ahead, s.frames};
}

// Where everything lies in what is kept, in elements of T.
template <typename T>
struct Layout {
    int64_t encoder, z, size = 0;
    struct {
        int64_t slopes, targets, factor;
    } head[2];
    struct Decoder {
        int64_t stack, out, prediction, factor;
    } decoder[2];

    explicit Layout(const ObjectiveShape& s) {
        const auto keep = [this](int64_t elements) {
            const int64_t at = size;
            size += (elements + 15) / 16 * 16;  // whole cache lines
            return at;
        };
        const StackShape stack = encoder_of(s);
        encoder = keep(stack_saved_size(stack));
        z = keep(s.batch * stack.wanted.frames() * units(s));
        for (int i = 0; i < 2; i++) {
            if (!has(s, kStrongHead << i)) continue;
            const int64_t scored = s.batch * s.scored;
            head[i] = {keep(scored * s.classes),
                       keep(scored * int64_t(sizeof(int64_t) / sizeof(T))), keep(s.batch)};
        }
        for (int i = 0; i < 2; i++) {
            if (!has(s, kPredictor << i)) continue;
            const int64_t values = s.batch * s.scored * s.inputs;
            decoder[i] = {keep(stack_saved_size(decoder_of(s))), keep(values), keep(values),
                          keep(s.batch)};
        }
    }
};

// Takes parameters, or gradients, off a list in their order.
template <typename P>
class Reader {
  public:
    explicit Reader(const std::vector<P>& list) : list_(list) {}

    P next() { return list_[at_++]; }

    template <typename T>
    std::vector<StackParameters<T>> stack(std::size_t blocks) {
        std::vector<StackParameters<T>> made(blocks);
        for (StackParameters<T>& p : made) {
            p.first = {next(), next(), next()};
            p.second = {next(), next(), next()};
            p.residual_weight = next();
            p.residual_bias = next();
        }
        return made;
    }

  private:
    const std::vector<P>& list_;
    std::size_t at_ = 0;
};

template <typename T>
std::vector<T> times(const ObjectiveShape& s, const T* factor, T upstream) {
    std::vector<T> product(static_cast<std::size_t>(s.batch));
    for (std::size_t b = 0; b < product.size(); b++) product[b] = factor[b] * upstream;
    return product;
}

// The gradient of the squared error of the predictor (i: 0) or of the decoder (1).
template <typename T>
void error_gradient(const ObjectiveShape& s, const ObjectiveInputs<T>& in, int i,
                    const typename Layout<T>::Decoder& kept, const T* saved, T upstream,
                    T* dprediction, int threads) {
    const auto factor = times(s, saved + kept.factor, upstream * T(s.weights[std::size_t(2 + i)]));
    loss_kernels<T>().error_grad(error_of(s, i ? 0 : 1), saved + kept.prediction,
                                 in.x + s.first * s.inputs, in.mask ? in.mask + s.first : nullptr,
                                 factor.data(), dprediction, threads);
}

}  // namespace

int64_t objective_parameters(const ObjectiveShape& s) {
    std::size_t n = s.encoder.size() * kBlockParameters;
    for (int i = 0; i < kHeads; i++) {
        if (!has(s, 1 << i)) continue;
        n += 2 + (i < 2 ? 0 : s.decoder.size() * kBlockParameters);
    }
    return int64_t(n);
}

template <typename T>
int64_t objective_saved_size(const ObjectiveShape& s) {
    return Layout<T>(s).size;
}

template <typename T>
int64_t objective_forward(const ObjectiveShape& s, const ObjectiveInputs<T>& in,
                          const std::vector<const T*>& parameters, T* values, T* saved,
                          int threads) {
    const Layout<T> layout(s);
    Reader<const T*> read(parameters);
    T* z = saved + layout.z;
    stack_forward<T>(encoder_of(s), in.x, read.template stack<const T>(s.encoder.size()),
                     in.encoder_masks, z, saved + layout.encoder, threads);
    T* terms[kHeads] = {values + 3, values + 1, values + 4, values + 5};

    const HeadShape head = head_of(s);
    const int64_t shift = s.first - head.first;  // of the labels against z
    for (int i = 0; i < 2; i++) {
        if (!has(s, kStrongHead << i)) continue;
        const int64_t *strong = in.labels_strong + shift, *weak = in.labels_weak + shift;
        const bool both = has(s, kStrongHead) && has(s, kWeakHead);
        const HeadLabels labels{i ? weak : strong, i && in.labels_strong ? strong : nullptr,
                                !i && both ? weak : nullptr, in.mask ? in.mask + shift : nullptr,
                                s.ignored};
        const auto& kept = layout.head[i];
        const T *weight = read.next(), *bias = read.next();
        std::vector<double> sums(static_cast<std::size_t>(s.batch) * 4);
        const int64_t wrong =
            loss_kernels<T>().head(head, z, weight, bias, labels, in.class_weights,
                                   reinterpret_cast<int64_t*>(saved + kept.targets),
                                   saved + kept.slopes, sums.data(), threads);
        if (wrong >= 0) return wrong;
        means(sums, 4, 0, false, terms[i], saved + kept.factor);
        if (!i && both) means<T>(sums, 4, 2, false, values + 2, nullptr);
    }

    const ConvShape last = last_layer(s);
    for (int i = 0; i < 2; i++) {
        if (!has(s, kPredictor << i)) continue;
        const auto& kept = layout.decoder[i];
        T *out = saved + kept.out, *prediction = saved + kept.prediction;
        stack_forward<T>(decoder_of(s), z, read.template stack<const T>(s.decoder.size()),
                         i ? in.decoder_masks : in.predictor_masks, out, saved + kept.stack,
                         threads);
        const T* weight = read.next();
        Epilogue<T> with_bias;
        with_bias.bias = read.next();
        kernels_for<T>(last, Pass::forward)
            .forward(last, out, weight, with_bias, prediction, worth_threads(last, threads));
        std::vector<double> sums(static_cast<std::size_t>(s.batch) * 2);
        loss_kernels<T>().error(error_of(s, i ? 0 : 1), prediction, in.x + s.first * s.inputs,
                                in.mask ? in.mask + s.first : nullptr, sums.data(), threads);
        means(sums, 2, 0, false, terms[2 + i], saved + kept.factor);
    }
    T loss = 0;
    for (int i = 0; i < kHeads; i++) {
        if (has(s, 1 << i)) loss += T(s.weights[std::size_t(i)]) * *terms[i];
    }
    values[0] = loss;
    return -1;
}

template <typename T>
void objective_backward(const ObjectiveShape& s, const ObjectiveInputs<T>& in,
                        const std::vector<const T*>& parameters, const T* saved, T upstream,
                        const std::vector<T*>& gradients, int threads) {
    const Layout<T> layout(s);
    const StackShape encoder = encoder_of(s);
    Reader<const T*> read(parameters);
    Reader<T*> made(gradients);
    const auto encoder_parameters = read.template stack<const T>(s.encoder.size());
    const auto encoder_gradients = made.template stack<T>(s.encoder.size());
    const T *head_weight[2] = {}, *z = saved + layout.z;
    T *head_dweight[2] = {}, *head_dbias[2] = {};
    for (int i = 0; i < 2; i++) {
        if (!has(s, kStrongHead << i)) continue;
        head_weight[i] = read.next();
        read.next();
        head_dweight[i] = made.next();
        head_dbias[i] = made.next();
    }

    const int64_t z_size = s.batch * encoder.wanted.frames() * units(s);
    T* dz = scratch_of<T>(Slot::objective_embedding_gradient, z_size);
    bool begun = false;
    const ConvShape last = last_layer(s);
    for (int i = 0; i < 2; i++) {
        if (!has(s, kPredictor << i)) continue;
        const auto& kept = layout.decoder[i];
        const auto stack_parameters = read.template stack<const T>(s.decoder.size());
        const auto stack_gradients = made.template stack<T>(s.decoder.size());
        const T* weight = read.next();
        read.next();
        T *dweight = made.next(), *dbias = made.next();
        const int64_t size = s.batch * s.scored * s.inputs;
        T* dprediction = scratch_of<T>(Slot::objective_error_gradient, size);
        T* dout = scratch_of<T>(Slot::objective_output_gradient, size);
        error_gradient(s, in, i, kept, saved, upstream, dprediction, threads);
        kernels_for<T>(last, Pass::weight_grad)
            .weight_grad(last, saved + kept.out, dprediction, dweight, dbias,
                         worth_threads(last, threads));
        kernels_for<T>(last, Pass::input_grad)
            .input_grad(last, dprediction, weight, {}, dout, worth_threads(last, threads));
        T* to = begun ? scratch_of<T>(Slot::objective_more_gradient, z_size) : dz;
        stack_backward<T>(decoder_of(s), z, stack_parameters,
                          i ? in.decoder_masks : in.predictor_masks, saved + kept.out,
                          saved + kept.stack, dout, to, stack_gradients, threads);
        for (int64_t j = 0; begun && j < z_size; j++) dz[j] += to[j];
        begun = true;
    }
    for (int i = 0; i < 2; i++) {
        if (!has(s, kStrongHead << i)) continue;
        const auto& kept = layout.head[i];
        const auto factor = times(s, saved + kept.factor, upstream * T(s.weights[std::size_t(i)]));
        loss_kernels<T>().head_grad(
            head_of(s), z, head_weight[i], reinterpret_cast<const int64_t*>(saved + kept.targets),
            saved + kept.slopes, factor.data(), begun, dz, head_dweight[i], head_dbias[i], threads);
        begun = true;
    }
    stack_backward<T>(encoder, in.x, encoder_parameters, in.encoder_masks, z,
                      saved + layout.encoder, dz, nullptr, encoder_gradients, threads);
}

#define DAART_FAST_OBJECTIVE(T)                                                             \
    template int64_t objective_saved_size<T>(const ObjectiveShape&);                        \
    template int64_t objective_forward<T>(const ObjectiveShape&, const ObjectiveInputs<T>&, \
                                          const std::vector<const T*>&, T*, T*, int);       \
    template void objective_backward<T>(const ObjectiveShape&, const ObjectiveInputs<T>&,   \
                                        const std::vector<const T*>&, const T*, T,          \
                                        const std::vector<T*>&, int);
DAART_FAST_OBJECTIVE(float)
DAART_FAST_OBJECTIVE(double)
#undef DAART_FAST_OBJECTIVE

}  // namespace daart_fast
