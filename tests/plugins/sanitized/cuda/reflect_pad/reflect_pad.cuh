// The kernels' faces alone: their bodies are for a GPU.
#pragma once

#include "common/kernel_launch.cuh"
#include "reflect_pad/choice.h"

namespace trtconv
{

template <typename Index>
struct ChannelTail
{
    FastDivisor<Index> vectorsPerPixel;
    uint4 channelBits;
    bool isMasked;
};

template <typename Word, typename Index, int32_t Rank>
void padByReflection(Word const* /*input*/, Word* /*output*/, PadMap<Index, Rank> const /*map*/, int32_t /*baseOffset*/,
    Index /*numVectors*/)
{
}

template <typename Word, typename Index, int32_t PlaneRank>
void padPlanesByReflection(
    Word const* /*input*/, Word* /*output*/, PadMap<Index, PlaneRank> const /*plane*/, Index /*numPlanes*/)
{
}

template <typename Index, int32_t Rank>
void padVectorsByReflection(
    uint4 const* /*input*/, uint4* /*output*/, PadMap<Index, Rank> const /*map*/, ChannelTail<Index> const /*tail*/)
{
}

} // namespace trtconv
