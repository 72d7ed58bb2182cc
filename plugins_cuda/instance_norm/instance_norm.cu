#include "instance_norm/instance_norm.h"

#include "instance_norm/instance_norm_launch.cuh"

namespace trtconv
{

// Of the compute capabilities that this is compiled for: a GPU newer than all of them runs code that lacks what is new.
constexpr int32_t kNewestMajorVersion = std::max({__CUDA_ARCH_LIST__}) / 100;

DeviceLimits prepareInstanceNorm()
{
    DeviceLimits device = currentDeviceLimits();
    device.majorVersion = std::min(device.majorVersion, kNewestMajorVersion);
    int32_t const numStages = launchLimits(device).numStages();
    if (numStages > 0)
    {
        allowSharedBytes<float>(numStages * kStageBytes);
        allowSharedBytes<__half>(numStages * kStageBytes);
        allowSharedBytes<__nv_bfloat16>(numStages * kStageBytes);
    }
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
            LaunchLimits const limits = launchLimits(device);
            SliceShape const shape = sliceShape<T>(arguments);
            launchAs<T>(arguments, shape, limits, chooseInstanceNormConfig(shape, limits), stream);
        });
}

} // namespace trtconv
