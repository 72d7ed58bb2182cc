// How a launch choice becomes launches of the channels-last kernels. Each type is instantiated in a file of its own, so
// that several compilers work at once.
#pragma once

#include "common/kernel_launch.cuh"
#include "norm/channels_last/launch.h"
#include "norm/channels_last/resident.cuh"
#include "norm/channels_last/split.cuh"
#include "norm/channels_last/streamed.cuh"
#include "norm/channels_last/workspace.h"

namespace trtconv::channels_last
{

static_assert(sizeof(ChannelTotals) == kTotalsBytes && sizeof(Affine) == kAffineBytes);

template <typename T, ResultKind Kind>
class Launcher
{
public:
    Launcher(Tensors<T, Kind> const& tensors, Config const& config, DeviceLimits const& device, void* workspace,
        cudaStream_t stream)
        : mTensors(tensors)
        , mConfig(config)
        , mDevice(device)
        , mWorkspace(workspace)
        , mStream(stream)
    {
    }

    void launch() const
    {
        switch (mConfig.method)
        {
        case Method::kBlock: return launchResident<Method::kBlock>();
        case Method::kCluster: return launchResident<Method::kCluster>();
        case Method::kGrid: return launchResident<Method::kGrid>();
        case Method::kStreamed:
            return run(normaliseStreamedColumns<T, Kind>, mConfig, mConfig.blocks(), exchangeMemory());
        case Method::kSplit: return launchSplit();
        }
    }

private:
    template <Method Method>
    void launchResident() const
    {
        Config config = mConfig;
        for (int64_t firstColumn = 0; firstColumn < config.columns; firstColumn += config.columnsAtOnce)
        {
            config.columnsAtOnce = std::min(config.columnsAtOnce, config.columns - firstColumn);
            run(normaliseResidentColumns<T, Method, Kind>, config, config.blocks(), firstColumn, exchangeMemory());
        }
    }

    void launchSplit() const
    {
        if constexpr (Kind == ResultKind::kFused)
        {
            auto* const totals = static_cast<ChannelTotals*>(mWorkspace);
            int64_t const numTotals = mConfig.blocks() * mConfig.lanes * kVectorChannels<T>;
            SplitMemory const memory{totals, reinterpret_cast<Affine*>(totals + numTotals)};
            int64_t const groups = mTensors.channels / mTensors.channelsPerGroup;
            run(sumColumnParts<T>, mConfig, mConfig.blocks(), memory);
            run(finishGroups<T>, mConfig, batch() * groups, memory);
            run(normaliseColumnParts<T>, mConfig, mConfig.blocks(), memory);
        }
    }

    int64_t batch() const { return mConfig.columns / ceilDivide(mTensors.vectorsPerPixel, mConfig.lanes); }
    TaggedNumbers* exchangeMemory() const { return static_cast<TaggedNumbers*>(mWorkspace); }

    template <typename Kernel, typename... Arguments>
    void run(Kernel* kernel, Config const& config, int64_t blocks, Arguments const&... arguments) const
    {
        KernelLaunch launch(mDevice, blocks, config.threads, mStream);
        launch.useSharedBytes(config.slots * kStepBytes);
        if (config.isCooperative())
        {
            launch.useCooperation();
        }
        else if (config.method == Method::kCluster)
        {
            launch.useClusters(config.splits);
        }
        launch.run("launch of InstanceNorm, channels-last", kernel, mTensors, config, arguments...);
    }

    Tensors<T, Kind> mTensors;
    Config mConfig;
    DeviceLimits mDevice;
    void* mWorkspace;
    cudaStream_t mStream;
};

template <typename T>
Tensors<T, ResultKind::kPlain> plainTensors(NormArguments const& arguments)
{
    auto const [batch, channels, pixels] = arguments.shape;
    return {{}, static_cast<ChannelVector<T> const*>(arguments.input), static_cast<T const*>(arguments.scale),
        static_cast<T const*>(arguments.bias), {static_cast<ChannelVector<T>*>(arguments.output)}, channels, pixels,
        ceilDivide(channels, kVectorChannels<T>), 1.0 / static_cast<double>(pixels), arguments.epsilon};
}

template <typename T>
Tensors<T, ResultKind::kFused> fusedTensors(NormArguments const& arguments)
{
    auto const plain = plainTensors<T>(arguments);
    EpilogueArguments const& fused = arguments.epilogue;
    Epilogue<T> const epilogue = makeEpilogue<T>(fused.activation, fused.alpha, fused.slope, fused.residual != nullptr);
    return {{static_cast<int32_t>(arguments.channelsPerGroup()), arguments.isAffinePerImage}, plain.input, plain.scale,
        plain.bias, {plain.result.output, static_cast<ChannelVector<T> const*>(fused.residual), epilogue},
        plain.channels, plain.pixels, plain.vectorsPerPixel, plain.inversePixels, plain.epsilon};
}

template <typename T>
Tensors<T, ResultKind::kPlaced> placedTensors(NormArguments const& arguments)
{
    auto const fused = fusedTensors<T>(arguments);
    return {{1, arguments.isAffinePerImage}, fused.input, fused.scale, fused.bias,
        {fused.result.output, fused.result.residual, fused.result.epilogue, *arguments.places}, fused.channels,
        fused.pixels, fused.vectorsPerPixel, fused.inversePixels, fused.epsilon};
}

template <typename T>
Tensors<T, ResultKind::kPhased> phasedTensors(NormArguments const& arguments)
{
    auto const placed = placedTensors<T>(arguments);
    return {{1, arguments.isAffinePerImage}, placed.input, placed.scale, placed.bias,
        {placed.result, *arguments.phaseOrder}, placed.channels, placed.pixels, placed.vectorsPerPixel,
        placed.inversePixels, placed.epsilon};
}

template <typename T>
void prepareType(DeviceLimits const& device)
{
    int32_t const numBytes = numSlots(device) * kStepBytes;
    allowSharedBytes(normaliseStreamedColumns<T, ResultKind::kPlain>, numBytes);
    allowSharedBytes(normaliseStreamedColumns<T, ResultKind::kFused>, numBytes);
    allowSharedBytes(normaliseStreamedColumns<T, ResultKind::kPlaced>, numBytes);
    allowSharedBytes(normaliseStreamedColumns<T, ResultKind::kPhased>, numBytes);
}

template <typename T>
void launchType(NormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream)
{
    int64_t const vectorsPerPixel = ceilDivide(arguments.shape.channels, kVectorChannels<T>);
    Shape const shape{arguments.shape.batch, arguments.shape.sliceSize, vectorsPerPixel};
    int64_t const channelsPerGroup = arguments.channelsPerGroup();
    Config const config = chooseGroupConfig(shape, device, channelsPerGroup, kVectorChannels<T>);
    auto const run = [&](auto const& tensors, auto kind)
    { Launcher<T, decltype(kind)::value>(tensors, config, device, arguments.workspace, stream).launch(); };
    if (arguments.phaseOrder != nullptr)
    {
        return run(phasedTensors<T>(arguments), std::integral_constant<ResultKind, ResultKind::kPhased>{});
    }
    if (arguments.places != nullptr)
    {
        return run(placedTensors<T>(arguments), std::integral_constant<ResultKind, ResultKind::kPlaced>{});
    }
    if (channelsPerGroup == 1 && !arguments.isAffinePerImage && arguments.epilogue.isNone())
    {
        run(plainTensors<T>(arguments), std::integral_constant<ResultKind, ResultKind::kPlain>{});
    }
    else
    {
        run(fusedTensors<T>(arguments), std::integral_constant<ResultKind, ResultKind::kFused>{});
    }
}

} // namespace trtconv::channels_last
