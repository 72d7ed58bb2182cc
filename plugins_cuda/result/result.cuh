// The one place where the norm's kernels write a result.
//
// A kernel hands over values as it read them, what finishes those of their slice or of their channels, and the element
// where the result lies. It does not know what is made of them, nor whether the result lies elsewhere. This is the
// plain form, an affine alone; result/fused_result.cuh and result/fused_channel_result.cuh have the others.
#pragma once

#include "common/element_type.cuh"
#include "result/affine.h"
#include "result/epilogue.cuh"

namespace trtconv
{

// The affines of a vector of channels; aligned, so that they are read as whole vectors.
template <typename T>
struct alignas(kVectorBytes) VectorAffines
{
    Affine ofChannel[kVectorChannels<T>];
};

// The same with a mask of the channels: where they do not fill the vector, the rest of it becomes zero.
template <typename T>
struct ChannelAffines
{
    VectorAffines<T> vector;
    uint4 mask;
};

__device__ inline void storeWords(void* target, uint4 words)
{
    asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(target), "r"(words.x), "r"(words.y), "r"(words.z),
        "r"(words.w));
}

// Where the results of a linear tensor go. It moves on as a pointer does: result + n begins n elements later.
template <typename T, ResultKind Kind>
struct Result;

template <typename T>
struct Result<T, ResultKind::kPlain>
{
    using Finish = Affine; // what makes a slice's results of its values

    // A residual that does not exist.
    template <int Size, int Count, int Held = kMostHeldResiduals>
    struct Residuals
    {
    };

    T* __restrict__ output;

    __device__ Result operator+(int64_t numElements) const { return {output + numElements}; }

    // Stores the result of a vector of a slice; `element` is its first one, at an aligned address.
    template <int Size>
    __device__ void store(int64_t element, Vector<T, Size> const& vector, Affine const& affine) const
    {
        T* const target = output + element; // before the values: the compiler keeps this order
        VectorPiece<T, Size> result{};
        TRTCONV_UNROLL
        for (int i = 0; i < Size; ++i)
        {
            result.vector.elements[i] = fromFloat<T>(affine(toFloat(vector.elements[i])));
        }
        if constexpr (Size == 1)
        {
            *target = result.piece;
        }
        else
        {
            storeWords(target, result.piece);
        }
    }

    // Asks for the residuals of those vectors that exist; called early, and `load` before the last wait.
    template <int Size, int Count, int Held, typename ElementAt, typename Exists>
    __device__ void request(Residuals<Size, Count, Held>& /*residuals*/, ElementAt const&, Exists const&) const
    {
    }

    template <int Size, int Count, int Held, typename ElementAt, typename Exists>
    __device__ void load(Residuals<Size, Count, Held>& /*residuals*/, ElementAt const&, Exists const&) const
    {
    }

    // Stores the results of those of `Count` vectors that exist: vectorAt(k) at elementAt(k), both aligned.
    template <int Size, int Count, int Held, typename ElementAt, typename VectorAt, typename Exists>
    __device__ void storeAll(Residuals<Size, Count, Held> const& /*residuals*/, ElementAt const& elementAt,
        VectorAt const& vectorAt, Exists const& exists, Affine const& affine) const
    {
        TRTCONV_UNROLL
        for (int k = 0; k < Count; ++k)
        {
            if (exists(k))
            {
                store<Size>(elementAt(k), vectorAt(k), affine);
            }
        }
    }

    // Stores the result of a single element: of an edge.
    __device__ void storeOne(int64_t element, float value, Affine const& affine) const
    {
        output[element] = fromFloat<T>(affine(value));
    }
};

// Where the results of a channels-last tensor go: in whole vectors of channels, and result + n begins n vectors later.
template <typename T, ResultKind Kind>
struct ChannelResult;

template <typename T>
struct ChannelResult<T, ResultKind::kPlain>
{
    using Finish = ChannelAffines<T>;

    ChannelVector<T>* __restrict__ output;

    __device__ ChannelResult operator+(int64_t numVectors) const { return {output + numVectors}; }

    __device__ void store(uint4 words, ChannelAffines<T> const& affines) const
    {
        ChannelVector<T> vector = unpacked<T>(words);
        TRTCONV_UNROLL
        for (int i = 0; i < kVectorChannels<T>; ++i)
        {
            vector.elements[i] = fromFloat<T>(affines.vector.ofChannel[i](toFloat(vector.elements[i])));
        }
        auto const& result = reinterpret_cast<uint4 const&>(vector);
        uint4 const& mask = affines.mask;
        __stcs(reinterpret_cast<uint4*>(output),
            make_uint4(result.x & mask.x, result.y & mask.y, result.z & mask.z, result.w & mask.w));
    }
};

} // namespace trtconv
