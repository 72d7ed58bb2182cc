// The arithmetic of channels-last InstanceNorm, run on the host: launch choice, and statistics as the kernels take
// them, one thread after another.
#include <vector>

#include "norm/channels_last/choice.h"
#include "norm/statistics.h"

using namespace trtconv;
using namespace trtconv::channels_last;

namespace
{

Config chooseFor(int64_t batch, int64_t pixels, int64_t vectors, int64_t const* device)
{
    return chooseConfig({batch, pixels, vectors},
        {static_cast<int32_t>(device[0]), static_cast<int32_t>(device[1]), static_cast<int32_t>(device[2])});
}

// One channel of one image, as `Sum` adds it up. `stride`: the pixels between those of a thread.
template <typename Sum, bool InPairs>
ChannelTotals sumChannel(float const* input, int64_t pixels, int64_t pixels_per_split, int64_t stride, float shift)
{
    ChannelTotals totals;
    for (int64_t begin = 0; begin < pixels; begin += pixels_per_split)
    {
        int64_t const end = std::min(begin + pixels_per_split, pixels);
        ChannelTotals blockTotals;
        for (int64_t first = begin; first < std::min(begin + stride, end); ++first)
        {
            ChannelSums<Sum> sums(shift);
            int32_t count = 0;
            for (int64_t pixel = first; pixel < end; pixel += stride)
            {
                if (InPairs && pixel + stride < end)
                {
                    sums.addPair(input[pixel], input[pixel + stride]);
                    pixel += stride;
                    count += 1;
                }
                else
                {
                    sums.add(input[pixel]);
                }
                count = (count + 1) % kPixelsPerFlush;
                if (count == 0)
                {
                    sums.flush();
                }
            }
            sums.flush();
            blockTotals.add(sums.totals());
        }
        totals.add(blockTotals);
    }
    return totals;
}

} // namespace

// `device`: multiprocessors, major version, shared bytes of a block. Writes: method, threads, lanes, splits, pixels per
// split, columns, columns at once, slots, steps, repeated steps.
extern "C" void host_channels_last_config(
    int64_t batch, int64_t pixels, int64_t vectors, int64_t const* device, int64_t* result)
{
    Config const config = chooseFor(batch, pixels, vectors, device);
    int64_t const values[]{static_cast<int64_t>(config.method), config.threads, config.lanes, config.splits,
        config.pixelsPerSplit, config.columns, config.columnsAtOnce, config.slots, config.steps, config.repeats};
    std::copy(std::begin(values), std::end(values), result);
}

// Writes: pixels of a thread's tile, most blocks of a launch; of a streamed launch the threads of a block, its static
// shared bytes, bytes and vectors of a step, steps ahead.
extern "C" void host_channels_last_constants(int64_t* result)
{
    int64_t const values[]{
        kTilePixels, kMaxColumnBlocks, kStreamedThreads, kStreamedStaticBytes, kStepBytes, kStepVectors, kStepsAhead};
    std::copy(std::begin(values), std::end(values), result);
}

extern "C" double host_anchored_sum(float const* values, int32_t count)
{
    AnchoredPairs sum;
    for (int32_t i = 0; i < count; ++i)
    {
        sum.add(values[i]);
    }
    return sum.exact();
}

// Of at most 32 numbers of fp16, two at a time.
extern "C" double host_sum_of_pairs(float const* values, int32_t count)
{
    ChannelSums<AnchoredPairs> sums(0.0F);
    for (int32_t i = 0; i + 1 < count; i += 2)
    {
        sums.addPair(values[i], values[i + 1]);
    }
    sums.flush();
    return sums.totals().values;
}

extern "C" int64_t host_sample_index(int32_t sample, int64_t pixels)
{
    return sampleIndex(sample, pixels);
}

// One channel of one image, of values of 32 bits, fp16 or bf16.
extern "C" void host_normalise_channel(float const* input, float* output, int64_t pixels, int64_t pixels_per_split,
    int64_t stride, int32_t is_fp16, int32_t is_bf16, float scale, float bias, float epsilon)
{
    float const samples[kNumSamples]{
        input[sampleIndex(0, pixels)], input[sampleIndex(1, pixels)], input[sampleIndex(2, pixels)]};
    float const shift = median(samples);
    auto const sum = is_fp16 != 0 ? sumChannel<AnchoredPairs, true>
        : is_bf16 != 0            ? sumChannel<CompensatedSum, true>
                                  : sumChannel<CompensatedSum, false>;
    ChannelTotals const totals = sum(input, pixels, pixels_per_split, stride, shift);
    auto const count = static_cast<double>(pixels);
    Affine const affine = finishChannel(totals, count, 1.0 / count, shift, epsilon, scale, bias);
    for (int64_t pixel = 0; pixel < pixels; ++pixel)
    {
        output[pixel] = affine(input[pixel]);
    }
}
