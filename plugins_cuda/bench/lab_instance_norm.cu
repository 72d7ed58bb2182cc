// The InstanceNorm kernels with a launch choice of the caller's, for plugins_cuda/bench/lab_instance_norm.py.
//   nvcc -std=c++17 -O3 -arch=sm_90 -Iplugins_cuda -shared -Xcompiler -fPIC -o lab.so
//   plugins_cuda/bench/lab_instance_norm.cu
#include "norm/linear/launch.cuh"

namespace
{

__global__ __launch_bounds__(512) void copyVectors(
    uint4 const* __restrict__ input, uint4* __restrict__ output, int64_t count)
{
    int64_t const index = int64_t{blockIdx.x} * 2048 + threadIdx.x;
    uint4 values[4];
#pragma unroll
    for (int k = 0; k < 4; ++k)
    {
        if (index + k * 512 < count)
        {
            values[k] = input[index + k * 512];
        }
    }
#pragma unroll
    for (int k = 0; k < 4; ++k)
    {
        if (index + k * 512 < count)
        {
            output[index + k * 512] = values[k];
        }
    }
}

} // namespace

extern "C" int lab_copy(void const* input, void* output, int64_t vectors, cudaStream_t stream)
{
    copyVectors<<<static_cast<unsigned>((vectors + 2047) / 2048), 512, 0, stream>>>(
        static_cast<uint4 const*>(input), static_cast<uint4*>(output), vectors);
    return cudaGetLastError();
}

// Writes what choices are bound to on this device: multiprocessors, threads of a streamed launch's block, bytes of its
// ring, threads and shared bytes of a cluster's block.
extern "C" void lab_limits(int64_t* limits)
{
    using namespace trtconv;
    DeviceLimits const device = compiledDeviceLimits();
    int64_t const values[]{device.numProcessors, linear::kStreamedThreads,
        int64_t{linear::maxStages(device)} * linear::kStageBytes, linear::kClusterThreads,
        int64_t{linear::maxClusterVectors(device)} * kVectorBytes};
    std::copy(std::begin(values), std::end(values), limits);
}

// choice: method, threads, lanes per slice, vectors per lane, blocks per slice, vectors per block, blocks. A method
// below 0 asks for the library's own choice, which is written there.
extern "C" int lab_instance_norm(void const* input, void const* scale, void const* bias, void* output, int64_t slices,
    int64_t channels, int64_t sliceSize, float epsilon, int32_t dtype, void* workspace, int64_t* choice, void* stream)
{
    using namespace trtconv;
    auto const type = static_cast<ElementType>(dtype);
    NormArguments const arguments{input, scale, bias, output, workspace, {slices / channels, channels, sliceSize},
        epsilon, type, Layout::kLinear};
    try
    {
        static DeviceLimits const device = []
        {
            DeviceLimits const limits = compiledDeviceLimits();
            linear::prepare(limits);
            return limits;
        }();
        dispatchElementType(type,
            [&](auto tag)
            {
                using T = typename decltype(tag)::Type;
                linear::SliceShape const shape = linear::sliceShape<T>(arguments);
                if (choice[0] < 0)
                {
                    linear::Config const own = linear::chooseConfig(shape, device);
                    int64_t const values[]{static_cast<int64_t>(own.method), own.threads, own.lanesPerSlice,
                        own.vectorsPerLane, own.blocksPerSlice, own.vectorsPerBlock, own.blocks};
                    std::copy(std::begin(values), std::end(values), choice);
                }
                linear::Config const config{static_cast<linear::Method>(choice[0]), static_cast<int32_t>(choice[1]),
                    static_cast<int32_t>(choice[2]), static_cast<int32_t>(choice[3]), static_cast<int32_t>(choice[4]),
                    choice[5], choice[6]};
                linear::launchAs<T>(arguments, shape, device, config, static_cast<cudaStream_t>(stream));
            });
    }
    catch (CudaError const& error)
    {
        return error.status();
    }
    return 0;
}
