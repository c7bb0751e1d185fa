// The stack of blocks for Python.
#include <pybind11/stl.h>

#include "conv.h"
#include "register.h"
#include "stacks.h"

namespace py = pybind11;

namespace daart_fast {

// first and wanted: the first wanted frame, and how many.
DAART_FAST_STRUCT(StackSizes, int64_t, batch, frames, channels_in, first, wanted);
// Forward has no gradients.
DAART_FAST_STRUCT(StackTensors, uintptr_t, x, masks, y, saved, dy, dx);

namespace {

using Numbers = std::vector<int64_t>;
using Addresses = std::vector<uintptr_t>;

StackShape stack_shape(const StackSizes& n, const Numbers& layers, int activation) {
    const StackShape s{n.batch,
                       n.frames,
                       n.channels_in,
                       layers_of(layers),
                       {n.first, n.first + n.wanted},
                       activation_of(activation)};
    require(!s.layers.empty(), "there must be a block");
    int64_t channels = s.channels_in;
    for (const StackLayer& l : s.layers) {
        ConvShape conv{s.batch, s.frames,   s.frames,   channels, l.channels_hidden,
                       l.width, l.dilation, l.pad_left, 0,        0};
        check_convolution(conv);
        conv.channels_in = l.channels_hidden;
        conv.channels_out = l.channels_out;
        check_convolution(conv);
        channels = l.channels_out;
    }
    check_stack_sizes(s.batch, s.frames, s.channels_in, s.layers);
    require(n.first >= 0 && n.first < s.frames && n.wanted >= 1 && n.wanted <= s.frames - n.first,
            "the wanted frames do not lie within the sequence");
    return s;
}

template <typename U>
std::vector<StackParameters<U>> stack_parameters(const Addresses& a) {
    std::vector<StackParameters<U>> all;
    for (std::size_t i = 0; i < a.size(); i += kBlockParameters) {
        all.push_back({{pointer<U>(a[i]), pointer<U>(a[i + 1]), pointer<U>(a[i + 2])},
                       {pointer<U>(a[i + 3]), pointer<U>(a[i + 4]), pointer<U>(a[i + 5])},
                       pointer<U>(a[i + 6]),
                       pointer<U>(a[i + 7])});
    }
    return all;
}

void check_parameters(const StackShape& s, const Addresses& parameters) {
    require(parameters.size() == s.layers.size() * kBlockParameters,
            "there must be eight parameters for each block");
    check_stack(s.layers, s.channels_in, parameters.data());
}

int64_t stack_saved(const StackSizes& sizes, const Numbers& layers, int activation) {
    return stack_saved_size(stack_shape(sizes, layers, activation));
}

void forward(const CpuCall& call, const StackSizes& sizes, const Numbers& layers,
             const StackTensors& t, const Addresses& parameters, int activation) {
    const StackShape s = stack_shape(sizes, layers, activation);
    check_threads(call.threads);
    check_parameters(s, parameters);
    require(s.batch == 0 || (t.x && t.y), "x and y must not be null");
    const auto run = [&](auto zero) {
        using T = decltype(zero);
        stack_forward<T>(s, pointer<T>(t.x), stack_parameters<const T>(parameters),
                         pointer<T>(t.masks), pointer<T>(t.y), pointer<T>(t.saved),
                         int(call.threads));
    };
    call.is_double ? run(double()) : run(float());
}

void backward(const CpuCall& call, const StackSizes& sizes, const Numbers& layers,
              const StackTensors& t, const Addresses& parameters, const Addresses& gradients,
              int activation) {
    const StackShape s = stack_shape(sizes, layers, activation);
    check_threads(call.threads);
    check_parameters(s, parameters);
    require(s.batch == 0 || (t.x && t.y && t.dy), "x, y and its gradient must not be null");
    require(t.saved, "backward needs what forward kept");
    if (!gradients.empty()) check_gradients(gradients, parameters);
    const auto run = [&](auto zero) {
        using T = decltype(zero);
        stack_backward<T>(s, pointer<T>(t.x), stack_parameters<const T>(parameters),
                          pointer<T>(t.masks), pointer<T>(t.y), pointer<T>(t.saved),
                          pointer<T>(t.dy), pointer<T>(t.dx), stack_parameters<T>(gradients),
                          int(call.threads));
    };
    call.is_double ? run(double()) : run(float());
}

}  // namespace

void register_stack(py::module_& m) {
    define<CpuCall>(m);
    define<StackSizes>(m);
    define<StackTensors>(m);
    const auto release = py::call_guard<py::gil_scoped_release>();
    m.def("stack_saved", &stack_saved, py::arg("sizes"), py::arg("layers"), py::arg("activation"),
          "Elements that stack_forward keeps for backward.");
    m.def("stack_forward", &forward, release, py::arg("call"), py::arg("sizes"), py::arg("layers"),
          py::arg("tensors"), py::arg("parameters"), py::arg("activation"));
    m.def("stack_backward", &backward, release, py::arg("call"), py::arg("sizes"),
          py::arg("layers"), py::arg("tensors"), py::arg("parameters"), py::arg("gradients"),
          py::arg("activation"), "No gradients: only that of x.");
}

}  // namespace daart_fast
