// Frames of a sequence on their way into shared memory, and which frames the taps of a dilated
// convolution read.
#pragma once

#include "numbers.h"

namespace daart_fast::cuda {

// (batch, frames, channels), each sequence contiguous, `stride` elements from one to the next.
template <class N>
struct Sequences {
    const typename N::Stored* data;
    int frames, channels;
    int64_t stride;
    bool packs;  // whether every frame begins at a multiple of 16 bytes
};

// The frames that `taps` taps, `dilation` apart, read for a tile of Tile frames, each once: tap j
// of frame i reads row j * step + i. Where the taps lie further apart than the tile is long, the
// rows between them are left out.
template <int Tile>
struct TapRows {
    int first, dilation, step;

    __host__ __device__ TapRows(int first_, int dilation_)
        : first(first_), dilation(dilation_), step(dilation_ < Tile ? dilation_ : Tile) {}

    __host__ __device__ int rows(int taps) const { return Tile + (taps - 1) * step; }

    __device__ __forceinline__ int operator()(int row) const {
        if (dilation <= Tile) return first + row;
        return first + row / Tile * dilation + row % Tile;
    }
};

// Channels [c, c + a pack) of a frame, zero beyond the last channel.
template <class N>
__device__ __forceinline__ Pack<N> load_pack(const Sequences<N>& from,
                                             const typename N::Stored* frame, int c) {
    Pack<N> pack = {};
    if (from.packs) {
        if (c < from.channels) pack = *reinterpret_cast<const Pack<N>*>(frame + c);
        return pack;
    }
#pragma unroll
    for (int i = 0; i < Pack<N>::kSize; i++) {
        if (c + i < from.channels) pack.v[i] = frame[c + i];
    }
    return pack;
}

// Fills `rows` rows of Channels channels from channel c on, Pitch elements apart, with the frames
// that frame_of(row) names: zeros where there is no such frame or channel.
template <class N, int Channels, int Pitch, class FrameOf>
__device__ __forceinline__ void load_rows(const Sequences<N>& from, int sequence, int c, int rows,
                                          const FrameOf& frame_of, typename N::Stored* to) {
    constexpr int kSize = Pack<N>::kSize, kPacks = Channels / kSize;
    static_assert(Channels % kSize == 0 && Pitch % kSize == 0);
    const typename N::Stored* start = from.data + sequence * from.stride;
#pragma unroll 4
    for (int i = threadIdx.x; i < rows * kPacks; i += kThreads) {
        const int row = i / kPacks, at = i % kPacks * kSize, frame = frame_of(row);
        Pack<N> pack = {};
        if (frame >= 0 && frame < from.frames) {
            pack = load_pack<N>(from, start + frame * from.channels, c + at);
        }
#pragma unroll
        for (int e = 0; e < kSize; e++) pack.v[e] = N::rounded(pack.v[e]);
        *reinterpret_cast<Pack<N>*>(to + row * Pitch + at) = pack;
    }
}

}  // namespace daart_fast::cuda
