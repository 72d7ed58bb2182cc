// How a launch choice becomes launches of the linear kernels.
#pragma once

#include "common/kernel_launch.cuh"
#include "norm/linear/clustered.cuh"
#include "norm/linear/resident.cuh"
#include "norm/linear/split.cuh"
#include "norm/linear/streamed.cuh"
#include "norm/norm.h"

namespace trtconv::linear
{

static_assert(sizeof(SliceSums) == kPartialBytes);

inline int32_t elementsPastAlignment(void const* address, int32_t bytesPerElement)
{
    return static_cast<int32_t>(reinterpret_cast<uintptr_t>(address) % kVectorBytes) / bytesPerElement;
}

// Vectors serve any alignment that input and output share; TensorRT's tensors are all aligned to 256 bytes.
template <typename T>
SliceShape sliceShape(NormArguments const& arguments)
{
    int32_t const offset = elementsPastAlignment(arguments.input, sizeof(T));
    bool const areAlignedAlike = offset == elementsPastAlignment(arguments.output, sizeof(T));
    return {arguments.shape.numSlices(), arguments.shape.sliceSize, areAlignedAlike ? offset : 0,
        areAlignedAlike ? static_cast<int32_t>(kVectorBytes / sizeof(T)) : 1};
}

template <typename T>
void prepareType(DeviceLimits const& device)
{
    constexpr int32_t kVectorSize = kVectorBytes / sizeof(T);
    allowSharedBytes(normaliseClusteredSlices<SharedPart<T, kVectorSize>>, maxClusterVectors(device) * kVectorBytes);
    allowSharedBytes(normaliseStreamedSlices<T, kVectorSize>, maxStages(device) * kStageBytes);
}

template <typename T, int VectorSize>
class Launcher
{
public:
    Launcher(NormArguments const& arguments, SliceShape const& shape, DeviceLimits const& device, Config const& config,
        cudaStream_t stream)
        : mTensors{static_cast<T const*>(arguments.input), static_cast<T const*>(arguments.scale),
              static_cast<T const*>(arguments.bias), {static_cast<T*>(arguments.output)}, arguments.shape.numSlices(),
              arguments.shape.channels, arguments.shape.sliceSize,
              FastDivisor<uint32_t>(static_cast<uint32_t>(std::min<int64_t>(arguments.shape.channels, INT32_MAX))),
              1.0 / static_cast<double>(arguments.shape.sliceSize), shape.baseOffset, arguments.epsilon}
        , mPartialSums(static_cast<SliceSums*>(arguments.workspace))
        , mShape(shape)
        , mDevice(device)
        , mConfig(config)
        , mStream(stream)
    {
    }

    void launch() const
    {
        switch (mConfig.method)
        {
        case Method::kResident: return launchResident<tileVectors(VectorSize)>();
        case Method::kClustered: return launchClustered();
        case Method::kStreamed: return launchStreamed();
        case Method::kSplit: return launchSplit();
        }
    }

private:
    static constexpr char const* kWhat = "launch of InstanceNorm";

    KernelLaunch makeLaunch() const { return {mDevice, mConfig.blocks, mConfig.threads, mStream}; }

    template <int NumVectors>
    void launchResident() const
    {
        if constexpr (NumVectors > 1 && VectorSize > 1)
        {
            if (mConfig.vectorsPerLane < NumVectors)
            {
                return launchResident<NumVectors / 2>();
            }
        }
        auto const kernel = VectorSize > 1 && mConfig.areTilesFull(mShape)
            ? normaliseResidentSlices<T, VectorSize, NumVectors, (VectorSize > 1)>
            : normaliseResidentSlices<T, VectorSize, NumVectors, false>;
        int32_t log2Lanes = 0;
        while ((1 << log2Lanes) < mConfig.lanesPerSlice)
        {
            ++log2Lanes;
        }
        makeLaunch().run(kWhat, kernel, mTensors, log2Lanes);
    }

    void launchClustered() const
    {
        if constexpr (VectorSize > 1)
        {
            switch (mConfig.vectorsPerLane / tileVectors(VectorSize))
            {
            case 1: return launchClusters(normaliseClusteredSlices<RegisterPart<T, VectorSize, 1>>, 0);
            case 2: return launchClusters(normaliseClusteredSlices<RegisterPart<T, VectorSize, 2>>, 0);
            default:
                return launchClusters(normaliseClusteredSlices<SharedPart<T, VectorSize>>, mConfig.vectorsPerBlock);
            }
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
            launch.run(kWhat, normaliseStreamedSlices<T, VectorSize>, mTensors, layout);
        }
    }

    void launchSplit() const
    {
        makeLaunch().run(kWhat, sumSliceParts<T, VectorSize>, mTensors, mPartialSums, mConfig.blocksPerSlice,
            mConfig.vectorsPerBlock);
        makeLaunch().run(kWhat, normaliseSliceParts<T, VectorSize>, mTensors, mPartialSums, mConfig.blocksPerSlice,
            mConfig.vectorsPerBlock);
    }

    Tensors<T> mTensors;
    SliceSums* mPartialSums;
    SliceShape mShape;
    DeviceLimits mDevice;
    Config mConfig;
    cudaStream_t mStream;
};

template <typename T>
void launchAs(NormArguments const& arguments, SliceShape const& shape, DeviceLimits const& device, Config const& config,
    cudaStream_t stream)
{
    if (shape.vectorSize == 1)
    {
        Launcher<T, 1>(arguments, shape, device, config, stream).launch();
    }
    else
    {
        Launcher<T, kVectorBytes / sizeof(T)>(arguments, shape, device, config, stream).launch();
    }
}

// Readies the kernels for the current device. Must be called once there, before the first launch.
inline void prepare(DeviceLimits const& device)
{
    if (device.majorVersion >= kHopperMajorVersion)
    {
        prepareType<float>(device);
        prepareType<__half>(device);
        prepareType<__nv_bfloat16>(device);
    }
}

// Enqueues on `stream`; throws CudaError when a launch fails. The tensor is not empty.
inline void launch(NormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream)
{
    dispatchElementType(arguments.type,
        [&](auto tag)
        {
            using T = typename decltype(tag)::Type;
            SliceShape const shape = sliceShape<T>(arguments);
            launchAs<T>(arguments, shape, device, chooseConfig(shape, device), stream);
        });
}

} // namespace trtconv::linear
