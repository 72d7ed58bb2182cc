#include "reflect_pad/reflect_pad.h"

#include "reflect_pad/reflect_pad.cuh"

namespace trtconv
{

namespace
{

template <typename Index>
ChannelTail<Index> makeChannelTail(int64_t channels, int32_t elementBytes)
{
    int64_t const channelBytes = channels * elementBytes;
    auto const lastBytes = static_cast<int32_t>(channelBytes % kVectorBytes);
    auto const vectorsPerPixel = static_cast<Index>(channelBytes / kVectorBytes + 1);
    return {FastDivisor<Index>(vectorsPerPixel), tailMask(lastBytes * 8), lastBytes != 0};
}

template <typename Index, int32_t Rank>
void launchVectors(
    ReflectPadArguments const& arguments, PadShape const& shape, DeviceLimits const& device, cudaStream_t stream)
{
    KernelLaunch const launch(device, choosePadBlocks(shape.numOutputs()), kPadThreads, stream);
    launch.run("launch of padVectorsByReflection", padVectorsByReflection<Index, Rank>,
        static_cast<uint4 const*>(arguments.input), static_cast<uint4*>(arguments.output),
        makePadMap<Index, Rank>(shape), makeChannelTail<Index>(arguments.channels, arguments.elementBytes));
}

template <typename Word, typename Index, int32_t Rank>
void launchWords(
    ReflectPadArguments const& arguments, PadShape const& shape, DeviceLimits const& device, cudaStream_t stream)
{
    constexpr int32_t kVectorSize = kVectorBytes / sizeof(Word);
    auto const baseOffset =
        static_cast<int32_t>(reinterpret_cast<uintptr_t>(arguments.output) % kVectorBytes / sizeof(Word));
    int64_t const numVectors = countVectors(shape.numOutputs(), baseOffset, kVectorSize);
    KernelLaunch const launch(device, choosePadBlocks(numVectors), kPadThreads, stream);
    launch.run("launch of padByReflection", padByReflection<Word, Index, Rank>,
        static_cast<Word const*>(arguments.input), static_cast<Word*>(arguments.output), makePadMap<Index, Rank>(shape),
        baseOffset, static_cast<Index>(numVectors));
}

template <typename Word, typename Index, int32_t Rank>
void launchPlanes(
    ReflectPadArguments const& arguments, PadShape const& shape, DeviceLimits const& device, cudaStream_t stream)
{
    constexpr int32_t kPlaneRank = Rank == kAnyRank ? kAnyRank : Rank - 1;
    PadShape const plane = planeOf(shape);
    int64_t const numPlanes = shape.inputSizes[0];
    KernelLaunch launch(device, choosePadBlocks(plane.numOutputs()), kPadThreads, stream);
    launch.useBlockRows(choosePadBlockRows(numPlanes));
    launch.run("launch of padPlanesByReflection", padPlanesByReflection<Word, Index, kPlaneRank>,
        static_cast<Word const*>(arguments.input), static_cast<Word*>(arguments.output),
        makePadMap<Index, kPlaneRank>(plane), static_cast<Index>(numPlanes));
}

template <typename Word, typename Index, int32_t Rank>
void launchRanked(
    ReflectPadArguments const& arguments, PadShape const& shape, DeviceLimits const& device, cudaStream_t stream)
{
    if constexpr (sizeof(Word) == kVectorBytes)
    {
        return launchVectors<Index, Rank>(arguments, shape, device, stream);
    }
    else
    {
        if constexpr (sizeof(Index) == 4)
        {
            if (padsByPlanes({shape, sizeof(Word)}))
            {
                return launchPlanes<Word, Index, Rank>(arguments, shape, device, stream);
            }
        }
        launchWords<Word, Index, Rank>(arguments, shape, device, stream);
    }
}

// Images and volumes in a linear format have rank 3 and 4, batch and channels being one axis. H100, [1,64,256,256] by 3
// in fp32, by vectors: 13.7 us, 15.1 if the kernel does not know the rank.
template <typename Word>
void launchTyped(
    ReflectPadArguments const& arguments, PadShape const& shape, DeviceLimits const& device, cudaStream_t stream)
{
    if (!fitsFastIndex(shape.numOutputs()))
    {
        return launchRanked<Word, int64_t, kAnyRank>(arguments, shape, device, stream);
    }
    switch (shape.rank)
    {
    case 3: return launchRanked<Word, uint32_t, 3>(arguments, shape, device, stream);
    case 4: return launchRanked<Word, uint32_t, 4>(arguments, shape, device, stream);
    default: return launchRanked<Word, uint32_t, kAnyRank>(arguments, shape, device, stream);
    }
}

} // namespace

DeviceLimits prepareReflectPad()
{
    return compiledDeviceLimits();
}

void launchReflectPad(ReflectPadArguments const& arguments, DeviceLimits const& device, cudaStream_t stream)
{
    if (arguments.shape.numOutputs() == 0)
    {
        return;
    }
    PadWords const words =
        widenWords(arguments.shape, arguments.elementBytes, commonAlignment(arguments.input, arguments.output));
    switch (words.bytes)
    {
    case 1: return launchTyped<uint8_t>(arguments, words.shape, device, stream);
    case 2: return launchTyped<uint16_t>(arguments, words.shape, device, stream);
    case 4: return launchTyped<uint32_t>(arguments, words.shape, device, stream);
    case 8: return launchTyped<uint64_t>(arguments, words.shape, device, stream);
    case 16: return launchTyped<uint4>(arguments, words.shape, device, stream);
    default: throw PluginError(text("elements of ", arguments.elementBytes, " bytes cannot be padded"));
    }
}

void launchPad(GatherArguments const& arguments, DeviceLimits const& device, cudaStream_t stream)
{
    MapRequest const& request = arguments.request;
    Layout const layout = request.inputLayout;
    bool const isReflected = request.mode == PadMode::kReflect || !request.isPadded();
    if (arguments.isComputed || request.isPhased() || request.isUpsampled() || !isReflected
        || request.outputLayout != layout)
    {
        return launchGather(arguments, device, stream);
    }
    PadShape const shape = makePadShape(layout, arguments.elementBytes, request.rank, request.sizes, request.pads);
    launchReflectPad(
        {arguments.input, arguments.output, shape, arguments.elementBytes, channelsToMask(layout, request.sizes)},
        device, stream);
}

} // namespace trtconv
