// Gathers of linear tensors: a thread writes the same run of columns of several planes, or a single element.
#pragma once

#include "common/element_type.cuh"
#include "common/kernel_launch.cuh"
#include "gather/choice.h"

namespace trtconv
{

// Returns the element that an output is made of; zero where it is made of none.
template <typename T, typename Index>
__device__ T elementAt(T const* __restrict__ input, MapSource<Index> const& source)
{
    return source.isInside ? __ldg(input + source.offset) : T{};
}

// How many planes a thread writes: their loads are on their way together, and share what finds their place. On an H100
// [1,256,128,128] in fp16 with a pad and relu took 6.6 us by 8 planes, 7.5 us by 4.
template <typename Operation, int Run>
constexpr int kPlanesOf =
    sizeof(typename Operation::Input) <= 2 && sizeof(typename Operation::Output) <= 2 && Run <= 2 ? 2 * kGatherPlanes
                                                                                                  : kGatherPlanes;

// The plane of a map of one image, of which blockIdx.z is the number: the phases of an image lie together.
struct PhasedPlane : PhasedMap<uint32_t, 2>
{
    int64_t imageStride; // in the input
};

// Returns where the planes of the block begin in the input; without phases they are those of all images.
template <int32_t Rank>
__device__ int64_t firstInput(OutputMap<uint32_t, Rank> const& /*plane*/)
{
    return 0;
}

__device__ inline int64_t firstInput(PhasedPlane const& plane)
{
    return blockIdx.z * plane.imageStride;
}

// Returns the number of their first one in the output.
template <int32_t Rank>
__device__ int64_t firstOutput(OutputMap<uint32_t, Rank> const& /*plane*/, uint32_t /*numPlanes*/)
{
    return 0;
}

__device__ inline int64_t firstOutput(PhasedPlane const& /*plane*/, uint32_t numPlanes)
{
    return static_cast<int64_t>(blockIdx.z) * numPlanes;
}

// Computes where a run comes from once, for all planes.
template <typename Operation, int Run, typename Map>
__global__ __launch_bounds__(kGatherThreads) void gatherPlanes(typename Operation::Input const* __restrict__ input,
    typename Operation::Output* __restrict__ output, __grid_constant__ Map const plane, int64_t planeStride,
    uint32_t numPlanes, Operation const operation)
{
    using In = typename Operation::Input;
    using Out = typename Operation::Output;
    constexpr int kPlanes = kPlanesOf<Operation, Run>;
    auto const& columns = plane.axisFromEnd(0);
    uint32_t const step = gridDim.x * kGatherThreads;
    waitForEarlierWork();
    for (uint32_t run = blockIdx.x * kGatherThreads + threadIdx.x; run < plane.numOutputs / Run; run += step)
    {
        uint32_t const target = run * Run;
        uint32_t const row = columns.outputSize.divide(target);
        MapSource<uint32_t> const rowSource = outerSource(plane, row, 1);
        MapSource<uint32_t> sources[Run];
        TRTCONV_UNROLL
        for (int i = 0; i < Run; ++i)
        {
            sources[i] = rowSource.along(columns, static_cast<int32_t>(target - row * columns.outputSize.value()) + i);
        }
        for (uint32_t first = blockIdx.y * kPlanes; first < numPlanes; first += gridDim.y * kPlanes)
        {
            In const* origin = input + firstInput(plane) + first * planeStride;
            Out* place = output + (firstOutput(plane, numPlanes) + first) * plane.numOutputs + target;
            Vector<In, Run> values[kPlanes];
            TRTCONV_UNROLL
            for (int k = 0; k < kPlanes; ++k)
            {
                TRTCONV_UNROLL
                for (int i = 0; i < Run; ++i)
                {
                    values[k].elements[i] = first + k < numPlanes ? elementAt(origin, sources[i]) : In{};
                }
                origin += planeStride;
            }
            TRTCONV_UNROLL
            for (int k = 0; k < kPlanes; ++k)
            {
                if (first + k < numPlanes)
                {
                    *reinterpret_cast<Vector<Out, Run>*>(place) = operation(values[k]);
                }
                place += plane.numOutputs;
            }
        }
    }
}

// Gathers any map between any layouts.
template <typename Operation, typename Map>
__global__ __launch_bounds__(kGatherThreads) void gatherElements(typename Operation::Input const* __restrict__ input,
    typename Operation::Output* __restrict__ output, __grid_constant__ Map const map, Operation const operation)
{
    using Index = typename Map::Index;
    Index const step = gridDim.x * Index{kGatherThreads};
    waitForEarlierWork();
    for (Index index = blockIdx.x * Index{kGatherThreads} + threadIdx.x; index < map.numOutputs; index += step)
    {
        Vector<typename Operation::Input, 1> const value{elementAt(input, sourceOf(map, index))};
        output[index] = operation(value).elements[0];
    }
}

} // namespace trtconv
