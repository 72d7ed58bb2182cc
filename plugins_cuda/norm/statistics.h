// Mean and inverse standard deviation of a slice, accurate enough that a result is off by little more than its
// rounding.
//
// Linear tensors: a thread holds tiles of up to 32 elements. Each is summed in float around its own mean, so no large
// mean and no outlier costs digits. The sum itself carries its rounding errors along (Knuth's exact addition): an
// output near zero is x minus a nearly equal mean, and needs that mean to far more digits than a float has. Tiles are
// merged in double, relative to a shift, one element of the slice: among n elements it is at most sqrt(n) standard
// deviations off the mean, which is near enough for a slice in the registers of one block. The shift of a larger slice
// is the median of three elements, because one outlier must not move it.
//
// Channels-last tensors: a thread reads many pixels of a channel, and of its neighbours, so it cannot hold them all and
// look at them twice. All squares are taken around the shift, the median of three elements. The sum of the values
// carries its rounding errors along. Both run in float over at most kPixelsPerFlush pixels and are then added up in
// double.
//
// Merging is plain addition in a fixed order, so results repeat bit for bit.
//
// Limit: |x - mean| up to 1e18, where 32 squares still fit a float. An infinity or NaN makes the whole slice NaN.
#pragma once

#include <cmath>
#include <cstdint>

#include "common/host_device.h"
#include "norm/exact_sums.h"
#include "result/affine.h"

namespace trtconv
{

// Returns 1 / sqrt(value), to a float's precision. The float instruction takes a fraction of the time of the double
// one.
TRTCONV_HOST_DEVICE inline float inverseRootAsFloat(double value)
{
#ifdef __CUDA_ARCH__
    constexpr double kSmallestExact = 1e-30; // below that a float may lack digits
    return value < kSmallestExact ? static_cast<float>(rsqrt(value)) : rsqrtf(static_cast<float>(value));
#else
    return static_cast<float>(1.0 / std::sqrt(value));
#endif
}

constexpr int32_t kNumSamples = 3;

// Returns the index of a sample among `count` elements: near the middle, and about halfway to either end. Exact
// quarters would lie on an image's left edge wherever four divides the height, and a border may be so far off the mean
// that squares around it are too large to tell the variance by.
TRTCONV_HOST_DEVICE constexpr int64_t sampleIndex(int32_t sample, int64_t count)
{
    constexpr int64_t kInset = 37;
    int64_t const quarter = count / 4;
    return (quarter > kInset ? quarter - kInset : quarter) * (sample + 1);
}

TRTCONV_HOST_DEVICE inline float median(float const (&samples)[kNumSamples])
{
    float const low = fminf(samples[0], samples[1]);
    float const high = fmaxf(samples[0], samples[1]);
    return fmaxf(low, fminf(high, samples[2]));
}

// Sums over a set of elements, relative to a shift that all sets of a slice share.
struct SliceSums
{
    double deviations = 0.0; // sum of x - shift
    double squares = 0.0; // sum of (x - shift)^2

    TRTCONV_HOST_DEVICE void add(SliceSums const& other)
    {
        deviations += other.deviations;
        squares += other.squares;
    }
};

// Returns the sums of a single element.
TRTCONV_HOST_DEVICE inline SliceSums sumsOfElement(float value, float shift)
{
    double const deviation = static_cast<double>(value) - shift;
    return {deviation, deviation * deviation};
}

// Returns the sums over the `count` elements valueAt(i), i in [0, Size), for which isValid(i); `total`, a
// CompensatedSum or an AnchoredSum, has added them up.
template <typename Sum, int Size, typename ValueAt, typename IsValid>
TRTCONV_HOST_DEVICE SliceSums sumsAround(
    Sum const& total, ValueAt const& valueAt, IsValid const& isValid, int count, float shift)
{
    static_assert(Size <= 32, "32 squares of 1e18 still fit a float");
    if (count == 0)
    {
        return {};
    }
    float const center =
        total.rounded() / static_cast<float>(count); // near the mean; what it lacks is accounted for below

    float squares[4] = {0.0F, 0.0F, 0.0F, 0.0F}; // four short sums round less than one long one
    TRTCONV_UNROLL
    for (int i = 0; i < Size; ++i)
    {
        float const deviation = isValid(i) ? valueAt(i) - center : 0.0F;
        squares[i & 3] = fmaf(deviation, deviation, squares[i & 3]);
    }
    float const aroundCenter = (squares[0] + squares[1]) + (squares[2] + squares[3]);

    // From sums around `center` to sums around `shift`: x - shift = (x - center) + (center - shift).
    double const remainder = total.exact() - static_cast<double>(count) * center;
    double const distance = static_cast<double>(center) - shift;
    double const moved = count * distance;
    return {moved + remainder, aroundCenter + distance * (2.0 * remainder + moved)};
}

// The mean as two floats, whose sum has the digits that one float lacks, and the factor to divide by.
struct SliceMoments
{
    float mean;
    float meanRest;
    float inverseStd;
};

TRTCONV_HOST_DEVICE inline SliceMoments makeSliceMoments(double mean, double spread, float epsilon)
{
    double const variance = spread < 0.0 ? 0.0 : spread; // rounding; written so that NaN stays NaN
    auto const meanFloat = static_cast<float>(mean);
    auto const meanRest = static_cast<float>(mean - meanFloat);
    return {meanFloat, meanRest, inverseRootAsFloat(variance + static_cast<double>(epsilon))};
}

TRTCONV_HOST_DEVICE inline SliceMoments finishMoments(
    SliceSums const& sums, double inverseCount, float shift, float epsilon)
{
    double const meanDeviation = sums.deviations * inverseCount;
    double const spread = (sums.squares - sums.deviations * meanDeviation) * inverseCount;
    return makeSliceMoments(shift + meanDeviation, spread, epsilon);
}

TRTCONV_HOST_DEVICE inline Affine makeAffine(SliceMoments const& moments, float scale, float bias)
{
    float const factor = moments.inverseStd * scale;
    return {moments.mean, factor, fmaf(-moments.meanRest, factor, bias)};
}

constexpr int32_t kPixelsPerFlush = 32; // squares of 1e18 that still fit a float

// Sums over a set of a channel's values; all sets of a slice share the shift.
struct alignas(16) ChannelTotals
{
    double values = 0.0; // sum of x
    double squares = 0.0; // sum of (x - shift)^2

    TRTCONV_HOST_DEVICE void add(ChannelTotals const& other)
    {
        values += other.values;
        squares += other.squares;
    }
};

static_assert(kPixelsPerFlush <= 32, "as many numbers as an AnchoredPairs takes");

// What a thread adds up of one channel. `Sum` is CompensatedSum, or AnchoredPairs for fp16, which takes 4 instructions
// instead of 7.
template <typename Sum>
class ChannelSums
{
public:
    ChannelSums() = default;

    TRTCONV_HOST_DEVICE explicit ChannelSums(float shift)
        : mShift(shift)
    {
    }

    TRTCONV_HOST_DEVICE void add(float value)
    {
        mTotal.add(value);
        float const deviation = value - mShift;
        mSquares = fmaf(deviation, deviation, mSquares);
    }

    // Adds two values of 16 bits. A float holds their sum, unless one is more than 2^13 times the other. It is rounded
    // then, which moves the mean by 2^-24 standard deviations at most, as such pairs make up much of the variance.
    TRTCONV_HOST_DEVICE void addPair(float first, float second)
    {
        mTotal.add(first + second);
        float const firstDeviation = first - mShift;
        float const secondDeviation = second - mShift;
        mSquares = fmaf(firstDeviation, firstDeviation, mSquares);
        mSquares = fmaf(secondDeviation, secondDeviation, mSquares);
    }

    // Must be called after at most kPixelsPerFlush values, and after the last.
    TRTCONV_HOST_DEVICE void flush()
    {
        mTotals.add({mTotal.exact(), static_cast<double>(mSquares)});
        mTotal = {};
        mSquares = 0.0F;
    }

    TRTCONV_HOST_DEVICE ChannelTotals const& totals() const { return mTotals; }

private:
    float mShift = 0.0F;
    Sum mTotal;
    float mSquares = 0.0F;
    ChannelTotals mTotals;
};

// Returns the affine of a channel. `inverseCount` is 1 / count: divisions in double take long.
TRTCONV_HOST_DEVICE inline Affine finishChannel(
    ChannelTotals const& totals, double count, double inverseCount, float shift, float epsilon, float scale, float bias)
{
    double const quotient = totals.values * inverseCount;
    double const mean = fma(fma(-quotient, count, totals.values), inverseCount, quotient); // exact if all are alike
    double const distance = mean - shift;
    double const spread = totals.squares * inverseCount - distance * distance;
    return makeAffine(makeSliceMoments(mean, spread, epsilon), scale, bias);
}

// Sums over one channel around its own mean: what a group of channels is put together from, whatever their shifts.
TRTCONV_HOST_DEVICE inline ChannelTotals aroundOwnMean(
    ChannelTotals const& totals, double count, double inverseCount, float shift)
{
    double const mean = totals.values * inverseCount;
    double const distance = mean - shift;
    double const squares = totals.squares - count * distance * distance;
    return {totals.values, squares < 0.0 ? 0.0 : squares}; // rounding; written so that NaN stays NaN
}

// Returns the moments of a group of channels of `count` values each; totalsAt(i) is aroundOwnMean of channel i.
template <typename TotalsAt>
TRTCONV_HOST_DEVICE SliceMoments finishGroup(
    TotalsAt const& totalsAt, int32_t numChannels, double count, double inverseCount, float epsilon)
{
    double values = 0.0;
    for (int32_t i = 0; i < numChannels; ++i)
    {
        values += totalsAt(i).values;
    }
    double const all = numChannels * count;
    double const inverseAll = inverseCount / numChannels;
    double const quotient = values * inverseAll;
    double const mean = fma(fma(-quotient, all, values), inverseAll, quotient); // exact if all are alike
    double squares = 0.0;
    for (int32_t i = 0; i < numChannels; ++i)
    {
        ChannelTotals const totals = totalsAt(i);
        double const distance = totals.values * inverseCount - mean;
        squares += fma(count * distance, distance, totals.squares);
    }
    return makeSliceMoments(mean, squares * inverseAll, epsilon);
}

} // namespace trtconv
