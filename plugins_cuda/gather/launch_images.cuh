// Launches gathers between a linear layout and a channels-last one, of images that are all mapped alike.
#pragma once

#include "gather/operation_launch.cuh"
#include "gather/thin_rows.cuh"

namespace trtconv
{

template <typename Operation>
struct ImageLauncher : OperationLaunch<Operation>
{
    using Base = OperationLaunch<Operation>;
    using Base::arguments;
    using Base::input;
    using Base::kIsOfNetworks;
    using Base::launchOf;
    using Base::operation;
    using Base::output;
    using typename Base::In;
    using typename Base::Out;

    // Launches the kernel that is fast for the request; returns whether there is one.
    bool launch() const
    {
        MapRequest const& request = arguments.request;
        if (request.isMapped(0))
        {
            return false;
        }
        if (request.inputLayout == Layout::kChannelsLast && thinRows())
        {
            return true;
        }
        return request.isPhased() ? phases() : channels();
    }

private:
    bool isFromLinear() const { return arguments.request.inputLayout == Layout::kLinear; }
    uint64_t outputAlignment() const { return commonAlignment(arguments.output, arguments.output); }

    int64_t storedChannels() const
    {
        int64_t const lanes = kVectorBytes / static_cast<int64_t>(sizeof(In));
        return ceilDivide(arguments.request.sizes[1], lanes) * lanes;
    }

    PhasedImages phasedImages() const
    {
        MapRequest const& request = arguments.request;
        return {static_cast<uint32_t>(request.sizes[0]), static_cast<uint32_t>(request.channels()),
            innerSize(request, 2) * storedChannels()};
    }

    // Launches a kernel whose blocks take the same part of each image.
    template <typename... Parameters, typename... Arguments>
    bool launchOfImages(
        int64_t numThreads, char const* what, void (*kernel)(Parameters...), Arguments const&... rest) const
    {
        KernelLaunch launch = launchOf(numThreads);
        launch.useBlockRows(std::min(arguments.request.sizes[0], kMaxGatherBlockRows));
        launch.run(what, kernel, input(), output(), rest..., operation);
        return true;
    }

    bool thinRows() const
    {
        if constexpr (sizeof(In) == 2)
        {
            MapShape const pixels = makePhasedImageShape(arguments.request, storedChannels());
            int64_t const channels = arguments.request.channels();
            int32_t const columns = chooseThinColumns(pixels, channels, sizeof(Out), outputAlignment());
            if (pixels.rank != 2 || columns == 1)
            {
                return false;
            }
            bool const isPhased = pixels.axes[1].phases != 1;
            return columns == 2 ? thinRowsBy<2, true>(pixels)
                : isPhased      ? thinRowsBy<4, true>(pixels)
                                : thinRowsBy<kThinColumns, false>(pixels);
        }
        return false;
    }

    template <int Columns, bool IsPhased>
    bool thinRowsBy(MapShape const& pixels) const
    {
        MapAxisShape const& rows = pixels.axes[0];
        MapAxisShape const& columns = pixels.axes[1];
        int64_t const runs = columns.outputSize() / Columns;
        int64_t const warpsOfRow = ceilDivide(runs, kWarpSize);
        int64_t const numThreads = ceilDivide(rows.outputSize(), rows.phases) * rows.phases * warpsOfRow * kWarpSize;
        if (!fitsFastMap(pixels) || !fitsFastNumber(numThreads))
        {
            return false;
        }
        ThinRows const thin{phasedImages(), static_cast<uint32_t>(runs),
            static_cast<uint32_t>(columns.inputStride * (IsPhased ? 1 : Columns)),
            FastDivisor<uint32_t>(static_cast<uint32_t>(warpsOfRow))};
        return launchOfImages(numThreads, "launch of gatherThinRows", gatherThinRows<Operation, Columns, IsPhased>,
            makeMap<PhasedMap<uint32_t, 2>>(pixels), thin, static_cast<uint32_t>(numThreads));
    }

    bool phases() const
    {
        if constexpr (kIsOfNetworks)
        {
            MapShape const pixels = makePhasedImageShape(arguments.request, storedChannels());
            if (!isFromLinear() && pixels.rank == 2 && fitsFastMap(pixels))
            {
                MapAxisShape const& rows = pixels.axes[0];
                return launchOfImages(ceilDivide(rows.outputSize(), rows.phases) * pixels.axes[1].outputSize(),
                    "launch of gatherFromPhases", gatherFromPhases<Operation>, makeMap<PhasedMap<uint32_t, 2>>(pixels),
                    phasedImages());
            }
        }
        return false;
    }

    bool channels() const
    {
        MapShape const pixels = makeImageShape(arguments.request);
        if (pixels.rank == 2)
        {
            return channelsBy<OutputMap<uint32_t, 2>>(pixels);
        }
        if constexpr (kIsOfNetworks)
        {
            if (pixels.rank == 3)
            {
                return channelsBy<OutputMap<uint32_t, 3>>(pixels);
            }
        }
        return false;
    }

    template <typename Map>
    bool channelsBy(MapShape const& pixels) const
    {
        int64_t const lanes = kVectorBytes / static_cast<int64_t>(isFromLinear() ? sizeof(Out) : sizeof(In));
        int64_t const cellsOfPixel = ceilDivide(arguments.request.sizes[1], lanes);
        if (isFromLinear())
        {
            return cellsBy<Map>(pixels, cellsOfPixel, chooseRunsToChannels(cellsOfPixel), "launch of gatherToChannels",
                gatherToChannels<Operation, Map>);
        }
        char const* const what = "launch of gatherFromChannels";
        PixelRuns const runs = chooseRunsFromChannels(
            pixels.numOutputs(), cellsOfPixel, Operation::kIsMove, sizeof(Out), outputAlignment());
        if constexpr (Operation::kIsMove && sizeof(Out) == 2)
        {
            if (runs.run == 4)
            {
                return cellsBy<Map>(pixels, cellsOfPixel, runs, what, gatherFromChannels<Operation, Map, 4>);
            }
        }
        return cellsBy<Map>(pixels, cellsOfPixel, runs, what, gatherFromChannels<Operation, Map, 1>);
    }

    template <typename Map, typename Kernel>
    bool cellsBy(
        MapShape const& pixels, int64_t cellsOfPixel, PixelRuns const& runs, char const* what, Kernel* kernel) const
    {
        MapRequest const& request = arguments.request;
        int64_t const warpsOfPixel = ceilDivide(cellsOfPixel, kWarpSize >> runs.pixelBits);
        int64_t const numThreads =
            ceilDivide(pixels.numOutputs() / runs.run, int64_t{1} << runs.pixelBits) * warpsOfPixel * kWarpSize;
        if (!fitsFastMap(pixels) || !fitsFastNumber(numThreads)
            || request.sizes[1] > std::numeric_limits<int32_t>::max() - kVectorBytes)
        {
            return false;
        }
        GatherImages const images{static_cast<uint32_t>(request.sizes[0]), static_cast<uint32_t>(request.sizes[1]),
            innerSize(request, 2), FastDivisor<uint32_t>(static_cast<uint32_t>(warpsOfPixel)),
            static_cast<uint32_t>(runs.pixelBits)};
        return launchOfImages(
            numThreads, what, kernel, makeMap<Map>(pixels), images, static_cast<uint32_t>(numThreads));
    }
};

} // namespace trtconv
