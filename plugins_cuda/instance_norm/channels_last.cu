#include "instance_norm/channels_last.h"

#include "instance_norm/channels_last.cuh"

namespace trtconv
{

namespace
{

static_assert(sizeof(ChannelTotals) == kChannelTotalsBytes);

template <typename... Parameters, typename... Arguments>
void launchWith(cudaLaunchAttribute attribute, void (*kernel)(Parameters...), ChannelsLastConfig const& config,
    cudaStream_t stream, Arguments const&... arguments)
{
    cudaLaunchConfig_t const launch{
        static_cast<unsigned>(config.blocks()), static_cast<unsigned>(config.threads), 0, stream, &attribute, 1};
    checkCuda(cudaLaunchKernelEx(&launch, kernel, Parameters(arguments)...), "launch of InstanceNorm, channels-last");
}

template <typename T>
void launchResident(ChannelsLastTensors<T> const& tensors, ChannelsLastConfig config, cudaStream_t stream)
{
    for (int64_t firstColumn = 0; firstColumn < config.columns; firstColumn += config.columnsAtOnce)
    {
        config.columnsAtOnce = std::min(config.columnsAtOnce, config.columns - firstColumn);
        cudaLaunchAttribute cluster{};
        cluster.id = cudaLaunchAttributeClusterDimension;
        cluster.val.clusterDim = {static_cast<unsigned>(config.splits), 1, 1};
        if (config.splits > 1)
        {
            launchWith(cluster, normaliseResidentColumns<T, true>, config, stream, tensors, config, firstColumn);
            continue;
        }
        auto const blocks = static_cast<unsigned>(config.blocks());
        normaliseResidentColumns<T, false><<<blocks, config.threads, 0, stream>>>(tensors, config, firstColumn);
        checkCuda(cudaGetLastError(), "launch of InstanceNorm, channels-last");
    }
}

template <typename T>
void launchGrid(
    ChannelsLastTensors<T> const& tensors, ChannelsLastConfig const& config, void* workspace, cudaStream_t stream)
{
    cudaLaunchAttribute cooperative{};
    cooperative.id = cudaLaunchAttributeCooperative;
    cooperative.val.cooperative = 1;
    launchWith(
        cooperative, normaliseGridColumns<T>, config, stream, tensors, config, static_cast<ChannelTotals*>(workspace));
}

} // namespace

void launchInstanceNormChannelsLast(
    InstanceNormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream)
{
    if (arguments.numSlices == 0 || arguments.sliceSize == 0)
    {
        return;
    }
    dispatchElementType(arguments.type,
        [&](auto tag)
        {
            using T = typename decltype(tag)::Type;
            int64_t const vectorsPerPixel = (arguments.channels + kVectorChannels<T> - 1) / kVectorChannels<T>;
            ChannelsLastTensors<T> const tensors{static_cast<ChannelVector<T> const*>(arguments.input),
                static_cast<T const*>(arguments.scale), static_cast<T const*>(arguments.bias),
                static_cast<ChannelVector<T>*>(arguments.output), arguments.channels, arguments.sliceSize,
                vectorsPerPixel, 1.0 / static_cast<double>(arguments.sliceSize), arguments.epsilon};
            ChannelsLastShape const shape{
                arguments.numSlices / arguments.channels, arguments.sliceSize, vectorsPerPixel};
            ChannelsLastConfig const config =
                chooseChannelsLastConfig(shape, {device.numProcessors, device.majorVersion >= kClusterMajorVersion});
            if (config.isResident)
            {
                launchResident(tensors, config, stream);
            }
            else
            {
                launchGrid(tensors, config, arguments.workspace, stream);
            }
        });
}

} // namespace trtconv
