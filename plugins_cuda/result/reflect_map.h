// The spatial map of ReflectPad: which input word an output word is a copy of.
#pragma once

#include <cstdint>
#include <type_traits>

#include "common/fast_divisor.h"
#include "common/host_device.h"

namespace trtconv
{

constexpr int32_t kMaxRank = 8; // TensorRT's own limit

// The signed type of the coordinates that an Index counts.
template <typename Index>
using Coordinate = std::make_signed_t<Index>;

// Reflects a coordinate that lies at most size - 1 outside [0, size) back into it, without repeating the border.
template <typename Signed>
TRTCONV_HOST_DEVICE constexpr Signed reflect(Signed coordinate, Signed size)
{
    Signed const fromBegin = coordinate < 0 ? -coordinate : coordinate;
    Signed const last = size - 1;
    Signed const untilLast = last - fromBegin;
    return last - (untilLast < 0 ? -untilLast : untilLast); // nothing larger than the sizes: 2 * last may not fit
}

static_assert(reflect<int64_t>(-2, 3) == 2 && reflect<int64_t>(1, 3) == 1 && reflect<int64_t>(4, 3) == 0);
static_assert(reflect<int32_t>(0, INT32_MAX) == 0 && reflect<int32_t>(-5, INT32_MAX) == 5);

// One axis of a ReflectPad. Index is uint32_t where all word numbers are below 2^31, else int64_t.
template <typename Index>
struct PadAxis
{
    Index inputSize;
    Index padBegin;
    Index inputStride;
    FastDivisor<Index> outputSize;
};

constexpr int32_t kAnyRank = 0;

// The spatial map of a ReflectPad. A rank known to the compiler makes faster code than any rank.
template <typename Index, int32_t Rank = kAnyRank>
struct PadMap
{
    int32_t anyRank;
    PadAxis<Index> axes[Rank == kAnyRank ? kMaxRank : Rank];
    Index numInputs;
    Index numOutputs;

    TRTCONV_HOST_DEVICE int32_t rank() const { return Rank == kAnyRank ? anyRank : Rank; }
    TRTCONV_HOST_DEVICE PadAxis<Index> const& columns() const { return axes[rank() - 1]; }
};

template <typename Index>
TRTCONV_HOST_DEVICE Index inputCoordinate(PadAxis<Index> const& axis, Index outputCoordinate)
{
    auto const shifted = static_cast<Coordinate<Index>>(outputCoordinate - axis.padBegin);
    return static_cast<Index>(reflect(shifted, static_cast<Coordinate<Index>>(axis.inputSize)));
}

// Returns where in the input the row begins that output row `row` copies: a row is a run of the last axis.
template <typename Index, int32_t Rank>
TRTCONV_HOST_DEVICE Index inputRowBegin(PadMap<Index, Rank> const& map, Index row)
{
    Index begin = 0;
    for (int32_t i = map.rank() - 2; i > 0; --i)
    {
        PadAxis<Index> const& axis = map.axes[i];
        Index const outer = axis.outputSize.divide(row);
        begin += inputCoordinate(axis, static_cast<Index>(row - outer * axis.outputSize.value())) * axis.inputStride;
        row = outer;
    }
    return map.rank() == 1 ? begin : begin + inputCoordinate(map.axes[0], row) * map.axes[0].inputStride;
}

// Returns the input word that output word `output` copies.
template <typename Index, int32_t Rank>
TRTCONV_HOST_DEVICE Index inputOf(PadMap<Index, Rank> const& map, Index output)
{
    PadAxis<Index> const& axis = map.columns();
    Index const row = axis.outputSize.divide(output);
    Index const column = output - row * axis.outputSize.value();
    return inputRowBegin(map, row) + inputCoordinate(axis, column);
}

enum class RunKind
{
    kScattered, // the outputs are not a run of the input
    kForward, // copies of consecutive inputs
    kBackward, // copies of consecutive inputs, the last one first
};

// The run of inputs that consecutive outputs copy; it begins at `begin`, unless they are scattered.
template <typename Index>
struct PadRun
{
    RunKind kind;
    Index begin;
};

// Returns the run of the `count` outputs from `output` on.
template <typename Index, int32_t Rank>
TRTCONV_HOST_DEVICE PadRun<Index> runOf(PadMap<Index, Rank> const& map, Index output, Index count)
{
    PadAxis<Index> const& axis = map.columns();
    Index const row = axis.outputSize.divide(output);
    Index const column = output - row * axis.outputSize.value();
    Index const end = column + count;
    Index const insideEnd = axis.padBegin + axis.inputSize;
    bool const isForward = column >= axis.padBegin && end <= insideEnd;
    bool const isBackward = end <= axis.padBegin || (column >= insideEnd && end <= axis.outputSize.value());
    Index const lowest = isForward ? column : end - 1;
    return {isForward ? RunKind::kForward : (isBackward ? RunKind::kBackward : RunKind::kScattered),
        inputRowBegin(map, row) + inputCoordinate(axis, lowest)};
}

} // namespace trtconv
