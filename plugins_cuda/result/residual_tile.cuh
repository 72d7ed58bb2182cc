// The residual of a thread's vectors, on its way while the norm's statistics are found.
#pragma once

#include "result/epilogue.cuh"

namespace trtconv
{

// Loads a vector here, and not where it is used.
__device__ inline uint4 loadHere(void const* source)
{
    uint4 words;
    asm volatile("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];"
        : "=r"(words.x), "=r"(words.y), "=r"(words.z), "=r"(words.w)
        : "l"(source));
    return words;
}

// Brings the line of an address into the L2 cache.
__device__ inline void prefetchLine(void const* address)
{
    asm volatile("prefetch.global.L2 [%0];" ::"l"(address));
}

// `Count` vectors, of which up to `Held` are held at a time. Where a thread has many, registers would not hold them
// beside the vectors themselves: all are asked for early, into the L2 cache, and loaded when the sums are known.
template <int Count, int Held = kMostHeldResiduals>
class ResidualTile
{
public:
    // Asks for all vectors. addressAt(k) and exists(k) are of vector k.
    template <typename AddressAt, typename Exists>
    __device__ void request(bool hasResidual, AddressAt const& addressAt, Exists const& exists)
    {
        if (!hasResidual)
        {
            return;
        }
        if constexpr (Count <= kMostEarly)
        {
            loadFrom(0, addressAt, exists);
        }
        else
        {
            TRTCONV_UNROLL
            for (int k = 0; k < Count; ++k)
            {
                if (exists(k))
                {
                    prefetchLine(addressAt(k));
                }
            }
        }
    }

    // Loads the first vectors, unless they already are on their way.
    template <typename AddressAt, typename Exists>
    __device__ void load(bool hasResidual, AddressAt const& addressAt, Exists const& exists)
    {
        if (Count > kMostEarly)
        {
            loadNow(hasResidual, addressAt, exists);
        }
    }

    // Loads the first vectors.
    template <typename AddressAt, typename Exists>
    __device__ void loadNow(bool hasResidual, AddressAt const& addressAt, Exists const& exists)
    {
        if (hasResidual)
        {
            loadFrom(0, addressAt, exists);
        }
    }

    // Makes vector k, and some after it, be held; must be called for all of them in turn.
    template <typename AddressAt, typename Exists>
    __device__ uint4 take(int k, bool hasResidual, AddressAt const& addressAt, Exists const& exists)
    {
        if (k > 0 && k % kHeld == 0 && hasResidual)
        {
            loadFrom(k, addressAt, exists);
        }
        return mVectors[k % kHeld];
    }

private:
    static constexpr int kMostEarly = 2;
    static constexpr int kHeld = Count < Held ? Count : Held;

    template <typename AddressAt, typename Exists>
    __device__ void loadFrom(int first, AddressAt const& addressAt, Exists const& exists)
    {
        TRTCONV_UNROLL
        for (int k = 0; k < kHeld; ++k)
        {
            if (first + k < Count && exists(first + k))
            {
                mVectors[k] = loadHere(addressAt(first + k));
            }
        }
    }

    uint4 mVectors[kHeld]{}; // zeros where there is no residual
};

} // namespace trtconv
