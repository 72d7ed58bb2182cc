// Where the runs of channels of a channels-last tensor of phases lie when these are interleaved.
//
// X [N, D1..Dk, B * C], B being the product of the phases b1..bk, holds for each pixel runs of C channels, one for each
// phase: it is a tensor [N, D1..Dk, b1..bk, C], whose elements have another order than in [N, D1 * b1..Dk * bk, C].
// Their sums do not depend on it: a norm takes the runs for pixels, and puts them into their places when it stores
// them.
#pragma once

#include <cstdint>
#include <optional>

#include "common/fast_divisor.h"
#include "common/host_device.h"

namespace trtconv
{

constexpr int32_t kMaxPhaseLevels = 5; // of three axes with phases

// A vector's number in the one order gives that in the other: it is linear in the numbers of what surrounds the vector,
// by steps modulo 2^32.
struct PhaseOrder
{
    struct Level
    {
        FastDivisor<uint32_t> vectors;
        uint32_t step;
    };

    int32_t numLevels = 0; // none where the orders are the same
    Level levels[kMaxPhaseLevels]{};

    TRTCONV_HOST_DEVICE uint32_t placeOf(uint32_t vector) const
    {
        uint32_t place = vector;
        TRTCONV_UNROLL
        for (int32_t i = 0; i < kMaxPhaseLevels; ++i)
        {
            if (i < numLevels)
            {
                place += levels[i].vectors.divide(vector) * levels[i].step;
            }
        }
        return place;
    }
};

// Puts together the order of numbers of vectors, all below 2^31, from the digits of such a number.
class PhaseOrderMaker
{
public:
    // Adds a digit: of `radix` values, which lie `weight` vectors apart in the image. The innermost comes first.
    void add(int64_t radix, int64_t weight)
    {
        uint32_t const step = static_cast<uint32_t>(weight) - static_cast<uint32_t>(mWeightOfNext);
        if (step != 0)
        {
            addLevel(step);
        }
        mVectors *= radix;
        mWeightOfNext = weight * radix;
    }

    // Returns the order; none if it has too many levels.
    std::optional<PhaseOrder> order() const { return mIsTooDeep ? std::nullopt : std::optional(mOrder); }

private:
    void addLevel(uint32_t step)
    {
        int32_t const last = mOrder.numLevels - 1;
        if (last >= 0 && mOrder.levels[last].vectors.value() == mVectors)
        {
            mOrder.levels[last].step += step;
            mOrder.numLevels -= mOrder.levels[last].step == 0 ? 1 : 0;
            return;
        }
        mIsTooDeep = mIsTooDeep || mOrder.numLevels == kMaxPhaseLevels;
        if (!mIsTooDeep)
        {
            mOrder.levels[mOrder.numLevels++] = {FastDivisor<uint32_t>(static_cast<uint32_t>(mVectors)), step};
        }
    }

    PhaseOrder mOrder;
    int64_t mVectors = 1; // of a step of the next digit
    int64_t mWeightOfNext = 1; // with which it would not differ from the digits before it
    bool mIsTooDeep = false;
};

// Returns the order of images, or volumes, of `sizes` before they are interleaved; they are not empty. A run is
// `vectors` vectors.
inline std::optional<PhaseOrder> makePhaseOrder(
    int32_t numAxes, int64_t const* sizes, int64_t const* phases, int64_t vectors)
{
    PhaseOrderMaker maker;
    maker.add(vectors, 1);
    int64_t weight = vectors;
    for (int32_t axis = numAxes - 1; axis >= 0; --axis)
    {
        maker.add(phases[axis], weight);
        weight *= sizes[axis] * phases[axis];
    }
    weight = vectors;
    for (int32_t axis = numAxes - 1; axis >= 0; --axis)
    {
        maker.add(sizes[axis], weight * phases[axis]);
        weight *= sizes[axis] * phases[axis];
    }
    maker.add(1, weight);
    return maker.order();
}

} // namespace trtconv
