// The kernel of ReflectPad: each thread writes one aligned vector of the output.
#pragma once

#include "common/element_type.cuh"
#include "common/vector_span.h"
#include "reflect_pad/reflect_pad_config.h"

namespace trtconv
{

// Returns the 16 bytes at `source`, which need not be aligned, out of the two aligned vectors that hold them.
__device__ inline uint4 loadUnaligned(char const* source)
{
    uintptr_t const offset = reinterpret_cast<uintptr_t>(source) % kPadVectorBytes;
    auto const* const aligned = reinterpret_cast<uint4 const*>(source - offset);
    uint4 const low = aligned[0];
    if (offset == 0)
    {
        return low;
    }
    uint4 const high = aligned[1];
    uint32_t words[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
    TRTCONV_UNROLL
    for (int i = 0; i < 6; ++i)
    {
        words[i] = (offset & 8) != 0 ? words[i + 2] : words[i];
    }
    TRTCONV_UNROLL
    for (int i = 0; i < 5; ++i)
    {
        words[i] = (offset & 4) != 0 ? words[i + 1] : words[i];
    }
    auto const bits = static_cast<uint32_t>(offset % 4 * 8);
    return {__funnelshift_r(words[0], words[1], bits), __funnelshift_r(words[1], words[2], bits),
        __funnelshift_r(words[2], words[3], bits), __funnelshift_r(words[3], words[4], bits)};
}

template <typename Word, typename Index>
__global__ __launch_bounds__(kPadThreads) void padByReflection(Word const* __restrict__ input,
    Word* __restrict__ output, __grid_constant__ PadMap<Index> const map, VectorSpan span, Index numInputs)
{
    constexpr int kVectorSize = kPadVectorBytes / sizeof(Word);
    constexpr uint32_t kFullVector = (uint32_t{1} << kVectorSize) - 1;
    auto const step = static_cast<int64_t>(gridDim.x) * kPadThreads;
    for (int64_t index = static_cast<int64_t>(blockIdx.x) * kPadThreads + threadIdx.x; index < span.numVectors;
        index += step)
    {
        uint32_t const valid = validElements(span, index, kVectorSize);
        int64_t const vectorBegin = span.firstVectorBegin + index * kVectorSize;
        PadCursor<Index> cursor(map, static_cast<Index>(vectorBegin < 0 ? 0 : vectorBegin));
        // The aligned vectors around the source reach up to 15 bytes beyond it: not outside the input, please.
        Index const source = cursor.input();
        bool const isCopy = valid == kFullVector && cursor.isContiguous(kVectorSize) && source >= kVectorSize
            && source + 2 * kVectorSize <= numInputs;
        if (isCopy)
        {
            *reinterpret_cast<uint4*>(output + vectorBegin) =
                loadUnaligned(reinterpret_cast<char const*>(input + source));
            continue;
        }
        Vector<Word, kVectorSize> result;
        TRTCONV_UNROLL
        for (int i = 0; i < kVectorSize; ++i)
        {
            if ((valid >> i & 1U) != 0)
            {
                result.elements[i] = input[cursor.input()];
                cursor.advance();
            }
        }
        if (valid == kFullVector)
        {
            *reinterpret_cast<Vector<Word, kVectorSize>*>(output + vectorBegin) = result;
            continue;
        }
        TRTCONV_UNROLL
        for (int i = 0; i < kVectorSize; ++i)
        {
            if ((valid >> i & 1U) != 0)
            {
                output[vectorBegin + i] = result.elements[i];
            }
        }
    }
}

} // namespace trtconv
