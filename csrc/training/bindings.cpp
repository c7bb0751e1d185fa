// The Python face of the losses and the optimiser: sizes are checked here, tensors come as
// addresses, as in csrc/bindings.cpp.
#include <pybind11/stl.h>

#include <array>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "../contract.h"
#include "../dispatch.h"
#include "register.h"

namespace py = pybind11;

namespace daart_fast {
namespace {

// Far beyond any data, and small enough that no sum or product of sizes overflows.
constexpr int64_t kLargest = int64_t(1) << 20;
constexpr int64_t kLongest = int64_t(1) << 36;

void require(bool condition, const char* sentence) {
    if (!condition) throw std::invalid_argument(sentence);
}

void check_sizes(int64_t batch, int64_t frames, int64_t channels, int64_t first, int64_t scored,
                 int64_t ahead, int threads) {
    require(batch >= 0 && frames >= 0 && channels >= 1, "sizes must not be negative");
    require(batch <= kLargest && frames <= kLongest && channels <= kLargest,
            "a size is beyond all bounds");
    require(first >= 0 && scored >= 0 && ahead >= 0, "frames must not be negative");
    require(first <= frames && scored <= frames - first && ahead <= frames - first - scored,
            "the frames that count do not lie within the sequence");
    require(threads >= 1 && threads <= 1024, "threads must lie between 1 and 1024");
}

template <typename T>
T* pointer(uintptr_t address) {
    return reinterpret_cast<T*>(address);
}

template <typename T>
const LossKernels<T>& losses();
template <>
const LossKernels<float>& losses<float>() {
    return kernels().losses32;
}
template <>
const LossKernels<double>& losses<double>() {
    return kernels().losses64;
}

// batch, frames, channels, classes, first, scored
using HeadSizes = std::array<int64_t, 6>;
// batch, frames, channels, first, scored, ahead
using ErrorSizes = std::array<int64_t, 6>;

HeadShape head_shape(const HeadSizes& n, int threads) {
    const HeadShape s{n[0], n[1], n[2], n[3], n[4], n[5]};
    check_sizes(s.batch, s.frames, s.channels, s.first, s.scored, 0, threads);
    require(s.classes >= 1 && s.classes <= kLargest, "there must be at least one class");
    return s;
}

ErrorShape error_shape(const ErrorSizes& n, int threads) {
    const ErrorShape s{n[0], n[1], n[2], n[3], n[4], n[5]};
    check_sizes(s.batch, s.frames, s.channels, s.first, s.scored, s.ahead, threads);
    return s;
}

// Where sums (batch, step) hold pairs (sum, weight) from `at` on: their means, one for the batch
// (0 where nothing weighs) or one for each sequence (NaN there), and 1 / weight for each sequence.
template <typename T>
void means(const std::vector<double>& sums, size_t step, size_t at, bool by_sequence, T* mean,
           T* factor) {
    const size_t batch = sums.size() / step;
    double sum = 0, weight = 0;
    for (size_t b = 0; b < batch; b++) {
        sum += sums[b * step + at];
        weight += sums[b * step + at + 1];
        if (!by_sequence) continue;
        mean[b] = T(weight > 0 ? sum / weight : std::nan(""));
        if (factor) factor[b] = T(weight > 0 ? 1 / weight : 0);
        sum = weight = 0;
    }
    if (by_sequence) return;
    *mean = T(weight > 0 ? sum / weight : 0);
    for (size_t b = 0; factor && b < batch; b++) factor[b] = T(weight > 0 ? 1 / weight : 0);
}

// factor times the gradient of the mean that it belongs to.
template <typename T>
std::vector<T> times_gradient(int64_t batch, const T* factor, const T* gradient, bool by_sequence) {
    std::vector<T> product(static_cast<size_t>(batch));
    for (int64_t b = 0; b < batch; b++) {
        product[size_t(b)] = factor[b] * gradient[by_sequence ? b : 0];
    }
    return product;
}

// x, weight, bias, class weights; labels, unless, compared, mask; targets, slopes, loss, agreement,
// factor. bias, the class weights, unless, compared and mask may be null.
using HeadTensors = std::array<uintptr_t, 13>;

template <typename T>
void head_of(const HeadShape& s, const HeadTensors& a, int64_t ignored, bool by_sequence,
             int threads) {
    std::vector<double> sums(static_cast<size_t>(s.batch) * 4);
    const HeadLabels labels{pointer<int64_t>(a[4]), pointer<int64_t>(a[5]), pointer<int64_t>(a[6]),
                            pointer<bool>(a[7]), ignored};
    const int64_t wrong = losses<T>().head(s, pointer<T>(a[0]), pointer<T>(a[1]), pointer<T>(a[2]),
                                           labels, pointer<T>(a[3]), pointer<int64_t>(a[8]),
                                           pointer<T>(a[9]), sums.data(), threads);
    if (wrong >= 0) {
        throw std::out_of_range("a frame is labelled as class " + std::to_string(wrong) +
                                ", but there are only " + std::to_string(s.classes) + " classes");
    }
    means(sums, 4, 0, by_sequence, pointer<T>(a[10]), pointer<T>(a[12]));
    means<T>(sums, 4, 2, by_sequence, pointer<T>(a[11]), nullptr);
}

void head_loss(bool is_double, const HeadTensors& a, const HeadSizes& sizes, int64_t ignored,
               bool by_sequence, int threads) {
    const HeadShape s = head_shape(sizes, threads);
    const bool empty = s.batch == 0 || s.scored == 0;
    require(empty || (a[0] && a[4] && a[8] && a[9]),
            "x, labels, targets and slopes must not be null");
    require(a[1] != 0, "weight must not be null");
    require((s.batch == 0 && by_sequence) || (a[10] && a[11]), "the results must not be null");
    require(s.batch == 0 || a[12], "factor must not be null");
    (is_double ? head_of<double> : head_of<float>)(s, a, ignored, by_sequence, threads);
}

// x, weight, targets, slopes, factor, the loss's gradient; dx, dweight, dbias.
using HeadGradients = std::array<uintptr_t, 9>;

template <typename T>
void head_grad_of(const HeadShape& s, const HeadGradients& a, bool by_sequence, int threads) {
    const auto factor = times_gradient(s.batch, pointer<T>(a[4]), pointer<T>(a[5]), by_sequence);
    losses<T>().head_grad(s, pointer<T>(a[0]), pointer<T>(a[1]), pointer<int64_t>(a[2]),
                          pointer<T>(a[3]), factor.data(), pointer<T>(a[6]), pointer<T>(a[7]),
                          pointer<T>(a[8]), threads);
}

void head_loss_grad(bool is_double, const HeadGradients& a, const HeadSizes& sizes,
                    bool by_sequence, int threads) {
    const HeadShape s = head_shape(sizes, threads);
    require(!a[7] == !a[8], "the gradients of weight and bias come both or neither");
    require(s.batch == 0 || (a[4] && a[5]), "factor and gradient must not be null");
    require(s.batch == 0 || s.frames == 0 || (a[0] && a[1]), "x and weight must not be null");
    require(s.batch == 0 || s.scored == 0 || (a[2] && a[3]), "targets and slopes must not be null");
    (is_double ? head_grad_of<double> : head_grad_of<float>)(s, a, by_sequence, threads);
}

// prediction, target, mask (may be null); loss, factor.
using ErrorTensors = std::array<uintptr_t, 5>;

template <typename T>
void error_of(const ErrorShape& s, const ErrorTensors& a, bool by_sequence, int threads) {
    std::vector<double> sums(static_cast<size_t>(s.batch) * 2);
    losses<T>().error(s, pointer<T>(a[0]), pointer<T>(a[1]), pointer<bool>(a[2]), sums.data(),
                      threads);
    means(sums, 2, 0, by_sequence, pointer<T>(a[3]), pointer<T>(a[4]));
}

void squared_error(bool is_double, const ErrorTensors& a, const ErrorSizes& sizes, bool by_sequence,
                   int threads) {
    const ErrorShape s = error_shape(sizes, threads);
    require(s.batch == 0 || s.scored == 0 || (a[0] && a[1]),
            "prediction and target must not be null");
    require((s.batch == 0 && by_sequence) || a[3], "loss must not be null");
    require(s.batch == 0 || a[4], "factor must not be null");
    (is_double ? error_of<double> : error_of<float>)(s, a, by_sequence, threads);
}

// prediction, target, mask (may be null), factor, the loss's gradient; dprediction.
using ErrorGradients = std::array<uintptr_t, 6>;

template <typename T>
void error_grad_of(const ErrorShape& s, const ErrorGradients& a, bool by_sequence, int threads) {
    const auto factor = times_gradient(s.batch, pointer<T>(a[3]), pointer<T>(a[4]), by_sequence);
    losses<T>().error_grad(s, pointer<T>(a[0]), pointer<T>(a[1]), pointer<bool>(a[2]),
                           factor.data(), pointer<T>(a[5]), threads);
}

void squared_error_grad(bool is_double, const ErrorGradients& a, const ErrorSizes& sizes,
                        bool by_sequence, int threads) {
    const ErrorShape s = error_shape(sizes, threads);
    if (s.batch == 0 || s.frames == 0) return;
    require(a[0] && a[1] && a[3] && a[4] && a[5],
            "prediction, target, factor, gradient and dprediction must not be null");
    (is_double ? error_grad_of<double> : error_grad_of<float>)(s, a, by_sequence, threads);
}

// parameters, gradients, means, squares, largest squares, steps: float32, each a tensor's address
void adam(const std::array<std::vector<uintptr_t>, 6>& lists, const std::vector<int64_t>& counts,
          double rate, double beta1, double beta2, double epsilon, double weight_decay,
          int threads) {
    require(threads >= 1 && threads <= 1024, "threads must lie between 1 and 1024");
    const size_t n = counts.size();
    for (const auto& list : lists) {
        require(list.size() == n, "every list must name as many tensors as there are counts");
    }
    std::vector<AdamTensor<float>> tensors;
    tensors.reserve(n);
    for (size_t i = 0; i < n; i++) {
        require(counts[i] >= 0, "counts must not be negative");
        for (const auto& list : lists) {
            require(counts[i] == 0 || list[i], "a tensor must not be null");
        }
        if (!lists[5][i]) continue;
        tensors.push_back({pointer<float>(lists[0][i]), pointer<float>(lists[1][i]),
                           pointer<float>(lists[2][i]), pointer<float>(lists[3][i]),
                           pointer<float>(lists[4][i]), pointer<float>(lists[5][i]), counts[i]});
    }
    kernels().adam32(tensors.data(), int64_t(tensors.size()),
                     {rate, beta1, beta2, epsilon, weight_decay}, threads);
}

}  // namespace

void register_training(py::module_& m) {
    const auto release = py::call_guard<py::gil_scoped_release>();
    m.def("head_loss", &head_loss, release);
    m.def("head_loss_grad", &head_loss_grad, release);
    m.def("squared_error", &squared_error, release);
    m.def("squared_error_grad", &squared_error_grad, release);
    m.def("adam", &adam, release, "A step of Adam with amsgrad over lists of tensors.");
}

}  // namespace daart_fast
