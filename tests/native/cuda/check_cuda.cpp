// Runs the CUDA kernels' own source, compiled for the processor (shim.h), at odd shapes against
// plain loops in float64 that round where the kernels are meant to round. Tensors lie at the end of
// their own allocations and start as NaNs: AddressSanitizer sees one element too far, the
// comparison sees one that was never written.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "../../../csrc/cuda/interface.h"
#include "../plain.h"
#include "shim.h"

using namespace daart_fast;
using namespace plain;
using cuda::Bfloat16;

namespace {

int failures = 0, checks = 0;
double number(float v) {
    return v;
}
double number(double v) {
    return v;
}
double number(Bfloat16 v) {
    const uint32_t bits = uint32_t(v.bits) << 16;
    float f;
    std::memcpy(&f, &bits, sizeof f);
    return f;
}
void set(float& to, double v) {
    to = float(v);
}
void set(double& to, double v) {
    to = v;
}
void set(Bfloat16& to, double v) {
    to.bits = shim::bfloat16_bits(float(v));
}

// Exactly as large as asked for; `offset` elements of a larger allocation come before, so that it
// begins at no multiple of 16 bytes.
template <typename T>
class Tensor {
  public:
    explicit Tensor(int64_t size, int64_t offset = 0) : size_(size), offset_(offset) {
        memory_.reset(new T[size_t(size + offset)]);
        std::memset(static_cast<void*>(memory_.get()), 0xff, size_t(size + offset) * sizeof(T));
    }
    T* data() { return memory_.get() + offset_; }
    const T* data() const { return memory_.get() + offset_; }
    int64_t size() const { return size_; }
    double operator[](int64_t i) const { return number(data()[i]); }

  private:
    int64_t size_, offset_;
    std::unique_ptr<T[]> memory_;
};

template <typename T>
Tensor<T> random_tensor(int64_t size, double scale = 1, double mean = 0, int64_t offset = 0) {
    Tensor<T> made(size, offset);
    std::normal_distribution<double> draw(mean, scale);
    for (int64_t i = 0; i < size; i++) set(made.data()[i], draw(engine));
    return made;
}

template <typename T>
Tensor<T> random_mask(int64_t size) {
    Tensor<T> made(size);
    for (int64_t i = 0; i < size; i++) set(made.data()[i], engine() % 3 ? 1.5 : 0);
    return made;
}

using Numbers = std::vector<double>;

// A kind of numbers: its passes, how tensors and products round, and the errors that remain of one
// convolution and of a whole block, where a sum that lies between two numbers may fall either way.
template <typename T>
struct Kind {
    const char* name;
    const cuda::Passes<T>& passes;
    double (*product)(double);
    double (*stored)(double);
    double of_conv, of_block;
};
double same(double v) {
    return v;
}
double as_tf32(double v) {
    return shim::tf32(float(v));
}
double as_bfloat16(double v) {
    Bfloat16 b;
    set(b, v);
    return number(b);
}
double as_float(double v) {
    return float(v);
}

template <typename T>
void compare(const std::string& what, const Tensor<T>& got, const Numbers& expected, double bar) {
    checks++;
    double error = 0, size = 0, worst = 0;
    for (int64_t i = 0; i < got.size(); i++) {
        const double e = expected[size_t(i)], d = got[i] - e;
        error += d * d;
        size += e * e;
        worst = std::max(worst, std::abs(d));
        if (std::isnan(got[i])) error = std::numeric_limits<double>::infinity();
    }
    const double scale = std::sqrt(size) + 1e-30;
    const double mean = scale / std::sqrt(double(std::max<int64_t>(got.size(), 1)));
    if (std::sqrt(error) <= bar * scale && worst <= 30 * bar * mean) return;
    failures++;
    std::printf("FAILED %s: relative error %.2g, worst %.2g (bar %.2g)\n", what.c_str(),
                std::sqrt(error) / scale, worst / mean, bar);
}

void require(bool condition, const std::string& what) {
    checks++;
    if (condition) return;
    failures++;
    std::printf("FAILED %s\n", what.c_str());
}

// The frame that tap k of result frame t reads, or -1.
int64_t frame_read(const ConvShape& s, int64_t t, int64_t k) {
    const int64_t frame = t + k * s.dilation - s.pad_left;
    return frame >= 0 && frame < s.frames_in ? frame : -1;
}

// Calls visit(place in x, place in y, place in weight) for every product of a convolution.
template <typename Visit>
void each_product(const ConvShape& s, const Visit& visit) {
    for (int64_t b = 0; b < s.batch; b++) {
        for (int64_t t = 0; t < s.frames_out; t++) {
            for (int64_t k = 0; k < s.width; k++) {
                const int64_t frame = frame_read(s, t, k);
                if (frame < 0) continue;
                const int64_t x = b * s.x_stride + frame * s.channels_in;
                const int64_t y = (b * s.frames_out + t) * s.channels_out;
                for (int64_t o = 0; o < s.channels_out; o++) {
                    for (int64_t c = 0; c < s.channels_in; c++) {
                        visit(x + c, y + o, (o * s.channels_in + c) * s.width + k);
                    }
                }
            }
        }
    }
}

template <typename T>
struct Reference {
    const Kind<T>& kind;

    Numbers rounded(const Numbers& from) const {
        Numbers to;
        for (const double v : from) to.push_back(kind.product(v));
        return to;
    }
    Numbers conv(const ConvShape& s, const Numbers& x, const Numbers& weight) const {
        const Numbers rx = rounded(x), rw = rounded(weight);
        Numbers y(size_t(s.batch * s.frames_out * s.channels_out));
        each_product(s, [&](int64_t i, int64_t j, int64_t w) {
            y[size_t(j)] += rx[size_t(i)] * rw[size_t(w)];
        });
        return y;
    }
    // dx is contiguous.
    Numbers input_grad(ConvShape s, const Numbers& g, const Numbers& weight) const {
        s.x_stride = s.frames_in * s.channels_in;
        const Numbers rg = rounded(g), rw = rounded(weight);
        Numbers dx(size_t(s.batch * s.x_stride));
        each_product(s, [&](int64_t i, int64_t j, int64_t w) {
            dx[size_t(i)] += rg[size_t(j)] * rw[size_t(w)];
        });
        return dx;
    }
    Numbers weight_grad(const ConvShape& s, const Numbers& x, const Numbers& g) const {
        const Numbers rx = rounded(x), rg = rounded(g);
        Numbers dw(size_t(s.channels_out * s.channels_in * s.width));
        each_product(s, [&](int64_t i, int64_t j, int64_t w) {
            dw[size_t(w)] += rx[size_t(i)] * rg[size_t(j)];
        });
        return dw;
    }
    Numbers bias_grad(const ConvShape& s, const Numbers& g) const {
        Numbers db(size_t(s.channels_out));
        for (size_t i = 0; i < g.size(); i++) db[i % db.size()] += g[i];
        return db;
    }
    Numbers norms(int64_t rows, const Numbers& v) const {
        const size_t size = v.size() / size_t(rows);
        Numbers made;
        for (size_t r = 0; r < size_t(rows); r++) {
            double squares = 0;
            for (size_t i = 0; i < size; i++) squares += v[r * size + i] * v[r * size + i];
            made.push_back(std::sqrt(squares));
        }
        return made;
    }
    // Through the weight normalisation; dgain beside dv.
    void normalised(const Numbers& v, const Numbers& gain, const Numbers& norm, Numbers& dweight,
                    Numbers& dgain) const {
        const size_t size = v.size() / gain.size();
        dgain.clear();
        for (size_t r = 0; r < gain.size(); r++) {
            double dot = 0;
            for (size_t i = r * size; i < (r + 1) * size; i++) dot += v[i] * dweight[i];
            for (size_t i = r * size; i < (r + 1) * size; i++) {
                dweight[i] = gain[r] / norm[r] * (dweight[i] - v[i] * dot / (norm[r] * norm[r]));
            }
            dgain.push_back(dot / norm[r]);
        }
    }
};

template <typename T>
Numbers numbers_of(const Tensor<T>& t) {
    Numbers made;
    for (int64_t i = 0; i < t.size(); i++) made.push_back(t[i]);
    return made;
}

std::string name_of(const char* kind, const char* what, const ConvShape& s, Activation a,
                    int processors) {
    char text[300];
    std::snprintf(text, sizeof text,
                  "%s %s: batch %d, frames %d to %d, channels %d to %d, width %d, dilation %d, pad "
                  "%d, stride %d, activation %d, processors %d",
                  kind, what, int(s.batch), int(s.frames_in), int(s.frames_out), int(s.channels_in),
                  int(s.channels_out), int(s.width), int(s.dilation), int(s.pad_left),
                  int(s.x_stride), int(a), processors);
    return text;
}

struct Workspace {
    Tensor<unsigned char> memory;
    explicit Workspace(int64_t bytes) : memory(bytes) {}
    void* data() { return memory.data(); }
};

// Runs twice, with the threads taking turns in either order: the results must be the same numbers.
template <typename T, typename Run>
void run_both_ways(const std::string& name, std::vector<Tensor<T>*> results, const Run& run) {
    shim::turns = shim::Turns::descending;
    run();
    std::vector<std::vector<char>> before;
    for (Tensor<T>* t : results) {
        const char* bytes = reinterpret_cast<const char*>(t->data());
        before.emplace_back(bytes, bytes + t->size() * int64_t(sizeof(T)));
        std::memset(static_cast<void*>(t->data()), 0xff, before.back().size());
    }
    shim::turns = shim::Turns::ascending;
    run();
    for (size_t i = 0; i < results.size(); i++) {
        if (before[i].empty()) continue;
        require(std::equal(before[i].begin(), before[i].end(),
                           reinterpret_cast<const char*>(results[i]->data())),
                name + ": the threads' order changes result " + std::to_string(i));
    }
}

template <typename T>
void check_conv(const Kind<T>& kind, ConvShape s, Activation activation, bool with_bias,
                int64_t offset, int processors) {
    s.y_stride = s.frames_out * s.channels_out;
    const std::string name = name_of(kind.name, "conv", s, activation, processors);
    const cuda::Queue queue{nullptr, processors};
    const int64_t y_size = s.batch * s.y_stride;
    const int64_t x_size = s.batch ? (s.batch - 1) * s.x_stride + s.frames_in * s.channels_in : 0;
    const double spread = 1 / std::sqrt(double(s.channels_in * s.width));
    const auto x = random_tensor<T>(x_size, 1, 0.3, offset);
    const auto weight = random_tensor<T>(s.channels_out * s.channels_in * s.width, spread);
    const auto bias = random_tensor<T>(s.channels_out);
    Tensor<T> y(y_size);
    const Reference<T> reference{kind};

    const int started = shim::launches;
    kind.passes.conv_forward(queue, s, x.data(), weight.data(), with_bias ? bias.data() : nullptr,
                             activation, y.data());
    require(shim::launches - started <= 1, name + ": more than one launch forward");
    Numbers expected = reference.conv(s, numbers_of(x), numbers_of(weight));
    for (size_t i = 0; i < expected.size(); i++) {
        const double b = with_bias ? bias[int64_t(i) % s.channels_out] : 0;
        expected[i] = kind.stored(activate(expected[i] + b, activation));
    }
    compare(name + ", y", y, expected, kind.of_conv);

    if (s.batch == 0) return;
    const auto dy = random_tensor<T>(y_size, 1, 0, offset);
    const int64_t dx_size = s.batch * s.frames_in * s.channels_in;
    Tensor<T> dx(dx_size, offset), dweight(weight.size()), dbias(s.channels_out), gate(y_size);
    for (int64_t i = 0; i < y_size; i++) gate.data()[i] = y.data()[i];
    if (!of_output(activation)) {
        kind.passes.conv_forward(queue, s, x.data(), weight.data(),
                                 with_bias ? bias.data() : nullptr, Activation::linear,
                                 gate.data());
    }
    Workspace workspace(kind.passes.conv_backward_bytes(s, processors));
    const int needs = int(engine() % 4);  // both gradients most often
    T* const to_x = needs == 1 ? nullptr : dx.data();
    T* const to_weight = needs == 2 ? nullptr : dweight.data();
    const auto run = [&] {
        kind.passes.conv_backward(
            queue, s, dy.data(), x.data(), weight.data(), gate.data(), activation, to_x, to_weight,
            to_weight && with_bias ? dbias.data() : nullptr, workspace.data());
    };
    run_both_ways<T>(name, {&dx, &dweight, &dbias}, run);
    // Behind an activation's derivative, a number may fall to either side as it is rounded.
    const double bar = activation == Activation::linear ? kind.of_conv : kind.of_block;
    Numbers g = numbers_of(dy);
    if (activation != Activation::linear) {
        for (int64_t i = 0; i < y_size; i++) {
            g[size_t(i)] = kind.stored(dy[i] * derivative(gate[i], activation));
        }
    }
    if (to_x) {
        Numbers expected_dx = reference.input_grad(s, g, numbers_of(weight));
        for (double& v : expected_dx) v = kind.stored(v);
        compare(name + ", dx", dx, expected_dx, bar);
    }
    if (!to_weight) return;
    Numbers expected_dw = reference.weight_grad(s, numbers_of(x), g);
    for (double& v : expected_dw) v = kind.stored(v);
    compare(name + ", dweight", dweight, expected_dw, bar);
    if (with_bias) compare(name + ", dbias", dbias, reference.bias_grad(s, g), 5 * bar);
}

struct BlockOptions {
    bool masks, masks_side_by_side, biases, residual_weight, need_x, need_weights;
    int processors;
};

ConvShape conv_of(const BlockShape& s, int64_t in, int64_t out) {
    return {s.batch,    s.frames,      s.frames,      in, out, s.width, s.dilation,
            s.pad_left, s.frames * in, s.frames * out};
}

template <typename T>
struct BlockTest {
    using Sum = typename cuda::Passes<T>::Sum;

    const Kind<T>& kind;
    const BlockShape s;
    const BlockOptions options;
    ConvShape first = conv_of(s, s.channels_in, s.channels_hidden);
    ConvShape second = conv_of(s, s.channels_hidden, s.channels_out);
    ConvShape through = conv_of(s, s.channels_in, s.channels_out);
    std::string name = name_of(kind.name, "block", first, s.activation, options.processors) +
                       ", channels out " + std::to_string(s.channels_out) +
                       (options.masks ? ", masks" : "") + (options.biases ? ", biases" : "") +
                       (options.residual_weight ? ", residual weight" : "");
    Reference<T> reference{kind};

    int64_t frames = s.batch * s.frames;
    Tensor<T> x = random_tensor<T>(frames * s.channels_in);
    Tensor<T> v0 = random_tensor<T>(s.channels_hidden * s.channels_in * s.width);
    Tensor<T> v1 = random_tensor<T>(s.channels_out * s.channels_hidden * s.width);
    Tensor<T> gain0 = random_tensor<T>(s.channels_hidden, 0.2, 1);
    Tensor<T> gain1 = random_tensor<T>(s.channels_out, 0.2, 1);
    Tensor<T> bias0 = random_tensor<T>(s.channels_hidden, 0.3);
    Tensor<T> bias1 = random_tensor<T>(s.channels_out, 0.3);
    Tensor<T> wr =
        random_tensor<T>(s.channels_out * s.channels_in, 1 / std::sqrt(double(s.channels_in)));
    Tensor<T> br = random_tensor<T>(s.channels_out, 0.3);
    int64_t mask_channels = s.channels_hidden + s.channels_out;
    Tensor<T> masks = random_mask<T>(s.batch * mask_channels);
    Tensor<T> mask0 = part_of_masks(0, s.channels_hidden);
    Tensor<T> mask1 = part_of_masks(s.channels_hidden, s.channels_out);
    Tensor<T> dy = random_tensor<T>(frames * s.channels_out);

    Tensor<T> y{frames * s.channels_out}, hidden{frames * s.channels_hidden};
    // inner is what the activation was applied to where the derivative is a function of that
    Tensor<T> inner{frames * s.channels_out};
    Tensor<T> hidden_before{hidden.size()}, y_before{y.size()};
    bool from_output = of_output(s.activation);
    Tensor<Sum> norms{s.channels_hidden + s.channels_out};
    Tensor<T> dx{x.size()}, dv0{v0.size()}, dv1{v1.size()}, dgain0{gain0.size()};
    Tensor<T> dgain1{gain1.size()}, dbias0{bias0.size()}, dbias1{bias1.size()};
    Tensor<T> dwr{wr.size()}, dbr{br.size()};

    const cuda::Queue queue{nullptr, options.processors};

    Tensor<T> part_of_masks(int64_t first, int64_t channels) const {
        Tensor<T> part(s.batch * channels);
        for (int64_t i = 0; i < part.size(); i++) {
            part.data()[i] = masks.data()[i / channels * mask_channels + first + i % channels];
        }
        return part;
    }
    BlockTensors<T> tensors() const {
        const auto given = [](bool is, const Tensor<T>& t) { return is ? t.data() : nullptr; };
        const bool residual_bias = options.residual_weight && options.biases;
        BlockTensors<T> t{};
        t.x = x.data();
        t.first = {v0.data(), gain0.data(), given(options.biases, bias0)};
        t.second = {v1.data(), gain1.data(), given(options.biases, bias1)};
        t.residual_weight = given(options.residual_weight, wr);
        t.residual_bias = given(residual_bias, br);
        t.mask0 = given(options.masks, mask0);
        t.mask1 = given(options.masks, mask1);
        if (options.masks && options.masks_side_by_side) {
            t.mask0 = masks.data();
            t.mask1 = masks.data() + s.channels_hidden;
            t.mask_stride = mask_channels;
        }
        return t;
    }

    // What a convolution's output channel o of sequence b becomes.
    Numbers finished(const Numbers& from, const Tensor<T>& bias, const Tensor<T>& gain,
                     const Numbers& norm, const Tensor<T>& mask) const {
        const int64_t channels = gain.size();
        Numbers to(from.size());
        for (int64_t i = 0; i < int64_t(from.size()); i++) {
            const int64_t c = i % channels, b = i / channels / s.frames;
            double v = from[size_t(i)] * gain[c] / norm[size_t(c)];
            v = activate(v + (options.biases ? bias[c] : 0), s.activation);
            to[size_t(i)] = v * (options.masks ? mask[b * channels + c] : 1);
        }
        return to;
    }
    // g through a mask and an activation with this gate: its output after the mask, but for silu.
    Numbers gated(const Numbers& g, const Tensor<T>& gate, const Tensor<T>& mask,
                  int64_t channels) const {
        Numbers to(g.size());
        for (int64_t i = 0; i < int64_t(g.size()); i++) {
            const double m =
                options.masks ? mask[i / channels / s.frames * channels + i % channels] : 1;
            const double before = m != 0 && from_output ? gate[i] / m : gate[i];
            to[size_t(i)] =
                m != 0 ? kind.stored(g[size_t(i)] * m * derivative(before, s.activation)) : 0;
        }
        return to;
    }
    Numbers scaled(const Tensor<T>& v, const Tensor<T>& gain, const Numbers& norm) const {
        Numbers to = numbers_of(v);
        const int64_t size = v.size() / gain.size();
        for (int64_t i = 0; i < v.size(); i++) {
            to[size_t(i)] = kind.stored(to[size_t(i)] * gain[i / size] / norm[size_t(i / size)]);
        }
        return to;
    }

    cuda::Saved<T, Sum> saved() {
        return {y.data(),     hidden.data(),        inner.data(),
                norms.data(), hidden_before.data(), y_before.data()};
    }
    // What the activation and the mask make of these.
    Tensor<T> activated(const Tensor<T>& before, const Tensor<T>& mask) const {
        Tensor<T> to(before.size());
        const int64_t channels = before.size() ? before.size() / frames : 1;
        for (int64_t i = 0; i < before.size(); i++) {
            const double m =
                options.masks ? mask[i / channels / s.frames * channels + i % channels] : 1;
            set(to.data()[i], activate(before[i], s.activation) * m);
        }
        return to;
    }

    void check_forward() {
        const int started = shim::launches;
        run_both_ways<T>(name, {&y, &hidden, &inner},
                         [&] { kind.passes.block_forward(queue, s, tensors(), saved()); });
        require(shim::launches - started <= 2 * 2, name + ": more than two launches forward");
        // nothing kept
        Tensor<T> alone(y.size());
        kind.passes.block_forward(
            queue, s, tensors(), {alone.data(), hidden.data(), nullptr, nullptr, nullptr, nullptr});
        compare(name + ", y alone", alone, numbers_of(y), 0);

        const Numbers norm0 = reference.norms(s.channels_hidden, numbers_of(v0));
        const Numbers norm1 = reference.norms(s.channels_out, numbers_of(v1));
        Numbers all = norm0;
        all.insert(all.end(), norm1.begin(), norm1.end());
        if (s.batch) compare(name + ", norms", norms, all, sizeof(Sum) == 8 ? 1e-13 : 1e-6);

        compare(name + ", hidden", hidden,
                finished(reference.conv(first, numbers_of(x), numbers_of(v0)), bias0, gain0, norm0,
                         mask0),
                kind.of_block);
        const Numbers expected_inner = finished(
            reference.conv(second, numbers_of(hidden), numbers_of(v1)), bias1, gain1, norm1, mask1);
        if (from_output) {
            compare(name + ", inner", inner, expected_inner, kind.of_block);
        } else {
            compare(name + ", inner", activated(inner, mask1), expected_inner, kind.of_block);
            compare(name + ", hidden's", activated(hidden_before, mask0), numbers_of(hidden),
                    kind.of_block);
        }
        Numbers residual = numbers_of(x);
        if (options.residual_weight) {
            residual = reference.conv(through, residual, numbers_of(wr));
            for (size_t i = 0; i < residual.size(); i++) {
                if (options.biases) residual[i] += br[int64_t(i) % s.channels_out];
            }
        }
        for (size_t i = 0; i < residual.size(); i++) {
            residual[i] = activate(residual[i] + expected_inner[i], s.activation);
        }
        compare(name + ", y", y, residual, kind.of_block);
    }

    void check_backward() {
        const auto given = [](bool is, Tensor<T>& t) { return is ? t.data() : nullptr; };
        const bool w = options.need_weights, b = w && options.biases;
        const bool r = w && options.residual_weight;
        const BlockGradients<T> gradients{given(options.need_x, dx),
                                          {given(w, dv0), given(w, dgain0), given(b, dbias0)},
                                          {given(w, dv1), given(w, dgain1), given(b, dbias1)},
                                          given(r, dwr),
                                          given(r && b, dbr)};
        Workspace workspace(kind.passes.block_backward_bytes(s, options.processors));
        const int started = shim::launches;
        run_both_ways<T>(
            name, {&dx, &dv0, &dv1, &dgain0, &dgain1, &dbias0, &dbias1, &dwr, &dbr}, [&] {
                kind.passes.block_backward(queue, s, tensors(),
                                           {y.data(), hidden.data(), inner.data(), norms.data(),
                                            hidden_before.data(), y_before.data()},
                                           dy.data(), gradients, workspace.data());
            });
        require(shim::launches - started <= 2 * 4, name + ": more than four launches backward");

        const Numbers norm = numbers_of(norms);
        const Numbers norm0(norm.begin(), norm.begin() + s.channels_hidden);
        const Numbers norm1(norm.begin() + s.channels_hidden, norm.end());
        Numbers outer(size_t(y.size()));
        for (int64_t i = 0; i < y.size(); i++) {
            const double gate = from_output ? y[i] : y_before[i];
            outer[size_t(i)] = dy[i] * derivative(gate, s.activation);
        }
        const Numbers inner_g = gated(outer, inner, mask1, s.channels_out);
        for (double& v : outer) v = kind.stored(v);
        const Numbers hidden_g =
            gated(reference.input_grad(second, inner_g, scaled(v1, gain1, norm1)),
                  from_output ? hidden : hidden_before, mask0, s.channels_hidden);
        if (options.need_x) {
            Numbers expected = reference.input_grad(first, hidden_g, scaled(v0, gain0, norm0));
            const Numbers residual = options.residual_weight
                                         ? reference.input_grad(through, outer, numbers_of(wr))
                                         : outer;
            for (size_t i = 0; i < expected.size(); i++) expected[i] += residual[i];
            compare(name + ", dx", dx, expected, kind.of_block);
        }
        if (!w) return;
        check_weights(first, numbers_of(x), hidden_g, v0, gain0, norm0, dv0, dgain0, dbias0, "0");
        check_weights(second, numbers_of(hidden), inner_g, v1, gain1, norm1, dv1, dgain1, dbias1,
                      "1");
        if (!r) return;
        compare(name + ", dwr", dwr, reference.weight_grad(through, numbers_of(x), outer),
                kind.of_block);
        if (b) compare(name + ", dbr", dbr, reference.bias_grad(through, outer), kind.of_block);
    }

    void check_weights(const ConvShape& conv, const Numbers& from, const Numbers& g,
                       const Tensor<T>& v, const Tensor<T>& gain, const Numbers& norm,
                       const Tensor<T>& dv, const Tensor<T>& dgain, const Tensor<T>& dbias,
                       const std::string& which) const {
        Numbers dweight = reference.weight_grad(conv, from, g), expected_gain;
        // What is left of a sum after its part along v is taken out may be much smaller than it.
        double before = 0, after = 0;
        for (const double d : dweight) before += d * d;
        reference.normalised(numbers_of(v), numbers_of(gain), norm, dweight, expected_gain);
        for (size_t i = 0; i < dweight.size(); i++) {
            const size_t row = i * norm.size() / dweight.size();
            const double ratio = gain[int64_t(row)] / norm[row];
            after += dweight[i] * dweight[i] / (ratio * ratio);
        }
        const double lost = std::sqrt(before / (after + 1e-30)) + 1;
        if (lost < 1e3) compare(name + ", dv" + which, dv, dweight, kind.of_block * lost);
        compare(name + ", dgain" + which, dgain, expected_gain,
                kind.of_block * 10 * std::sqrt(double(dweight.size()) / norm.size()));
        if (options.biases) {
            compare(name + ", dbias" + which, dbias, reference.bias_grad(conv, g),
                    kind.of_block * 5);
        }
    }

    void check() {
        through.width = through.dilation = 1;
        through.pad_left = 0;
        check_forward();
        if (s.batch) check_backward();
    }
};

template <typename T>
void check_block(const Kind<T>& kind, const BlockShape& s, const BlockOptions& options) {
    BlockTest<T>{kind, s, options}.check();
}

// A convolution's multiply-adds; what takes too long with sanitizers is drawn again.
double work(const ConvShape& s) {
    return double(s.batch) * double(s.frames_out) * double(s.channels_in) * double(s.channels_out) *
           double(s.width);
}

ConvShape random_conv() {
    for (;;) {
        ConvShape s{};
        s.batch = pick({0, 1, 1, 2, 3});
        s.frames_in = pick({1, 2, 5, 31, 33, 70, 150});
        s.channels_in = pick({1, 3, 4, 8, 16, 17, 32, 33, 40, 256});
        s.channels_out = pick({1, 3, 8, 17, 32, 33, 40, 256});
        s.width = pick({1, 2, 3, 5, 9, 65});
        s.dilation = pick({1, 2, 8, 31, 33, 200});
        const int64_t span = s.dilation * (s.width - 1);
        s.pad_left = pick({span / 2, span, 0, span + 3});
        const int64_t pad_right =
            std::max<int64_t>(pick({span - s.pad_left, 0, 5}), span + 1 - s.frames_in - s.pad_left);
        s.frames_out = s.frames_in + s.pad_left + std::max<int64_t>(pad_right, 0) - span;
        s.x_stride = s.frames_in * s.channels_in + pick({0, 0, s.channels_in, 1});
        if (s.frames_out < 400 && work(s) < 4e5) return s;
    }
}

BlockShape random_block() {
    for (;;) {
        BlockShape s{};
        s.batch = pick({0, 1, 2, 2, 3});
        s.frames = pick({1, 2, 7, 32, 45, 130});
        s.channels_in = pick({1, 3, 8, 17, 32, 64});
        s.channels_hidden = pick({1, 3, 8, 17, 32, 40});
        s.channels_out = pick({1, 4, 17, 32, 64});
        s.width = pick({1, 2, 3, 9});
        s.dilation = pick({1, 2, 8, 40, 200});
        const int64_t span = s.dilation * (s.width - 1);
        s.pad_left = pick({span / 2, span});
        s.activation = Activation(pick({0, 1, 2, 2, 3, 4, 5}));
        const double all = work(conv_of(s, s.channels_in, s.channels_hidden)) +
                           work(conv_of(s, s.channels_hidden, s.channels_out));
        if (all < 3e5) return s;
    }
}

template <typename T>
void check_kind(const Kind<T>& kind, int convs, int blocks) {
    for (int i = 0; i < convs; i++) {
        check_conv(kind, random_conv(), Activation(pick({0, 1, 2, 3, 4, 5})), engine() % 2,
                   pick({0, 0, 1}), int(pick({1, 4, 132})));
    }
    for (int i = 0; i < blocks; i++) {
        const BlockShape s = random_block();
        const bool carries = s.channels_in != s.channels_out || engine() % 3 == 0;
        check_block(kind, s,
                    {engine() % 2 == 0, engine() % 2 == 0, engine() % 3 != 0, carries,
                     engine() % 4 != 0, engine() % 4 != 0, int(pick({1, 4, 132}))});
    }
    // the widest and the most channels, large tiles and small
    const int64_t w = 65;
    check_conv(kind, {1, 9, 9, 3, 5, w, 3, 96, 27, 0}, Activation::lrelu, true, 0, 1);
    check_conv(kind, {1, 3, 3, 256, 256, 2, 4, 2, 768, 0}, Activation::linear, true, 0, 1);
    for (const int processors : {1, 132}) {
        check_block(kind, {1, 40, 6, 32, 32, 9, 2, 8, Activation::lrelu},
                    {true, false, true, true, true, true, processors});
    }
}

// Does the comparison see a wrong number, and the shim a lane that stays away?
void check_the_check() {
    const int before = failures;
    Tensor<float> t(4);
    for (int i = 0; i < 4; i++) t.data()[i] = 1;
    std::printf("two failures that must be seen:\n");
    compare("a wrong number", t, {1, 1, 1, 1.01}, 1e-4);
    t.data()[2] = std::numeric_limits<float>::quiet_NaN();
    compare("a number never written", t, {1, 1, 1, 1}, 1);
    const bool seen = failures == before + 2;
    failures = before;
    require(seen, "the comparison is blind");
}

}  // namespace

int main() {
    check_the_check();
    check_kind<float>({"float32", cuda::float32_passes, same, as_float, 1e-6, 1e-6}, 60, 25);
    check_kind<float>({"tf32", cuda::tf32_passes, as_tf32, as_float, 1e-6, 1e-3}, 60, 25);
    check_kind<Bfloat16>({"bfloat16", cuda::bfloat16_passes, as_bfloat16, as_bfloat16, 3e-3, 1e-2},
                         60, 25);
    check_kind<double>({"float64", cuda::float64_passes, same, same, 1e-14, 1e-13}, 40, 15);
    std::printf("%d checks of the CUDA kernels' source, %d failures\n", checks, failures);
    return failures != 0;
}
