#pragma once

#include <pybind11/pybind11.h>

namespace daart_fast {

// Adds the functions cuda_... to the module.
void register_cuda(pybind11::module_& m);
void register_cuda_losses(pybind11::module_& m);

}  // namespace daart_fast
