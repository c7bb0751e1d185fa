#include "passes.h"

namespace daart_fast::cuda {

const Passes<Bfloat16> bfloat16_passes = passes_of<Bf16>();

}  // namespace daart_fast::cuda
