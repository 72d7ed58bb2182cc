#include "norm/channels_last/launch.h"

#include "common/kernel_launch.cuh"
#include "norm/channels_last/resident.cuh"
#include "norm/channels_last/streamed.cuh"

namespace trtconv::channels_last
{

namespace
{

template <typename T>
class Launcher
{
public:
    Launcher(Tensors<T> const& tensors, Config const& config, DeviceLimits const& device, void* workspace,
        cudaStream_t stream)
        : mTensors(tensors)
        , mConfig(config)
        , mDevice(device)
        , mWorkspace(static_cast<TaggedNumbers*>(workspace))
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
        case Method::kStreamed: return run(normaliseStreamedColumns<T>, mConfig, mWorkspace);
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
            run(normaliseResidentColumns<T, Method>, config, firstColumn, mWorkspace);
        }
    }

    template <typename Kernel, typename... Arguments>
    void run(Kernel* kernel, Config const& config, Arguments const&... arguments) const
    {
        KernelLaunch launch(mDevice, config.blocks(), config.threads, mStream);
        launch.useSharedBytes(config.slots * kStepBytes);
        if (config.isCooperative())
        {
            launch.useCooperation();
        }
        else if (config.splits > 1)
        {
            launch.useClusters(config.splits);
        }
        launch.run("launch of InstanceNorm, channels-last", kernel, mTensors, config, arguments...);
    }

    Tensors<T> mTensors;
    Config mConfig;
    DeviceLimits mDevice;
    TaggedNumbers* mWorkspace;
    cudaStream_t mStream;
};

} // namespace

void prepare(DeviceLimits const& device)
{
    int32_t const numBytes = numSlots(device) * kStepBytes;
    allowSharedBytes(normaliseStreamedColumns<float>, numBytes);
    allowSharedBytes(normaliseStreamedColumns<__half>, numBytes);
    allowSharedBytes(normaliseStreamedColumns<__nv_bfloat16>, numBytes);
}

void launch(NormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream)
{
    dispatchElementType(arguments.type,
        [&](auto tag)
        {
            using T = typename decltype(tag)::Type;
            auto const [batch, channels, pixels] = arguments.shape;
            int64_t const vectorsPerPixel = ceilDivide(channels, kVectorChannels<T>);
            Tensors<T> const tensors{static_cast<ChannelVector<T> const*>(arguments.input),
                static_cast<T const*>(arguments.scale), static_cast<T const*>(arguments.bias),
                {static_cast<ChannelVector<T>*>(arguments.output)}, channels, pixels, vectorsPerPixel,
                1.0 / static_cast<double>(pixels), arguments.epsilon};
            Config const config = chooseConfig({batch, pixels, vectorsPerPixel}, device);
            Launcher<T>(tensors, config, device, arguments.workspace, stream).launch();
        });
}

} // namespace trtconv::channels_last
