// The optimiser's step for Python.
#include <pybind11/stl.h>

#include <array>
#include <vector>

#include "../dispatch.h"
#include "arguments.h"
#include "register.h"

namespace py = pybind11;

namespace daart_fast {
namespace {

using Addresses = std::vector<uintptr_t>;

void adam(const Addresses& parameters, const Addresses& gradients, const Addresses& means,
          const Addresses& squares, const Addresses& largest_squares, const Addresses& steps,
          const std::vector<int64_t>& counts, double rate, double beta1, double beta2,
          double epsilon, double weight_decay, int threads) {
    check_threads(threads);
    const size_t n = counts.size();
    const std::array all{&parameters, &gradients, &means, &squares, &largest_squares, &steps};
    for (const Addresses* list : all) {
        require(list->size() == n, "every list must name as many tensors as there are counts");
    }
    std::vector<AdamTensor<float>> tensors;
    tensors.reserve(n);
    for (size_t i = 0; i < n; i++) {
        require(counts[i] >= 0, "counts must not be negative");
        for (const Addresses* list : all) {
            require(counts[i] == 0 || (*list)[i], "a tensor must not be null");
        }
        if (!steps[i]) continue;
        tensors.push_back({pointer<float>(parameters[i]), pointer<float>(gradients[i]),
                           pointer<float>(means[i]), pointer<float>(squares[i]),
                           pointer<float>(largest_squares[i]), pointer<float>(steps[i]),
                           counts[i]});
    }
    kernels().adam32(tensors.data(), int64_t(tensors.size()),
                     {rate, beta1, beta2, epsilon, weight_decay}, threads);
}

}  // namespace

void register_adam(py::module_& m) {
    m.def("adam", &adam, py::call_guard<py::gil_scoped_release>(), py::kw_only(),
          py::arg("parameters"), py::arg("gradients"), py::arg("means"), py::arg("squares"),
          py::arg("largest_squares"), py::arg("steps"), py::arg("counts"), py::arg("rate"),
          py::arg("beta1"), py::arg("beta2"), py::arg("epsilon"), py::arg("weight_decay"),
          py::arg("threads"), "A step of Adam with amsgrad over lists of float32 tensors.");
}

}  // namespace daart_fast
