// Runs the CUDA losses' own source, compiled for the processor (shim.h), on random sizes against
// plain loops in float64. Tensors are exactly as large as they must be and start as NaNs, as
// check_cuda.cpp's.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "../../../csrc/cuda/losses.h"
#include "shim.h"

using namespace daart_fast;

namespace {

int failures = 0, checks = 0;
std::mt19937 engine(0);
using Numbers = std::vector<double>;

int64_t below(int64_t end) {
    return int64_t(engine() % uint64_t(end));
}

template <typename T>
class Tensor {
  public:
    explicit Tensor(int64_t size) : size_(size), memory_(new T[size_t(size)]) {
        std::memset(static_cast<void*>(memory_.get()), 0xff, size_t(size) * sizeof(T));
    }
    T* data() { return size_ ? memory_.get() : nullptr; }
    T& operator[](int64_t i) { return memory_[size_t(i)]; }
    int64_t size() const { return size_; }

  private:
    int64_t size_;
    std::unique_ptr<T[]> memory_;
};

template <typename T>
Tensor<T> random_tensor(int64_t size, double scale = 1) {
    Tensor<T> made(size);
    std::normal_distribution<double> draw(0, scale);
    for (int64_t i = 0; i < size; i++) made[i] = T(draw(engine));
    return made;
}

Tensor<int64_t> random_labels(int64_t size, int64_t classes) {
    Tensor<int64_t> made(size);
    for (int64_t i = 0; i < size; i++) made[i] = below(classes + 2) - 2;
    return made;
}

template <typename T>
void compare(const char* what, Tensor<T>& found, const Numbers& expected, double allowed) {
    checks++;
    double largest = 1, error = 0;
    for (const double e : expected) largest = std::fmax(largest, std::fabs(e));
    bool same = found.size() == int64_t(expected.size());
    for (int64_t i = 0; same && i < found.size(); i++) {
        const double f = double(found[i]), e = expected[size_t(i)];
        if (std::isnan(f) != std::isnan(e)) same = false;
        if (!std::isnan(e)) error = std::fmax(error, std::fabs(f - e) / largest);
    }
    if (same && error <= allowed) return;
    failures++;
    std::printf("%s: %s, error %.1e\n", what, same ? "wrong" : "NaN or another size", error);
}

// Means as contract.h's sums give them: (sum, weight) of each sequence to (mean, 1 / weight).
void means(const Numbers& sums, const Numbers& weights, bool by_sequence, Numbers& mean,
           Numbers& factor) {
    double sum = 0, weight = 0;
    for (size_t b = 0; b < sums.size(); b++) {
        sum += sums[b];
        weight += weights[b];
        if (by_sequence) mean.push_back(weights[b] > 0 ? sums[b] / weights[b] : NAN);
        if (by_sequence) factor.push_back(weights[b] > 0 ? 1 / weights[b] : 0);
    }
    if (by_sequence) return;
    mean.push_back(weight > 0 ? sum / weight : 0);
    factor.assign(sums.size(), weight > 0 ? 1 / weight : 0);
}

template <typename T>
void check_head(const cuda::LossPasses<T>& passes, double allowed) {
    const int64_t batch = below(4), frames = 1 + below(70), channels = 1 + below(70);
    const int64_t classes = 1 + below(engine() % 4 ? 9 : 70), first = below(frames + 1);
    const int64_t scored = below(frames - first + 1);
    const HeadShape s{batch, frames, channels, classes, first, scored, frames};
    const bool by_sequence = engine() % 2;
    auto x = random_tensor<T>(batch * frames * channels), bias = random_tensor<T>(classes);
    auto weight = random_tensor<T>(classes * channels, 0.3);
    auto class_weights = random_tensor<T>(classes);
    for (int64_t k = 0; k < classes; k++) {
        class_weights[k] = engine() % 4 ? std::fabs(class_weights[k]) : T(0);
    }
    auto labels = random_labels(batch * frames, classes);
    auto unless = random_labels(batch * frames, classes);
    auto other = random_labels(batch * frames, classes);
    Tensor<bool> mask(batch * frames);
    for (int64_t i = 0; i < mask.size(); i++) mask[i] = engine() % 4 != 0;
    const bool has_bias = engine() % 2, weighs = engine() % 2;
    const HeadLabels given{labels.data(), engine() % 2 ? unless.data() : nullptr,
                           engine() % 2 ? other.data() : nullptr,
                           engine() % 2 ? mask.data() : nullptr, below(3) - 1};

    Tensor<int64_t> targets(batch * scored);
    Tensor<T> slopes(batch * scored * classes), loss(by_sequence ? batch : 1);
    Tensor<T> agreement(by_sequence ? batch : 1), factor(batch);
    Tensor<unsigned char> memory(passes.head_bytes(s)), grad_memory(passes.head_grad_bytes(s));
    const cuda::Queue queue{nullptr, 2};
    shim::launches = 0;
    passes.head(queue, s, by_sequence, x.data(), weight.data(), has_bias ? bias.data() : nullptr,
                given, weighs ? class_weights.data() : nullptr, targets.data(), slopes.data(),
                {loss.data(), agreement.data(), factor.data()}, memory.data());

    auto upstream = random_tensor<T>(by_sequence ? batch : 1);
    Tensor<T> dx(batch * frames * channels), dweight(classes * channels), dbias(classes);
    passes.head_grad(queue, s, by_sequence, x.data(), weight.data(), targets.data(), slopes.data(),
                     factor.data(), upstream.data(), dx.data(), dweight.data(), dbias.data(),
                     grad_memory.data());
    if (shim::launches > 4) failures++, std::printf("%d launches\n", shim::launches);

    const auto counted = [&](const int64_t* from, int64_t at) -> int64_t {
        if (!from || (given.mask && !given.mask[at])) return -1;
        return from[at] < 0 || from[at] == given.ignored ? -1 : from[at];
    };
    Numbers sums(size_t(batch), 0), weights = sums, hits = sums, compared = sums;
    Numbers all_targets, all_slopes;
    for (int64_t b = 0; b < batch; b++) {
        for (int64_t t = 0; t < scored; t++) {
            const int64_t at = b * frames + first + t;
            int64_t target = counted(given.labels, at);
            if (counted(given.unless, at) >= 0) target = -1;
            const int64_t wanted = counted(given.compared, at);
            Numbers logits;
            size_t likeliest = 0;
            double sum = 0;
            for (int64_t k = 0; k < classes; k++) {
                double logit = has_bias ? double(bias[k]) : 0;
                for (int64_t c = 0; c < channels; c++) {
                    logit += double(x[at * channels + c]) * double(weight[k * channels + c]);
                }
                logits.push_back(logit);
                if (logit > logits[likeliest]) likeliest = size_t(k);
            }
            for (const double l : logits) sum += std::exp(l - logits[likeliest]);
            const double own = target < 0 ? 0 : weighs ? double(class_weights[target]) : 1;
            all_targets.push_back(double(target));
            for (size_t k = 0; k < logits.size(); k++) {
                const double p = std::exp(logits[k] - logits[likeliest]) / sum;
                all_slopes.push_back(own * (p - (int64_t(k) == target)));
            }
            if (target >= 0) {
                sums[size_t(b)] +=
                    own * (std::log(sum) + logits[likeliest] - logits[size_t(target)]);
                weights[size_t(b)] += own;
            }
            if (wanted >= 0) {
                hits[size_t(b)] += int64_t(likeliest) == wanted;
                compared[size_t(b)] += 1;
            }
        }
    }
    Numbers mean, factors, agrees, unused;
    means(sums, weights, by_sequence, mean, factors);
    means(hits, compared, by_sequence, agrees, unused);
    Numbers all_dx(size_t(batch * frames * channels), 0), all_dw(size_t(classes * channels), 0);
    Numbers all_db(size_t(classes), 0);
    for (int64_t b = 0; b < batch; b++) {
        for (int64_t t = 0; t < scored; t++) {
            for (int64_t k = 0; k < classes; k++) {
                const double slope = all_slopes[size_t((b * scored + t) * classes + k)] *
                                     factors[size_t(b)] * double(upstream[by_sequence ? b : 0]);
                all_db[size_t(k)] += slope;
                for (int64_t c = 0; c < channels; c++) {
                    const int64_t in = (b * frames + first + t) * channels + c;
                    all_dx[size_t(in)] += slope * double(weight[k * channels + c]);
                    all_dw[size_t(k * channels + c)] += slope * double(x[in]);
                }
            }
        }
    }
    compare("targets", targets, all_targets, 0);
    compare("slopes", slopes, all_slopes, allowed);
    compare("loss", loss, mean, allowed);
    compare("agreement", agreement, agrees, allowed);
    compare("factor", factor, factors, allowed);
    compare("dx", dx, all_dx, allowed);
    compare("dweight", dweight, all_dw, allowed);
    compare("dbias", dbias, all_db, allowed);
}

template <typename T>
void check_error(const cuda::LossPasses<T>& passes, double allowed) {
    const int64_t batch = below(4), frames = 1 + below(150), channels = 1 + below(40);
    const int64_t ahead = below(frames < 3 ? frames : 3), first = below(frames - ahead + 1);
    const int64_t scored = below(frames - ahead - first + 1);
    const ErrorShape s{batch, frames, channels, first, scored, ahead, frames};
    const bool by_sequence = engine() % 2, masked = engine() % 2;
    auto prediction = random_tensor<T>(batch * frames * channels);
    auto target = random_tensor<T>(batch * frames * channels);
    for (int64_t i = 0; i < target.size(); i++) {
        if (engine() % 5 == 0) target[i] = T(NAN);
    }
    Tensor<bool> mask(batch * frames);
    for (int64_t i = 0; i < mask.size(); i++) mask[i] = engine() % 4 != 0;
    Tensor<T> loss(by_sequence ? batch : 1), factor(batch), made(batch * frames * channels);
    Tensor<unsigned char> memory(passes.error_bytes(s));
    auto upstream = random_tensor<T>(by_sequence ? batch : 1);
    const cuda::Queue queue{nullptr, 2};
    const bool* const given = masked ? mask.data() : nullptr;
    passes.error(queue, s, by_sequence, prediction.data(), target.data(), given,
                 {loss.data(), nullptr, factor.data()}, memory.data());
    passes.error_grad(queue, s, by_sequence, prediction.data(), target.data(), given, factor.data(),
                      upstream.data(), made.data());

    Numbers sums(size_t(batch), 0), counts = sums, mean, factors;
    Numbers gradient(size_t(batch * frames * channels), 0);
    for (int64_t b = 0; b < batch; b++) {
        for (int64_t t = first; t < first + scored; t++) {
            const int64_t at = b * frames + t;
            if (masked && !(mask[at] && mask[at + ahead])) continue;
            for (int64_t c = 0; c < channels; c++) {
                const double wanted = double(target[(at + ahead) * channels + c]);
                if (std::isnan(wanted)) continue;
                const double error = double(prediction[at * channels + c]) - wanted;
                sums[size_t(b)] += error * error;
                counts[size_t(b)] += 1;
                gradient[size_t(at * channels + c)] = 2 * error;
            }
        }
    }
    means(sums, counts, by_sequence, mean, factors);
    for (int64_t b = 0; b < batch; b++) {
        for (int64_t i = 0; i < frames * channels; i++) {
            gradient[size_t(b * frames * channels + i)] *=
                factors[size_t(b)] * double(upstream[by_sequence ? b : 0]);
        }
    }
    compare("squared error", loss, mean, allowed);
    compare("its factor", factor, factors, allowed);
    compare("its gradient", made, gradient, allowed);
}

// A label that is no class gives a loss that is no number.
void check_wrong_label() {
    const HeadShape s{1, 40, 5, 3, 0, 40, 40};
    auto x = random_tensor<float>(200), weight = random_tensor<float>(15);
    Tensor<int64_t> labels(40), targets(40);
    for (int64_t i = 0; i < 40; i++) labels[i] = i == 33 ? 3 : 1;
    Tensor<float> slopes(120), loss(1), agreement(1), factor(1);
    Tensor<unsigned char> memory(cuda::losses32.head_bytes(s));
    cuda::losses32.head({nullptr, 2}, s, false, x.data(), weight.data(), nullptr,
                        {labels.data(), nullptr, labels.data(), nullptr, 0}, nullptr,
                        targets.data(), slopes.data(),
                        {loss.data(), agreement.data(), factor.data()}, memory.data());
    checks++;
    if (std::isnan(loss[0]) && std::isnan(agreement[0]) && targets[33] == -1) return;
    failures++;
    std::printf("a label that is no class went by\n");
}

}  // namespace

int main() {
    for (int i = 0; i < 60; i++) {
        shim::turns = i % 2 ? shim::Turns::descending : shim::Turns::ascending;
        check_head(cuda::losses32, 2e-5);
        check_head(cuda::losses64, 1e-12);
        check_error(cuda::losses32, 2e-5);
        check_error(cuda::losses64, 1e-12);
    }
    check_wrong_label();
    std::printf("%d checks, %d failures\n", checks, failures);
    return failures != 0;
}
