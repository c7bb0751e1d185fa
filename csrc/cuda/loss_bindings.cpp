// The Python face of the CUDA losses, as bindings.cpp is that of the convolutions.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <stdexcept>

#include "losses.h"
#include "register.h"

namespace py = pybind11;

namespace daart_fast {
namespace {

void require(bool condition, const char* sentence) {
    if (!condition) throw std::invalid_argument(sentence);
}

template <typename T>
T* pointer(uintptr_t address) {
    return reinterpret_cast<T*>(address);
}

// Calls call(passes) with float32's or float64's.
template <typename Call>
auto with_losses(bool is_double, const Call& call) {
    return is_double ? call(cuda::losses64) : call(cuda::losses32);
}

template <typename T>
T number_of(const cuda::LossPasses<T>&);

// The kernels count in 32 bits. In doubles, as the products of sizes may overflow.
void check_sizes(int64_t batch, int64_t frames, int64_t numbers, int64_t first, int64_t scored,
                 int64_t ahead) {
    require(batch >= 0 && frames >= 0 && numbers >= 1, "sizes must not be negative");
    require(first >= 0 && scored >= 0 && ahead >= 0, "frames must not be negative");
    require(first <= frames && scored <= frames - first && ahead <= frames - first - scored,
            "the frames that count do not lie within the sequence");
    require((double(batch) + 1) * (double(frames) + 1) * double(numbers) < 2147483648.0,
            "a tensor has 2^31 elements or more");
}

// batch, frames, channels, classes, first, scored
using HeadSizes = std::array<int64_t, 6>;
// batch, frames, channels, first, scored, ahead
using ErrorSizes = std::array<int64_t, 6>;

HeadShape head_shape(const HeadSizes& n) {
    const HeadShape s{n[0], n[1], n[2], n[3], n[4], n[5], n[1]};
    require(s.channels >= 1 && s.channels < (1 << 20), "there must be at least one channel");
    require(s.classes >= 1 && s.classes <= cuda::kMostClasses,
            "classes must lie between 1 and 1024");
    check_sizes(s.batch, s.frames, s.channels > s.classes ? s.channels : s.classes, s.first,
                s.scored, 0);
    return s;
}

ErrorShape error_shape(const ErrorSizes& n) {
    const ErrorShape s{n[0], n[1], n[2], n[3], n[4], n[5], n[1]};
    check_sizes(s.batch, s.frames, s.channels, s.first, s.scored, s.ahead);
    return s;
}

cuda::Queue queue_of(int device, uintptr_t stream) {
    return {pointer<void>(stream), cuda::processors_of(device)};
}

int64_t head_bytes(const HeadSizes& sizes) {
    return cuda::losses32.head_bytes(head_shape(sizes));
}

int64_t head_grad_bytes(const HeadSizes& sizes) {
    return cuda::losses32.head_grad_bytes(head_shape(sizes));
}

int64_t error_bytes(const ErrorSizes& sizes) {
    return cuda::losses32.error_bytes(error_shape(sizes));
}

// x, weight, bias, class weights; labels, unless, compared, mask; targets, slopes, loss, agreement,
// factor. bias, the class weights, unless, compared and mask may be null.
using HeadTensors = std::array<uintptr_t, 13>;

void head_loss(bool is_double, int device, uintptr_t stream, const HeadTensors& a,
               uintptr_t workspace, const HeadSizes& sizes, int64_t ignored, bool by_sequence) {
    const HeadShape s = head_shape(sizes);
    const bool empty = s.batch == 0 || s.scored == 0;
    require(empty || (a[0] && a[4] && a[8] && a[9] && workspace),
            "x, labels, targets, slopes and workspace must not be null");
    require(a[1] != 0, "weight must not be null");
    require((s.batch == 0 && by_sequence) || (a[10] && a[11]), "the results must not be null");
    require(s.batch == 0 || a[12], "factor must not be null");
    const HeadLabels labels{pointer<int64_t>(a[4]), pointer<int64_t>(a[5]), pointer<int64_t>(a[6]),
                            pointer<bool>(a[7]), ignored};
    const cuda::CurrentDevice current(device);
    with_losses(is_double, [&](const auto& passes) {
        using T = decltype(number_of(passes));
        passes.head(queue_of(device, stream), s, by_sequence, pointer<T>(a[0]), pointer<T>(a[1]),
                    pointer<T>(a[2]), labels, pointer<T>(a[3]), pointer<int64_t>(a[8]),
                    pointer<T>(a[9]), {pointer<T>(a[10]), pointer<T>(a[11]), pointer<T>(a[12])},
                    pointer<void>(workspace));
    });
}

// x, weight, targets, slopes, factor, the loss's gradient; dx, dweight, dbias (dx may be null,
// dweight and dbias both).
using HeadGradients = std::array<uintptr_t, 9>;

void head_loss_grad(bool is_double, int device, uintptr_t stream, const HeadGradients& a,
                    uintptr_t workspace, const HeadSizes& sizes, bool by_sequence) {
    const HeadShape s = head_shape(sizes);
    require(!a[7] == !a[8], "the gradients of weight and bias come both or neither");
    const bool empty = s.batch == 0 || s.frames == 0;
    require(empty || (a[0] && a[1] && a[4] && a[5]),
            "x, weight, factor and gradient must not be null");
    require(empty || !a[7] || workspace, "the gradients of weights need the workspace");
    require(s.batch == 0 || s.scored == 0 || (a[2] && a[3]), "targets and slopes must not be null");
    const cuda::CurrentDevice current(device);
    with_losses(is_double, [&](const auto& passes) {
        using T = decltype(number_of(passes));
        passes.head_grad(queue_of(device, stream), s, by_sequence, pointer<T>(a[0]),
                         pointer<T>(a[1]), pointer<int64_t>(a[2]), pointer<T>(a[3]),
                         pointer<T>(a[4]), pointer<T>(a[5]), pointer<T>(a[6]), pointer<T>(a[7]),
                         pointer<T>(a[8]), pointer<void>(workspace));
    });
}

// prediction, target, mask (may be null); loss, factor.
using ErrorTensors = std::array<uintptr_t, 5>;

void squared_error(bool is_double, int device, uintptr_t stream, const ErrorTensors& a,
                   uintptr_t workspace, const ErrorSizes& sizes, bool by_sequence) {
    const ErrorShape s = error_shape(sizes);
    const bool empty = s.batch == 0 || s.scored == 0;
    require(empty || (a[0] && a[1] && workspace),
            "prediction, target and workspace must not be null");
    require((s.batch == 0 && by_sequence) || a[3], "the result must not be null");
    require(s.batch == 0 || a[4], "factor must not be null");
    const cuda::CurrentDevice current(device);
    with_losses(is_double, [&](const auto& passes) {
        using T = decltype(number_of(passes));
        passes.error(queue_of(device, stream), s, by_sequence, pointer<T>(a[0]), pointer<T>(a[1]),
                     pointer<bool>(a[2]), {pointer<T>(a[3]), nullptr, pointer<T>(a[4])},
                     pointer<void>(workspace));
    });
}

// prediction, target, mask (may be null), factor, the loss's gradient; dprediction.
using ErrorGradients = std::array<uintptr_t, 6>;

void squared_error_grad(bool is_double, int device, uintptr_t stream, const ErrorGradients& a,
                        const ErrorSizes& sizes, bool by_sequence) {
    const ErrorShape s = error_shape(sizes);
    if (s.batch == 0 || s.frames == 0) return;
    require(a[0] && a[1] && a[3] && a[4] && a[5],
            "prediction, target, factor, gradient and dprediction must not be null");
    const cuda::CurrentDevice current(device);
    with_losses(is_double, [&](const auto& passes) {
        using T = decltype(number_of(passes));
        passes.error_grad(queue_of(device, stream), s, by_sequence, pointer<T>(a[0]),
                          pointer<T>(a[1]), pointer<bool>(a[2]), pointer<T>(a[3]), pointer<T>(a[4]),
                          pointer<T>(a[5]));
    });
}

}  // namespace

void register_cuda_losses(py::module_& m) {
    const auto release = py::call_guard<py::gil_scoped_release>();
    m.def("cuda_head_loss", &head_loss, release);
    m.def("cuda_head_loss_bytes", &head_bytes, release);
    m.def("cuda_head_loss_grad", &head_loss_grad, release);
    m.def("cuda_head_loss_grad_bytes", &head_grad_bytes, release);
    m.def("cuda_squared_error", &squared_error, release);
    m.def("cuda_squared_error_bytes", &error_bytes, release);
    m.def("cuda_squared_error_grad", &squared_error_grad, release);
    m.attr("cuda_most_classes") = cuda::kMostClasses;
}

}  // namespace daart_fast
