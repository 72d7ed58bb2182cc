// How a tensor [N, C, D1..Dk] lies in memory.
#pragma once

#include <cstdint>

#include "common/lanes.h"

namespace trtconv
{

enum class Layout : int32_t // values are part of trtconv_kernels.h
{
    kLinear = 0,
    kChannelsLast = 1, // [N, D1..Dk, C], C rounded up to whole vectors of 16 bytes
    kBlocksOf4 = 2, // [N, C / 4 rounded up, D1..Dk, 4]
    kBlocksOf32 = 3, // [N, C / 32 rounded up, D1..Dk, 32]
};

// Returns how many neighbouring channels lie together: 1 in a linear tensor.
constexpr int32_t channelLanes(Layout layout, int32_t elementBytes)
{
    switch (layout)
    {
    case Layout::kChannelsLast: return kVectorBytes / elementBytes;
    case Layout::kBlocksOf4: return 4;
    case Layout::kBlocksOf32: return 32;
    default: return 1;
    }
}

} // namespace trtconv
