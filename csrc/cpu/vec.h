// The only place where an instruction set is spelled out. Every file under cpu/ is compiled once
// for each set, with DAART_FAST_ISA defined as avx512, avx2, neon or generic, inside the namespace
// daart_fast::DAART_FAST_ISA and, within that, an anonymous one. Keep standard-library templates
// out of these files: the linker would be free to serve one set's copy to another.
//
// Vec<T> names a register type and what can be done with it:
//   type, size         the register and the number of T in it
//   tile_vectors       columns of a micro-kernel's tile, in registers; tile_rows: its rows
//   load, store        unaligned; load_n, store_n: the first n elements, the rest zero, untouched
//   set, zero          one value in all lanes
//   add, sub, mul, fma(a, b, c) = a * b + c, fnma(a, b, c) = c - a * b, max, min,
//   div, sqrt
//   select_positive(c, a, b)   c > 0 ? a : b
#pragma once

#include <cmath>
#include <cstdint>

#ifndef DAART_FAST_ISA
#error "compile the files under csrc/cpu with DAART_FAST_ISA set to avx512, avx2, neon or generic"
#endif

#if defined(DAART_FAST_AVX512) || defined(DAART_FAST_AVX2)
#include <immintrin.h>
#elif defined(DAART_FAST_NEON)
#include <arm_neon.h>
#endif

#if defined(__GNUC__) || defined(__clang__)
#define DAART_FAST_INLINE inline __attribute__((always_inline))
#define DAART_FAST_INLINE_LAMBDA __attribute__((always_inline))
#define DAART_FAST_NOINLINE __attribute__((noinline))
#define DAART_FAST_RESTRICT __restrict__
#elif defined(_MSC_VER)
#define DAART_FAST_INLINE __forceinline
#define DAART_FAST_INLINE_LAMBDA
#define DAART_FAST_NOINLINE __declspec(noinline)
#define DAART_FAST_RESTRICT __restrict
#else
#define DAART_FAST_INLINE inline
#define DAART_FAST_INLINE_LAMBDA
#define DAART_FAST_NOINLINE
#define DAART_FAST_RESTRICT
#endif

// Tiles only stay in registers when their loops are unrolled whole.
#if defined(__clang__)
#define DAART_FAST_UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define DAART_FAST_UNROLL _Pragma("GCC unroll 32")
#else
#define DAART_FAST_UNROLL
#endif

namespace daart_fast::DAART_FAST_ISA {
namespace {

constexpr int64_t round_up(int64_t n, int64_t to) {
    return (n + to - 1) / to * to;
}

template <typename T>
struct Vec;

#if defined(DAART_FAST_AVX512)

constexpr int kVectorBytes = 64;

template <>
struct Vec<float> {
    using type = __m512;
    static constexpr int size = 16, tile_vectors = 2, tile_rows = 12;
    static DAART_FAST_INLINE __mmask16 mask(int n) { return __mmask16((1u << n) - 1u); }
    static DAART_FAST_INLINE type load(const float* p) { return _mm512_loadu_ps(p); }
    static DAART_FAST_INLINE type load_n(const float* p, int n) {
        return _mm512_maskz_loadu_ps(mask(n), p);
    }
    static DAART_FAST_INLINE void store(float* p, type a) { _mm512_storeu_ps(p, a); }
    static DAART_FAST_INLINE void store_n(float* p, type a, int n) {
        _mm512_mask_storeu_ps(p, mask(n), a);
    }
    static DAART_FAST_INLINE type set(float a) { return _mm512_set1_ps(a); }
    static DAART_FAST_INLINE type zero() { return _mm512_setzero_ps(); }
    static DAART_FAST_INLINE type add(type a, type b) { return _mm512_add_ps(a, b); }
    static DAART_FAST_INLINE type sub(type a, type b) { return _mm512_sub_ps(a, b); }
    static DAART_FAST_INLINE type mul(type a, type b) { return _mm512_mul_ps(a, b); }
    static DAART_FAST_INLINE type div(type a, type b) { return _mm512_div_ps(a, b); }
    static DAART_FAST_INLINE type sqrt(type a) { return _mm512_sqrt_ps(a); }
    static DAART_FAST_INLINE type fma(type a, type b, type c) { return _mm512_fmadd_ps(a, b, c); }
    static DAART_FAST_INLINE type fnma(type a, type b, type c) { return _mm512_fnmadd_ps(a, b, c); }
    static DAART_FAST_INLINE type max(type a, type b) { return _mm512_max_ps(a, b); }
    static DAART_FAST_INLINE type min(type a, type b) { return _mm512_min_ps(a, b); }
    static DAART_FAST_INLINE type select_positive(type c, type a, type b) {
        return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(c, zero(), _CMP_GT_OQ), b, a);
    }
};

template <>
struct Vec<double> {
    using type = __m512d;
    static constexpr int size = 8, tile_vectors = 2, tile_rows = 12;
    static DAART_FAST_INLINE __mmask8 mask(int n) { return __mmask8((1u << n) - 1u); }
    static DAART_FAST_INLINE type load(const double* p) { return _mm512_loadu_pd(p); }
    static DAART_FAST_INLINE type load_n(const double* p, int n) {
        return _mm512_maskz_loadu_pd(mask(n), p);
    }
    static DAART_FAST_INLINE void store(double* p, type a) { _mm512_storeu_pd(p, a); }
    static DAART_FAST_INLINE void store_n(double* p, type a, int n) {
        _mm512_mask_storeu_pd(p, mask(n), a);
    }
    static DAART_FAST_INLINE type set(double a) { return _mm512_set1_pd(a); }
    static DAART_FAST_INLINE type zero() { return _mm512_setzero_pd(); }
    static DAART_FAST_INLINE type add(type a, type b) { return _mm512_add_pd(a, b); }
    static DAART_FAST_INLINE type sub(type a, type b) { return _mm512_sub_pd(a, b); }
    static DAART_FAST_INLINE type mul(type a, type b) { return _mm512_mul_pd(a, b); }
    static DAART_FAST_INLINE type div(type a, type b) { return _mm512_div_pd(a, b); }
    static DAART_FAST_INLINE type sqrt(type a) { return _mm512_sqrt_pd(a); }
    static DAART_FAST_INLINE type fma(type a, type b, type c) { return _mm512_fmadd_pd(a, b, c); }
    static DAART_FAST_INLINE type fnma(type a, type b, type c) { return _mm512_fnmadd_pd(a, b, c); }
    static DAART_FAST_INLINE type max(type a, type b) { return _mm512_max_pd(a, b); }
    static DAART_FAST_INLINE type min(type a, type b) { return _mm512_min_pd(a, b); }
    static DAART_FAST_INLINE type select_positive(type c, type a, type b) {
        return _mm512_mask_blend_pd(_mm512_cmp_pd_mask(c, zero(), _CMP_GT_OQ), b, a);
    }
};

#elif defined(DAART_FAST_AVX2)

constexpr int kVectorBytes = 32;

template <>
struct Vec<float> {
    using type = __m256;
    static constexpr int size = 8, tile_vectors = 2, tile_rows = 6;
    static DAART_FAST_INLINE __m256i mask(int n) {
        const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane);
    }
    static DAART_FAST_INLINE type load(const float* p) { return _mm256_loadu_ps(p); }
    static DAART_FAST_INLINE type load_n(const float* p, int n) {
        return _mm256_maskload_ps(p, mask(n));
    }
    static DAART_FAST_INLINE void store(float* p, type a) { _mm256_storeu_ps(p, a); }
    static DAART_FAST_INLINE void store_n(float* p, type a, int n) {
        _mm256_maskstore_ps(p, mask(n), a);
    }
    static DAART_FAST_INLINE type set(float a) { return _mm256_set1_ps(a); }
    static DAART_FAST_INLINE type zero() { return _mm256_setzero_ps(); }
    static DAART_FAST_INLINE type add(type a, type b) { return _mm256_add_ps(a, b); }
    static DAART_FAST_INLINE type sub(type a, type b) { return _mm256_sub_ps(a, b); }
    static DAART_FAST_INLINE type mul(type a, type b) { return _mm256_mul_ps(a, b); }
    static DAART_FAST_INLINE type div(type a, type b) { return _mm256_div_ps(a, b); }
    static DAART_FAST_INLINE type sqrt(type a) { return _mm256_sqrt_ps(a); }
    static DAART_FAST_INLINE type fma(type a, type b, type c) { return _mm256_fmadd_ps(a, b, c); }
    static DAART_FAST_INLINE type fnma(type a, type b, type c) { return _mm256_fnmadd_ps(a, b, c); }
    static DAART_FAST_INLINE type max(type a, type b) { return _mm256_max_ps(a, b); }
    static DAART_FAST_INLINE type min(type a, type b) { return _mm256_min_ps(a, b); }
    static DAART_FAST_INLINE type select_positive(type c, type a, type b) {
        return _mm256_blendv_ps(b, a, _mm256_cmp_ps(c, zero(), _CMP_GT_OQ));
    }
};

template <>
struct Vec<double> {
    using type = __m256d;
    static constexpr int size = 4, tile_vectors = 2, tile_rows = 6;
    static DAART_FAST_INLINE __m256i mask(int n) {
        return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
    }
    static DAART_FAST_INLINE type load(const double* p) { return _mm256_loadu_pd(p); }
    static DAART_FAST_INLINE type load_n(const double* p, int n) {
        return _mm256_maskload_pd(p, mask(n));
    }
    static DAART_FAST_INLINE void store(double* p, type a) { _mm256_storeu_pd(p, a); }
    static DAART_FAST_INLINE void store_n(double* p, type a, int n) {
        _mm256_maskstore_pd(p, mask(n), a);
    }
    static DAART_FAST_INLINE type set(double a) { return _mm256_set1_pd(a); }
    static DAART_FAST_INLINE type zero() { return _mm256_setzero_pd(); }
    static DAART_FAST_INLINE type add(type a, type b) { return _mm256_add_pd(a, b); }
    static DAART_FAST_INLINE type sub(type a, type b) { return _mm256_sub_pd(a, b); }
    static DAART_FAST_INLINE type mul(type a, type b) { return _mm256_mul_pd(a, b); }
    static DAART_FAST_INLINE type div(type a, type b) { return _mm256_div_pd(a, b); }
    static DAART_FAST_INLINE type sqrt(type a) { return _mm256_sqrt_pd(a); }
    static DAART_FAST_INLINE type fma(type a, type b, type c) { return _mm256_fmadd_pd(a, b, c); }
    static DAART_FAST_INLINE type fnma(type a, type b, type c) { return _mm256_fnmadd_pd(a, b, c); }
    static DAART_FAST_INLINE type max(type a, type b) { return _mm256_max_pd(a, b); }
    static DAART_FAST_INLINE type min(type a, type b) { return _mm256_min_pd(a, b); }
    static DAART_FAST_INLINE type select_positive(type c, type a, type b) {
        return _mm256_blendv_pd(b, a, _mm256_cmp_pd(c, zero(), _CMP_GT_OQ));
    }
};

#elif defined(DAART_FAST_NEON)

constexpr int kVectorBytes = 16;
// A tile takes 24 of the 32 registers, as that of AVX-512 does.

template <>
struct Vec<float> {
    using type = float32x4_t;
    static constexpr int size = 4, tile_vectors = 2, tile_rows = 12;
    static DAART_FAST_INLINE type load(const float* p) { return vld1q_f32(p); }
    static DAART_FAST_INLINE type load_n(const float* p, int n) {
        if (n == size) return load(p);
        float lane[size] = {};
        for (int i = 0; i < n; i++) lane[i] = p[i];
        return load(lane);
    }
    static DAART_FAST_INLINE void store(float* p, type a) { vst1q_f32(p, a); }
    static DAART_FAST_INLINE void store_n(float* p, type a, int n) {
        if (n == size) return store(p, a);
        float lane[size];
        store(lane, a);
        for (int i = 0; i < n; i++) p[i] = lane[i];
    }
    static DAART_FAST_INLINE type set(float a) { return vdupq_n_f32(a); }
    static DAART_FAST_INLINE type zero() { return set(0); }
    static DAART_FAST_INLINE type add(type a, type b) { return vaddq_f32(a, b); }
    static DAART_FAST_INLINE type sub(type a, type b) { return vsubq_f32(a, b); }
    static DAART_FAST_INLINE type mul(type a, type b) { return vmulq_f32(a, b); }
    static DAART_FAST_INLINE type div(type a, type b) { return vdivq_f32(a, b); }
    static DAART_FAST_INLINE type sqrt(type a) { return vsqrtq_f32(a); }
    static DAART_FAST_INLINE type fma(type a, type b, type c) { return vfmaq_f32(c, a, b); }
    static DAART_FAST_INLINE type fnma(type a, type b, type c) { return vfmsq_f32(c, a, b); }
    // Not vmaxq and vminq, which would treat NaN otherwise than the sets above do.
    static DAART_FAST_INLINE type max(type a, type b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
    static DAART_FAST_INLINE type min(type a, type b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
    static DAART_FAST_INLINE type select_positive(type c, type a, type b) {
        return vbslq_f32(vcgtq_f32(c, zero()), a, b);
    }
};

template <>
struct Vec<double> {
    using type = float64x2_t;
    static constexpr int size = 2, tile_vectors = 2, tile_rows = 12;
    static DAART_FAST_INLINE type load(const double* p) { return vld1q_f64(p); }
    static DAART_FAST_INLINE type load_n(const double* p, int n) {
        if (n == size) return load(p);
        double lane[size] = {};
        for (int i = 0; i < n; i++) lane[i] = p[i];
        return load(lane);
    }
    static DAART_FAST_INLINE void store(double* p, type a) { vst1q_f64(p, a); }
    static DAART_FAST_INLINE void store_n(double* p, type a, int n) {
        if (n == size) return store(p, a);
        double lane[size];
        store(lane, a);
        for (int i = 0; i < n; i++) p[i] = lane[i];
    }
    static DAART_FAST_INLINE type set(double a) { return vdupq_n_f64(a); }
    static DAART_FAST_INLINE type zero() { return set(0); }
    static DAART_FAST_INLINE type add(type a, type b) { return vaddq_f64(a, b); }
    static DAART_FAST_INLINE type sub(type a, type b) { return vsubq_f64(a, b); }
    static DAART_FAST_INLINE type mul(type a, type b) { return vmulq_f64(a, b); }
    static DAART_FAST_INLINE type div(type a, type b) { return vdivq_f64(a, b); }
    static DAART_FAST_INLINE type sqrt(type a) { return vsqrtq_f64(a); }
    static DAART_FAST_INLINE type fma(type a, type b, type c) { return vfmaq_f64(c, a, b); }
    static DAART_FAST_INLINE type fnma(type a, type b, type c) { return vfmsq_f64(c, a, b); }
    // Not vmaxq and vminq, which would treat NaN otherwise than the sets above do.
    static DAART_FAST_INLINE type max(type a, type b) { return vbslq_f64(vcgtq_f64(a, b), a, b); }
    static DAART_FAST_INLINE type min(type a, type b) { return vbslq_f64(vcltq_f64(a, b), a, b); }
    static DAART_FAST_INLINE type select_positive(type c, type a, type b) {
        return vbslq_f64(vcgtq_f64(c, zero()), a, b);
    }
};

#else  // generic: 16 bytes, which compilers turn into SSE2 or plain scalars

constexpr int kVectorBytes = 16;

#if defined(__GNUC__) || defined(__clang__)
template <typename T>
struct Register;
template <>
struct Register<float> {
    typedef float type __attribute__((vector_size(16)));
};
template <>
struct Register<double> {
    typedef double type __attribute__((vector_size(16)));
};
#else
template <typename T>
struct Lanes {
    T lane[16 / sizeof(T)];
    T& operator[](int i) { return lane[i]; }
    T operator[](int i) const { return lane[i]; }
};
template <typename T>
Lanes<T> operator+(Lanes<T> a, const Lanes<T>& b) {
    for (int i = 0; i < int(16 / sizeof(T)); i++) a[i] += b[i];
    return a;
}
template <typename T>
Lanes<T> operator-(Lanes<T> a, const Lanes<T>& b) {
    for (int i = 0; i < int(16 / sizeof(T)); i++) a[i] -= b[i];
    return a;
}
template <typename T>
Lanes<T> operator*(Lanes<T> a, const Lanes<T>& b) {
    for (int i = 0; i < int(16 / sizeof(T)); i++) a[i] *= b[i];
    return a;
}
template <typename T>
Lanes<T> operator/(Lanes<T> a, const Lanes<T>& b) {
    for (int i = 0; i < int(16 / sizeof(T)); i++) a[i] /= b[i];
    return a;
}
template <typename T>
struct Register {
    using type = Lanes<T>;
};
#endif

template <typename T>
struct Vec {
    using type = typename Register<T>::type;
    static constexpr int size = 16 / int(sizeof(T)), tile_vectors = 2, tile_rows = 6;
    static DAART_FAST_INLINE type load_n(const T* p, int n) {
        type a = zero();
        for (int i = 0; i < n; i++) a[i] = p[i];
        return a;
    }
    static DAART_FAST_INLINE type load(const T* p) {
        type a;
        for (int i = 0; i < size; i++) a[i] = p[i];
        return a;
    }
    static DAART_FAST_INLINE void store_n(T* p, type a, int n) {
        for (int i = 0; i < n; i++) p[i] = a[i];
    }
    static DAART_FAST_INLINE void store(T* p, type a) {
        for (int i = 0; i < size; i++) p[i] = a[i];
    }
    static DAART_FAST_INLINE type set(T value) {
        type a;
        for (int i = 0; i < size; i++) a[i] = value;
        return a;
    }
    static DAART_FAST_INLINE type zero() { return set(T(0)); }
    static DAART_FAST_INLINE type add(type a, type b) { return a + b; }
    static DAART_FAST_INLINE type sub(type a, type b) { return a - b; }
    static DAART_FAST_INLINE type mul(type a, type b) { return a * b; }
    static DAART_FAST_INLINE type div(type a, type b) { return a / b; }
    static DAART_FAST_INLINE type sqrt(type a) {
        for (int i = 0; i < size; i++) a[i] = std::sqrt(a[i]);
        return a;
    }
    static DAART_FAST_INLINE type fma(type a, type b, type c) { return a * b + c; }
    static DAART_FAST_INLINE type fnma(type a, type b, type c) { return c - a * b; }
    static DAART_FAST_INLINE type max(type a, type b) {
        for (int i = 0; i < size; i++) a[i] = a[i] > b[i] ? a[i] : b[i];
        return a;
    }
    static DAART_FAST_INLINE type min(type a, type b) {
        for (int i = 0; i < size; i++) a[i] = a[i] < b[i] ? a[i] : b[i];
        return a;
    }
    static DAART_FAST_INLINE type select_positive(type c, type a, type b) {
        for (int i = 0; i < size; i++) a[i] = c[i] > T(0) ? a[i] : b[i];
        return a;
    }
};

#endif

}  // namespace
}  // namespace daart_fast::DAART_FAST_ISA
