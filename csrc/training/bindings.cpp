// The Python face of the losses and the optimiser: sizes are checked here, tensors come as
// addresses, as in csrc/bindings.cpp.
#include <pybind11/stl.h>

#include <array>
#include <stdexcept>
#include <string>
#include <vector>

#include "../arguments.h"
#include "../contract.h"
#include "../dispatch.h"
#include "means.h"
#include "objective.h"
#include "register.h"

namespace py = pybind11;

namespace daart_fast {
namespace {

// Far beyond any data, and small enough that no sum or product of sizes overflows.
constexpr int64_t kLargest = int64_t(1) << 20;
constexpr int64_t kLongest = int64_t(1) << 36;

void check_sizes(int64_t batch, int64_t frames, int64_t channels, int64_t first, int64_t scored,
                 int64_t ahead, int threads) {
    require(batch >= 0 && frames >= 0 && channels >= 1, "sizes must not be negative");
    require(batch <= kLargest && frames <= kLongest && channels <= kLargest,
            "a size is beyond all bounds");
    require(first >= 0 && scored >= 0 && ahead >= 0, "frames must not be negative");
    require(first <= frames && scored <= frames - first && ahead <= frames - first - scored,
            "the frames that count do not lie within the sequence");
    check_threads(threads);
}

std::out_of_range no_such_class(int64_t label, int64_t classes) {
    return std::out_of_range("a frame is labelled as class " + std::to_string(label) +
                             ", but there are only " + std::to_string(classes) + " classes");
}

// batch, frames, channels, classes, first, scored
using HeadSizes = std::array<int64_t, 6>;
// batch, frames, channels, first, scored, ahead
using ErrorSizes = std::array<int64_t, 6>;

HeadShape head_shape(const HeadSizes& n, int threads) {
    const HeadShape s{n[0], n[1], n[2], n[3], n[4], n[5], n[1]};
    check_sizes(s.batch, s.frames, s.channels, s.first, s.scored, 0, threads);
    require(s.classes >= 1 && s.classes <= kLargest, "there must be at least one class");
    return s;
}

ErrorShape error_shape(const ErrorSizes& n, int threads) {
    const ErrorShape s{n[0], n[1], n[2], n[3], n[4], n[5], n[1]};
    check_sizes(s.batch, s.frames, s.channels, s.first, s.scored, s.ahead, threads);
    return s;
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
    const int64_t wrong = loss_kernels<T>().head(
        s, pointer<T>(a[0]), pointer<T>(a[1]), pointer<T>(a[2]), labels, pointer<T>(a[3]),
        pointer<int64_t>(a[8]), pointer<T>(a[9]), sums.data(), threads);
    if (wrong >= 0) throw no_such_class(wrong, s.classes);
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
    loss_kernels<T>().head_grad(s, pointer<T>(a[0]), pointer<T>(a[1]), pointer<int64_t>(a[2]),
                                pointer<T>(a[3]), factor.data(), false, pointer<T>(a[6]),
                                pointer<T>(a[7]), pointer<T>(a[8]), threads);
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
    loss_kernels<T>().error(s, pointer<T>(a[0]), pointer<T>(a[1]), pointer<bool>(a[2]), sums.data(),
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
    loss_kernels<T>().error_grad(s, pointer<T>(a[0]), pointer<T>(a[1]), pointer<bool>(a[2]),
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

// Of an objective: batch, frames, inputs, classes, first, scored, heads, activation, ignored.
using ObjectiveSizes = std::array<int64_t, 9>;
ObjectiveShape objective_shape(const ObjectiveSizes& n, const std::vector<int64_t>& encoder,
                               const std::vector<int64_t>& decoder, int threads) {
    check_sizes(n[0], n[1], n[2], n[4], n[5], 0, threads);
    require(n[3] >= 1 && n[3] <= kLargest, "there must be at least one class");
    require(n[5] >= 1, "there must be a frame to score");
    require(n[6] >= 1 && n[6] < 1 << kHeads, "heads must name at least one head");
    ObjectiveShape s{n[0],
                     n[1],
                     n[2],
                     n[3],
                     n[4],
                     n[5],
                     int(n[6]),
                     layers_of(encoder),
                     layers_of(decoder),
                     activation_of(n[7]),
                     n[8],
                     {}};
    require(!s.encoder.empty(), "the encoder must have a block");
    const bool decodes = (s.heads & (kPredictor | kDecoder)) != 0;
    require(!decodes || (!s.decoder.empty() && s.decoder.back().channels_out == s.inputs),
            "a decoder must have a block, and make what the encoder gets");
    check_stack_sizes(s.batch, s.frames, s.inputs, s.encoder);
    check_stack_sizes(s.batch, s.frames, s.encoder.back().channels_out, s.decoder);
    check_elements(s.batch, s.frames, s.classes);
    return s;
}

int64_t objective_saved(bool is_double, const ObjectiveSizes& sizes,
                        const std::vector<int64_t>& encoder, const std::vector<int64_t>& decoder) {
    const ObjectiveShape s = objective_shape(sizes, encoder, decoder, 1);
    return is_double ? objective_saved_size<double>(s) : objective_saved_size<float>(s);
}

// x, mask, labels_strong, labels_weak, class weights, dropout masks of encoder, predictor, decoder;
// mask, class weights and the dropout masks may be null.
using ObjectiveTensors = std::array<uintptr_t, 8>;

template <typename T>
ObjectiveInputs<T> objective_inputs(const ObjectiveTensors& a) {
    return {pointer<T>(a[0]), pointer<bool>(a[1]), pointer<int64_t>(a[2]), pointer<int64_t>(a[3]),
            pointer<T>(a[4]), pointer<T>(a[5]),    pointer<T>(a[6]),       pointer<T>(a[7])};
}

template <typename P>
std::vector<P> pointers(const std::vector<uintptr_t>& addresses) {
    std::vector<P> made;
    for (const uintptr_t address : addresses) made.push_back(reinterpret_cast<P>(address));
    return made;
}

ObjectiveShape checked_objective(const ObjectiveTensors& a,
                                 const std::vector<uintptr_t>& parameters,
                                 const ObjectiveSizes& sizes, const std::vector<int64_t>& encoder,
                                 const std::vector<int64_t>& decoder,
                                 const std::array<double, kHeads>& weights, int threads) {
    ObjectiveShape s = objective_shape(sizes, encoder, decoder, threads);
    s.weights = weights;
    require(int64_t(parameters.size()) == objective_parameters(s),
            "there are more or fewer parameters than the network has");
    require(s.batch == 0 || (a[0] && a[2] && a[3]), "x and the labels must not be null");
    const uintptr_t* p = parameters.data();
    check_stack(s.encoder, s.inputs, p);
    p += s.encoder.size() * kBlockParameters;
    for (int i = 0; i < kHeads; i++) {
        if (!(s.heads & 1 << i)) continue;
        if (i >= 2) {
            check_stack(s.decoder, s.encoder.back().channels_out, p);
            p += s.decoder.size() * kBlockParameters;
        }
        require(p[0], "the weights must not be null");
        p += 2;
    }
    return s;
}

template <typename T>
void objective_forward_of(const ObjectiveShape& s, const ObjectiveTensors& a,
                          const std::vector<uintptr_t>& parameters, uintptr_t loss,
                          uintptr_t values, uintptr_t saved, int threads) {
    const int64_t wrong =
        objective_forward<T>(s, objective_inputs<T>(a), pointers<const T*>(parameters),
                             pointer<T>(values), pointer<T>(saved), threads);
    if (wrong >= 0) throw no_such_class(wrong, s.classes);
    *pointer<T>(loss) = *pointer<T>(values);
}

void objective_forward_checked(bool is_double, const ObjectiveTensors& a,
                               const std::vector<uintptr_t>& parameters, uintptr_t loss,
                               uintptr_t values, uintptr_t saved, const ObjectiveSizes& sizes,
                               const std::vector<int64_t>& encoder,
                               const std::vector<int64_t>& decoder,
                               const std::array<double, kHeads>& weights, int threads) {
    const ObjectiveShape s =
        checked_objective(a, parameters, sizes, encoder, decoder, weights, threads);
    require(loss && values && saved, "loss, values and saved must not be null");
    (is_double ? objective_forward_of<double>
               : objective_forward_of<float>)(s, a, parameters, loss, values, saved, threads);
}

template <typename T>
void objective_backward_of(const ObjectiveShape& s, const ObjectiveTensors& a,
                           const std::vector<uintptr_t>& parameters, uintptr_t saved,
                           uintptr_t upstream, const std::vector<uintptr_t>& gradients,
                           int threads) {
    objective_backward<T>(s, objective_inputs<T>(a), pointers<const T*>(parameters),
                          pointer<T>(saved), *pointer<T>(upstream), pointers<T*>(gradients),
                          threads);
}

void objective_backward_checked(bool is_double, const ObjectiveTensors& a,
                                const std::vector<uintptr_t>& parameters, uintptr_t saved,
                                uintptr_t upstream, const std::vector<uintptr_t>& gradients,
                                const ObjectiveSizes& sizes, const std::vector<int64_t>& encoder,
                                const std::vector<int64_t>& decoder,
                                const std::array<double, kHeads>& weights, int threads) {
    const ObjectiveShape s =
        checked_objective(a, parameters, sizes, encoder, decoder, weights, threads);
    require(saved && upstream, "saved and the loss's gradient must not be null");
    check_gradients(gradients, parameters);
    (is_double ? objective_backward_of<double> : objective_backward_of<float>)(s, a, parameters,
                                                                               saved, upstream,
                                                                               gradients, threads);
}

template <typename T>
void objective_gradients_of(const ObjectiveShape& s, const ObjectiveTensors& a,
                            const std::vector<uintptr_t>& parameters,
                            const std::vector<uintptr_t>& gradients, uintptr_t values,
                            uintptr_t saved, int threads) {
    const T one = 1;
    objective_forward_of<T>(s, a, parameters, values, values, saved, threads);
    objective_backward_of<T>(s, a, parameters, saved, reinterpret_cast<uintptr_t>(&one), gradients,
                             threads);
}

// Both passes in one call.
void objective_gradients_checked(bool is_double, const ObjectiveTensors& a,
                                 const std::vector<uintptr_t>& parameters,
                                 const std::vector<uintptr_t>& gradients, uintptr_t values,
                                 uintptr_t saved, const ObjectiveSizes& sizes,
                                 const std::vector<int64_t>& encoder,
                                 const std::vector<int64_t>& decoder,
                                 const std::array<double, kHeads>& weights, int threads) {
    const ObjectiveShape s =
        checked_objective(a, parameters, sizes, encoder, decoder, weights, threads);
    require(values && saved, "values and saved must not be null");
    check_gradients(gradients, parameters);
    (is_double ? objective_gradients_of<double> : objective_gradients_of<float>)(s, a, parameters,
                                                                                 gradients, values,
                                                                                 saved, threads);
}

// parameters, gradients, means, squares, largest squares, steps: float32, each a tensor's address
void adam(const std::array<std::vector<uintptr_t>, 6>& lists, const std::vector<int64_t>& counts,
          double rate, double beta1, double beta2, double epsilon, double weight_decay,
          int threads) {
    check_threads(threads);
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
    m.def("objective_saved", &objective_saved, "Elements that objective_forward keeps.");
    m.def("objective_forward", &objective_forward_checked, release);
    m.def("objective_backward", &objective_backward_checked, release);
    m.def("objective_gradients", &objective_gradients_checked, release);
    m.def("adam", &adam, release, "A step of Adam with amsgrad over lists of tensors.");
}

}  // namespace daart_fast
