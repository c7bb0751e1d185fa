#pragma once

#include <pybind11/pybind11.h>

namespace daart_fast {

// Adds the class OnlineEngine to the module.
void register_online(pybind11::module_& m);

}  // namespace daart_fast
