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
        linear::allowSharedBytes<float>(device);
        linear::allowSharedBytes<__half>(device);
        linear::allowSharedBytes<__nv_bfloat16>(device);
    }
    channels_last::prepareInstanceNormChannelsLast(device);
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
            linear::SliceShape const shape = linear::sliceShape<T>(arguments);
            linear::launchAs<T>(arguments, shape, device, linear::chooseConfig(shape, device), stream);
        });
}

} // namespace trtconv
