#include "dispatch.h"

#include <stdexcept>

#if defined(_MSC_VER) && (defined(_M_X64) || defined(_M_IX86))
#include <immintrin.h>
#include <intrin.h>
#endif

namespace daart_fast {

#ifdef DAART_FAST_BENCHMARKS
#define DAART_FAST_FILL_PEAK(set) set::fill_peak(table);
#else
#define DAART_FAST_FILL_PEAK(set)
#endif

#define DAART_FAST_DECLARE(isa)            \
    namespace isa {                        \
    void fill_direct(Kernels& table);      \
    void fill_elementwise(Kernels& table); \
    void fill_filtered(Kernels& table);    \
    void fill_adam(Kernels& table);        \
    void fill_losses(Kernels& table);      \
    void fill_online(Kernels& table);      \
    void fill_peak(Kernels& table);        \
    }
DAART_FAST_DECLARE(generic)
#ifdef DAART_FAST_X86
DAART_FAST_DECLARE(avx2)
DAART_FAST_DECLARE(avx512)
#endif
#ifdef DAART_FAST_ARM64
DAART_FAST_DECLARE(neon)
#endif
#undef DAART_FAST_DECLARE

namespace {

#ifdef DAART_FAST_X86
#ifdef _MSC_VER
// Leaf 7 says what the processor has, XCR0 what the operating system saves.
bool cpu_has(const char* set) {
    int leaf1[4], leaf7[4];
    __cpuid(leaf1, 1);
    __cpuidex(leaf7, 7, 0);
    const bool osxsave = leaf1[2] & (1 << 27);
    const unsigned long long saved = osxsave ? _xgetbv(0) : 0;
    const bool fma = leaf1[2] & (1 << 12), avx2 = leaf7[1] & (1 << 5);
    if (std::string(set) == "avx2") return fma && avx2 && (saved & 0x6) == 0x6;
    const unsigned need = (1u << 16) | (1u << 17) | (1u << 30) | (1u << 31);
    return fma && avx2 && (unsigned(leaf7[1]) & need) == need && (saved & 0xe6) == 0xe6;
}
#else
bool cpu_has(const char* set) {
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (std::string(set) == "avx2") return avx2;
    return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
#endif
#endif

std::vector<Kernels> make_tables() {
    std::vector<Kernels> tables;
#define DAART_FAST_ADD(set)           \
    {                                 \
        Kernels table;                \
        table.isa = #set;             \
        set::fill_direct(table);      \
        set::fill_filtered(table);    \
        set::fill_elementwise(table); \
        set::fill_adam(table);        \
        set::fill_losses(table);      \
        set::fill_online(table);      \
        DAART_FAST_FILL_PEAK(set)     \
        tables.push_back(table);      \
    }
#ifdef DAART_FAST_X86
    if (cpu_has("avx512")) DAART_FAST_ADD(avx512)
    if (cpu_has("avx2")) DAART_FAST_ADD(avx2)
#endif
#ifdef DAART_FAST_ARM64
    DAART_FAST_ADD(neon)  // every processor of this architecture has it
#endif
    DAART_FAST_ADD(generic)
#undef DAART_FAST_ADD
    return tables;
}

const std::vector<Kernels>& tables() {
    static const std::vector<Kernels> made = make_tables();
    return made;
}

const Kernels* current = nullptr;
Method current_method = Method::automatic;

}  // namespace

std::vector<std::string> available_isas() {
    std::vector<std::string> names;
    for (const Kernels& table : tables()) names.emplace_back(table.isa);
    return names;
}

void use_isa(const std::string& name) {
    std::string known;
    for (const Kernels& table : tables()) {
        if (name.empty() || name == table.isa) {
            current = &table;
            return;
        }
        known += (known.empty() ? "" : ", ") + std::string(table.isa);
    }
    throw std::invalid_argument("instruction set '" + name +
                                "' cannot run here: this build on this processor has " + known);
}

const Kernels& kernels() {
    return current ? *current : tables().front();
}

void use_method(Method method) {
    current_method = method;
}
Method method() {
    return current_method;
}

bool runs_filtered(const ConvShape& shape, Pass pass) {
    const Kernels& k = kernels();
    if (current_method == Method::direct) return false;
    return (current_method == Method::filtered ? k.filtered_can : k.filtered_pays)(shape, pass);
}

template <>
const ConvKernels<float>& kernels_for<float>(const ConvShape& shape, Pass pass) {
    return runs_filtered(shape, pass) ? kernels().filtered32 : kernels().direct32;
}

template <>
const ConvKernels<double>& kernels_for<double>(const ConvShape&, Pass) {
    return kernels().direct64;
}

template <>
const ElementwiseKernels<float>& elementwise_kernels<float>() {
    return kernels().elementwise32;
}
template <>
const ElementwiseKernels<double>& elementwise_kernels<double>() {
    return kernels().elementwise64;
}

template <>
const LossKernels<float>& loss_kernels<float>() {
    return kernels().losses32;
}
template <>
const LossKernels<double>& loss_kernels<double>() {
    return kernels().losses64;
}

int worth_threads(const ConvShape& s, int threads) {
    constexpr double kWorthAThread = 2e5;  // multiply-adds
    const double work = double(s.batch) * double(s.frames_out) * double(s.channels_in) *
                        double(s.channels_out) * double(s.width);
    const double most = work / kWorthAThread + 1;
    return most < threads ? int(most) : threads;
}

}  // namespace daart_fast
