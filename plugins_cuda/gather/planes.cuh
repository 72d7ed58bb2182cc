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

// Computes where a run comes from once, for all planes: as in ReflectPad's own kernel, the loads of several planes are
// on their way together.
template <typename Operation, int Run>
__global__ __launch_bounds__(kGatherThreads) void gatherPlanes(typename Operation::Input const* __restrict__ input,
    typename Operation::Output* __restrict__ output, __grid_constant__ OutputMap<uint32_t> const plane,
    int64_t planeStride, uint32_t numPlanes, Operation const operation)
{
    using In = typename Operation::Input;
    using Out = typename Operation::Output;
    MapAxis<uint32_t> const& columns = plane.axisFromEnd(0);
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
        uint32_t const planeStep = gridDim.y * kGatherPlanes;
        for (uint32_t first = blockIdx.y * kGatherPlanes; first < numPlanes; first += planeStep)
        {
            Vector<In, Run> values[kGatherPlanes];
            TRTCONV_UNROLL
            for (int k = 0; k < kGatherPlanes; ++k)
            {
                TRTCONV_UNROLL
                for (int i = 0; i < Run; ++i)
                {
                    values[k].elements[i] =
                        first + k < numPlanes ? elementAt(input + (first + k) * planeStride, sources[i]) : In{};
                }
            }
            TRTCONV_UNROLL
            for (int k = 0; k < kGatherPlanes; ++k)
            {
                if (first + k < numPlanes)
                {
                    Out* const begin = output + static_cast<int64_t>(first + k) * plane.numOutputs + target;
                    *reinterpret_cast<Vector<Out, Run>*>(begin) = operation(values[k]);
                }
            }
        }
    }
}

// Gathers any map between any layouts.
template <typename Operation, typename Index>
__global__ __launch_bounds__(kGatherThreads) void gatherElements(typename Operation::Input const* __restrict__ input,
    typename Operation::Output* __restrict__ output, __grid_constant__ OutputMap<Index> const map,
    Operation const operation)
{
    Index const step = gridDim.x * Index{kGatherThreads};
    waitForEarlierWork();
    for (Index index = blockIdx.x * Index{kGatherThreads} + threadIdx.x; index < map.numOutputs; index += step)
    {
        Vector<typename Operation::Input, 1> const value{elementAt(input, sourceOf(map, index))};
        output[index] = operation(value).elements[0];
    }
}

} // namespace trtconv
