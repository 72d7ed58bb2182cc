// Launches the gather of one operation by the kernel that is fast for a request.
#pragma once

#include "gather/channels.cuh"
#include "gather/gather.h"
#include "gather/operations.cuh"
#include "gather/phases.cuh"
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
        MapRequest const& request = arguments.request;
        if (request.isPhased())
        {
            return phasedImages();
        }
        MapShape const pixels = makeImageShape(request);
        if (request.isMapped(0))
        {
            return plain();
        }
        if (pixels.rank == 2)
        {
            return imagesBy<OutputMap<uint32_t, 2>>(pixels);
        }
        if constexpr (kIsOfNetworks)
        {
            if (pixels.rank == 3)
            {
                return imagesBy<OutputMap<uint32_t, 3>>(pixels);
            }
        }
        plain();
    }

private:
    // Elements of 1 and of 8 bytes, which no network computes, are gathered one by one from phases and volumes.
    static constexpr bool kIsOfNetworks = sizeof(In) == 2 || sizeof(In) == 4;

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

    void phasedImages() const
    {
        if constexpr (kIsOfNetworks)
        {
            MapRequest const& request = arguments.request;
            int64_t const lanes = kVectorBytes / static_cast<int32_t>(sizeof(In));
            int64_t const stored = ceilDivide(request.sizes[1], lanes) * lanes;
            MapShape const pixels = makePhasedImageShape(request, stored);
            if (request.inputLayout == Layout::kChannelsLast && !request.isMapped(0) && pixels.rank == 2
                && fitsFastMap(pixels))
            {
                PhasedImages const images{static_cast<uint32_t>(request.sizes[0]),
                    static_cast<uint32_t>(request.channels()), innerSize(request, 2) * stored};
                switch (thinColumnsOf(pixels))
                {
                case 2: return thinRowsBy<2>(pixels, images);
                case 4: return thinRowsBy<4>(pixels, images);
                default: return phasedColumns(pixels, images);
                }
            }
        }
        plain();
    }

    int32_t thinColumnsOf(MapShape const& pixels) const
    {
        uint64_t const alignment = commonAlignment(arguments.output, arguments.output);
        return chooseThinColumns(pixels, arguments.request.channels(), sizeof(Out), alignment);
    }

    void phasedColumns(MapShape const& pixels, PhasedImages const& images) const
    {
        MapAxisShape const& rows = pixels.axes[0];
        KernelLaunch launch = launchOf(ceilDivide(rows.outputSize(), rows.phases) * pixels.axes[1].outputSize());
        launch.useBlockRows(std::min<int64_t>(images.numImages, kMaxGatherBlockRows));
        launch.run("launch of gatherFromPhases", gatherFromPhases<Operation>, input(), output(),
            makeMap<PhasedMap<uint32_t, 2>>(pixels), images, operation);
    }

    template <int Columns>
    void thinRowsBy(MapShape const& pixels, PhasedImages const& images) const
    {
        if constexpr (sizeof(In) == 2)
        {
            MapAxisShape const& rows = pixels.axes[0];
            int64_t const pixelsOfRow = pixels.axes[1].inputSize;
            int64_t const warpsOfRow = ceilDivide(pixelsOfRow, kWarpSize);
            int64_t const numThreads =
                ceilDivide(rows.outputSize(), rows.phases) * rows.phases * warpsOfRow * kWarpSize;
            PhasedRows const rowsOfPixels{
                images, static_cast<uint32_t>(pixelsOfRow), FastDivisor<uint32_t>(static_cast<uint32_t>(warpsOfRow))};
            KernelLaunch launch = launchOf(numThreads);
            launch.useBlockRows(std::min<int64_t>(images.numImages, kMaxGatherBlockRows));
            return launch.run("launch of gatherThinRows", gatherThinRows<Operation, Columns>, input(), output(),
                makeMap<PhasedMap<uint32_t, 2>>(pixels), rowsOfPixels, static_cast<uint32_t>(numThreads), operation);
        }
        phasedColumns(pixels, images);
    }

    template <typename Map>
    void imagesBy(MapShape const& pixels) const
    {
        MapRequest const& request = arguments.request;
        bool const isFromLinear = request.inputLayout == Layout::kLinear;
        int64_t const lanes = kVectorBytes / static_cast<int64_t>(isFromLinear ? sizeof(Out) : sizeof(In));
        int64_t const cellsOfPixel = ceilDivide(request.sizes[1], lanes);
        int32_t const pixelBits = choosePixelBits(cellsOfPixel);
        int64_t const warpsOfPixel = ceilDivide(cellsOfPixel, kWarpSize >> pixelBits);
        int64_t const numThreads = ceilDivide(pixels.numOutputs(), int64_t{1} << pixelBits) * warpsOfPixel * kWarpSize;
        if (!fitsFastMap(pixels) || !fitsFastNumber(numThreads)
            || request.sizes[1] > std::numeric_limits<int32_t>::max() - kVectorBytes)
        {
            return plain();
        }
        GatherImages const images{static_cast<uint32_t>(request.sizes[0]), static_cast<uint32_t>(request.sizes[1]),
            innerSize(request, 2), FastDivisor<uint32_t>(static_cast<uint32_t>(warpsOfPixel)),
            static_cast<uint32_t>(pixelBits)};
        KernelLaunch launch = launchOf(numThreads);
        launch.useBlockRows(std::min<int64_t>(images.numImages, kMaxGatherBlockRows));
        auto const count = static_cast<uint32_t>(numThreads);
        if (isFromLinear)
        {
            return launch.run("launch of gatherToChannels", gatherToChannels<Operation, Map>, input(), output(),
                makeMap<Map>(pixels), images, count, operation);
        }
        launch.run("launch of gatherFromChannels", gatherFromChannels<Operation, Map>, input(), output(),
            makeMap<Map>(pixels), images, count, operation);
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
        launch.useBlockRows(std::min<int64_t>(ceilDivide(planes.numPlanes, kPlanesOf<Operation>), kMaxGatherBlockRows));
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
                arguments, makeConversion<In, Out>(arguments.activation, arguments.alpha), device, stream};
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
