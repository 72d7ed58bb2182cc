// Widths that every GPU has in common: of a warp, and of the vector that one instruction moves.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#include <vector_functions.h>
#endif

#include "common/host_device.h"

namespace trtconv
{

constexpr int32_t kWarpSize = 32;
constexpr uint32_t kAllLanes = 0xffffffffU; // the mask of a whole warp
constexpr int32_t kVectorBytes = 16;

// Returns a word whose lowest `numBits` bits are set.
TRTCONV_HOST_DEVICE constexpr uint32_t lowBits(int64_t numBits)
{
    return numBits >= 32 ? 0xffffffffU : numBits <= 0 ? 0U : (1U << numBits) - 1U;
}

static_assert(lowBits(-8) == 0 && lowBits(8) == 0xff && lowBits(40) == 0xffffffffU);

#ifdef __CUDACC__
// Returns a vector whose lowest `numBits` bits are set: the mask of a last vector that channels fill only in part.
TRTCONV_HOST_DEVICE inline uint4 tailMask(int64_t numBits)
{
    return make_uint4(lowBits(numBits), lowBits(numBits - 32), lowBits(numBits - 64), lowBits(numBits - 96));
}
#endif

} // namespace trtconv
