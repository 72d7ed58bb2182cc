// ReflectPad's own arithmetic, run on the host: launch choice and spatial map, put together as the kernels do it, one
// thread after another.
#include "reflect_pad/choice.h"

using namespace trtconv;

extern "C" uint32_t host_fast_divide(uint32_t dividend, uint32_t divisor)
{
    return FastDivisor<uint32_t>(divisor).divide(dividend);
}

extern "C" int32_t host_find_bad_pad(int32_t rank, int64_t const* sizes, int64_t const* pads)
{
    return findBadPad(rank, sizes, pads);
}

namespace
{

// Calls visit(map) with the map that a kernel gets. `fast` asks for the 32-bit arithmetic.
template <typename Visit>
auto withPadMap(PadShape const& shape, bool fast, Visit const& visit)
{
    if (!fast)
    {
        return visit(makePadMap<int64_t>(shape));
    }
    switch (shape.rank)
    {
    case 3: return visit(makePadMap<uint32_t, 3>(shape));
    case 4: return visit(makePadMap<uint32_t, 4>(shape));
    default: return visit(makePadMap<uint32_t>(shape));
    }
}

} // namespace

// Returns which input element the output element is a copy of.
extern "C" int64_t host_pad_source(
    int32_t rank, int64_t const* sizes, int64_t const* pads, int64_t output, int32_t fast)
{
    PadShape const shape = makePadShape(Layout::kLinear, 1, rank, sizes, pads);
    return withPadMap(shape, fast != 0,
        [&](auto const& map)
        {
            using Index = decltype(map.numOutputs);
            return static_cast<int64_t>(inputOf(map, static_cast<Index>(output)));
        });
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
template <typename Index, int32_t Rank>
void padVector(PadMap<Index, Rank> const& map, int64_t begin, int32_t vectorSize, int32_t const* input, int32_t* output)
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

template <typename Map>
void padLikeKernel(Map const& map, PadShape const& shape, int32_t baseOffset, int32_t vectorSize, int32_t const* input,
    int32_t* output)
{
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
    withPadMap(
        shape, fast != 0, [&](auto const& map) { padLikeKernel(map, shape, base_offset, vector_size, input, output); });
}

namespace
{

// Adds to `output` what the threads of a plane launch write.
template <typename Map>
void padPlanesLikeKernel(Map const& plane, int64_t numPlanes, int32_t const* input, int32_t* output)
{
    using Index = decltype(plane.numOutputs);
    int64_t const numOutputs = plane.numOutputs;
    int64_t const threads = choosePadBlocks(numOutputs) * kPadThreads;
    for (int64_t thread = 0; thread < threads; ++thread)
    {
        for (int64_t target = thread; target < numOutputs; target += threads)
        {
            auto const source = static_cast<int64_t>(inputOf(plane, static_cast<Index>(target)));
            for (int64_t index = 0; index < numPlanes; ++index)
            {
                output[index * numOutputs + target] += input[index * int64_t{plane.numInputs} + source];
            }
        }
    }
}

} // namespace

// The same by planes; returns 0 if these pads do not allow it.
extern "C" int32_t host_reflect_pad_planes(
    int32_t rank, int64_t const* sizes, int64_t const* pads, int32_t const* input, int32_t* output)
{
    PadShape const shape = makePadShape(Layout::kLinear, 1, rank, sizes, pads);
    if (shape.rank < 2 || shape.isPadded(0))
    {
        return 0;
    }
    PadShape const plane = planeOf(shape);
    int64_t const numPlanes = shape.inputSizes[0];
    switch (plane.rank)
    {
    case 2: padPlanesLikeKernel(makePadMap<uint32_t, 2>(plane), numPlanes, input, output); break;
    case 3: padPlanesLikeKernel(makePadMap<uint32_t, 3>(plane), numPlanes, input, output); break;
    default: padPlanesLikeKernel(makePadMap<uint32_t>(plane), numPlanes, input, output);
    }
    return 1;
}

extern "C" int32_t host_pads_by_planes(int32_t element_bytes, int32_t rank, int64_t const* sizes, int64_t const* pads)
{
    PadShape const shape = makePadShape(Layout::kLinear, element_bytes, rank, sizes, pads);
    return padsByPlanes(widenWords(shape, element_bytes, kVectorBytes)) ? 1 : 0;
}
