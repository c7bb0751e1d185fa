// Which transforms make up a filtered convolution of a given width, and what it costs.
//
// Nesting keeps the points small. With taps k = r0 * a + b, the sum over b is a filter of r0 taps
// and the sum over a one whose taps lie r0 frames apart; F(r0, r0) inside and F(m, r1) outside give
// r0 * m neighbouring outputs of a filter of r0 * r1 taps. Levels are listed from the inside out,
// and every level but the last has as many outputs as taps. The two innermost ones are one pair
// (filtered_pairs.h). A width between two sizes is filled up with zero taps. Dilation d filters
// each of the d interleaved sequences, so a block of outputs is d times as long.
#pragma once

#include <initializer_list>

#include "../contract.h"
#include "filtered_pairs.h"

namespace daart_fast::DAART_FAST_ISA {
namespace {

constexpr int kMaxLevels = 4;
constexpr int kMaxInputs = 96;      // frames that one block reads
constexpr int kMaxRegisters = 256;  // in the largest intermediate of a nest

struct Plan {
    int levels = 0;
    const Transform* level[kMaxLevels] = {};
    int taps = 1, outputs = 1, products = 1, inputs = 0;
    bool weight_grad = true;  // exact enough for it
    Places input[kMaxLevels], output[kMaxLevels], gradient[kMaxLevels];
    Places weights[kMaxLevels], weights_gradient[kMaxLevels];
};

inline Plan make_plan(std::initializer_list<const Transform*> levels) {
    Plan plan;
    for (const Transform* t : levels) plan.level[plan.levels++] = t;
    int spacing[kMaxLevels], span[kMaxLevels + 1];
    span[0] = 1;
    for (int l = 0; l < plan.levels; l++) {
        spacing[l] = plan.outputs;
        span[l + 1] = span[l] + (plan.level[l]->inputs - 1) * spacing[l];
        plan.outputs *= plan.level[l]->outputs;
        plan.taps *= plan.level[l]->taps;
        plan.products *= plan.level[l]->products;
    }
    plan.inputs = span[plan.levels];
    int groups = 1;  // products of the levels outside this one
    for (int l = plan.levels - 1; l >= 0; l--) {
        const int m = plan.level[l]->outputs, r = plan.level[l]->taps, n = plan.level[l]->products;
        const int s = spacing[l];
        plan.input[l] = {groups, span[l], span[l + 1], s, n * span[l], span[l]};
        plan.output[l] = {groups, s, n * s, s, m * s, s};
        plan.gradient[l] = {groups, s, m * s, s, n * s, s};
        plan.weights[l] = {groups, s, r * s, s, n * s, s};
        plan.weights_gradient[l] = {groups, s, n * s, s, r * s, s};
        groups *= n;
    }
    return plan;
}

// The weight gradient sums over frames, which the direct method does with an error that hardly
// grows with the width; the errors of deep nests with wide points are more than ten times that.
inline Plan not_for_weights(Plan plan) {
    plan.weight_grad = false;
    return plan;
}

// Every plan there is. Of those whose taps suffice the cost model takes one: more outputs in a
// block take fewer products each, and waste more where the frames do not fill the last block.
constexpr int kPlans = 21;

template <typename... F>
struct Levels {
    static constexpr Transform one = transform_of<F...>();
};
template <typename Inner, typename Outer>
struct Levels<Inner, Outer> {
    static constexpr Transform one = pair_of<Inner, Outer>();
};
template <typename... F>
constexpr const Transform* level() {
    return &Levels<F...>::one;
}

inline const Plan* all_plans() {
    static const Plan plans[kPlans] = {
        make_plan({level<F23>()}),
        make_plan({level<F43>()}),
        make_plan({level<F63>()}),
        make_plan({level<F34>()}),
        make_plan({level<F45>()}),
        make_plan({level<F22, F23>()}),
        make_plan({level<F22, F43>()}),
        make_plan({level<F22, F63>()}),
        make_plan({level<F33, F23>()}),
        make_plan({level<F33, F43>()}),
        make_plan({level<F33, F63>()}),
        make_plan({level<F33, F24>()}),
        make_plan({level<F33, F34>()}),
        make_plan({level<F22, F33>(), level<F23>()}),
        make_plan({level<F22, F33>(), level<F43>()}),
        make_plan({level<F22, F33>(), level<F63>()}),
        make_plan({level<F33, F33>(), level<F23>()}),
        not_for_weights(make_plan({level<F33, F33>(), level<F43>()})),
        not_for_weights(make_plan({level<F33, F33>(), level<F24>()})),
        not_for_weights(make_plan({level<F33, F33>(), level<F34>()})),
        make_plan({level<F22, F22>(), level<F33>(), level<F33>()}),
    };
    return plans;
}

}  // namespace
}  // namespace daart_fast::DAART_FAST_ISA
