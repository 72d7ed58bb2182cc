// How a launch choice becomes launches of the linear kernels. Each type is instantiated in a file of its own, so that
// several compilers work at once.
#pragma once

#include "common/kernel_launch.cuh"
#include "norm/linear/clustered.cuh"
#include "norm/linear/launch.h"
#include "norm/linear/resident.cuh"
#include "norm/linear/slice_shape.h"
#include "norm/linear/split.cuh"
#include "norm/linear/split_planes.cuh"
#include "norm/linear/streamed.cuh"

namespace trtconv::linear
{

static_assert(sizeof(SliceSums) == kPartialBytes);

template <typename T, ResultKind Kind>
void prepareKernels(DeviceLimits const& device)
{
    constexpr int32_t kVectorSize = kVectorBytes / sizeof(T);
    allowSharedBytes(
        normaliseClusteredSlices<SharedPart<T, kVectorSize, Kind>>, maxClusterVectors(device) * kVectorBytes);
    allowSharedBytes(normaliseStreamedSlices<T, kVectorSize, Kind>, maxStages(device) * kStageBytes);
}

template <typename T>
void prepareType(DeviceLimits const& device)
{
    prepareKernels<T, ResultKind::kPlain>(device);
    prepareKernels<T, ResultKind::kFused>(device);
    prepareKernels<T, ResultKind::kGrouped>(device);
}

template <typename T, ResultKind Kind>
Result<T, Kind> makeResult(NormArguments const& arguments)
{
    auto* const output = static_cast<T*>(arguments.output);
    if constexpr (Kind == ResultKind::kPlain)
    {
        return {output};
    }
    else
    {
        EpilogueArguments const& fused = arguments.epilogue;
        Epilogue<T> const epilogue =
            makeEpilogue<T>(fused.activation, fused.alpha, fused.slope, fused.residual != nullptr);
        auto const* const residual = static_cast<T const*>(fused.residual);
        if constexpr (Kind == ResultKind::kPlaced)
        {
            constexpr uint32_t kVectorSize = kVectorBytes / sizeof(T);
            PlanePlaces const& places = *arguments.planes;
            PlacedRows const rows(places, kVectorSize, kStageVectors * kVectorSize / places.phases.value());
            return {output, residual, epilogue, arguments.isAffinePerImage, places, rows};
        }
        else
        {
            int64_t const channelSize = arguments.shape.sliceSize;
            ChannelRuns<T> const runs{static_cast<T const*>(arguments.scale), static_cast<T const*>(arguments.bias),
                arguments.channelsPerGroup(), channelSize,
                FastDivisor<uint32_t>(static_cast<uint32_t>(std::min<int64_t>(channelSize, INT32_MAX)))};
            return {output, residual, epilogue, arguments.isAffinePerImage, runs, 0};
        }
    }
}

template <typename T, ResultKind Kind>
Tensors<T, Kind> makeTensors(NormArguments const& arguments, SliceShape const& shape)
{
    NormShape const slices = arguments.slices();
    // Without an epilogue a batch with scales of its own is one image of many channels.
    bool const isOneImage = Kind == ResultKind::kPlain && arguments.isAffinePerImage;
    int64_t const channels = isOneImage ? slices.numSlices() : slices.channels;
    return {static_cast<T const*>(arguments.input), static_cast<T const*>(arguments.scale),
        static_cast<T const*>(arguments.bias), makeResult<T, Kind>(arguments), slices.numSlices(), channels,
        slices.sliceSize, FastDivisor<uint32_t>(static_cast<uint32_t>(std::min<int64_t>(channels, INT32_MAX))),
        1.0 / static_cast<double>(slices.sliceSize), shape.baseOffset, arguments.epsilon};
}

template <typename T, int VectorSize, ResultKind Kind>
class Launcher
{
public:
    Launcher(NormArguments const& arguments, SliceShape const& shape, DeviceLimits const& device, Config const& config,
        cudaStream_t stream)
        : mTensors(makeTensors<T, Kind>(arguments, shape))
        , mPartialSums(static_cast<SliceSums*>(arguments.workspace))
        , mShape(shape)
        , mDevice(device)
        , mConfig(config)
        , mStream(stream)
    {
    }

    void launch() const
    {
        if constexpr (Kind == ResultKind::kPlaced)
        {
            mConfig.method == Method::kStreamed ? launchStreamed() : launchSplitPlanes();
        }
        else
        {
            launchByMethod();
        }
    }

private:
    static constexpr char const* kWhat = "launch of InstanceNorm";
    // With an epilogue there are fewer kernels: tiles that are not full are the largest, groups have no full ones.
    static constexpr bool kIsPlain = Kind == ResultKind::kPlain;
    static constexpr bool kIsGrouped = Kind == ResultKind::kGrouped;

    void launchByMethod() const
    {
        switch (mConfig.method)
        {
        case Method::kResident: return launchResident<tileVectors(VectorSize)>();
        case Method::kClustered: return launchClustered();
        case Method::kStreamed: return launchStreamed();
        case Method::kSplit: return launchSplit();
        }
    }

    KernelLaunch makeLaunch() const { return {mDevice, mConfig.blocks, mConfig.threads, mStream}; }

    template <int NumVectors>
    void launchResident() const
    {
        bool const areFull = mConfig.areTilesFull(mShape);
        if constexpr (NumVectors > 1 && VectorSize > 1 && !kIsGrouped)
        {
            if (mConfig.vectorsPerLane < NumVectors && (kIsPlain || areFull))
            {
                return launchResident<NumVectors / 2>();
            }
        }
        constexpr bool kMayBeFull = VectorSize > 1 && !kIsGrouped;
        constexpr bool kMayBePart = kIsPlain || !kMayBeFull || NumVectors == tileVectors(VectorSize);
        auto const kernel = kMayBeFull && (areFull || !kMayBePart)
            ? normaliseResidentSlices<T, VectorSize, NumVectors, kMayBeFull, Kind>
            : normaliseResidentSlices<T, VectorSize, NumVectors, !kMayBePart, Kind>;
        int32_t log2Lanes = 0;
        while ((1 << log2Lanes) < mConfig.lanesPerSlice)
        {
            ++log2Lanes;
        }
        makeLaunch().run(kWhat, kernel, mTensors, log2Lanes);
    }

    void launchClustered() const
    {
        if constexpr (VectorSize > 1 && !kIsGrouped)
        {
            switch (mConfig.vectorsPerLane / tileVectors(VectorSize))
            {
            case 1: return launchClusters(normaliseClusteredSlices<RegisterPart<T, VectorSize, 1, Kind>>, 0);
            case 2: return launchClusters(normaliseClusteredSlices<RegisterPart<T, VectorSize, 2, Kind>>, 0);
            default: break;
            }
        }
        if constexpr (VectorSize > 1)
        {
            launchClusters(normaliseClusteredSlices<SharedPart<T, VectorSize, Kind>>, mConfig.vectorsPerBlock);
        }
    }

    template <typename Kernel>
    void launchClusters(Kernel* kernel, int64_t sharedVectors) const
    {
        KernelLaunch launch = makeLaunch();
        launch.useSharedBytes(static_cast<int32_t>(sharedVectors * kVectorBytes));
        launch.useClusters(mConfig.blocksPerSlice);
        launch.run(kWhat, kernel, mTensors, static_cast<int32_t>(mConfig.vectorsPerBlock));
    }

    void launchStreamed() const
    {
        if constexpr (VectorSize > 1)
        {
            auto* const counters = reinterpret_cast<uint32_t*>(mPartialSums + 2 * mConfig.blocks);
            auto const numGroups = static_cast<int32_t>(mConfig.blocks / mConfig.blocksPerSlice);
            int32_t const numStages = maxStages(mDevice);
            StreamLayout const layout{
                mConfig.blocksPerSlice, numGroups, numStages, mConfig.vectorsPerBlock, mPartialSums, counters};
            KernelLaunch launch = makeLaunch();
            launch.useSharedBytes(numStages * kStageBytes);
            if (mConfig.blocksPerSlice > 1)
            {
                launch.useCooperation();
            }
            launch.run(kWhat, normaliseStreamedSlices<T, VectorSize, Kind>, mTensors, layout);
        }
    }

    void launchSplit() const
    {
        makeLaunch().run(kWhat, sumSliceParts<T, VectorSize, Kind>, mTensors, mPartialSums, mConfig.blocksPerSlice,
            mConfig.vectorsPerBlock);
        makeLaunch().run(kWhat, normaliseSliceParts<T, VectorSize, Kind>, mTensors, mPartialSums,
            mConfig.blocksPerSlice, mConfig.vectorsPerBlock);
    }

    void launchSplitPlanes() const
    {
        bool const areWhole = planesOf(mShape, mTensors.result.places.phases.value()).vectorSize > 1;
        int64_t const elementsPerBlock = mConfig.vectorsPerBlock * (areWhole ? VectorSize : 1);
        makeLaunch().run(kWhat, areWhole ? sumPlaneParts<T, VectorSize> : sumPlaneParts<T, 1>, mTensors, mPartialSums,
            mConfig.blocksPerSlice, elementsPerBlock);
        makeLaunch().run(
            kWhat, scatterPlaneParts<T>, mTensors, mPartialSums, mConfig.blocksPerSlice, elementsPerBlock, areWhole);
    }

    Tensors<T, Kind> mTensors;
    SliceSums* mPartialSums;
    SliceShape mShape;
    DeviceLimits mDevice;
    Config mConfig;
    cudaStream_t mStream;
};

template <typename T, ResultKind Kind>
void launchKind(NormArguments const& arguments, SliceShape const& shape, DeviceLimits const& device,
    Config const& config, cudaStream_t stream)
{
    if (shape.vectorSize == 1)
    {
        Launcher<T, 1, Kind>(arguments, shape, device, config, stream).launch();
    }
    else
    {
        Launcher<T, kVectorBytes / sizeof(T), Kind>(arguments, shape, device, config, stream).launch();
    }
}

template <typename T>
void launchAs(NormArguments const& arguments, SliceShape const& shape, DeviceLimits const& device, Config const& config,
    cudaStream_t stream)
{
    if (arguments.groups > 0)
    {
        launchKind<T, ResultKind::kGrouped>(arguments, shape, device, config, stream);
    }
    else if (arguments.epilogue.isNone())
    {
        launchKind<T, ResultKind::kPlain>(arguments, shape, device, config, stream);
    }
    else
    {
        launchKind<T, ResultKind::kFused>(arguments, shape, device, config, stream);
    }
}

template <typename T>
void launchType(NormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream)
{
    SliceShape const shape = sliceShape(arguments);
    launchAs<T>(arguments, shape, device, chooseConfig(shape, device), stream);
}

} // namespace trtconv::linear
