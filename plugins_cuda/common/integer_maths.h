// Whole-number arithmetic of launch choices, and the sizes that it is made for.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

namespace trtconv
{

// The most elements of a tensor that launch choices take, an empty axis counted as one: more than a GPU's memory holds,
// and few enough that what they make of sizes (bytes, whole vectors, threads) stays within 64 bits.
constexpr int64_t kMaxElements = int64_t{1} << 40;

// Returned by the checked functions below in place of a number that is negative or beyond 64 bits.
constexpr int64_t kOverflow = -1;

// These take and return numbers that are not negative, or kOverflow.
constexpr int64_t checkedSum(int64_t left, int64_t right)
{
    bool const fits = left >= 0 && right >= 0 && left <= std::numeric_limits<int64_t>::max() - right;
    return fits ? left + right : kOverflow;
}

constexpr int64_t checkedProduct(int64_t left, int64_t right)
{
    bool const fits = left >= 0 && right >= 0 && (right == 0 || left <= std::numeric_limits<int64_t>::max() / right);
    return fits ? left * right : kOverflow;
}

// Whether a tensor has sizes that are not negative, and at most kMaxElements elements.
template <typename Size>
constexpr bool isCountable(Size const* sizes, int32_t rank)
{
    int64_t elements = 1;
    for (int32_t axis = 0; axis < rank; ++axis)
    {
        int64_t const size = sizes[axis];
        elements = size < 0 ? kOverflow : checkedProduct(elements, std::max<int64_t>(size, 1));
    }
    return elements >= 0 && elements <= kMaxElements;
}

static_assert(checkedSum(INT64_MAX, 1) == kOverflow && checkedProduct(int64_t{1} << 62, 2) == kOverflow);
static_assert(checkedSum(INT64_MAX, 0) == INT64_MAX && checkedProduct(0, INT64_MAX) == 0);

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
