// Runs the whole loss of random segmenters, and Adam, on every instruction set without Python: the
// gradient against differences of the loss, float against double, Adam against a plain loop.
// Usage: check_training [SHAPES]
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "../../csrc/dispatch.h"
#include "../../csrc/training/objective.h"
#include "plain.h"

using namespace daart_fast;
using namespace plain;

namespace {

int failures = 0;

double normal() {
    static std::normal_distribution<double> draw;
    return draw(engine);
}

void expect(bool holds, const char* what, double got, double wanted) {
    if (holds) return;
    std::printf("%s: %s is %.10g, not %.10g\n", kernels().isa, what, got, wanted);
    failures++;
}

// One network, its parameters and a batch, drawn in double. Null parameters have no elements.
struct Case {
    ObjectiveShape shape;
    std::vector<std::vector<double>> parameters;
    std::vector<double> x, class_weights, dropout[3];
    std::unique_ptr<bool[]> mask;
    std::vector<int64_t> strong, weak;
};

std::vector<double> values(int64_t n, double size = 1) {
    std::vector<double> v(static_cast<std::size_t>(n));
    for (double& value : v) value = size * normal();
    return v;
}

// Adds a stack's layers and parameters, and returns its channels of dropout.
int64_t add_stack(Case& c, std::vector<StackLayer>& layers, int64_t channels, int64_t last) {
    int64_t dropped = 0;
    const bool fresh = layers.empty();
    const std::size_t blocks = fresh ? std::size_t(pick({1, 2, 3})) : layers.size();
    for (std::size_t i = 0; i < blocks; i++) {
        if (fresh) {
            const int64_t width = pick({1, 3, 5}), dilation = pick({1, 2, 4});
            const int64_t left = dilation * (width - 1) / (pick({1, 2}));
            layers.push_back(
                {pick({1, 3, 16}), i + 1 == blocks ? last : pick({3, 17}), width, dilation, left});
        }
        const StackLayer& l = layers[i];
        for (const auto& [in, out] :
             {std::pair{channels, l.channels_hidden}, {l.channels_hidden, l.channels_out}}) {
            c.parameters.push_back(values(out * in * l.width));
            c.parameters.push_back(values(out));
            c.parameters.push_back(values(pick({0, 1}) ? out : 0));
        }
        const bool residual = channels != l.channels_out;
        c.parameters.push_back(values(residual ? l.channels_out * channels : 0));
        c.parameters.push_back(values(residual ? l.channels_out : 0));
        channels = l.channels_out;
        dropped += l.channels_hidden + l.channels_out;
    }
    return dropped;
}

Case draw() {
    Case c;
    ObjectiveShape& s = c.shape;
    s.batch = pick({1, 2, 3});
    s.frames = pick({2, 9, 40});
    s.inputs = pick({1, 3, 16});
    s.classes = pick({1, 4, 18});
    s.first = pick({0, 1});
    s.scored = 1 + int64_t(engine()) % (s.frames - s.first);
    s.heads = 1 + int(engine() % 15);
    s.activation = pick({0, 1}) ? Activation::tanh : Activation::sigmoid;
    s.ignored = pick({-1, 0});
    s.weights = {1.0, 0.5, 2.0, 0.25};
    const int64_t units = pick({2, 16});
    int64_t dropped[3] = {add_stack(c, s.encoder, s.inputs, units), 0, 0};
    for (int i = 0; i < kHeads; i++) {
        if (!(s.heads & 1 << i)) continue;
        if (i >= 2) dropped[i - 1] = add_stack(c, s.decoder, units, s.inputs);
        const int64_t in = i < 2 ? units : s.inputs, out = i < 2 ? s.classes : s.inputs;
        c.parameters.push_back(values(in * out));
        c.parameters.push_back(values(out));
    }
    const int64_t frames = s.batch * s.frames;
    c.x = values(frames * s.inputs);
    if (pick({0, 1})) c.class_weights = std::vector<double>(std::size_t(s.classes), 0.7);
    c.mask = std::make_unique<bool[]>(std::size_t(frames));
    for (int64_t t = 0; t < frames; t++) {
        c.mask[std::size_t(t)] = engine() % 4 != 0;
        c.strong.push_back(int64_t(engine()) % (s.classes + 1) - 1);
        c.weak.push_back(int64_t(engine()) % (s.classes + 1) - 1);
    }
    if (pick({0, 1})) {
        for (int i = 0; i < 3; i++) {
            c.dropout[i] = values(s.batch * dropped[i]);
            for (double& keep : c.dropout[i]) keep = keep > 0 ? 1.25 : 0;
        }
    }
    return c;
}

template <typename T>
std::vector<T> as(const std::vector<double>& v) {
    return {v.begin(), v.end()};
}

template <typename T, typename V>
T* address(V& v) {
    return v.empty() ? nullptr : v.data();
}

// The loss where the parameters are moved by `by` times `direction`, and the gradients if wanted.
template <typename T>
double loss(const Case& c, const std::vector<std::vector<double>>& direction, double by,
            std::vector<std::vector<T>>* gradients, int threads) {
    std::vector<std::vector<T>> parameters;
    std::vector<const T*> at;
    for (std::size_t i = 0; i < c.parameters.size(); i++) {
        std::vector<double> moved = c.parameters[i];
        for (std::size_t j = 0; j < moved.size(); j++) moved[j] += by * direction[i][j];
        parameters.push_back(as<T>(moved));
    }
    for (auto& p : parameters) at.push_back(address<const T>(p));
    const auto x = as<T>(c.x), weights = as<T>(c.class_weights);
    const std::vector<T> dropout[3] = {as<T>(c.dropout[0]), as<T>(c.dropout[1]),
                                       as<T>(c.dropout[2])};
    const ObjectiveInputs<T> in{x.data(),
                                c.mask.get(),
                                c.strong.data(),
                                c.weak.data(),
                                address<const T>(weights),
                                address<const T>(dropout[0]),
                                address<const T>(dropout[1]),
                                address<const T>(dropout[2])};
    std::vector<T> kept(std::size_t(objective_saved_size<T>(c.shape)));
    T results[6 /* see objective.h */] = {};
    const int64_t wrong = objective_forward<T>(c.shape, in, at, results, kept.data(), threads);
    expect(wrong < 0, "a label", double(wrong), -1);
    if (gradients) {
        gradients->clear();
        std::vector<T*> to;
        for (const auto& p : parameters) gradients->emplace_back(p.size());
        for (auto& g : *gradients) to.push_back(address<T>(g));
        objective_backward<T>(c.shape, in, at, kept.data(), T(1), to, threads);
    }
    return double(results[0]);
}

void check_objective() {
    const Case c = draw();
    std::vector<std::vector<double>> direction, gradients;
    for (const auto& p : c.parameters) direction.push_back(values(int64_t(p.size()), 0.1));
    const double here = loss<double>(c, direction, 0, &gradients, 1);
    double along = 0;
    for (std::size_t i = 0; i < gradients.size(); i++) {
        for (std::size_t j = 0; j < gradients[i].size(); j++) {
            along += gradients[i][j] * direction[i][j];
        }
    }
    constexpr double kStep = 1e-5;
    const double difference = (loss<double>(c, direction, kStep, nullptr, 2) -
                               loss<double>(c, direction, -kStep, nullptr, 2)) /
                              (2 * kStep);
    const double scale = 1 + std::fabs(here) + std::fabs(difference);
    expect(std::fabs(along - difference) < 1e-6 * scale, "a gradient", along, difference);
    std::vector<std::vector<float>> single;
    const double there = loss<float>(c, direction, 0, &single, 2);
    expect(std::fabs(here - there) < 1e-3 * scale, "a loss in float", there, here);
}

void check_adam() {
    constexpr double kRate = 0.01, kBeta1 = 0.9, kBeta2 = 0.99, kEpsilon = 1e-8, kDecay = 0.1;
    std::vector<std::vector<float>> tensors[5];  // parameter, gradient, mean, square, largest
    std::vector<float> steps;
    const int n = int(pick({1, 3, 7}));
    for (int i = 0; i < n; i++) {
        const auto size = std::size_t(pick({0, 1, 15, 16, 33, 40000}));
        for (int j = 0; j < 5; j++) {
            tensors[j].push_back(as<float>(values(int64_t(size))));
            for (float& v : tensors[j].back()) v = j > 2 ? std::fabs(v) : v;
        }
        steps.push_back(float(pick({0, 5})));
    }
    auto wanted = tensors[0];
    std::vector<AdamTensor<float>> list;
    for (std::size_t i = 0; i < steps.size(); i++) {
        const double step = double(steps[i]) + 1;
        for (std::size_t k = 0; k < wanted[i].size(); k++) {
            const double p = tensors[0][i][k], g = tensors[1][i][k] + kDecay * p;
            const double mean = kBeta1 * tensors[2][i][k] + (1 - kBeta1) * g;
            const double square = kBeta2 * tensors[3][i][k] + (1 - kBeta2) * g * g;
            const double largest = std::fmax(double(tensors[4][i][k]), square);
            const double root = std::sqrt(largest / (1 - std::pow(kBeta2, step))) + kEpsilon;
            wanted[i][k] = float(p - kRate / (1 - std::pow(kBeta1, step)) * mean / root);
        }
        list.push_back({tensors[0][i].data(), tensors[1][i].data(), tensors[2][i].data(),
                        tensors[3][i].data(), tensors[4][i].data(), &steps[i],
                        int64_t(wanted[i].size())});
    }
    kernels().adam32(list.data(), int64_t(list.size()), {kRate, kBeta1, kBeta2, kEpsilon, kDecay},
                     2);
    for (std::size_t i = 0; i < steps.size(); i++) {
        for (std::size_t k = 0; k < wanted[i].size(); k++) {
            const double got = tensors[0][i][k], right = wanted[i][k];
            expect(std::fabs(got - right) < 1e-5 * (1 + std::fabs(right)), "Adam", got, right);
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    const int shapes = argc > 1 ? std::atoi(argv[1]) : 60;
    for (const std::string& isa : available_isas()) {
        use_isa(isa);
        for (int i = 0; i < shapes; i++) check_objective();
        for (int i = 0; i < 10; i++) check_adam();
    }
    std::printf("check_training: %d objectives, %d failures\n", shapes, failures);
    return failures != 0;
}
