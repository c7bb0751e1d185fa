// The CUDA losses for Python.
#include "../cuda/losses.h"
#include "cuda.h"
#include "losses.h"
#include "register.h"

namespace py = pybind11;

namespace daart_fast {
namespace {

constexpr uintptr_t kFloat64 = 3;  // CudaCall::math

// Calls run(passes) with float32's or float64's.
template <typename Run>
auto with_losses(const CudaCall& call, const Run& run) {
    return call.math == kFloat64 ? run(cuda::losses64) : run(cuda::losses32);
}

template <typename T>
T number_of(const cuda::LossPasses<T>&);

// The kernels count in 32 bits. In doubles, as the products of sizes may overflow.
void check_sizes(int64_t batch, int64_t frames, int64_t numbers, int64_t first, int64_t scored,
                 int64_t ahead) {
    check_frames(batch, frames, numbers, first, scored, ahead);
    require((double(batch) + 1) * (double(frames) + 1) * double(numbers) < 2147483648.0,
            "a tensor has 2^31 elements or more");
}

HeadShape checked(const HeadSizes& sizes) {
    const HeadShape s = head_shape(sizes);
    require(s.channels >= 1, "there must be at least one channel");
    require(s.classes >= 1 && s.classes <= cuda::kMostClasses,
            "classes must lie between 1 and 1024");
    check_sizes(s.batch, s.frames, s.channels > s.classes ? s.channels : s.classes, s.first,
                s.scored, 0);
    return s;
}

ErrorShape checked(const ErrorSizes& sizes) {
    const ErrorShape s = error_shape(sizes);
    check_sizes(s.batch, s.frames, s.channels, s.first, s.scored, s.ahead);
    return s;
}

int64_t head_bytes(const CudaCall&, const HeadSizes& sizes) {
    return cuda::losses32.head_bytes(checked(sizes));
}

int64_t head_grad_bytes(const CudaCall&, const HeadSizes& sizes) {
    return cuda::losses32.head_grad_bytes(checked(sizes));
}

int64_t error_bytes(const CudaCall&, const ErrorSizes& sizes) {
    return cuda::losses32.error_bytes(checked(sizes));
}

void head_loss(const CudaCall& call, const HeadSizes& sizes, const HeadTensors& t, int64_t ignored,
               bool by_sequence) {
    const HeadShape s = checked(sizes);
    const bool empty = s.batch == 0 || s.scored == 0;
    require(empty || (t.x && t.labels && t.targets && t.slopes && call.workspace),
            "x, labels, targets, slopes and workspace must not be null");
    require(t.weight != 0, "weight must not be null");
    require((s.batch == 0 && by_sequence) || (t.loss && t.agreement),
            "the results must not be null");
    require(s.batch == 0 || t.factor, "factor must not be null");
    const cuda::CurrentDevice current(int(call.device));
    with_losses(call, [&](const auto& passes) {
        using T = decltype(number_of(passes));
        passes.head(queue_of(call), s, by_sequence, pointer<T>(t.x), pointer<T>(t.weight),
                    pointer<T>(t.bias), head_labels(t, ignored), pointer<T>(t.class_weights),
                    pointer<int64_t>(t.targets), pointer<T>(t.slopes),
                    {pointer<T>(t.loss), pointer<T>(t.agreement), pointer<T>(t.factor)},
                    pointer<void>(call.workspace));
    });
}

void head_loss_grad(const CudaCall& call, const HeadSizes& sizes, const HeadGradients& t,
                    bool by_sequence) {
    const HeadShape s = checked(sizes);
    require(!t.dweight == !t.dbias, "the gradients of weight and bias come both or neither");
    const bool empty = s.batch == 0 || s.frames == 0;
    require(empty || (t.x && t.weight && t.factor && t.grad),
            "x, weight, factor and gradient must not be null");
    require(empty || !t.dweight || call.workspace, "the gradients of weights need the workspace");
    require(s.batch == 0 || s.scored == 0 || (t.targets && t.slopes),
            "targets and slopes must not be null");
    const cuda::CurrentDevice current(int(call.device));
    with_losses(call, [&](const auto& passes) {
        using T = decltype(number_of(passes));
        passes.head_grad(queue_of(call), s, by_sequence, pointer<T>(t.x), pointer<T>(t.weight),
                         pointer<int64_t>(t.targets), pointer<T>(t.slopes), pointer<T>(t.factor),
                         pointer<T>(t.grad), pointer<T>(t.dx), pointer<T>(t.dweight),
                         pointer<T>(t.dbias), pointer<void>(call.workspace));
    });
}

void squared_error(const CudaCall& call, const ErrorSizes& sizes, const ErrorTensors& t,
                   bool by_sequence) {
    const ErrorShape s = checked(sizes);
    const bool empty = s.batch == 0 || s.scored == 0;
    require(empty || (t.prediction && t.target && call.workspace),
            "prediction, target and workspace must not be null");
    require((s.batch == 0 && by_sequence) || t.loss, "the result must not be null");
    require(s.batch == 0 || t.factor, "factor must not be null");
    const cuda::CurrentDevice current(int(call.device));
    with_losses(call, [&](const auto& passes) {
        using T = decltype(number_of(passes));
        passes.error(queue_of(call), s, by_sequence, pointer<T>(t.prediction), pointer<T>(t.target),
                     pointer<bool>(t.mask), {pointer<T>(t.loss), nullptr, pointer<T>(t.factor)},
                     pointer<void>(call.workspace));
    });
}

void squared_error_grad(const CudaCall& call, const ErrorSizes& sizes, const ErrorGradients& t,
                        bool by_sequence) {
    const ErrorShape s = checked(sizes);
    if (s.batch == 0 || s.frames == 0) return;
    require(t.prediction && t.target && t.factor && t.grad && t.dprediction,
            "prediction, target, factor, gradient and dprediction must not be null");
    const cuda::CurrentDevice current(int(call.device));
    with_losses(call, [&](const auto& passes) {
        using T = decltype(number_of(passes));
        passes.error_grad(queue_of(call), s, by_sequence, pointer<T>(t.prediction),
                          pointer<T>(t.target), pointer<bool>(t.mask), pointer<T>(t.factor),
                          pointer<T>(t.grad), pointer<T>(t.dprediction));
    });
}

}  // namespace

void register_cuda_losses(py::module_& m) {
    define<CudaCall>(m);
    define_losses(m);
    const auto release = py::call_guard<py::gil_scoped_release>();
    const auto call = py::arg("call"), sizes = py::arg("sizes"), tensors = py::arg("tensors"),
               by_sequence = py::arg("by_sequence");
    m.def("cuda_head_loss", &head_loss, release, call, sizes, tensors, py::arg("ignored"),
          by_sequence);
    m.def("cuda_head_loss_bytes", &head_bytes, release, call, sizes);
    m.def("cuda_head_loss_grad", &head_loss_grad, release, call, sizes, tensors, by_sequence);
    m.def("cuda_head_loss_grad_bytes", &head_grad_bytes, release, call, sizes);
    m.def("cuda_squared_error", &squared_error, release, call, sizes, tensors, by_sequence);
    m.def("cuda_squared_error_bytes", &error_bytes, release, call, sizes);
    m.def("cuda_squared_error_grad", &squared_error_grad, release, call, sizes, tensors,
          by_sequence);
    m.attr("cuda_most_classes") = cuda::kMostClasses;
}

}  // namespace daart_fast
