// A run of elements seen as whole aligned vectors, whatever its alignment: only the first and the last may be partial.
#pragma once

#include <cstdint>

#include "common/host_device.h"

namespace trtconv
{

// Vectors of `vectorSize` elements that cover the elements [begin, end) of a tensor.
struct VectorSpan
{
    int64_t begin;
    int64_t end;
    int64_t firstVectorBegin; // aligned in memory, so at most vectorSize - 1 before begin, and perhaps negative
    int64_t numVectors;
};

// `baseOffset` is the number of elements between the last aligned address and the tensor's first element.
TRTCONV_HOST_DEVICE inline VectorSpan makeVectorSpan(
    int64_t begin, int64_t length, int32_t baseOffset, int32_t vectorSize)
{
    int64_t const offset = (begin + baseOffset) % vectorSize;
    int64_t const numVectors = length == 0 ? 0 : (offset + length + vectorSize - 1) / vectorSize;
    return {begin, begin + length, begin - offset, numVectors};
}

// The most vectors that any of the runs [k * length, (k + 1) * length) needs.
constexpr int64_t maxVectors(int64_t length, int32_t baseOffset, int32_t vectorSize)
{
    bool const startAlike = length % vectorSize == 0; // all at the base's own offset; otherwise at any
    int64_t const worstOffset = startAlike ? baseOffset % vectorSize : vectorSize - 1;
    return length == 0 ? 0 : (worstOffset + length + vectorSize - 1) / vectorSize;
}

// Returns which elements of vector `index` belong to the span: bit i stands for element i.
TRTCONV_HOST_DEVICE inline uint32_t validElements(VectorSpan const& span, int64_t index, int32_t vectorSize)
{
    uint32_t const all = (uint32_t{1} << vectorSize) - 1; // vectorSize is at most 16
    int64_t const vectorBegin = span.firstVectorBegin + index * vectorSize;
    int64_t const missingBefore = span.begin - vectorBegin;
    int64_t const missingAfter = vectorBegin + vectorSize - span.end;
    uint32_t valid = index < span.numVectors ? all : 0;
    if (missingBefore > 0)
    {
        valid &= all << missingBefore;
    }
    if (missingAfter > 0)
    {
        valid &= missingAfter < vectorSize ? all >> missingAfter : 0;
    }
    return valid;
}

} // namespace trtconv
