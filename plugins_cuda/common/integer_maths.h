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

// Returns the largest power of two that both addresses are multiples of.
inline uint64_t commonAlignment(void const* first, void const* second)
{
    uint64_t const bits = reinterpret_cast<uintptr_t>(first) | reinterpret_cast<uintptr_t>(second);
    return bits & (~bits + 1);
}

} // namespace trtconv
