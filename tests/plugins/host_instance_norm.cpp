// InstanceNorm's own arithmetic, run on the host: launch choice, slice spans and statistics, put together as the
// kernels do it, one thread after another. Elements that nobody writes keep what the caller put there.
#include <vector>

#include "norm/linear/scatter_choice.h"
#include "norm/statistics.h"

using namespace trtconv;
using namespace trtconv::linear;

namespace
{

// How a launch shares a slice out: each thread of each block has tiles of some vectors.
struct Sharing
{
    int32_t blocks;
    int64_t vectorsPerBlock;
    int32_t threads; // of a block; thread i has vectors i, i + threads, ...
    int32_t tileVectors;
    bool hasOneTile;
};

Sharing sharingOf(Config const& config, SliceShape const& shape)
{
    switch (config.method)
    {
    case Method::kResident: return {1, shape.numVectors(), config.lanesPerSlice, config.vectorsPerLane, true};
    case Method::kClustered:
        return {config.blocksPerSlice, config.vectorsPerBlock, kClusterThreads, kMaxTileSize / shape.vectorSize, false};
    case Method::kStreamed:
        return {config.blocksPerSlice, config.vectorsPerBlock, kSumThreads, kSumTileSize / shape.vectorSize, false};
    default:
        return {
            config.blocksPerSlice, config.vectorsPerBlock, kSplitThreads, splitTileVectors(shape.vectorSize), false};
    }
}

// Calls visit(first element) for each whole vector of the tile that begins with vector `first`.
template <typename Visit>
void forEachVector(
    SliceSpan const& span, Sharing const& sharing, int32_t vectorSize, int64_t first, int64_t end, Visit const& visit)
{
    for (int32_t k = 0; k < sharing.tileVectors && first + int64_t{k} * sharing.threads < end; ++k)
    {
        visit(span.bodyBegin + (first + int64_t{k} * sharing.threads) * vectorSize);
    }
}

// Calls visitTile(first vector, end) for each tile of a thread, and visitEdge(element) for its edge, if it has one.
template <typename VisitTile, typename VisitEdge>
void forEachTile(SliceSpan const& span, Sharing const& sharing, int32_t vectorSize, int32_t block, int32_t thread,
    VisitTile const& visitTile, VisitEdge const& visitEdge)
{
    if (block == 0 && thread < span.numEdges)
    {
        visitEdge(span.edge(thread, vectorSize));
    }
    int64_t const begin = std::min(block * sharing.vectorsPerBlock, span.numVectors);
    int64_t const end = std::min(begin + sharing.vectorsPerBlock, span.numVectors);
    // A thread of a resident launch has one tile: had it more, `visits` would show those left out.
    int64_t const step = sharing.hasOneTile ? end + 1 : int64_t{sharing.threads} * sharing.tileVectors;
    for (int64_t first = begin + thread; first < end; first += step)
    {
        visitTile(first, end);
    }
}

float shiftOf(Method method, float const* slice, int64_t count)
{
    if (method == Method::kResident)
    {
        return slice[0];
    }
    float const samples[kNumSamples]{
        slice[sampleIndex(0, count)], slice[sampleIndex(1, count)], slice[sampleIndex(2, count)]};
    return median(samples);
}

template <typename Sum>
SliceSums sumsOfSlice(
    float const* input, SliceSpan const& span, float shift, Sharing const& sharing, int32_t vectorSize)
{
    SliceSums sums;
    for (int32_t block = 0; block < sharing.blocks; ++block)
    {
        SliceSums blockSums;
        for (int32_t thread = 0; thread < sharing.threads; ++thread)
        {
            SliceSums threadSums;
            auto const addTile = [&](int64_t first, int64_t end)
            {
                std::vector<float> values;
                forEachVector(span, sharing, vectorSize, first, end, [&](int64_t element)
                    { values.insert(values.end(), input + element, input + element + vectorSize); });
                auto const count = static_cast<int>(values.size());
                Sum total;
                for (int i = 0; i < count; ++i)
                {
                    total.add(i, values[i]);
                }
                threadSums.add(sumsAround<Sum, kMaxTileSize>(
                    total, [&](int i) { return values[i]; }, [&](int i) { return i < count; }, count, shift));
            };
            forEachTile(span, sharing, vectorSize, block, thread, addTile,
                [&](int64_t element) { threadSums.add(sumsOfElement(input[element], shift)); });
            blockSums.add(threadSums);
        }
        sums.add(blockSums);
    }
    return sums;
}

} // namespace

// Writes: the H100's multiprocessors, major version and shared bytes of a block; threads and blocks of a cluster, its
// static shared bytes; vectors of a stage, static shared bytes of a streamed launch.
extern "C" void host_linear_constants(int64_t* result)
{
    int64_t const values[]{kH100.numProcessors, kH100.majorVersion, kH100.sharedBytesPerBlock, kClusterThreads,
        kClusterBlocks, kClusterStaticBytes, kStageVectors, kStreamedStaticBytes};
    std::copy(std::begin(values), std::end(values), result);
}

extern "C" int64_t host_workspace_partials(int64_t max_slices, int64_t max_slice_size)
{
    return workspaceBytes(max_slices, max_slice_size) / kPartialBytes;
}

// Writes: method, threads, lanes per slice, vectors per lane, blocks per slice, vectors per block, blocks.
extern "C" void host_instance_norm_config(int64_t num_slices, int64_t slice_size, int32_t base_offset,
    int32_t vector_size, int32_t num_processors, int32_t major_version, int32_t shared_bytes, int64_t* result)
{
    Config const config =
        chooseConfig({num_slices, slice_size, base_offset, vector_size}, {num_processors, major_version, shared_bytes});
    int64_t const values[]{static_cast<int64_t>(config.method), config.threads, config.lanesPerSlice,
        config.vectorsPerLane, config.blocksPerSlice, config.vectorsPerBlock, config.blocks};
    std::copy(std::begin(values), std::end(values), result);
}

// Writes how a norm of slices of so many phases and copies is launched, in the order of host_instance_norm_config, if
// its results are scattered; returns whether they are.
extern "C" int32_t host_placed_norm_config(int64_t num_slices, int64_t slice_size, int64_t num_phases,
    int64_t column_copies, int32_t base_offset, int32_t element_bytes, int32_t num_processors, int32_t major_version,
    int32_t shared_bytes, int64_t* result)
{
    if (!isScattered({num_slices, slice_size, element_bytes, num_phases, column_copies}))
    {
        return 0;
    }
    Config const config =
        chooseScattered({num_slices, slice_size, base_offset, static_cast<int32_t>(kVectorBytes) / element_bytes},
            num_phases, {num_processors, major_version, shared_bytes});
    int64_t const values[]{static_cast<int64_t>(config.method), config.threads, config.lanesPerSlice,
        config.vectorsPerLane, config.blocksPerSlice, config.vectorsPerBlock, config.blocks};
    std::copy(std::begin(values), std::end(values), result);
    return 1;
}

// Returns the bytes that are set aside for tensors of at most this shape whose results are not scattered.
extern "C" int64_t host_max_held_bytes(
    int64_t num_slices, int64_t slice_size, int64_t num_phases, int64_t column_copies, int32_t element_bytes)
{
    return maxHeldBytes({num_slices, slice_size, element_bytes, num_phases, column_copies});
}

// `visits` counts how often each element of the output is written. `is_half`: all values are numbers of fp16, and are
// summed up as those are.
extern "C" void host_instance_norm(float const* input, float const* scale, float const* bias, float* output,
    int32_t* visits, int64_t num_slices, int64_t channels, int64_t slice_size, float epsilon, int32_t base_offset,
    int32_t vector_size, int32_t num_processors, int32_t major_version, int32_t shared_bytes, int32_t is_half)
{
    SliceShape const shape{num_slices, slice_size, base_offset, vector_size};
    Config const config = chooseConfig(shape, {num_processors, major_version, shared_bytes});
    Sharing const sharing = sharingOf(config, shape);
    for (int64_t slice = 0; slice < num_slices; ++slice)
    {
        SliceSpan const span = makeSliceSpan(slice * slice_size, slice_size, base_offset, vector_size);
        float const shift = shiftOf(config.method, input + span.begin, slice_size);
        SliceSums const sums = is_half != 0 ? sumsOfSlice<AnchoredSum>(input, span, shift, sharing, vector_size)
                                            : sumsOfSlice<CompensatedSum>(input, span, shift, sharing, vector_size);
        SliceMoments const moments = finishMoments(sums, 1.0 / static_cast<double>(slice_size), shift, epsilon);
        Affine const affine = makeAffine(moments, scale[slice % channels], bias[slice % channels]);
        auto const store = [&](int64_t element)
        {
            output[element] = affine(input[element]);
            ++visits[element];
        };
        auto const storeTile = [&](int64_t first, int64_t end)
        {
            forEachVector(span, sharing, vector_size, first, end,
                [&](int64_t element)
                {
                    for (int32_t i = 0; i < vector_size; ++i)
                    {
                        store(element + i);
                    }
                });
        };
        for (int32_t thread = 0; thread < sharing.blocks * sharing.threads; ++thread)
        {
            forEachTile(
                span, sharing, vector_size, thread / sharing.threads, thread % sharing.threads, storeTile, store);
        }
    }
}
