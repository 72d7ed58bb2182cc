// Sums of floats that know what rounding took from them.
#pragma once

#include "common/host_device.h"

namespace trtconv
{

// Makes the compiler compute the value here, while the thread waits for the next ones, and not where it is used.
TRTCONV_HOST_DEVICE inline void computeHere([[maybe_unused]] float& value)
{
#ifdef __CUDA_ARCH__
    asm volatile("" : "+f"(value));
#endif
}

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

    TRTCONV_HOST_DEVICE void add(int /*index*/, float value) { add(value); }
    TRTCONV_HOST_DEVICE void addUpHere()
    {
        computeHere(sum);
        computeHere(error);
    }

    TRTCONV_HOST_DEVICE float rounded() const { return sum; }
    TRTCONV_HOST_DEVICE double exact() const { return static_cast<double>(sum) + error; }
};

// A CompensatedSum of at most 32 numbers of fp16, in 4 instructions each instead of 7. Each of two sums starts at an
// anchor so large that it stays in one binade, where it is a multiple of 0.25 and larger than any number. What an
// addition drops is below 0.125 and a multiple of 2^-24: while what was dropped adds up to less than 1, as it nearly
// always does, nothing is rounded at all.
class AnchoredSum
{
public:
    TRTCONV_HOST_DEVICE void add(int index, float value)
    {
        float const total = mSums[index & 1] + value;
        mDropped[index & 1] += value - (total - mSums[index & 1]);
        mSums[index & 1] = total;
    }

    TRTCONV_HOST_DEVICE void addUpHere()
    {
        for (int i = 0; i < 2; ++i)
        {
            computeHere(mSums[i]);
            computeHere(mDropped[i]);
        }
    }

    TRTCONV_HOST_DEVICE float rounded() const { return withoutAnchors() + (mDropped[0] + mDropped[1]); }
    TRTCONV_HOST_DEVICE double exact() const
    {
        return static_cast<double>(withoutAnchors()) + (static_cast<double>(mDropped[0]) + mDropped[1]);
    }

private:
    static constexpr float kAnchor = 3145728.0F; // 3 * 2^20; and 16 * 65504 < 2^20

    TRTCONV_HOST_DEVICE float withoutAnchors() const { return (mSums[0] - kAnchor) + (mSums[1] - kAnchor); }

    float mSums[2] = {kAnchor, kAnchor};
    float mDropped[2] = {0.0F, 0.0F};
};

// An AnchoredSum with one sum instead of two, which takes half the registers, of at most 32 numbers of fp16 or 16 sums
// of two. What an addition drops is at most 0.25: while that adds up to less than 1, nothing is rounded at all.
class AnchoredPairs
{
public:
    TRTCONV_HOST_DEVICE void add(float value)
    {
        float const total = mSum + value;
        mDropped += value - (total - mSum);
        mSum = total;
    }

    TRTCONV_HOST_DEVICE double exact() const { return static_cast<double>(mSum - kAnchor) + mDropped; }

private:
    static constexpr float kAnchor = 6291456.0F; // 3 * 2^21; and 32 * 65504 < 2^21

    float mSum = kAnchor;
    float mDropped = 0.0F;
};

} // namespace trtconv
