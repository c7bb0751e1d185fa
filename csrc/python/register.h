// What each file of this folder adds to the module.
#pragma once

#include <pybind11/pybind11.h>

namespace daart_fast {

void register_conv(pybind11::module_& m);
void register_stack(pybind11::module_& m);
void register_losses(pybind11::module_& m);
void register_objective(pybind11::module_& m);
void register_adam(pybind11::module_& m);
void register_online(pybind11::module_& m);
void register_benchmarks(pybind11::module_& m);
void register_cuda(pybind11::module_& m);
void register_cuda_losses(pybind11::module_& m);

}  // namespace daart_fast
