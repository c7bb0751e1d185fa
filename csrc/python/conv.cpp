// The convolution for Python.
#include "conv.h"

#include "../dispatch.h"
#include "register.h"

namespace py = pybind11;

namespace daart_fast {
namespace {

template <typename T>
void forward(const ConvShape& s, const ConvTensors& t, Activation activation, int threads) {
    Epilogue<T> epilogue;
    epilogue.bias = pointer<T>(t.bias);
    epilogue.activation = activation;
    kernels_for<T>(s, Pass::forward)
        .forward(s, pointer<T>(t.x), pointer<T>(t.weight), epilogue, pointer<T>(t.y),
                 worth_threads(s, threads));
}

template <typename T>
void backward(const ConvShape& s, const ConvGradients& t, Activation activation, int threads) {
    const T* g = pointer<T>(t.grad);
    if (activation != Activation::linear) {
        const int64_t count = s.batch * s.y_stride;
        T* gated = scratch_of<T>(Slot::conv_gradient, count);
        elementwise_kernels<T>().times_derivative(count, g, pointer<T>(t.gate), activation, gated,
                                                  threads);
        g = gated;
    }
    if (t.dx) {
        ConvShape contiguous = s;
        contiguous.x_stride = s.frames_in * s.channels_in;
        kernels_for<T>(contiguous, Pass::input_grad)
            .input_grad(contiguous, g, pointer<T>(t.weight), {}, pointer<T>(t.dx),
                        worth_threads(s, threads));
    }
    if (t.dweight) {
        kernels_for<T>(s, Pass::weight_grad)
            .weight_grad(s, pointer<T>(t.x), g, pointer<T>(t.dweight), pointer<T>(t.dbias),
                         worth_threads(s, threads));
    }
}

ConvShape checked(const CpuCall& call, const ConvSizes& sizes) {
    const ConvShape s = conv_shape(sizes);
    check_convolution(s);
    check_threads(call.threads);
    return s;
}

void conv_forward(const CpuCall& call, const ConvSizes& sizes, const ConvTensors& tensors,
                  int activation) {
    const ConvShape s = checked(call, sizes);
    const Activation named = activation_of(activation);
    if (s.batch == 0) return;
    require(tensors.x && tensors.weight && tensors.y, "x, weight and y must not be null");
    (call.is_double ? forward<double> : forward<float>)(s, tensors, named, int(call.threads));
}

void conv_backward(const CpuCall& call, const ConvSizes& sizes, const ConvGradients& tensors,
                   int activation) {
    const ConvShape s = checked(call, sizes);
    const Activation named = activation_of(activation);
    require(!tensors.dbias || tensors.dweight, "the bias gradient comes with the weight gradient");
    require(s.batch == 0 || tensors.grad, "the gradient must not be null");
    require(s.batch == 0 || named == Activation::linear || tensors.gate,
            "the activation's derivative needs its gate");
    require(s.batch == 0 || !tensors.dx || tensors.weight, "the input gradient needs weight");
    require(s.batch == 0 || !tensors.dweight || tensors.x, "the weight gradient needs x");
    (call.is_double ? backward<double> : backward<float>)(s, tensors, named, int(call.threads));
}

bool says_filtered(int pass_number, const ConvSizes& sizes) {
    require(pass_number >= 0 && pass_number <= 2, "pass must lie between 0 and 2");
    const ConvShape s = conv_shape(sizes);
    check_convolution(s);
    return runs_filtered(s, static_cast<Pass>(pass_number));
}

}  // namespace

void register_conv(py::module_& m) {
    define<CpuCall>(m);
    define<ConvSizes>(m);
    define<ConvTensors>(m);
    define<ConvGradients>(m);
    const auto release = py::call_guard<py::gil_scoped_release>();
    m.def("conv_forward", &conv_forward, release, py::arg("call"), py::arg("sizes"),
          py::arg("tensors"), py::arg("activation"));
    m.def("conv_backward", &conv_backward, release, py::arg("call"), py::arg("sizes"),
          py::arg("tensors"), py::arg("activation"),
          "gate: y, or for an activation whose derivative is no function of its output what it was "
          "applied to.");
    m.def("runs_filtered", &says_filtered, py::arg("pass_number"), py::arg("sizes"),
          "Whether this pass (0 forward, 1 input gradient, 2 weight gradient) goes filtered.");
}

}  // namespace daart_fast
