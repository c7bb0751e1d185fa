#pragma once

#include "../cuda/interface.h"
#include "arguments.h"

namespace daart_fast {

inline cuda::Queue queue_of(const CudaCall& call) {
    return {pointer<void>(call.stream), cuda::processors_of(int(call.device))};
}

}  // namespace daart_fast
