// Runs stacks of residual blocks of every instruction set at random shapes, forward and backward,
// against plain loops, without Python. Usage: check_blocks [SHAPES]
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "../../csrc/dispatch.h"
#include "../../csrc/stack.h"
#include "plain.h"

using namespace daart_fast;
using namespace plain;

namespace {

using Numbers = std::vector<double>;

// ---- plain loops

struct Size {
    int64_t batch, frames;
};

// A convolution of all frames, and its gradients.
struct PlainConv {
    Size size;
    int64_t in, out, width, dilation, pad_left;

    template <typename Visit>
    void each(const Visit& visit) const {
        for (int64_t b = 0; b < size.batch; b++) {
            for (int64_t t = 0; t < size.frames; t++) {
                for (int64_t k = 0; k < width; k++) {
                    const int64_t from = t + k * dilation - pad_left;
                    if (from < 0 || from >= size.frames) continue;
                    for (int64_t o = 0; o < out; o++) {
                        for (int64_t c = 0; c < in; c++) {
                            visit(size_t((b * size.frames + t) * out + o),
                                  size_t((b * size.frames + from) * in + c),
                                  size_t((o * in + c) * width + k));
                        }
                    }
                }
            }
        }
    }

    Numbers forward(const Numbers& x, const Numbers& weight, const Numbers& bias) const {
        Numbers y(size_t(size.batch * size.frames * out));
        for (size_t i = 0; i < y.size(); i++) y[i] = bias[i % size_t(out)];
        each([&](size_t y_at, size_t x_at, size_t w_at) { y[y_at] += weight[w_at] * x[x_at]; });
        return y;
    }

    void backward(const Numbers& x, const Numbers& weight, const Numbers& g, Numbers& dx,
                  Numbers& dweight, Numbers& dbias) const {
        dweight.assign(weight.size(), 0);
        dbias.assign(size_t(out), 0);
        for (size_t i = 0; i < g.size(); i++) dbias[i % size_t(out)] += g[i];
        each([&](size_t y_at, size_t x_at, size_t w_at) {
            dx[x_at] += weight[w_at] * g[y_at];
            dweight[w_at] += x[x_at] * g[y_at];
        });
    }
};

// A weight-normalised convolution: its parameters, as T for the kernels and as double here.
template <typename T>
struct Weights {
    std::vector<T> v, gain, bias, dv, dgain, dbias;
    Numbers weight;
    int64_t row;

    Weights(int64_t out, int64_t size) : row(size) {
        v = random_vector<T>(out * size);
        gain = random_vector<T>(out);
        bias = random_vector<T>(out, 0.3);
        dv.resize(v.size());
        dgain.resize(gain.size());
        dbias.resize(bias.size());
        weight.resize(v.size());
        for (size_t i = 0; i < v.size(); i++) {
            weight[i] = double(v[i]) * double(gain[i / size_t(row)]) / norm(i / size_t(row));
        }
    }
    double norm(size_t o) const {
        double sum = 0;
        for (size_t i = o * size_t(row); i < (o + 1) * size_t(row); i++) {
            sum += double(v[i]) * double(v[i]);
        }
        return std::sqrt(sum);
    }
    // From the gradient of the weights to those of v and gain.
    void backward(const Numbers& dweight, Numbers& expected_dv, Numbers& expected_dgain) const {
        expected_dv.resize(v.size());
        expected_dgain.resize(gain.size());
        for (size_t o = 0; o < gain.size(); o++) {
            const double n = norm(o);
            double along = 0;
            for (size_t i = o * size_t(row); i < (o + 1) * size_t(row); i++) {
                along += dweight[i] * double(v[i]) / n;
            }
            expected_dgain[o] = along;
            for (size_t i = o * size_t(row); i < (o + 1) * size_t(row); i++) {
                expected_dv[i] = double(gain[o]) / n * (dweight[i] - along * double(v[i]) / n);
            }
        }
    }
    NormalisedWeights<const T> parameters() const { return {v.data(), gain.data(), bias.data()}; }
    NormalisedWeights<T> gradients() { return {dv.data(), dgain.data(), dbias.data()}; }
};

template <typename T>
Numbers widened(const std::vector<T>& v) {
    return Numbers(v.begin(), v.end());
}

int failures = 0;
int64_t comparisons = 0;

template <typename T>
void compare(const char* what, const std::string& where, const std::vector<T>& got,
             const Numbers& expected) {
    comparisons++;
    double worst = 0, largest = 1;
    for (size_t i = 0; i < expected.size(); i++) {
        const double error = std::fabs(double(got[i]) - expected[i]);
        if (!(error <= worst)) worst = error;
        if (std::fabs(expected[i]) > largest) largest = std::fabs(expected[i]);
    }
    if (worst <= (sizeof(T) == 4 ? 2e-4 : 1e-11) * largest) return;
    failures++;
    std::printf("%s of %s: off by %.2e of %.2e\n", what, where.c_str(), worst, largest);
}

// ---- one stack

template <typename T>
struct Block {
    StackLayer layer;
    PlainConv first_conv, second_conv, residual_conv;
    Weights<T> first, second;
    std::vector<T> residual_weight, residual_bias, dresidual_weight, dresidual_bias;
    Numbers x, hidden, inner, y;  // hidden and inner before their masks
    Numbers hidden_gate, inner_gate, y_gate;

    Block(Size size, int64_t in, const StackLayer& l)
        : layer(l),
          first_conv{size, in, l.channels_hidden, l.width, l.dilation, l.pad_left},
          second_conv{size, l.channels_hidden, l.channels_out, l.width, l.dilation, l.pad_left},
          residual_conv{size, in, l.channels_out, 1, 1, 0},
          first(l.channels_hidden, in * l.width),
          second(l.channels_out, l.channels_hidden * l.width) {
        if (in == l.channels_out) return;
        residual_weight = random_vector<T>(in * l.channels_out, 0.5);
        residual_bias = random_vector<T>(l.channels_out, 0.3);
        dresidual_weight.resize(residual_weight.size());
        dresidual_bias.resize(residual_bias.size());
    }

    Numbers forward(Numbers input, const Numbers& mask0, const Numbers& mask1,
                    Activation activation) {
        x = std::move(input);
        hidden = first_conv.forward(x, first.weight, widened(first.bias));
        hidden_gate = apply(hidden, activation);
        inner = second_conv.forward(masked(hidden, mask0, first_conv), second.weight,
                                    widened(second.bias));
        inner_gate = apply(inner, activation);
        Numbers residual = x;
        if (!residual_weight.empty()) {
            residual = residual_conv.forward(x, widened(residual_weight), widened(residual_bias));
        }
        y = masked(inner, mask1, second_conv);
        for (size_t i = 0; i < y.size(); i++) y[i] += residual[i];
        y_gate = apply(y, activation);
        return y;
    }

    // Applies the activation; what its derivative is a function of.
    static Numbers apply(Numbers& values, Activation activation) {
        Numbers gate = values;
        for (double& value : gate) value = gate_of(value, activation);
        for (double& value : values) value = activate(value, activation);
        return gate;
    }

    static Numbers masked(Numbers values, const Numbers& mask, const PlainConv& conv) {
        if (mask.empty()) return values;
        const size_t channels = size_t(conv.out), frames = size_t(conv.size.frames);
        for (size_t i = 0; i < values.size(); i++) {
            values[i] *= mask[i / (frames * channels) * channels + i % channels];
        }
        return values;
    }

    // dx, having compared what the kernels gave for the parameters.
    Numbers backward(Numbers dy, const Numbers& mask0, const Numbers& mask1, Activation activation,
                     const std::string& where) {
        for (size_t i = 0; i < dy.size(); i++) dy[i] *= derivative(y_gate[i], activation);
        Numbers dx(x.size()), dweight, dbias, dv, dgain;
        if (residual_weight.empty()) {
            dx = dy;
        } else {
            residual_conv.backward(x, widened(residual_weight), dy, dx, dweight, dbias);
            compare("residual weight", where, dresidual_weight, dweight);
            compare("residual bias", where, dresidual_bias, dbias);
        }
        Numbers g = masked(dy, mask1, second_conv), dhidden(hidden.size());
        for (size_t i = 0; i < g.size(); i++) g[i] *= derivative(inner_gate[i], activation);
        second_conv.backward(masked(hidden, mask0, first_conv), second.weight, g, dhidden, dweight,
                             dbias);
        second.backward(dweight, dv, dgain);
        compare("second v", where, second.dv, dv);
        compare("second gain", where, second.dgain, dgain);
        compare("second bias", where, second.dbias, dbias);
        g = masked(dhidden, mask0, first_conv);
        for (size_t i = 0; i < g.size(); i++) g[i] *= derivative(hidden_gate[i], activation);
        first_conv.backward(x, first.weight, g, dx, dweight, dbias);
        first.backward(dweight, dv, dgain);
        compare("first v", where, first.dv, dv);
        compare("first gain", where, first.dgain, dgain);
        compare("first bias", where, first.dbias, dbias);
        return dx;
    }
};

template <typename T>
void run_case(const StackShape& s, bool dropped, int threads) {
    std::string where = std::string(kernels().isa) + " " + std::to_string(8 * sizeof(T)) +
                        ": batch " + std::to_string(s.batch) + ", frames " +
                        std::to_string(s.frames) + " of which " + std::to_string(s.wanted.first) +
                        " to " + std::to_string(s.wanted.last);
    const Size size{s.batch, s.frames};
    std::vector<Block<T>> blocks;
    std::vector<StackParameters<const T>> parameters;
    std::vector<StackParameters<T>> gradients;
    int64_t in = s.channels_in, mask_columns = 0;
    for (const StackLayer& layer : s.layers) {
        blocks.emplace_back(size, in, layer);
        mask_columns += layer.channels_hidden + layer.channels_out;
        in = layer.channels_out;
        where += "; " + std::to_string(layer.channels_hidden) + ", " + std::to_string(in) +
                 " channels, width " + std::to_string(layer.width) + ", dilation " +
                 std::to_string(layer.dilation) + ", pad " + std::to_string(layer.pad_left);
    }
    for (Block<T>& b : blocks) {
        const bool dense = !b.residual_weight.empty();
        parameters.push_back({b.first.parameters(), b.second.parameters(),
                              dense ? b.residual_weight.data() : nullptr,
                              dense ? b.residual_bias.data() : nullptr});
        gradients.push_back({b.first.gradients(), b.second.gradients(),
                             dense ? b.dresidual_weight.data() : nullptr,
                             dense ? b.dresidual_bias.data() : nullptr});
    }
    std::vector<T> masks(dropped ? size_t(s.batch * mask_columns) : 0);
    for (T& value : masks) value = engine() % 4 ? T(1.25) : T(0);
    const std::vector<T> x = random_vector<T>(s.batch * s.frames * s.channels_in);
    const int64_t n_wanted = s.wanted.frames() * in;
    const std::vector<T> dy = random_vector<T>(s.batch * n_wanted);
    std::vector<T> y(dy.size()), again(dy.size()), dx(x.size());
    std::vector<T> saved(size_t(stack_saved_size(s)));
    const T* mask = dropped ? masks.data() : nullptr;
    stack_forward(s, x.data(), parameters, mask, y.data(), saved.data(), threads);
    stack_forward(s, x.data(), parameters, mask, again.data(), static_cast<T*>(nullptr), threads);
    stack_backward(s, x.data(), parameters, mask, y.data(), saved.data(), dy.data(), dx.data(),
                   gradients, threads);

    // each block's columns of the masks
    std::vector<Numbers> own;
    int64_t column = 0;
    for (const Block<T>& b : blocks) {
        for (int64_t channels : {b.layer.channels_hidden, b.layer.channels_out}) {
            Numbers part;
            for (int64_t r = 0; dropped && r < s.batch; r++) {
                for (int64_t c = 0; c < channels; c++) {
                    part.push_back(double(masks[size_t(r * mask_columns + column + c)]));
                }
            }
            own.push_back(part);
            column += channels;
        }
    }
    Numbers values = widened(x);
    for (size_t i = 0; i < blocks.size(); i++) {
        values = blocks[i].forward(values, own[2 * i], own[2 * i + 1], s.activation);
    }
    Numbers expected, gradient(values.size());
    for (int64_t b = 0; b < s.batch; b++) {
        const int64_t from = (b * s.frames + s.wanted.first) * in;
        for (int64_t i = 0; i < n_wanted; i++) {
            expected.push_back(values[size_t(from + i)]);
            gradient[size_t(from + i)] = double(dy[size_t(b * n_wanted + i)]);
        }
    }
    compare("y", where, y, expected);
    compare("y without what is kept", where, again, expected);
    for (size_t i = blocks.size(); i-- > 0;) {
        gradient = blocks[i].backward(gradient, own[2 * i], own[2 * i + 1], s.activation, where);
    }
    compare("x", where, dx, gradient);
}

StackShape random_shape() {
    StackShape s{};
    s.batch = pick({1, 1, 2, 3});
    s.frames = pick({1, 2, 5, 13, 24});
    s.channels_in = pick({1, 3, 4, 8, 17});
    s.wanted.first = int64_t(engine() % uint64_t(s.frames));
    s.wanted.last = s.wanted.first + 1 + int64_t(engine() % uint64_t(s.frames - s.wanted.first));
    if (engine() % 2) s.wanted = {0, s.frames};
    s.activation =
        static_cast<Activation>(pick({0, 2, 3, 4, 5}));  // relu's kink is no derivative's
    for (int64_t i = pick({1, 1, 2, 3}); i > 0; i--) {
        StackLayer layer{};
        layer.channels_hidden = pick({1, 4, 8, 16, 19});
        layer.channels_out = pick({1, 4, 8, 16, 17});
        layer.width = pick({1, 2, 3, 5, 9});
        layer.dilation = pick({1, 2, 4, 30});
        const int64_t span = layer.dilation * (layer.width - 1);
        layer.pad_left = pick({0, span / 2, span});
        s.layers.push_back(layer);
    }
    return s;
}

}  // namespace

int main(int n_arguments, char** arguments) {
    const long n_shapes = n_arguments > 1 ? std::atol(arguments[1]) : 40;
    for (const std::string& isa : available_isas()) {
        use_isa(isa);
        engine.seed(0);
        for (long i = 0; i < n_shapes; i++) {
            const StackShape s = random_shape();
            run_case<double>(s, i % 2, 1 + int(i % 3));
            run_case<float>(s, i % 2, 1 + int(i % 3));
        }
        std::printf("blocks %s: %ld shapes, %lld comparisons, %d failures\n", isa.c_str(), n_shapes,
                    static_cast<long long>(comparisons), failures);
    }
    return failures ? 1 : 0;
}
