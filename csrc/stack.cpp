#include "stack.h"

#include <cstddef>

namespace daart_fast {
namespace {

constexpr Slot kBetween[] = {Slot::stack_even, Slot::stack_odd};

struct PlacedBlock {
    BlockShape shape;
    BlockSpans spans;
    int64_t hidden, inner, weights, y;  // offsets in what is kept
    int64_t hidden_before, y_before;    // and, where activations need them, of what they get
    int64_t mask;                       // the first of its columns in the masks
};

struct Placed {
    std::vector<PlacedBlock> blocks;
    int64_t saved = 0, masks = 0;
};

// Spans from the last block back, offsets from the first on.
Placed place(const StackShape& s) {
    Placed placed;
    int64_t channels = s.channels_in;
    for (const StackLayer& l : s.layers) {
        PlacedBlock block{};
        block.shape = {s.batch, s.frames,   channels,   l.channels_hidden, l.channels_out,
                       l.width, l.dilation, l.pad_left, s.activation};
        channels = l.channels_out;
        placed.blocks.push_back(block);
    }
    Span wanted = s.wanted;
    for (std::size_t i = placed.blocks.size(); i-- > 0;) {
        PlacedBlock& block = placed.blocks[i];
        block.spans = block_spans(block.shape, wanted);
        wanted = block.spans.x;
    }
    placed.blocks.front().spans.x = {0, s.frames};
    for (PlacedBlock& block : placed.blocks) {
        const auto keep = [&](int64_t elements) {
            placed.saved += elements;
            return placed.saved - elements;
        };
        const int64_t y = s.batch * block.spans.y.frames() * block.shape.channels_out;
        const int64_t hidden = s.batch * block.spans.hidden.frames() * block.shape.channels_hidden;
        block.hidden = keep(hidden);
        block.inner = keep(y);
        block.weights = keep(block_weights_size(block.shape));
        block.y = &block == &placed.blocks.back() ? 0 : keep(y);
        block.hidden_before = of_output(s.activation) ? 0 : keep(hidden);
        block.y_before = of_output(s.activation) ? 0 : keep(y);
        block.mask = placed.masks;
        placed.masks += block.shape.channels_hidden + block.shape.channels_out;
    }
    return placed;
}

template <typename T>
BlockTensors<T> tensors_of(const Placed& placed, const PlacedBlock& block, const T* x,
                           const StackParameters<const T>& p, const T* masks) {
    const T* mask0 = masks ? masks + block.mask : nullptr;
    const T* mask1 = masks ? mask0 + block.shape.channels_hidden : nullptr;
    return {x, p.first, p.second, p.residual_weight, p.residual_bias, mask0, mask1, placed.masks};
}

// What of all that is kept is this block's.
template <typename T>
BlockSaved<T> saved_of(const PlacedBlock& block, T* saved, T* y) {
    return {y,
            saved + block.hidden,
            saved + block.inner,
            saved + block.weights,
            saved + block.hidden_before,
            saved + block.y_before};
}

}  // namespace

int64_t stack_saved_size(const StackShape& shape) {
    return place(shape).saved;
}

template <typename T>
void stack_forward(const StackShape& shape, const T* x,
                   const std::vector<StackParameters<const T>>& parameters, const T* masks, T* y,
                   T* saved, int threads) {
    const Placed placed = place(shape);
    for (std::size_t i = 0; i < placed.blocks.size(); i++) {
        const PlacedBlock& block = placed.blocks[i];
        const bool last = i + 1 == placed.blocks.size();
        BlockSaved<T> kept{};
        if (saved) {
            kept = saved_of(block, saved, saved + block.y);
        } else if (!last) {
            const int64_t frames = shape.batch * block.spans.y.frames();
            kept.y = scratch_of<T>(kBetween[i % 2], frames * block.shape.channels_out);
        }
        if (last) kept.y = y;
        block_forward(block.shape, block.spans, tensors_of(placed, block, x, parameters[i], masks),
                      kept, threads);
        x = kept.y;
    }
}

template <typename T>
void stack_backward(const StackShape& shape, const T* x,
                    const std::vector<StackParameters<const T>>& parameters, const T* masks,
                    const T* y, const T* saved, const T* dy, T* dx,
                    const std::vector<StackParameters<T>>& gradients, int threads) {
    const Placed placed = place(shape);
    for (std::size_t i = placed.blocks.size(); i-- > 0;) {
        const PlacedBlock& block = placed.blocks[i];
        BlockGradients<T> made{};
        if (!gradients.empty()) {
            made = {nullptr, gradients[i].first, gradients[i].second, gradients[i].residual_weight,
                    gradients[i].residual_bias};
        }
        made.dx = dx;
        if (i > 0) {
            const int64_t frames = shape.batch * block.spans.x.frames();
            made.dx = scratch_of<T>(kBetween[i % 2], frames * block.shape.channels_in);
        }
        const T* block_x = i > 0 ? saved + placed.blocks[i - 1].y : x;
        const T* block_y = i + 1 == placed.blocks.size() ? y : saved + block.y;
        block_backward<T>(block.shape, block.spans,
                          tensors_of(placed, block, block_x, parameters[i], masks),
                          saved_of(block, saved, block_y), dy, made, threads);
        dy = made.dx;
    }
}

#define DAART_FAST_STACK(T)                                                                        \
    template void stack_forward<T>(const StackShape&, const T*,                                    \
                                   const std::vector<StackParameters<const T>>&, const T*, T*, T*, \
                                   int);                                                           \
    template void stack_backward<T>(                                                               \
        const StackShape&, const T*, const std::vector<StackParameters<const T>>&, const T*,       \
        const T*, const T*, const T*, T*, const std::vector<StackParameters<T>>&, int);
DAART_FAST_STACK(float)
DAART_FAST_STACK(double)
#undef DAART_FAST_STACK

}  // namespace daart_fast
