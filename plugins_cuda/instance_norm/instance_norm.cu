#include "instance_norm/instance_norm.h"

#include "instance_norm/channels_last.h"
#include "instance_norm/instance_norm_launch.cuh"

namespace trtconv
{

DeviceLimits prepareInstanceNorm()
{
    DeviceLimits const device = compiledDeviceLimits();
    int32_t const numStages = launchLimits(device).numStages();
    if (numStages > 0)
    {
        allowSharedBytes<float>(numStages * kStageBytes);
        allowSharedBytes<__half>(numStages * kStageBytes);
        allowSharedBytes<__nv_bfloat16>(numStages * kStageBytes);
    }
    prepareInstanceNormChannelsLast(device);
    return device;
}

void launchInstanceNorm(InstanceNormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream)
{
    if (arguments.numSlices == 0 || arguments.sliceSize == 0)
    {
        return;
    }
    dispatchElementType(arguments.type,
        [&](auto tag)
        {
            using T = typename decltype(tag)::Type;
            SliceShape const shape = sliceShape<T>(arguments);
            launchAs<T>(arguments, shape, device, chooseInstanceNormConfig(shape, launchLimits(device)), stream);
        });
}

} // namespace trtconv
