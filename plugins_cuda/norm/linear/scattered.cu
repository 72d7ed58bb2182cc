// Launches of norms whose results are scattered, of all types.
#include "norm/linear/launch.cuh"

namespace trtconv::linear
{

template <typename T>
void prepareScattered(DeviceLimits const& device)
{
    constexpr int kVectorSize = kVectorBytes / sizeof(T);
    allowSharedBytes(normaliseStreamedSlices<T, kVectorSize, ResultKind::kPlaced>, maxStages(device) * kStageBytes);
}

template <typename T>
void launchScattered(NormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream)
{
    constexpr int kVectorSize = kVectorBytes / sizeof(T);
    SliceShape const shape = sliceShape(arguments);
    Config const config = chooseScattered(shape, arguments.planes->phases.value(), device);
    Launcher<T, kVectorSize, ResultKind::kPlaced>(arguments, shape, device, config, stream).launch();
}

template void prepareScattered<float>(DeviceLimits const& device);
template void prepareScattered<__half>(DeviceLimits const& device);
template void prepareScattered<__nv_bfloat16>(DeviceLimits const& device);
template void launchScattered<float>(NormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream);
template void launchScattered<__half>(NormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream);
template void launchScattered<__nv_bfloat16>(
    NormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream);

} // namespace trtconv::linear
