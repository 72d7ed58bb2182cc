#include "norm/norm.h"

#include "norm/channels_last/launch.h"
#include "norm/linear/launch.cuh"

namespace trtconv
{

DeviceLimits prepareInstanceNorm()
{
    DeviceLimits const device = compiledDeviceLimits();
    if (device.majorVersion >= kHopperMajorVersion)
    {
        allowSharedBytes<float>(device);
        allowSharedBytes<__half>(device);
        allowSharedBytes<__nv_bfloat16>(device);
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
            launchAs<T>(arguments, shape, device, chooseInstanceNormConfig(shape, device), stream);
        });
}

} // namespace trtconv
