// Launches the gather of one operation by the kernel that is fast for a request.
#pragma once

#include "gather/channels.cuh"
#include "gather/gather.h"
#include "gather/operations.cuh"
#include "gather/planes.cuh"

namespace trtconv
{

// Where a gather of one operation is launched.
template <typename Operation>
struct GatherLauncher
{
    using In = typename Operation::Input;
    using Out = typename Operation::Output;

    GatherArguments const& arguments;
    Operation operation;
    DeviceLimits const& device;
    cudaStream_t stream;

    In const* input() const { return static_cast<In const*>(arguments.input); }
    Out* output() const { return static_cast<Out*>(arguments.output); }

    KernelLaunch launchOf(int64_t numThreads) const
    {
        return {device, chooseGatherBlocks(numThreads), kGatherThreads, stream};
    }

    void elements(MapShape const& shape) const
    {
        if (fitsFastMap(shape))
        {
            return elementsBy<uint32_t>(shape);
        }
        elementsBy<int64_t>(shape);
    }

    // Gathers by planes; falls back to elements where planes are smaller than a block, or too large for fast numbers.
    void planes(MapShape const& shape) const
    {
        MapPlanes const planes = makePlanes(shape);
        if (planes.plane.numOutputs() < kGatherThreads || !fitsFastMap(planes.plane))
        {
            return elements(shape);
        }
        if (planes.plane.rank > 2)
        {
            if constexpr (Operation::kIsMove)
            {
                return planesBy<1, kAnyRank>(planes);
            }
            return elements(shape); // volumes, which networks compute in channels-last layouts
        }
        uint64_t const alignment = commonAlignment(arguments.output, arguments.output);
        return chooseRun(planes.plane, sizeof(Out), alignment) == 2 ? planesBy<2, 2>(planes) : planesBy<1, 2>(planes);
    }

    void cells() const
    {
        MapRequest const& request = arguments.request;
        MapShape const pixels = makePixelShape(request);
        int32_t const lanes = kVectorBytes / static_cast<int32_t>(sizeof(Out));
        int64_t const cellsOfPixel = ceilDivide(request.sizes[1], lanes) * lanes / kCellChannels<Operation>;
        int64_t const inputLanes = kVectorBytes / static_cast<int32_t>(sizeof(In));
        if (!fitsFastMap(pixels, cellsOfPixel) || request.sizes[1] > std::numeric_limits<int32_t>::max() - kVectorBytes)
        {
            return elements(makeElementShape(request, sizeof(In), sizeof(Out)));
        }
        GatherChannels const channels{static_cast<uint32_t>(request.sizes[1]),
            static_cast<uint32_t>(ceilDivide(request.sizes[1], inputLanes) * inputLanes),
            FastDivisor<uint32_t>(static_cast<uint32_t>(cellsOfPixel))};
        return pixels.rank == 3 ? cellsBy<3>(pixels, channels) : cellsBy<kAnyRank>(pixels, channels);
    }

    // Between a linear layout and a channels-last one.
    void images() const
    {
        MapRequest const& request = arguments.request;
        MapShape const pixels = makeImageShape(request);
        if (request.isMapped(0) || pixels.rank != 2 || !fitsFastMap(pixels)
            || request.sizes[1] > std::numeric_limits<int32_t>::max() - kVectorBytes)
        {
            return elements(makeElementShape(request, sizeof(In), sizeof(Out)));
        }
        GatherImages const images{
            static_cast<uint32_t>(request.sizes[0]), static_cast<uint32_t>(request.sizes[1]), innerSize(request, 2)};
        KernelLaunch launch = launchOf(pixels.numOutputs());
        launch.useBlockRows(std::min<int64_t>(images.numImages, kMaxGatherBlockRows));
        OutputMap<uint32_t, 2> const map = makeOutputMap<uint32_t, 2>(pixels);
        if (arguments.request.inputLayout == Layout::kLinear)
        {
            return launch.run(
                "launch of gatherToChannels", gatherToChannels<Operation>, input(), output(), map, images, operation);
        }
        launch.run(
            "launch of gatherFromChannels", gatherFromChannels<Operation>, input(), output(), map, images, operation);
    }

private:
    template <typename Index>
    void elementsBy(MapShape const& shape) const
    {
        launchOf(shape.numOutputs())
            .run("launch of gatherElements", gatherElements<Operation, Index>, input(), output(),
                makeOutputMap<Index>(shape), operation);
    }

    template <int Run, int32_t Rank>
    void planesBy(MapPlanes const& planes) const
    {
        KernelLaunch launch = launchOf(planes.plane.numOutputs() / Run);
        launch.useBlockRows(std::min<int64_t>(ceilDivide(planes.numPlanes, kPlanesOf<Operation>), kMaxGatherBlockRows));
        launch.run("launch of gatherPlanes", gatherPlanes<Operation, Run, Rank>, input(), output(),
            makeOutputMap<uint32_t, Rank>(planes.plane), planes.planeStride, static_cast<uint32_t>(planes.numPlanes),
            operation);
    }

    template <int32_t Rank>
    void cellsBy(MapShape const& pixels, GatherChannels const& channels) const
    {
        int64_t const cellsOfPixel = channels.outputCells.value();
        if (isUpsampledByTwo(pixels))
        {
            MapAxisShape const& columns = pixels.axes[pixels.rank - 1];
            MapAxisShape const& rows = pixels.axes[pixels.rank - 2];
            int64_t const numPairs =
                pixels.numOutputs() / columns.outputSize() / rows.outputSize() * countPairs(columns) * countPairs(rows);
            OutputPairs const pairs{FastDivisor<uint32_t>(static_cast<uint32_t>(countPairs(rows))),
                FastDivisor<uint32_t>(static_cast<uint32_t>(countPairs(columns))), static_cast<uint32_t>(numPairs)};
            return launchOf(numPairs * cellsOfPixel)
                .run("launch of gatherCellsByTwo", gatherCellsByTwo<Operation>, input(), output(),
                    makeOutputMap<uint32_t>(pixels), pairs, channels, operation);
        }
        launchOf(pixels.numOutputs() * cellsOfPixel)
            .run("launch of gatherCells", gatherCells<Operation, Rank>, input(), output(),
                makeOutputMap<uint32_t, Rank>(pixels), channels, operation);
    }
};

// Gathers by the types and the activation of the arguments; In is that of X.
template <typename In>
void launchConverted(GatherArguments const& arguments, DeviceLimits const& device, cudaStream_t stream);

// Gathers by the kernel that is fast for the layouts.
template <typename Operation>
void launchFast(GatherLauncher<Operation> const& launcher)
{
    MapRequest const& request = launcher.arguments.request;
    if (request.inputLayout != request.outputLayout)
    {
        return launcher.images();
    }
    if (request.inputLayout == Layout::kChannelsLast)
    {
        return launcher.cells();
    }
    using In = typename Operation::Input;
    launcher.planes(makeElementShape(request, sizeof(In), sizeof(typename Operation::Output)));
}

// The definition of launchConverted. Between the two 16-bit types, which no network mixes, only the plain kernel
// exists.
template <typename In>
void dispatchConverted(GatherArguments const& arguments, DeviceLimits const& device, cudaStream_t stream)
{
    dispatchElementType(arguments.outputType,
        [&](auto tag)
        {
            using Out = typename decltype(tag)::Type;
            using Operation = ConvertElements<In, Out>;
            GatherLauncher<Operation> const launcher{
                arguments, makeConversion<In, Out>(arguments.activation, arguments.alpha), device, stream};
            if constexpr (sizeof(In) == 2 && sizeof(Out) == 2 && !std::is_same_v<In, Out>)
            {
                launcher.elements(makeElementShape(arguments.request, sizeof(In), sizeof(Out)));
            }
            else
            {
                launchFast(launcher);
            }
        });
}

} // namespace trtconv
