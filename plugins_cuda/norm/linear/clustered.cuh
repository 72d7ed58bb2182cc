// Slices held in the shared memory or the registers of a cluster of two blocks: one kernel, which reads each slice
// once. It needs sm_90 or later.
#pragma once

#include "common/hopper.cuh"
#include "common/kernel_launch.cuh"
#include "norm/linear/cluster_parts.cuh"
#include "norm/linear/sums.cuh"

namespace trtconv::linear
{

struct ClusterShared
{
    AsyncBarrier summed;
    SliceSums warpSums[kClusterBlocks * kClusterThreads / kWarpSize]; // of the warps of all blocks
};

// Where the sums' memory is used again, in vectors.
struct GroupedClusterShared
{
    AsyncBarrier summed;
    alignas(kVectorBytes) SliceSums warpSums[kClusterBlocks * kClusterThreads / kWarpSize];
};
static_assert(sizeof(GroupedClusterShared) <= kClusterStaticBytes);

// Gives every thread of the cluster the sum over all of its threads: each warp stores its sums in all blocks.
template <typename Shared>
__device__ SliceSums sumOverCluster(SliceSums const& sums, Shared& shared, uint32_t rank)
{
    constexpr uint32_t kWarps = kClusterThreads / kWarpSize;
    SliceSums const ofWarp = sumOverWarp(sums);
    SliceSums& target = shared.warpSums[rank * kWarps + threadIdx.x / kWarpSize];
    uint32_t const block = threadIdx.x % kWarpSize;
    if (block < kClusterBlocks)
    {
        storeAsync(&target.deviations, ofWarp.deviations, shared.summed, block);
        storeAsync(&target.squares, ofWarp.squares, shared.summed, block);
    }
    shared.summed.wait(0);
    return sumOfWarps(shared.warpSums, kClusterBlocks * kWarps);
}

constexpr int32_t kTableChannels = kClusterBlocks * kClusterThreads / kWarpSize;

// What finishes each channel of a group, in the memory of sums that all threads have read.
template <typename T>
class GroupTable
{
public:
    // Loads early what the calling thread's channel has of its own.
    __device__ GroupTable(Tensors<T, ResultKind::kGrouped> const& tensors, int64_t slice)
        : mNumChannels(tensors.result.runs.channelsPerGroup)
    {
        if (hasChannel())
        {
            mChannel =
                tensors.result.runs.parametersOf(threadIdx.x, tensors.groupFinish(slice, {}), tensors.result.epilogue);
        }
    }

    // Returns `finish` with the table; more channels than it holds are looked up in device memory.
    __device__ GroupFinish addTo(GroupFinish finish, SliceSums* memory) const
    {
        static_assert(sizeof(SliceFinish) == sizeof(SliceSums));
        if (mNumChannels <= kTableChannels)
        {
            auto* const table = reinterpret_cast<SliceFinish*>(memory);
            __syncthreads();
            if (hasChannel())
            {
                table[threadIdx.x] = ChannelRuns<T>::finishOf(mChannel, finish);
            }
            __syncthreads();
            finish.table = table;
        }
        return finish;
    }

private:
    __device__ bool hasChannel() const { return mNumChannels <= kTableChannels && threadIdx.x < mNumChannels; }

    int64_t mNumChannels;
    ChannelParameters mChannel{};
};

struct NoTable
{
    template <typename AnyTensors>
    __device__ NoTable(AnyTensors const&, int64_t)
    {
    }

    template <typename Finish>
    __device__ Finish const& addTo(Finish const& finish, SliceSums*) const
    {
        return finish;
    }
};

// `Part` is a SharedPart or a RegisterPart.
template <typename Part>
__global__ __launch_bounds__(kClusterThreads, 1) void normaliseClusteredSlices(
    __grid_constant__ typename Part::PartTensors const tensors, int32_t vectorsPerBlock)
{
#if __CUDA_ARCH__ >= 900
    using T = typename Part::Element;
    extern __shared__ __align__(128) char held[];
    __shared__ std::conditional_t<Part::kIsGrouped, GroupedClusterShared, ClusterShared> shared;
    if (threadIdx.x == 0)
    {
        shared.summed.initialise(1);
        publishBarriers();
    }
    __syncwarp();
    arriveAtCluster();
    uint32_t const rank = blockIdx.x % kClusterBlocks;
    int64_t const slice = blockIdx.x / kClusterBlocks;
    SliceSpan const span = Part::spanOf(tensors, slice);
    Part part(tensors, span, reinterpret_cast<T*>(held), rank, vectorsPerBlock);
    auto const thread = static_cast<int32_t>(threadIdx.x);
    bool const hasEdge = rank == 0 && thread < span.numEdges;
    int64_t const edgeElement = hasEdge ? span.edge(thread, Part::kVectorSize) : 0;
    int64_t const parameterIndex = tensors.parameterIndexOf(slice);
    waitForCluster(); // before any copy is on its way, for which this would wait too
    if (threadIdx.x == 0)
    {
        shared.summed.arriveAndExpect(sizeof(shared.warpSums)); // sums that have come by now are counted too
    }
    waitForEarlierWork();
    part.request();
    T const edge = hasEdge ? tensors.input[edgeElement] : T{};
    float const shift = tensors.shiftOf(span);
    SliceParameters<T> const parameters = tensors.parametersAt(parameterIndex);
    std::conditional_t<Part::kIsGrouped, GroupTable<T>, NoTable> const table(tensors, slice);

    SliceSums sums = part.sum(shift);
    if (hasEdge)
    {
        sums.add(sumsOfElement(toFloat(edge), shift));
    }
    part.loadResiduals();
    sums = sumOverCluster(sums, shared, rank);
    auto const finish = tensors.finishOf(sums, shift, parameters.inFloat(), slice);
    part.store(table.addTo(finish, shared.warpSums));
    if (hasEdge)
    {
        tensors.result.storeOne(edgeElement, toFloat(edge), finish);
    }
#endif
}

} // namespace trtconv::linear
