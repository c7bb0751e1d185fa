#pragma once

#include <pybind11/pybind11.h>

namespace daart_fast {

// Adds the losses and the optimiser's step to the module.
void register_training(pybind11::module_& m);

}  // namespace daart_fast
