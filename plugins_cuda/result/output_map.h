// The map from an output to the input that it is made of: the phases of an axis are interleaved, then it is upsampled
// to its nearest neighbours, then padded.
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

// Returns which coordinate inside [0, size) stands for `coordinate` by reflection or by the nearest edge. Both are
// computed and one is selected: branches would cost the threads of a gather more.
template <typename Signed>
TRTCONV_HOST_DEVICE constexpr Signed insideOf(PadMode mode, Signed coordinate, Signed size)
{
    Signed const mirrored = reflect(coordinate, size);
    Signed const notBefore = coordinate < 0 ? 0 : coordinate;
    Signed const nearest = notBefore < size - 1 ? notBefore : size - 1;
    return mode == PadMode::kReflect ? mirrored : nearest;
}

// Whether the output at a coordinate is zero.
template <typename Signed>
TRTCONV_HOST_DEVICE constexpr bool isZeroAt(PadMode mode, Signed coordinate, Signed size)
{
    using Unsigned = std::make_unsigned_t<Signed>;
    return mode == PadMode::kZero && static_cast<Unsigned>(coordinate) >= static_cast<Unsigned>(size);
}

static_assert(insideOf<int64_t>(PadMode::kReflect, -2, 3) == 2 && insideOf<int64_t>(PadMode::kEdge, -2, 3) == 0);
static_assert(insideOf<int64_t>(PadMode::kEdge, 7, 3) == 2 && insideOf<int64_t>(PadMode::kZero, 1, 3) == 1);
static_assert(isZeroAt<int32_t>(PadMode::kZero, -1, 3) && isZeroAt<int32_t>(PadMode::kZero, 3, 3));
static_assert(!isZeroAt<int32_t>(PadMode::kZero, 2, 3) && !isZeroAt<int32_t>(PadMode::kEdge, 3, 3));

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

    // Returns where in the input the element lies whose coordinate is given before the upsampling.
    TRTCONV_HOST_DEVICE Index offsetOf(Index coordinate) const { return coordinate * inputStride; }
};

// An axis of which neighbours lie in the phases of the input in turn: coordinate i is element i / phases of phase
// i % phases.
template <typename Index>
struct PhasedAxis : MapAxis<Index>
{
    FastDivisor<Index> phases;
    Index phaseStride;

    TRTCONV_HOST_DEVICE Index offsetOf(Index coordinate) const
    {
        Index const element = phases.divide(coordinate);
        return element * this->inputStride + (coordinate - element * phases.value()) * phaseStride;
    }
};

// The axes of an output in the order in which they lie in memory. A rank known to the compiler makes faster code.
template <typename IndexOfMap, int32_t Rank = kAnyRank, template <typename> class Axis = MapAxis>
struct OutputMap
{
    using Index = IndexOfMap;

    int32_t anyRank;
    Axis<Index> axes[Rank == kAnyRank ? kMaxRank : Rank];
    Index numOutputs;

    TRTCONV_HOST_DEVICE int32_t rank() const { return Rank == kAnyRank ? anyRank : Rank; }
    TRTCONV_HOST_DEVICE Axis<Index> const& axisFromEnd(int32_t i) const { return axes[rank() - 1 - i]; }
};

template <typename Index, int32_t Rank = kAnyRank>
using PhasedMap = OutputMap<Index, Rank, PhasedAxis>;

// A place in the input; there is none where the output is zero.
template <typename Index>
struct MapSource
{
    Index offset;
    bool isInside;

    // Returns the place of an output whose coordinate along one more axis is known.
    template <typename Axis>
    TRTCONV_HOST_DEVICE MapSource along(Axis const& axis, Coordinate<Index> outputCoordinate) const
    {
        using Signed = Coordinate<Index>;
        auto const size = static_cast<Signed>(axis.upsampledSize);
        Signed const shifted = outputCoordinate - static_cast<Signed>(axis.padBegin);
        auto const inside = static_cast<Index>(insideOf(axis.mode, shifted, size));
        return {offset + axis.offsetOf(axis.upsample.divide(inside)), isInside && !isZeroAt(axis.mode, shifted, size)};
    }
};

// Returns the source of what the outputs of number `outer` have in common: all axes but the last `numInner` ones.
template <typename Index, int32_t Rank, template <typename> class Axis>
TRTCONV_HOST_DEVICE MapSource<Index> outerSource(OutputMap<Index, Rank, Axis> const& map, Index outer, int32_t numInner)
{
    MapSource<Index> source{0, true};
    for (int32_t i = map.rank() - 1 - numInner; i >= 0; --i)
    {
        Axis<Index> const& axis = map.axes[i];
        Index const next = i == 0 ? 0 : axis.outputSize.divide(outer);
        source = source.along(axis, static_cast<Coordinate<Index>>(outer - next * axis.outputSize.value()));
        outer = next;
    }
    return source;
}

// Returns the source of one output.
template <typename Index, int32_t Rank, template <typename> class Axis>
TRTCONV_HOST_DEVICE MapSource<Index> sourceOf(OutputMap<Index, Rank, Axis> const& map, Index output)
{
    return outerSource(map, output, 0);
}

} // namespace trtconv
