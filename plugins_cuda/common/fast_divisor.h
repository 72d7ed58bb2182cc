// Division by a number that is known before the launch: a multiplication on 32 bits, the plain operator on 64.
#pragma once

#include <cstdint>

#include "common/host_device.h"

namespace trtconv
{

template <typename Index>
class FastDivisor;

// Multiplies by the rounded-up reciprocal (Granlund and Montgomery): exact for dividends and divisors below 2^31.
template <>
class FastDivisor<uint32_t>
{
public:
    FastDivisor() = default;

    constexpr explicit FastDivisor(uint32_t divisor)
        : mDivisor(divisor)
    {
        while ((uint64_t{1} << mShift) < divisor)
        {
            ++mShift;
        }
        uint64_t const excess = (uint64_t{1} << mShift) - divisor;
        mMultiplier = static_cast<uint32_t>((excess << 32) / divisor + 1);
    }

    TRTCONV_HOST_DEVICE uint32_t divide(uint32_t dividend) const
    {
#ifdef __CUDA_ARCH__
        uint32_t const high = __umulhi(dividend, mMultiplier);
#else
        auto const high = static_cast<uint32_t>((uint64_t{dividend} * mMultiplier) >> 32);
#endif
        return (high + dividend) >> mShift;
    }

    TRTCONV_HOST_DEVICE uint32_t value() const { return mDivisor; }

private:
    uint32_t mDivisor = 1;
    uint32_t mMultiplier = 1;
    uint32_t mShift = 0;
};

template <>
class FastDivisor<int64_t>
{
public:
    FastDivisor() = default;

    constexpr explicit FastDivisor(int64_t divisor)
        : mDivisor(divisor)
    {
    }

    TRTCONV_HOST_DEVICE int64_t divide(int64_t dividend) const { return dividend / mDivisor; }
    TRTCONV_HOST_DEVICE int64_t value() const { return mDivisor; }

private:
    int64_t mDivisor = 1;
};

} // namespace trtconv
