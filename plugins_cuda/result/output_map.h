// The map from an output to the input that it is made of: each axis is upsampled to its nearest neighbours, then
// padded.
#pragma once

#include <cstdint>

#include "result/reflect_map.h"

namespace trtconv
{

enum class PadMode : int32_t // values are part of trtconv_kernels.h
{
    kReflect = 0, // the inside mirrored, the border not repeated
    kEdge = 1, // the border repeated
    kZero = 2,
};

constexpr int32_t kNoSource = -1; // of an output that is zero

// Returns which coordinate inside [0, size) a coordinate takes its value from, or kNoSource.
template <typename Signed>
TRTCONV_HOST_DEVICE constexpr Signed insideOf(PadMode mode, Signed coordinate, Signed size)
{
    if (mode == PadMode::kReflect)
    {
        return reflect(coordinate, size);
    }
    if (coordinate >= 0 && coordinate < size)
    {
        return coordinate;
    }
    return mode == PadMode::kZero ? kNoSource : (coordinate < 0 ? 0 : size - 1);
}

static_assert(insideOf<int64_t>(PadMode::kReflect, -2, 3) == 2 && insideOf<int64_t>(PadMode::kEdge, -2, 3) == 0);
static_assert(insideOf<int64_t>(PadMode::kEdge, 7, 3) == 2 && insideOf<int64_t>(PadMode::kZero, 3, 3) == kNoSource);

// One axis of the map. Index is uint32_t where all numbers of inputs and outputs are below 2^31, else int64_t.
template <typename Index>
struct MapAxis
{
    Index upsampledSize;
    Index padBegin;
    Index inputStride;
    PadMode mode;
    FastDivisor<Index> upsample;
    FastDivisor<Index> outputSize;
};

// The axes of an output in the order in which they lie in memory. A rank known to the compiler makes faster code.
template <typename Index, int32_t Rank = kAnyRank>
struct OutputMap
{
    int32_t anyRank;
    MapAxis<Index> axes[Rank == kAnyRank ? kMaxRank : Rank];
    Index numOutputs;

    TRTCONV_HOST_DEVICE int32_t rank() const { return Rank == kAnyRank ? anyRank : Rank; }
    TRTCONV_HOST_DEVICE MapAxis<Index> const& axisFromEnd(int32_t i) const { return axes[rank() - 1 - i]; }
};

// Returns the input coordinate that an output coordinate is made of, or kNoSource.
template <typename Index>
TRTCONV_HOST_DEVICE Coordinate<Index> sourceOf(MapAxis<Index> const& axis, Coordinate<Index> outputCoordinate)
{
    using Signed = Coordinate<Index>;
    Signed const shifted = outputCoordinate - static_cast<Signed>(axis.padBegin);
    Signed const inside = insideOf(axis.mode, shifted, static_cast<Signed>(axis.upsampledSize));
    return inside < 0 ? kNoSource : static_cast<Signed>(axis.upsample.divide(static_cast<Index>(inside)));
}

// A place in the input; it is no place where the output is zero.
template <typename Index>
struct MapSource
{
    Index offset;
    bool isInside;

    TRTCONV_HOST_DEVICE MapSource along(MapAxis<Index> const& axis, Coordinate<Index> outputCoordinate) const
    {
        Coordinate<Index> const source = sourceOf(axis, outputCoordinate);
        return {offset + static_cast<Index>(source) * axis.inputStride, isInside && source >= 0};
    }
};

// Returns the source of what the outputs of number `outer` have in common: all axes but the last `numInner` ones.
template <typename Index, int32_t Rank>
TRTCONV_HOST_DEVICE MapSource<Index> outerSource(OutputMap<Index, Rank> const& map, Index outer, int32_t numInner)
{
    MapSource<Index> source{0, true};
    for (int32_t i = map.rank() - 1 - numInner; i >= 0; --i)
    {
        MapAxis<Index> const& axis = map.axes[i];
        Index const next = i == 0 ? 0 : axis.outputSize.divide(outer);
        source = source.along(axis, static_cast<Coordinate<Index>>(outer - next * axis.outputSize.value()));
        outer = next;
    }
    return source;
}

// Returns the source of one output.
template <typename Index, int32_t Rank>
TRTCONV_HOST_DEVICE MapSource<Index> sourceOf(OutputMap<Index, Rank> const& map, Index output)
{
    return outerSource(map, output, 0);
}

} // namespace trtconv
