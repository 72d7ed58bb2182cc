// How an output map is launched: pure host arithmetic, tested without a GPU.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "common/integer_maths.h"
#include "gather/shape.h"

namespace trtconv
{

constexpr int32_t kGatherThreads = 256;
constexpr int64_t kMaxGatherBlocks = 1 << 20; // blocks loop over more work than that
constexpr int64_t kMaxGatherBlockRows = 65535; // rows of blocks that a grid takes; they loop too
constexpr int32_t kGatherPlanes = 4; // in which a thread writes the same run of columns

// Returns how many neighbouring columns a thread writes at once.
constexpr int32_t chooseRun(MapShape const& plane, int32_t outputBytes, uint64_t alignment)
{
    bool const isAligned = alignment % (2 * static_cast<uint64_t>(outputBytes)) == 0;
    return isAligned && plane.axes[plane.rank - 1].outputSize() % 2 == 0 ? 2 : 1;
}

// Whether all numbers up to this one fit the fast 32-bit arithmetic, and so does a step of the threads beyond them.
constexpr bool fitsFastNumber(int64_t number)
{
    return number <= std::numeric_limits<int32_t>::max() - 2 * kVectorBytes;
}

// Whether all numbers of inputs and of outputs do, `unitsOfOutput` each.
constexpr bool fitsFastMap(MapShape const& shape, int64_t unitsOfOutput = 1)
{
    return fitsFastNumber(std::max(shape.largestOffset(), shape.numOutputs() * unitsOfOutput));
}

// Whether the last two axes of a shape are both upsampled by 2: a thread then writes what one input becomes.
constexpr bool isUpsampledByTwo(MapShape const& shape)
{
    return shape.rank >= 2 && shape.axes[shape.rank - 1].upsample == 2 && shape.axes[shape.rank - 2].upsample == 2;
}

// Returns how many pairs of outputs cover an axis upsampled by 2, of which each is made of one input, except for pads.
constexpr int64_t countPairs(MapAxisShape const& axis)
{
    return ceilDivide(axis.outputSize() + axis.padBegin % 2, 2);
}

constexpr int32_t kThinChannels = 3; // of the images that have a kernel of their own

// Returns how many neighbouring columns a thread writes of an image of channels whose phases lie together: all phases
// of a pixel along its row, or one where these are not kept together.
constexpr int32_t chooseThinColumns(MapShape const& pixels, int64_t channels, int32_t outputBytes, uint64_t alignment)
{
    MapAxisShape const& columns = pixels.axes[pixels.rank - 1];
    bool const isWhole = columns.outputSize() == columns.inputSize * columns.phases && columns.upsample == 1;
    bool const isKnown = channels == kThinChannels && (columns.phases == 2 || columns.phases == 4);
    bool const isAligned = alignment % static_cast<uint64_t>(columns.phases * outputBytes) == 0;
    return isWhole && isKnown && isAligned ? static_cast<int32_t>(columns.phases) : 1;
}

// Returns log2 of how many pixels of an image a warp takes, the other lanes being cells of these. Two cells of 16 bytes
// are a sector of memory, as are 16 elements of a 16-bit channel.
constexpr int32_t choosePixelBits(int64_t cellsOfPixel)
{
    return cellsOfPixel == 1 ? 5 : 4;
}

constexpr int64_t chooseGatherBlocks(int64_t numThreads)
{
    return std::min(ceilDivide(numThreads, kGatherThreads), kMaxGatherBlocks);
}

static_assert(chooseGatherBlocks(1) == 1 && chooseGatherBlocks(257) == 2);
static_assert(countPairs({4, 1, 1, 1, 2, PadMode::kReflect}) == 6 && countPairs({4, 1, 0, 0, 2, PadMode::kEdge}) == 4);

} // namespace trtconv
