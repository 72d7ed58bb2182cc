// How ReflectPad is launched: pure host arithmetic, tested without a GPU.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "reflect_pad/reflect_map.h"

namespace trtconv
{

constexpr int32_t kPadThreads = 256;
constexpr int32_t kPadVectorBytes = 16;
constexpr int64_t kMaxPadBlocks = 1 << 20; // more work than that is looped over

// The shape of a ReflectPad with neighbouring axes merged where possible.
struct PadShape
{
    int32_t rank;
    int64_t inputSizes[kMaxRank];
    int64_t padBegins[kMaxRank];
    int64_t padEnds[kMaxRank];

    constexpr int64_t outputSize(int32_t axis) const { return padBegins[axis] + inputSizes[axis] + padEnds[axis]; }

    constexpr int64_t numInputs() const
    {
        int64_t product = 1;
        for (int32_t axis = 0; axis < rank; ++axis)
        {
            product *= inputSizes[axis];
        }
        return product;
    }

    constexpr int64_t numOutputs() const
    {
        int64_t product = 1;
        for (int32_t axis = 0; axis < rank; ++axis)
        {
            product *= outputSize(axis);
        }
        return product;
    }
};

// Returns the first axis whose padding is negative or not smaller than its size, which ONNX forbids; -1 if none.
template <typename Size, typename Pad>
constexpr int32_t findBadPad(int32_t rank, Size const* sizes, Pad const* pads)
{
    for (int32_t axis = 0; axis < rank; ++axis)
    {
        int64_t const padBegin = pads[axis];
        int64_t const padEnd = pads[rank + axis];
        bool const isPadded = padBegin != 0 || padEnd != 0;
        if (padBegin < 0 || padEnd < 0 || (isPadded && std::max(padBegin, padEnd) >= sizes[axis]))
        {
            return axis;
        }
    }
    return -1;
}

// Merges each run of unpadded axes into one. `pads` in ONNX order: all begins, then all ends.
template <typename Size, typename Pad>
constexpr PadShape mergeAxes(int32_t rank, Size const* sizes, Pad const* pads)
{
    PadShape shape{};
    bool wasPadded = true;
    for (int32_t axis = 0; axis < rank; ++axis)
    {
        bool const isPadded = pads[axis] != 0 || pads[rank + axis] != 0;
        if (!isPadded && !wasPadded)
        {
            shape.inputSizes[shape.rank - 1] *= sizes[axis];
            continue;
        }
        shape.inputSizes[shape.rank] = sizes[axis];
        shape.padBegins[shape.rank] = pads[axis];
        shape.padEnds[shape.rank] = pads[rank + axis];
        ++shape.rank;
        wasPadded = isPadded;
    }
    return shape;
}

template <typename Index>
PadMap<Index> makePadMap(PadShape const& shape)
{
    PadMap<Index> map{};
    map.rank = shape.rank;
    map.numOutputs = static_cast<Index>(shape.numOutputs());
    int64_t inputStride = 1;
    for (int32_t axis = shape.rank - 1; axis >= 0; --axis)
    {
        map.axes[axis] = {static_cast<Index>(shape.inputSizes[axis]), static_cast<Index>(shape.padBegins[axis]),
            static_cast<Index>(inputStride), FastDivisor<Index>(static_cast<Index>(shape.outputSize(axis)))};
        inputStride *= shape.inputSizes[axis];
    }
    return map;
}

// Whether all element numbers, rounded up to whole vectors and grid steps, fit the fast 32-bit arithmetic.
constexpr bool fitsFastIndex(int64_t numOutputs)
{
    return numOutputs <= std::numeric_limits<int32_t>::max() - 2 * kPadVectorBytes;
}

constexpr int64_t choosePadBlocks(int64_t numVectors)
{
    return std::min((numVectors + kPadThreads - 1) / kPadThreads, kMaxPadBlocks);
}

static_assert(fitsFastIndex(int64_t{1} << 30) && !fitsFastIndex(int64_t{1} << 31));
static_assert(choosePadBlocks(1) == 1 && choosePadBlocks(257) == 2);

} // namespace trtconv
