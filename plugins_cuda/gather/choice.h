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

// Whether `count` outputs are whole runs, and the place of each is aligned to its bytes.
constexpr bool areRuns(int64_t count, int64_t run, int32_t outputBytes, uint64_t alignment)
{
    return count % run == 0 && alignment % (static_cast<uint64_t>(run) * static_cast<uint64_t>(outputBytes)) == 0;
}

// Returns how many neighbouring columns a thread writes at once: 4 of two bytes, 2, or 1. [1,128,540,960] in fp16,
// upsampled by 2, took 244 us by 4 and 262 us by 2 (H100).
constexpr int32_t chooseRun(MapShape const& plane, int32_t outputBytes, uint64_t alignment)
{
    int64_t const numColumns = plane.axes[plane.rank - 1].outputSize();
    bool const isPhased = plane.axes[plane.rank - 1].phases != 1 || plane.axes[plane.rank - 2].phases != 1;
    bool const isByFour = outputBytes == 2 && !isPhased && areRuns(numColumns, 4, outputBytes, alignment);
    return isByFour ? 4 : areRuns(numColumns, 2, outputBytes, alignment) ? 2 : 1;
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
constexpr int32_t kThinColumns = 4; // that a thread writes of a row without phases

// Returns how many neighbouring columns a thread writes of an image of three channels, channels-last in the input: all
// phases of a pixel along its row or, without any phases, some pixels. One: a row cannot be cut into such runs.
constexpr int32_t chooseThinColumns(MapShape const& pixels, int64_t channels, int32_t outputBytes, uint64_t alignment)
{
    MapAxisShape const& rows = pixels.axes[pixels.rank - 2];
    MapAxisShape const& columns = pixels.axes[pixels.rank - 1];
    bool const isPhased = rows.phases != 1 || columns.phases != 1;
    int64_t const run = isPhased ? columns.phases : kThinColumns;
    bool const isKnown = channels == kThinChannels && (run == 2 || run == 4);
    bool const isWhole = columns.outputSize() == columns.inputSize * columns.phases && columns.upsample == 1;
    return isKnown && isWhole && areRuns(columns.outputSize(), run, outputBytes, alignment) ? static_cast<int32_t>(run)
                                                                                            : 1;
}

// How a tensor is gathered between a linear layout and a channels-last one: a warp takes 2^pixelBits runs of pixels,
// its other lanes being cells of these.
struct PixelRuns
{
    int32_t run; // neighbouring pixels, of whichever rows, that a thread writes into a plane
    int32_t pixelBits;
};

// A warp that writes two cells of 16 bytes writes whole sectors of memory: [1,64,1080,1920] in fp16 with a pad took
// 205 us so, and 312 us by one cell (H100).
constexpr PixelRuns chooseRunsToChannels(int64_t cellsOfPixel)
{
    return {1, cellsOfPixel == 1 ? 5 : 4};
}

constexpr int32_t kSectorBytes = 32; // that memory reads and writes whole

// Where planes begin within a sector, so do the runs of a warp, and long ones have fewer ends: by runs of 4 the same
// took 231 us from channels-last, and 306 us by single pixels. Without the pad, by single pixels, it took 200 us by two
// cells and 211 us by one. Only moves have runs: with an activation their code is four times as long.
constexpr PixelRuns chooseRunsFromChannels(
    int64_t numPixels, int64_t cellsOfPixel, bool isMove, int32_t outputBytes, uint64_t alignment)
{
    bool const areWholeSectors = numPixels * outputBytes % kSectorBytes == 0 && alignment % kSectorBytes == 0;
    bool const isByFour =
        isMove && outputBytes == 2 && !areWholeSectors && areRuns(numPixels, 4, outputBytes, alignment);
    return {isByFour ? 4 : 1, areWholeSectors && cellsOfPixel > 1 ? 4 : 5};
}

static_assert(chooseRunsFromChannels(1082 * 1922, 8, true, 2, 256).run == 4);
static_assert(chooseRunsFromChannels(1080 * 1920, 8, true, 2, 256).pixelBits == 4);

constexpr int64_t chooseGatherBlocks(int64_t numThreads)
{
    return std::min(ceilDivide(numThreads, kGatherThreads), kMaxGatherBlocks);
}

static_assert(chooseGatherBlocks(1) == 1 && chooseGatherBlocks(257) == 2);
static_assert(countPairs({4, 1, 1, 1, 2, PadMode::kReflect}) == 6 && countPairs({4, 1, 0, 0, 2, PadMode::kEdge}) == 4);

} // namespace trtconv
