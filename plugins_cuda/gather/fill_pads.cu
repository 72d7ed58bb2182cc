#include "gather/fill_pads.h"

#include <algorithm>

#include "common/element_type.cuh"
#include "common/kernel_launch.cuh"
#include "gather/choice.h"

namespace trtconv
{

// The pixels in the pads of an image in turn: the rows above and below the inside, then what is beside it.
struct PadPixels
{
    PlaceAxis rows;
    PlaceAxis columns;
    PadMode mode;
    uint32_t numInWholeRows;
    FastDivisor<uint32_t> outputColumns;
    FastDivisor<uint32_t> beside; // of a row; 1 if there are none
    FastDivisor<uint32_t> ofImage;
    FastDivisor<uint32_t> wordsPerPixel;
    uint32_t numWords; // of all images
};

struct PixelPlace
{
    int32_t row;
    int32_t column;
};

TRTCONV_HOST_DEVICE PixelPlace padPixel(PadPixels const& pads, uint32_t number)
{
    if (number < pads.numInWholeRows)
    {
        uint32_t const numRow = pads.outputColumns.divide(number);
        auto const row = static_cast<int32_t>(numRow);
        return {row < pads.rows.padBegin ? row : row + pads.rows.upsampledSize(),
            static_cast<int32_t>(number - numRow * pads.outputColumns.value())};
    }
    uint32_t const left = number - pads.numInWholeRows;
    uint32_t const row = pads.beside.divide(left);
    auto const column = static_cast<int32_t>(left - row * pads.beside.value());
    return {pads.rows.padBegin + static_cast<int32_t>(row),
        column < pads.columns.padBegin ? column : column + pads.columns.upsampledSize()};
}

// Returns the coordinate inside of which a pad is made.
TRTCONV_HOST_DEVICE int32_t sourceAlong(PlaceAxis const& axis, PadMode mode, int32_t coordinate)
{
    return axis.padBegin + insideOf(mode, coordinate - axis.padBegin, axis.upsampledSize());
}

// A thread writes one word. Sources are inside, where nothing is written.
template <typename Word>
__global__ __launch_bounds__(kGatherThreads) void fillPads(Word* images, __grid_constant__ PadPixels const pads)
{
    uint32_t const step = gridDim.x * kGatherThreads;
    waitForEarlierWork();
    for (uint32_t index = blockIdx.x * kGatherThreads + threadIdx.x; index < pads.numWords; index += step)
    {
        uint32_t const pixel = pads.wordsPerPixel.divide(index);
        uint32_t const image = pads.ofImage.divide(pixel);
        PixelPlace const target = padPixel(pads, pixel - image * pads.ofImage.value());
        auto const wordAt = [&](int32_t row, int32_t column)
        {
            uint32_t const outputRow = image * static_cast<uint32_t>(pads.rows.outputSize()) + row;
            uint32_t const outputPixel = outputRow * pads.outputColumns.value() + column;
            return images + outputPixel * pads.wordsPerPixel.value() + (index - pixel * pads.wordsPerPixel.value());
        };
        Word word{};
        if (pads.mode != PadMode::kZero)
        {
            word = *wordAt(
                sourceAlong(pads.rows, pads.mode, target.row), sourceAlong(pads.columns, pads.mode, target.column));
        }
        *wordAt(target.row, target.column) = word;
    }
}

void launchFillPads(PaddedImages const& images, DeviceLimits const& device, cudaStream_t stream)
{
    auto const [data, numImages, rows, columns, wordsPerPixel, mode, wordBytes] = images;
    int64_t const inWholeRows = int64_t{rows.padBegin + rows.padEnd} * columns.outputSize();
    int64_t const besideInside = int64_t{columns.padBegin + columns.padEnd} * rows.upsampledSize();
    int64_t const ofImage = inWholeRows + besideInside;
    int64_t const numWords = numImages * ofImage * wordsPerPixel;
    if (numWords == 0)
    {
        return;
    }
    auto const divisor = [](int64_t value) { return FastDivisor<uint32_t>(static_cast<uint32_t>(value)); };
    PadPixels const pads{rows, columns, mode, static_cast<uint32_t>(inWholeRows), divisor(columns.outputSize()),
        divisor(std::max(columns.padBegin + columns.padEnd, 1)), divisor(ofImage), divisor(wordsPerPixel),
        static_cast<uint32_t>(numWords)};
    KernelLaunch const launch(device, chooseGatherBlocks(numWords), kGatherThreads, stream);
    auto const run = [&](auto* words)
    { launch.run("launch of fillPads", fillPads<std::remove_pointer_t<decltype(words)>>, words, pads); };
    switch (wordBytes)
    {
    case 2: return run(static_cast<uint16_t*>(data));
    case 4: return run(static_cast<uint32_t*>(data));
    case kVectorBytes: return run(static_cast<uint4*>(data));
    default: throw PluginError(text("pads of words of ", wordBytes, " bytes cannot be filled"));
    }
}

} // namespace trtconv
