// What benchmarks measure kernels against, for Python.
#include "../benchmark/latency.h"
#include "../dispatch.h"
#include "arguments.h"
#include "register.h"

namespace py = pybind11;

namespace daart_fast {
namespace {

double fma_rate(int threads, double seconds) {
    check_threads(threads);
    require(seconds > 0 && seconds <= 60, "seconds must lie between 0 and 60");
    return kernels().fma_rate(threads, seconds);
}

}  // namespace

void register_benchmarks(py::module_& m) {
    const auto release = py::call_guard<py::gil_scoped_release>();
    m.def("fma_rate", &fma_rate, release, py::arg("threads"), py::arg("seconds"),
          "Multiply-adds per second out of registers, float32.");
    m.def("round_trip", &round_trip, release,
          "Seconds that a word takes from one core to another and back.");
}

}  // namespace daart_fast
