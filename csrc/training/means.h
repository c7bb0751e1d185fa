#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace daart_fast {

// Where sums (batch, step) hold pairs (sum, weight) from `at` on: their means, one for the batch
// (0 where nothing weighs) or one for each sequence (NaN there), and 1 / weight for each sequence.
template <typename T>
void means(const std::vector<double>& sums, std::size_t step, std::size_t at, bool by_sequence,
           T* mean, T* factor) {
    const std::size_t batch = sums.size() / step;
    double sum = 0, weight = 0;
    for (std::size_t b = 0; b < batch; b++) {
        sum += sums[b * step + at];
        weight += sums[b * step + at + 1];
        if (!by_sequence) continue;
        mean[b] = T(weight > 0 ? sum / weight : std::nan(""));
        if (factor) factor[b] = T(weight > 0 ? 1 / weight : 0);
        sum = weight = 0;
    }
    if (by_sequence) return;
    *mean = T(weight > 0 ? sum / weight : 0);
    for (std::size_t b = 0; factor && b < batch; b++) factor[b] = T(weight > 0 ? 1 / weight : 0);
}

}  // namespace daart_fast
