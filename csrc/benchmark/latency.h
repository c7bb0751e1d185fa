#pragma once

namespace daart_fast {

// Seconds that a word takes from one core's cache to another's and back, the median of some
// hundred short runs: what threads that work together pay at every step.
double round_trip();

}  // namespace daart_fast
