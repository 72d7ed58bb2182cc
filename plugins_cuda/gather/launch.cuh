// Launches the gather of one operation by the kernel that is fast for a request.
#pragma once

#include "gather/launch_images.cuh"
#include "gather/planes.cuh"

namespace trtconv
{

// Launches any gather of one operation.
template <typename Operation>
struct GatherLauncher : OperationLaunch<Operation>
{
    using Base = OperationLaunch<Operation>;
    using Base::arguments;
    using Base::device;
    using Base::input;
    using Base::kIsOfNetworks;
    using Base::launchOf;
    using Base::operation;
    using Base::output;
    using Base::stream;
    using typename Base::In;
    using typename Base::Out;

    // Gathers by elements, which every request can be.
    void plain() const { elements(makeElementShape(arguments.request, sizeof(In), sizeof(Out))); }

    void elements(MapShape const& shape) const
    {
        bool const isPhased = arguments.request.isPhased();
        if (fitsFastMap(shape))
        {
            return isPhased ? elementsBy<PhasedMap<uint32_t>>(shape) : elementsBy<OutputMap<uint32_t>>(shape);
        }
        isPhased ? elementsBy<PhasedMap<int64_t>>(shape) : elementsBy<OutputMap<int64_t>>(shape);
    }

    // Gathers by planes; falls back to elements where planes are smaller than a block, or too large for fast numbers.
    void planes(MapShape const& shape) const
    {
        MapPlanes const planes = makePlanes(shape);
        if (planes.plane.numOutputs() < kGatherThreads || !fitsFastMap(planes.plane)
            || planes.numImages > kMaxGatherBlockRows)
        {
            return elements(shape);
        }
        if (arguments.request.isPhased())
        {
            return phasedPlanes(shape, planes);
        }
        if (planes.plane.rank > 2)
        {
            if constexpr (Operation::kIsMove)
            {
                return planesBy<1, OutputMap<uint32_t>>(planes);
            }
            return elements(shape); // volumes, which networks compute in channels-last layouts
        }
        if constexpr (sizeof(Out) == 2)
        {
            if (runOf(planes) == 4)
            {
                return planesBy<4, OutputMap<uint32_t, 2>>(planes);
            }
        }
        return runOf(planes) == 2 ? planesBy<2, OutputMap<uint32_t, 2>>(planes)
                                  : planesBy<1, OutputMap<uint32_t, 2>>(planes);
    }

    void cells() const
    {
        MapRequest const& request = arguments.request;
        int64_t const numChannels = request.channels();
        MapShape const pixels = request.isPhased() ? makeRunShape(request) : makePixelShape(request);
        int32_t const lanes = kVectorBytes / static_cast<int32_t>(sizeof(Out));
        int64_t const cellsOfPixel = ceilDivide(numChannels, lanes) * lanes / kCellChannels<Operation>;
        int64_t const inputLanes = kVectorBytes / static_cast<int32_t>(sizeof(In));
        if (!fitsFastMap(pixels, cellsOfPixel) || request.sizes[1] > std::numeric_limits<int32_t>::max() - kVectorBytes)
        {
            return plain();
        }
        GatherChannels const channels{static_cast<uint32_t>(numChannels),
            static_cast<uint32_t>(ceilDivide(numChannels, inputLanes) * inputLanes),
            FastDivisor<uint32_t>(static_cast<uint32_t>(cellsOfPixel))};
        if (request.isPhased())
        {
            return phasedCells(pixels, channels);
        }
        isUpsampledByTwo(pixels) ? cellsByTwo(pixels, channels)
            : pixels.rank == 3   ? cellsBy<OutputMap<uint32_t, 3>>(pixels, channels)
                                 : cellsBy<OutputMap<uint32_t>>(pixels, channels);
    }

    // Between a linear layout and a channels-last one.
    void images() const
    {
        if (!ImageLauncher<Operation>{{*this}}.launch())
        {
            plain();
        }
    }

private:
    int32_t runOf(MapPlanes const& planes) const
    {
        return chooseRun(planes.plane, sizeof(Out), commonAlignment(arguments.output, arguments.output));
    }

    void phasedPlanes(MapShape const& shape, MapPlanes const& planes) const
    {
        if constexpr (kIsOfNetworks)
        {
            if (planes.plane.rank == 2)
            {
                return runOf(planes) == 2 ? planesBy<2, PhasedPlane>(planes) : planesBy<1, PhasedPlane>(planes);
            }
        }
        elements(shape);
    }

    // Gathers runs of channels as if they were pixels: in X nothing lies between them, and they are whole cells.
    void phasedCells(MapShape const& runs, GatherChannels const& channels) const
    {
        if constexpr (kIsOfNetworks)
        {
            int64_t const inputLanes = kVectorBytes / static_cast<int32_t>(sizeof(In));
            bool const areWhole =
                arguments.request.sizes[1] % inputLanes == 0 && channels.count % kCellChannels<Operation> == 0;
            if (areWhole && runs.rank <= 4)
            {
                GatherChannels const ofRun{channels.count, channels.count, channels.outputCells};
                return runs.rank == 3 ? cellsBy<PhasedMap<uint32_t, 3>>(runs, ofRun)
                                      : cellsBy<PhasedMap<uint32_t, 4>>(runs, ofRun);
            }
        }
        plain();
    }

    template <typename Map>
    void elementsBy(MapShape const& shape) const
    {
        launchOf(shape.numOutputs())
            .run("launch of gatherElements", gatherElements<Operation, Map>, input(), output(), makeMap<Map>(shape),
                operation);
    }

    template <int Run, typename Map>
    void planesBy(MapPlanes const& planes) const
    {
        KernelLaunch launch = launchOf(planes.plane.numOutputs() / Run);
        launch.useBlockRows(
            std::min<int64_t>(ceilDivide(planes.numPlanes, kPlanesOf<Operation, Run>), kMaxGatherBlockRows));
        Map plane = makeMap<Map>(planes.plane);
        if constexpr (std::is_same_v<Map, PhasedPlane>)
        {
            plane.imageStride = planes.imageStride;
            launch.useBlockLayers(planes.numImages);
        }
        launch.run("launch of gatherPlanes", gatherPlanes<Operation, Run, Map>, input(), output(), plane,
            planes.planeStride, static_cast<uint32_t>(planes.numPlanes), operation);
    }

    template <typename Map>
    void cellsBy(MapShape const& pixels, GatherChannels const& channels) const
    {
        launchOf(pixels.numOutputs() * channels.outputCells.value())
            .run("launch of gatherCells", gatherCells<Operation, Map>, input(), output(), makeMap<Map>(pixels),
                channels, operation);
    }

    void cellsByTwo(MapShape const& pixels, GatherChannels const& channels) const
    {
        MapAxisShape const& columns = pixels.axes[pixels.rank - 1];
        MapAxisShape const& rows = pixels.axes[pixels.rank - 2];
        int64_t const numPairs =
            pixels.numOutputs() / columns.outputSize() / rows.outputSize() * countPairs(columns) * countPairs(rows);
        OutputPairs const pairs{FastDivisor<uint32_t>(static_cast<uint32_t>(countPairs(rows))),
            FastDivisor<uint32_t>(static_cast<uint32_t>(countPairs(columns))), static_cast<uint32_t>(numPairs)};
        launchOf(numPairs * channels.outputCells.value())
            .run("launch of gatherCellsByTwo", gatherCellsByTwo<Operation>, input(), output(),
                makeMap<OutputMap<uint32_t>>(pixels), pairs, channels, operation);
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
                {arguments, makeConversion<In, Out>(arguments.activation, arguments.alpha), device, stream}};
            if constexpr (sizeof(In) == 2 && sizeof(Out) == 2 && !std::is_same_v<In, Out>)
            {
                launcher.plain();
            }
            else
            {
                launchFast(launcher);
            }
        });
}

} // namespace trtconv
