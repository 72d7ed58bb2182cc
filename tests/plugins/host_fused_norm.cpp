// What is fused into the norm, run on the host: the activations, statistics of groups, and the launch choice for them.
#include <vector>

#include "norm/channels_last/choice.h"
#include "norm/statistics.h"
#include "result/activation.h"

using namespace trtconv;

namespace
{

float activate(Activation activation, float value, float parameter)
{
    switch (curveOf(activation))
    {
    case Curve::kLimit: return activated<Curve::kLimit>(value, parameter);
    case Curve::kSlope: return activated<Curve::kSlope>(value, parameter);
    case Curve::kSilu: return activated<Curve::kSilu>(value, parameter);
    case Curve::kElu: return activated<Curve::kElu>(value, parameter);
    case Curve::kTanh: return activated<Curve::kTanh>(value, parameter);
    }
    return 0.0F;
}

} // namespace

extern "C" void host_activate(int32_t activation, float alpha, float const* input, float* output, int64_t count)
{
    auto const kind = static_cast<Activation>(activation);
    for (int64_t i = 0; i < count; ++i)
    {
        output[i] = activate(kind, input[i], parameterOf(kind, alpha));
    }
}

// Normalises one group: `channels` channels of `pixels` values each, one after another, each with a shift of its own.
extern "C" void host_normalise_group(float const* input, float* output, int32_t channels, int64_t pixels, float epsilon)
{
    auto const count = static_cast<double>(pixels);
    std::vector<ChannelTotals> totals;
    for (int32_t channel = 0; channel < channels; ++channel)
    {
        float const* const values = input + channel * pixels;
        float const shift = values[0];
        ChannelTotals sums;
        for (int64_t i = 0; i < pixels; ++i)
        {
            float const deviation = values[i] - shift;
            sums.add({values[i], static_cast<double>(deviation) * deviation});
        }
        totals.push_back(aroundOwnMean(sums, count, 1.0 / count, shift));
    }
    SliceMoments const moments =
        finishGroup([&](int32_t i) { return totals[i]; }, channels, count, 1.0 / count, epsilon);
    Affine const affine = makeAffine(moments, 1.0F, 0.0F);
    for (int64_t i = 0; i < channels * pixels; ++i)
    {
        output[i] = affine(input[i]);
    }
}

// Writes the choice for channels in groups on an H100: method, lanes, splits, pixels per split, columns.
extern "C" void host_group_config(int64_t batch, int64_t pixels, int64_t channels, int64_t channels_per_group,
    int32_t vector_channels, int64_t* result)
{
    using namespace trtconv::channels_last;
    Config const config = chooseGroupConfig(
        {batch, pixels, ceilDivide(channels, vector_channels)}, kH100, channels_per_group, vector_channels);
    int64_t const values[]{
        static_cast<int64_t>(config.method), config.lanes, config.splits, config.pixelsPerSplit, config.columns};
    std::copy(std::begin(values), std::end(values), result);
}
