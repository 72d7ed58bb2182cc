#include "instance_norm/instance_norm.h"

#include "instance_norm/instance_norm.cuh"

namespace trtconv
{

namespace
{

static_assert(sizeof(SliceSums) == kPartialBytes);

int32_t elementsPastAlignment(void const* address, int32_t bytesPerElement)
{
    return static_cast<int32_t>(reinterpret_cast<uintptr_t>(address) % kVectorBytes) / bytesPerElement;
}

template <typename T, int VectorSize>
void launchTyped(InstanceNormArguments const& arguments, DeviceLimits const& device, cudaStream_t stream)
{
    int32_t const baseOffset = elementsPastAlignment(arguments.input, sizeof(T)) % VectorSize;
    InstanceNormTensors<T> const tensors{static_cast<T const*>(arguments.input), static_cast<T const*>(arguments.scale),
        static_cast<T const*>(arguments.bias), static_cast<T*>(arguments.output), arguments.numSlices,
        arguments.channels, arguments.sliceSize, baseOffset, arguments.epsilon};
    InstanceNormConfig const config = chooseInstanceNormConfig(
        arguments.numSlices, arguments.sliceSize, baseOffset, VectorSize, device.numProcessors);
    auto const blocks = static_cast<unsigned>(config.blocks);
    if (config.isResident)
    {
        normaliseResidentSlices<T, VectorSize><<<blocks, config.threads, 0, stream>>>(tensors, config.lanesPerSlice);
        checkCuda(cudaGetLastError(), "launch of normaliseResidentSlices");
        return;
    }
    auto* const partialSums = static_cast<SliceSums*>(arguments.workspace);
    sumSliceParts<T, VectorSize>
        <<<blocks, config.threads, 0, stream>>>(tensors, partialSums, config.splitsPerSlice, config.vectorsPerSplit);
    checkCuda(cudaGetLastError(), "launch of sumSliceParts");
    normaliseSliceParts<T, VectorSize>
        <<<blocks, config.threads, 0, stream>>>(tensors, partialSums, config.splitsPerSlice, config.vectorsPerSplit);
    checkCuda(cudaGetLastError(), "launch of normaliseSliceParts");
}

} // namespace

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
            // Vectors serve any alignment that input and output share; TensorRT's tensors are all aligned to 256 bytes.
            bool const areAlignedAlike =
                elementsPastAlignment(arguments.input, sizeof(T)) == elementsPastAlignment(arguments.output, sizeof(T));
            if (areAlignedAlike)
            {
                launchTyped<T, kVectorBytes / sizeof(T)>(arguments, device, stream);
            }
            else
            {
                launchTyped<T, 1>(arguments, device, stream);
            }
        });
}

} // namespace trtconv
