// Minimal filtering's part of an instruction set's table (filtered.cpp).
#pragma once

#include "../contract.h"

namespace daart_fast::DAART_FAST_ISA {

void fill_filtered(Kernels& table);

}  // namespace daart_fast::DAART_FAST_ISA
