// The losses for Python.
#include "losses.h"

#include <string>
#include <vector>

#include "../dispatch.h"
#include "../training/means.h"
#include "register.h"

namespace py = pybind11;

namespace daart_fast {
namespace {

HeadShape checked(const CpuCall& call, const HeadSizes& sizes) {
    const HeadShape s = head_shape(sizes);
    check_frames(s.batch, s.frames, s.channels, s.first, s.scored, 0);
    require(s.classes >= 1 && s.classes <= kMostChannels, "there must be at least one class");
    check_threads(call.threads);
    return s;
}

ErrorShape checked(const CpuCall& call, const ErrorSizes& sizes) {
    const ErrorShape s = error_shape(sizes);
    check_frames(s.batch, s.frames, s.channels, s.first, s.scored, s.ahead);
    check_threads(call.threads);
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

template <typename T>
void head_of(const HeadShape& s, const HeadTensors& t, int64_t ignored, bool by_sequence,
             int threads) {
    std::vector<double> sums(static_cast<size_t>(s.batch) * 4);
    const int64_t wrong = loss_kernels<T>().head(
        s, pointer<T>(t.x), pointer<T>(t.weight), pointer<T>(t.bias), head_labels(t, ignored),
        pointer<T>(t.class_weights), pointer<int64_t>(t.targets), pointer<T>(t.slopes), sums.data(),
        threads);
    if (wrong >= 0) throw no_such_class(wrong, s.classes);
    means(sums, 4, 0, by_sequence, pointer<T>(t.loss), pointer<T>(t.factor));
    means<T>(sums, 4, 2, by_sequence, pointer<T>(t.agreement), nullptr);
}

void head_loss(const CpuCall& call, const HeadSizes& sizes, const HeadTensors& t, int64_t ignored,
               bool by_sequence) {
    const HeadShape s = checked(call, sizes);
    const bool empty = s.batch == 0 || s.scored == 0;
    require(empty || (t.x && t.labels && t.targets && t.slopes),
            "x, labels, targets and slopes must not be null");
    require(t.weight != 0, "weight must not be null");
    require((s.batch == 0 && by_sequence) || (t.loss && t.agreement),
            "the results must not be null");
    require(s.batch == 0 || t.factor, "factor must not be null");
    (call.is_double ? head_of<double> : head_of<float>)(s, t, ignored, by_sequence,
                                                        int(call.threads));
}

template <typename T>
void head_grad_of(const HeadShape& s, const HeadGradients& t, bool by_sequence, int threads) {
    const auto factor =
        times_gradient(s.batch, pointer<T>(t.factor), pointer<T>(t.grad), by_sequence);
    loss_kernels<T>().head_grad(s, pointer<T>(t.x), pointer<T>(t.weight),
                                pointer<int64_t>(t.targets), pointer<T>(t.slopes), factor.data(),
                                false, pointer<T>(t.dx), pointer<T>(t.dweight), pointer<T>(t.dbias),
                                threads);
}

void head_loss_grad(const CpuCall& call, const HeadSizes& sizes, const HeadGradients& t,
                    bool by_sequence) {
    const HeadShape s = checked(call, sizes);
    require(!t.dweight == !t.dbias, "the gradients of weight and bias come both or neither");
    require(s.batch == 0 || (t.factor && t.grad), "factor and gradient must not be null");
    require(s.batch == 0 || s.frames == 0 || (t.x && t.weight), "x and weight must not be null");
    require(s.batch == 0 || s.scored == 0 || (t.targets && t.slopes),
            "targets and slopes must not be null");
    (call.is_double ? head_grad_of<double> : head_grad_of<float>)(s, t, by_sequence,
                                                                  int(call.threads));
}

template <typename T>
void error_of(const ErrorShape& s, const ErrorTensors& t, bool by_sequence, int threads) {
    std::vector<double> sums(static_cast<size_t>(s.batch) * 2);
    loss_kernels<T>().error(s, pointer<T>(t.prediction), pointer<T>(t.target),
                            pointer<bool>(t.mask), sums.data(), threads);
    means(sums, 2, 0, by_sequence, pointer<T>(t.loss), pointer<T>(t.factor));
}

void squared_error(const CpuCall& call, const ErrorSizes& sizes, const ErrorTensors& t,
                   bool by_sequence) {
    const ErrorShape s = checked(call, sizes);
    require(s.batch == 0 || s.scored == 0 || (t.prediction && t.target),
            "prediction and target must not be null");
    require((s.batch == 0 && by_sequence) || t.loss, "loss must not be null");
    require(s.batch == 0 || t.factor, "factor must not be null");
    (call.is_double ? error_of<double> : error_of<float>)(s, t, by_sequence, int(call.threads));
}

template <typename T>
void error_grad_of(const ErrorShape& s, const ErrorGradients& t, bool by_sequence, int threads) {
    const auto factor =
        times_gradient(s.batch, pointer<T>(t.factor), pointer<T>(t.grad), by_sequence);
    loss_kernels<T>().error_grad(s, pointer<T>(t.prediction), pointer<T>(t.target),
                                 pointer<bool>(t.mask), factor.data(), pointer<T>(t.dprediction),
                                 threads);
}

void squared_error_grad(const CpuCall& call, const ErrorSizes& sizes, const ErrorGradients& t,
                        bool by_sequence) {
    const ErrorShape s = checked(call, sizes);
    if (s.batch == 0 || s.frames == 0) return;
    require(t.prediction && t.target && t.factor && t.grad && t.dprediction,
            "prediction, target, factor, gradient and dprediction must not be null");
    (call.is_double ? error_grad_of<double> : error_grad_of<float>)(s, t, by_sequence,
                                                                    int(call.threads));
}

}  // namespace

std::out_of_range no_such_class(int64_t label, int64_t classes) {
    return std::out_of_range("a frame is labelled as class " + std::to_string(label) +
                             ", but there are only " + std::to_string(classes) + " classes");
}

void register_losses(py::module_& m) {
    define<CpuCall>(m);
    define_losses(m);
    const auto release = py::call_guard<py::gil_scoped_release>();
    const auto call = py::arg("call"), sizes = py::arg("sizes"), tensors = py::arg("tensors"),
               by_sequence = py::arg("by_sequence");
    m.def("head_loss", &head_loss, release, call, sizes, tensors, py::arg("ignored"), by_sequence);
    m.def("head_loss_grad", &head_loss_grad, release, call, sizes, tensors, by_sequence);
    m.def("squared_error", &squared_error, release, call, sizes, tensors, by_sequence);
    m.def("squared_error_grad", &squared_error_grad, release, call, sizes, tensors, by_sequence);
}

}  // namespace daart_fast
