#include "latency.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace daart_fast {

double round_trip() {
    constexpr int kRuns = 200, kTrips = 100;
    std::atomic<int> word{0};
    std::thread other([&word] {
        for (int i = 0; i < kRuns * kTrips; i++) {
            while (word.load() != 2 * i + 1) {
            }
            word.store(2 * i + 2);
        }
    });
    using Clock = std::chrono::steady_clock;
    std::vector<double> seconds;
    for (int run = 0, i = 0; run < kRuns; run++) {
        const auto start = Clock::now();
        for (int end = i + kTrips; i < end; i++) {
            word.store(2 * i + 1);
            while (word.load() != 2 * i + 2) {
            }
        }
        const std::chrono::duration<double> took = Clock::now() - start;
        seconds.push_back(took.count() / kTrips);
    }
    other.join();
    std::nth_element(seconds.begin(), seconds.begin() + kRuns / 2, seconds.end());
    return seconds[kRuns / 2];
}

}  // namespace daart_fast
