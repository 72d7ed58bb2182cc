// Whole-number arithmetic of launch choices.
#pragma once

#include <cstdint>

namespace trtconv
{

constexpr int64_t ceilDivide(int64_t dividend, int64_t divisor)
{
    return (dividend + divisor - 1) / divisor;
}

constexpr int64_t nextPowerOfTwo(int64_t value)
{
    int64_t power = 1;
    while (power < value)
    {
        power *= 2;
    }
    return power;
}

} // namespace trtconv
