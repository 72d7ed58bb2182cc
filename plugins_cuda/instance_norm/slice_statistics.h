// Mean and inverse standard deviation of a slice, accurate enough that a result is off by little more than its
// rounding.
//
// Tiles of up to 32 elements are summed in float, each around its own mean, so no large mean and no outlier costs
// digits. The sum itself carries its rounding errors along (Knuth's exact addition): an output near zero is x minus a
// nearly equal mean, and needs that mean to far more digits than a float has. Tiles are merged in double, relative to
// the slice's first element: since that element is one of the slice, its distance to the mean is at most sqrt(count)
// standard deviations, which bounds the cancellation in the variance by count * 2^-53. Merging is plain addition in a
// fixed order, so results repeat bit for bit.
//
// Limit: |x - mean| up to 1e18, where 32 squares still fit a float. An infinity or NaN makes the whole slice NaN.
#pragma once

#include <cmath>
#include <cstdint>

#include "common/host_device.h"

namespace trtconv
{

// A sum of floats together with the sum of its rounding errors.
struct CompensatedSum
{
    float sum = 0.0F;
    float error = 0.0F;

    TRTCONV_HOST_DEVICE void add(float value)
    {
        float const total = sum + value;
        float const added = total - sum;
        error += (sum - (total - added)) + (value - added);
        sum = total;
    }
};

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

// Sums the elements valueAt(i), i in [0, Size), whose bit in `valid` is set.
template <int Size, typename ValueAt>
TRTCONV_HOST_DEVICE SliceSums sumTile(ValueAt const& valueAt, uint32_t valid, int count, float shift)
{
    static_assert(Size <= 32, "one bit per element; and 32 squares of 1e18 still fit a float");
    if (count == 0)
    {
        return {};
    }
    CompensatedSum total;
    TRTCONV_UNROLL
    for (int i = 0; i < Size; ++i)
    {
        total.add((valid >> i & 1U) != 0 ? valueAt(i) : 0.0F);
    }
    float const center = total.sum / static_cast<float>(count); // near the mean; what it lacks is accounted for below

    float squares[4] = {0.0F, 0.0F, 0.0F, 0.0F}; // four short sums round less than one long one
    TRTCONV_UNROLL
    for (int i = 0; i < Size; ++i)
    {
        float const deviation = (valid >> i & 1U) != 0 ? valueAt(i) - center : 0.0F;
        squares[i & 3] = fmaf(deviation, deviation, squares[i & 3]);
    }
    float const aroundCenter = (squares[0] + squares[1]) + (squares[2] + squares[3]);

    // From sums around `center` to sums around `shift`: x - shift = (x - center) + (center - shift).
    double const remainder = (static_cast<double>(total.sum) + total.error) - static_cast<double>(count) * center;
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

TRTCONV_HOST_DEVICE inline SliceMoments finishMoments(SliceSums const& sums, int64_t count, float shift, float epsilon)
{
    double const inverseCount = 1.0 / static_cast<double>(count);
    double const meanDeviation = sums.deviations * inverseCount;
    double const spread = (sums.squares - sums.deviations * meanDeviation) * inverseCount;
    double const variance = spread < 0.0 ? 0.0 : spread; // rounding; written so that NaN stays NaN
    double const mean = shift + meanDeviation;
    float const meanFloat = static_cast<float>(mean);
    float const meanRest = static_cast<float>(mean - meanFloat);
    return {meanFloat, meanRest, static_cast<float>(1.0 / sqrt(variance + static_cast<double>(epsilon)))};
}

// The difference to the rounded mean is exact wherever x is near it.
TRTCONV_HOST_DEVICE inline float normalise(float value, SliceMoments const& moments, float scale, float bias)
{
    float const normalised = ((value - moments.mean) - moments.meanRest) * moments.inverseStd;
    return fmaf(normalised, scale, bias);
}

} // namespace trtconv
