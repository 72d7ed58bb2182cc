// The kernels' own arithmetic, run on the host: launch choice, vector spans, statistics and spatial map, put together
// as the kernels do it, one thread after another. Elements that nobody writes keep what the caller put there.
#include <vector>

#include "instance_norm/instance_norm_config.h"
#include "instance_norm/slice_statistics.h"
#include "reflect_pad/reflect_pad_config.h"

using namespace trtconv;

namespace
{

struct Slice
{
    float const* input;
    VectorSpan span;
    int32_t vectorSize;
    float shift;
};

// The tile of the thread that reads the vectors first, first + step, ...
template <typename Visit>
void forEachTileElement(Slice const& slice, int64_t first, int32_t step, int64_t end, Visit const& visit)
{
    for (int32_t k = 0; k < tileVectors(slice.vectorSize); ++k)
    {
        int64_t const index = first + int64_t{k} * step;
        uint32_t const valid = index < end ? validElements(slice.span, index, slice.vectorSize) : 0;
        for (int32_t i = 0; i < slice.vectorSize; ++i)
        {
            if ((valid >> i & 1U) != 0)
            {
                visit(k * slice.vectorSize + i, slice.span.firstVectorBegin + index * slice.vectorSize + i);
            }
        }
    }
}

SliceSums sumsOfTile(Slice const& slice, int64_t first, int32_t step, int64_t end)
{
    float values[kMaxTileSize]{};
    uint32_t valid = 0;
    forEachTileElement(slice, first, step, end,
        [&](int32_t i, int64_t element)
        {
            values[i] = slice.input[element];
            valid |= uint32_t{1} << i;
        });
    return sumTile<kMaxTileSize>([&](int i) { return values[i]; }, valid, __builtin_popcount(valid), slice.shift);
}

} // namespace

extern "C" int64_t host_workspace_partials(int64_t max_slices, int64_t max_slice_size)
{
    return instanceNormWorkspaceBytes(max_slices, max_slice_size) / kPartialBytes;
}

// Writes: is resident, threads, lanes per slice, splits per slice, vectors per split, blocks.
extern "C" void host_instance_norm_config(int64_t num_slices, int64_t slice_size, int32_t base_offset,
    int32_t vector_size, int32_t num_processors, int64_t* result)
{
    InstanceNormConfig const config =
        chooseInstanceNormConfig(num_slices, slice_size, base_offset, vector_size, num_processors);
    result[0] = config.isResident ? 1 : 0;
    result[1] = config.threads;
    result[2] = config.lanesPerSlice;
    result[3] = config.splitsPerSlice;
    result[4] = config.vectorsPerSplit;
    result[5] = config.blocks;
}

// `visits` counts how often each element of the output is written.
extern "C" void host_instance_norm(float const* input, float const* scale, float const* bias, float* output,
    int32_t* visits, int64_t num_slices, int64_t channels, int64_t slice_size, float epsilon, int32_t base_offset,
    int32_t vector_size, int32_t num_processors)
{
    InstanceNormConfig const config =
        chooseInstanceNormConfig(num_slices, slice_size, base_offset, vector_size, num_processors);
    int32_t const lanes = config.isResident ? config.lanesPerSlice : config.threads;
    int64_t const tileStep = int64_t{lanes} * tileVectors(vector_size);
    for (int64_t index = 0; index < num_slices; ++index)
    {
        VectorSpan const span = makeVectorSpan(index * slice_size, slice_size, base_offset, vector_size);
        Slice const slice{input, span, vector_size, input[span.begin]};
        // A thread of a resident launch has one tile: had it more, `visits` would show those left out.
        auto const forEachTileOfThread = [&](int32_t split, int32_t lane, auto const& body)
        {
            int64_t const begin = split * config.vectorsPerSplit;
            int64_t const end = std::min(begin + config.vectorsPerSplit, span.numVectors);
            for (int64_t first = begin + lane; first < end; first += config.isResident ? end : tileStep)
            {
                body(first, end);
            }
        };
        SliceSums sums;
        for (int32_t split = 0; split < config.splitsPerSlice; ++split)
        {
            SliceSums blockSums;
            for (int32_t lane = 0; lane < lanes; ++lane)
            {
                SliceSums threadSums;
                forEachTileOfThread(split, lane,
                    [&](int64_t first, int64_t end) { threadSums.add(sumsOfTile(slice, first, lanes, end)); });
                blockSums.add(threadSums);
            }
            sums.add(blockSums);
        }
        SliceMoments const moments = finishMoments(sums, slice_size, slice.shift, epsilon);
        int64_t const channel = index % channels;
        auto const store = [&](int32_t, int64_t element)
        {
            output[element] = normalise(input[element], moments, scale[channel], bias[channel]);
            ++visits[element];
        };
        for (int32_t thread = 0; thread < config.splitsPerSlice * lanes; ++thread)
        {
            forEachTileOfThread(thread / lanes, thread % lanes,
                [&](int64_t first, int64_t end) { forEachTileElement(slice, first, lanes, end, store); });
        }
    }
}

extern "C" uint32_t host_fast_divide(uint32_t dividend, uint32_t divisor)
{
    return FastDivisor<uint32_t>(divisor).divide(dividend);
}

extern "C" int32_t host_find_bad_pad(int32_t rank, int64_t const* sizes, int64_t const* pads)
{
    return findBadPad(rank, sizes, pads);
}

// Returns which input element the output element is a copy of. `fast` asks for the 32-bit arithmetic.
extern "C" int64_t host_pad_source(
    int32_t rank, int64_t const* sizes, int64_t const* pads, int64_t output, int32_t fast)
{
    PadShape const shape = makePadShape(Layout::kLinear, 1, rank, sizes, pads);
    return fast != 0 ? inputOf(makePadMap<uint32_t>(shape), static_cast<uint32_t>(output))
                     : inputOf(makePadMap<int64_t>(shape), output);
}

extern "C" int32_t host_fits_fast_index(int32_t rank, int64_t const* sizes, int64_t const* pads)
{
    return fitsFastIndex(makePadShape(Layout::kLinear, 1, rank, sizes, pads).numOutputs()) ? 1 : 0;
}

// Writes the rank, then of each axis its input size, begin and end pad; then the bytes of a word.
extern "C" void host_pad_words(int32_t layout, int32_t element_bytes, int32_t rank, int64_t const* sizes,
    int64_t const* pads, int64_t alignment, int64_t* result)
{
    PadShape const elements = makePadShape(static_cast<Layout>(layout), element_bytes, rank, sizes, pads);
    PadWords const words = widenWords(elements, element_bytes, static_cast<uint64_t>(alignment));
    *result++ = words.shape.rank;
    for (int32_t axis = 0; axis < words.shape.rank; ++axis)
    {
        *result++ = words.shape.inputSizes[axis];
        *result++ = words.shape.padBegins[axis];
        *result++ = words.shape.padEnds[axis];
    }
    *result = words.bytes;
}

extern "C" int32_t host_can_pad_in(int32_t layout, int32_t rank, int64_t const* pads)
{
    return canPadIn(static_cast<Layout>(layout), rank, pads) ? 1 : 0;
}

namespace
{

// Adds to `output` what the kernel writes of one vector, in the two ways that it does so.
template <typename Index>
void padVector(PadMap<Index> const& map, int64_t begin, int32_t vectorSize, int32_t const* input, int32_t* output)
{
    auto const numOutputs = static_cast<int64_t>(map.numOutputs);
    auto const count = static_cast<Index>(vectorSize);
    bool const isWhole = begin >= 0 && begin + vectorSize <= numOutputs;
    PadRun<Index> run{RunKind::kScattered, 0};
    if (isWhole)
    {
        run = runOf(map, static_cast<Index>(begin), count);
    }
    if (run.kind != RunKind::kScattered)
    {
        for (int32_t i = 0; i < vectorSize; ++i)
        {
            int32_t const place = run.kind == RunKind::kForward ? i : vectorSize - 1 - i;
            output[begin + i] += input[static_cast<int64_t>(run.begin) + place];
        }
    }
    else
    {
        for (int64_t target = std::max<int64_t>(begin, 0); target < std::min(begin + vectorSize, numOutputs); ++target)
        {
            output[target] += input[inputOf(map, static_cast<Index>(target))];
        }
    }
}

template <typename Index>
void padLikeKernel(PadShape const& shape, int32_t baseOffset, int32_t vectorSize, int32_t const* input, int32_t* output)
{
    PadMap<Index> const map = makePadMap<Index>(shape);
    int64_t const numVectors = countVectors(shape.numOutputs(), baseOffset, vectorSize);
    int64_t const threads = choosePadBlocks(numVectors) * kPadThreads;
    for (int64_t thread = 0; thread < threads; ++thread)
    {
        for (int64_t index = thread; index < numVectors; index += threads)
        {
            padVector(map, index * vectorSize - baseOffset, vectorSize, input, output);
        }
    }
}

} // namespace

// Adds to `output`, so that an element written twice shows.
extern "C" void host_reflect_pad(int32_t rank, int64_t const* sizes, int64_t const* pads, int32_t base_offset,
    int32_t vector_size, int32_t fast, int32_t const* input, int32_t* output)
{
    PadShape const shape = makePadShape(Layout::kLinear, 1, rank, sizes, pads);
    if (fast != 0)
    {
        padLikeKernel<uint32_t>(shape, base_offset, vector_size, input, output);
    }
    else
    {
        padLikeKernel<int64_t>(shape, base_offset, vector_size, input, output);
    }
}
