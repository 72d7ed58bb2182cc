// The spatial map of ReflectPad: which input element an output element is a copy of.
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
    Signed const fromEnd = 2 * (size - 1) - fromBegin;
    return fromEnd < fromBegin ? fromEnd : fromBegin;
}

static_assert(reflect<int64_t>(-2, 3) == 2 && reflect<int64_t>(1, 3) == 1 && reflect<int64_t>(4, 3) == 0);

// One axis of a ReflectPad. Index is uint32_t where all element numbers are below 2^31, else int64_t.
template <typename Index>
struct PadAxis
{
    Index inputSize;
    Index padBegin;
    Index inputStride;
    FastDivisor<Index> outputSize;
};

template <typename Index>
struct PadMap
{
    int32_t rank;
    PadAxis<Index> axes[kMaxRank];
    Index numOutputs;

    TRTCONV_HOST_DEVICE PadAxis<Index> const& columns() const { return axes[rank - 1]; }
};

template <typename Index>
TRTCONV_HOST_DEVICE Index inputCoordinate(PadAxis<Index> const& axis, Index outputCoordinate)
{
    auto const shifted = static_cast<Coordinate<Index>>(outputCoordinate - axis.padBegin);
    return static_cast<Index>(reflect(shifted, static_cast<Coordinate<Index>>(axis.inputSize)));
}

// Returns where in the input the row begins that output row `row` copies: a row is a run of the last axis.
template <typename Index>
TRTCONV_HOST_DEVICE Index inputRowBegin(PadMap<Index> const& map, Index row)
{
    Index begin = 0;
    for (int32_t i = map.rank - 2; i >= 0; --i)
    {
        PadAxis<Index> const& axis = map.axes[i];
        Index const outer = axis.outputSize.divide(row);
        begin += inputCoordinate(axis, static_cast<Index>(row - outer * axis.outputSize.value())) * axis.inputStride;
        row = outer;
    }
    return begin;
}

// Walks through the output in memory order and tells the input element of each.
template <typename Index>
class PadCursor
{
public:
    TRTCONV_HOST_DEVICE PadCursor(PadMap<Index> const& map, Index output)
        : mMap(map)
        , mRow(map.columns().outputSize.divide(output))
        , mColumn(output - mRow * map.columns().outputSize.value())
        , mRowBegin(inputRowBegin(map, mRow))
    {
    }

    // Whether the next `count` outputs are copies of as many consecutive inputs, from input() on.
    TRTCONV_HOST_DEVICE bool isContiguous(Index count) const
    {
        PadAxis<Index> const& axis = mMap.columns();
        return mColumn >= axis.padBegin && mColumn + count <= axis.padBegin + axis.inputSize;
    }

    TRTCONV_HOST_DEVICE Index input() const { return mRowBegin + inputCoordinate(mMap.columns(), mColumn); }

    TRTCONV_HOST_DEVICE void advance()
    {
        ++mColumn;
        if (mColumn == mMap.columns().outputSize.value())
        {
            mColumn = 0;
            ++mRow;
            mRowBegin = inputRowBegin(mMap, mRow);
        }
    }

private:
    PadMap<Index> const& mMap;
    Index mRow;
    Index mColumn;
    Index mRowBegin;
};

} // namespace trtconv
