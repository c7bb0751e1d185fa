// The native module for Python: daart_fast/_native.pyi describes it, daart_fast/ops uses it. Every
// argument is checked once, in the file of its function; then the GIL is released and the kernels
// run.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>

#include "../dispatch.h"
#include "arguments.h"
#include "register.h"

namespace py = pybind11;

namespace daart_fast {
namespace {

void set_method(int number) {
    require(number >= 0 && number <= 2, "method must be 0 (auto), 1 (direct) or 2 (filtered)");
    use_method(static_cast<Method>(number));
}

}  // namespace

PYBIND11_MODULE(_native, m) {
    m.doc() = "Native kernels of daart_fast. Use daart_fast.ops.";
    m.def("isas", &available_isas, "Instruction sets this processor can run, best first.");
    m.def("isa", [] { return std::string(kernels().isa); });
    m.def("set_isa", &use_isa, py::arg("name"), "Use one of isas(); '' is the best.");
    m.def("set_method", &set_method, py::arg("number"),
          "0: whatever pays, 1: direct, 2: filtered where it can be.");
    m.def("method", [] { return static_cast<int>(method()); });
    m.attr("activations") = activation_table();
    register_conv(m);
    register_stack(m);
    register_losses(m);
    register_objective(m);
    register_adam(m);
    register_online(m);
#ifdef DAART_FAST_BENCHMARKS
    register_benchmarks(m);
#endif
#ifdef DAART_FAST_CUDA
    register_cuda(m);
    register_cuda_losses(m);
#endif
#ifdef _OPENMP
    m.attr("openmp") = true;
#else
    m.attr("openmp") = false;
#endif
#ifdef __VERSION__
    m.attr("compiler") = __VERSION__;
#else
    m.attr("compiler") = "unknown";
#endif
}

}  // namespace daart_fast
