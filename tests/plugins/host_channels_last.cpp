// The arithmetic of channels-last InstanceNorm, run on the host: launch choice, and statistics as the kernels take them,
// one thread after another.
#include <vector>

#include "instance_norm/channel_sums.h"
#include "instance_norm/channels_last_config.h"

using namespace trtconv;

namespace
{

ChannelsLastConfig chooseFor(int64_t batch, int64_t pixels, int64_t vectors, int64_t const* device)
{
    return chooseChannelsLastConfig(
        {batch, pixels, vectors}, {static_cast<int32_t>(device[0]), device[1] != 0});
}

} // namespace

// `device`: multiprocessors, has clusters. Writes: is resident, threads, lanes, splits, pixels per split,
// columns, columns at once.
extern "C" void host_channels_last_config(
    int64_t batch, int64_t pixels, int64_t vectors, int64_t const* device, int64_t* result)
{
    ChannelsLastConfig const config = chooseFor(batch, pixels, vectors, device);
    int64_t const values[]{config.isResident ? 1 : 0, config.threads, config.lanes, config.splits,
        config.pixelsPerSplit, config.columns, config.columnsAtOnce};
    std::copy(std::begin(values), std::end(values), result);
}

extern "C" int64_t host_channels_last_workspace_totals(int64_t max_pixels)
{
    return channelsLastWorkspaceBytes(max_pixels) / kChannelTotalsBytes;
}

// One channel of one image. `stride`: the pixels between those of a thread. `in_pairs`: values of 16 bits.
extern "C" void host_normalise_channel(float const* input, float* output, int64_t pixels, int64_t pixels_per_split,
    int64_t stride, int32_t in_pairs, float scale, float bias, float epsilon)
{
    float const samples[kNumSamples]{
        input[sampleIndex(0, pixels)], input[sampleIndex(1, pixels)], input[sampleIndex(2, pixels)]};
    float const center = median(samples);
    ChannelTotals totals;
    for (int64_t begin = 0; begin < pixels; begin += pixels_per_split)
    {
        int64_t const end = std::min(begin + pixels_per_split, pixels);
        ChannelTotals blockTotals;
        for (int64_t first = begin; first < std::min(begin + stride, end); ++first)
        {
            ChannelSums sums(center);
            int32_t count = 0;
            for (int64_t pixel = first; pixel < end; pixel += stride)
            {
                if (in_pairs != 0 && pixel + stride < end)
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
    auto const count = static_cast<double>(pixels);
    SliceMap const line = finishChannel(totals, count, 1.0 / count, center, epsilon, scale, bias);
    for (int64_t pixel = 0; pixel < pixels; ++pixel)
    {
        output[pixel] = line(input[pixel]);
    }
}
