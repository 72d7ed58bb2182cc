// The workspace of channels-last norms: where blocks that share columns leave numbers for each other, and how many
// bytes a tensor needs. Host arithmetic, tested without a GPU.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/host_device.h"
#include "norm/channels_last/choice.h"

namespace trtconv::channels_last
{

constexpr int64_t kTaggedNumbersBytes = 32; // sizeof(TaggedNumbers)
constexpr int64_t kTotalsBytes = 16; // sizeof(ChannelTotals)
constexpr int64_t kAffineBytes = 12; // sizeof(Affine)
constexpr int32_t kFewSplits = 8; // blocks of a column, at most, where each of them finishes all channels

// The tagged numbers of one column of a cooperative grid: of each channel the totals of each block, and for each block
// the affine or the totals of each channel, or totals of every other round.
struct ExchangeLayout
{
    int32_t columnChannels;
    int32_t splits;

    TRTCONV_HOST_DEVICE constexpr bool areFew() const { return splits <= kFewSplits; }
    TRTCONV_HOST_DEVICE constexpr int32_t numTotals() const { return columnChannels * splits; }
    TRTCONV_HOST_DEVICE constexpr int32_t size() const { return 2 * numTotals(); }

    TRTCONV_HOST_DEVICE constexpr int32_t totalsAt(int32_t channel, int32_t split, uint32_t round) const
    {
        return (areFew() && round % 2 == 0 ? numTotals() : 0) + channel * splits + split;
    }

    TRTCONV_HOST_DEVICE constexpr int32_t finishedAt(int32_t channel, int32_t split) const
    {
        return numTotals() + split * columnChannels + channel;
    }
};

// Returns how many totals the blocks of a launch give, in vectors of channels: each block one for each vector of its
// column. A block has at least kPixelAlignment pixels, unless its column has fewer.
constexpr int64_t givenVectors(Shape const& shape, int32_t lanes, int64_t maxBlocks)
{
    return std::min(maxBlocks, shape.numColumns(lanes) * ceilDivide(shape.pixels, kPixelAlignment)) * lanes;
}

// Returns the bytes that are enough for the exchange of cooperative grids.
//
// A grid that streams has columns of twice as many vectors, but only on a GPU that cannot hold the tensor in registers:
// one of fewer multiprocessors than there are parts of the columns of a resident grid that each fill a block. So a
// small tensor is streamed by few blocks.
constexpr int64_t exchangeBytes(Shape const& shape, int32_t vectorChannels)
{
    if (shape.pixels <= kMaxBlockPixels)
    {
        return 0;
    }
    int32_t const lanes = residentGridLanes(shape);
    int64_t const partsOfColumn = ceilDivide(shape.pixels * lanes, kColumnThreads * kTilePixels);
    int64_t const streamedBlocks =
        partsOfColumn == 1 ? 0 : std::min<int64_t>(kMaxGridColumnBlocks, shape.numColumns(lanes) * partsOfColumn - 1);
    int64_t const vectors = std::max(givenVectors(shape, lanes, kMaxGridColumnBlocks),
        givenVectors(shape, widestLanes(shape, kMaxColumnLanes), streamedBlocks));
    return 2 * vectors * vectorChannels * kTaggedNumbersBytes;
}

// Returns the bytes that are enough for a split launch: totals of each channel in each part of a column, and affines.
constexpr int64_t splitBytes(Shape const& shape, int32_t vectorChannels)
{
    int32_t const lanes = widestLanes(shape, kMaxColumnLanes);
    int64_t const vectors = shape.numColumns(lanes) * lanes;
    int64_t const given = std::max(vectors, givenVectors(shape, lanes, kMaxSplitBlocks));
    return (given * kTotalsBytes + shape.batch * shape.vectorsPerPixel * kAffineBytes) * vectorChannels;
}

// Returns the bytes of workspace that are enough for the tensor on any GPU. They grow with the batch, the pixels and
// the channels, so that those of the largest shape of a profile serve the smaller ones. `groups` 0: channels are
// normalised by themselves.
constexpr int64_t workspaceBytes(
    int64_t batch, int64_t channels, int64_t pixels, int64_t groups, int32_t vectorChannels)
{
    Shape shape{batch, pixels, ceilDivide(channels, vectorChannels)};
    if (groups == 0)
    {
        return exchangeBytes(shape, vectorChannels);
    }
    // Fewer channels may be split although these are not.
    shape.minLanes = minGroupLanes(channels / groups, vectorChannels);
    return std::max(exchangeBytes(shape, vectorChannels), splitBytes(shape, vectorChannels));
}

} // namespace trtconv::channels_last
