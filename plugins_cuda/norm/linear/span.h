// A slice consists of whole aligned vectors and, where its ends are not aligned, of a few single elements: its edges.
#pragma once

#include <cstdint>

#include "common/host_device.h"

namespace trtconv::linear
{

struct SliceSpan
{
    int64_t begin; // the first element of the slice
    int64_t bodyBegin; // the first element of the first whole vector, aligned in memory
    int64_t numVectors;
    int32_t numHeadElements; // elements before the first whole vector
    int32_t numEdges; // elements of head and tail together: at most 2 * (vectorSize - 1)

    // Returns the element that is edge `index`.
    TRTCONV_HOST_DEVICE int64_t edge(int32_t index, int32_t vectorSize) const
    {
        return index < numHeadElements ? begin + index : bodyBegin + numVectors * vectorSize + index - numHeadElements;
    }
};

// `baseOffset` is the number of elements between the last aligned address and the tensor's first element.
TRTCONV_HOST_DEVICE inline SliceSpan makeSliceSpan(
    int64_t begin, int64_t length, int32_t baseOffset, int32_t vectorSize)
{
    auto const past = static_cast<int32_t>((begin + baseOffset) % vectorSize);
    int32_t const untilAligned = past == 0 ? 0 : vectorSize - past;
    auto const head = static_cast<int32_t>(untilAligned < length ? untilAligned : length);
    int64_t const numVectors = (length - head) / vectorSize;
    auto const tail = static_cast<int32_t>(length - head - numVectors * vectorSize);
    return {begin, begin + head, numVectors, head, head + tail};
}

TRTCONV_HOST_DEVICE inline SliceSpan wholeSliceSpan(int64_t begin, int64_t numVectors)
{
    return {begin, begin, numVectors, 0, 0};
}

// Whether all runs [k * length, (k + 1) * length) are whole vectors.
constexpr bool areWholeVectors(int64_t length, int32_t baseOffset, int32_t vectorSize)
{
    return length % vectorSize == 0 && baseOffset % vectorSize == 0;
}

} // namespace trtconv::linear
