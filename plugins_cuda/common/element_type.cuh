// Conversion to and from float, the choice of a kernel's type, and vectors of elements.
#pragma once

#include <type_traits>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "common/element_type.h"
#include "common/lanes.h"
#include "common/plugin_error.h"

namespace trtconv
{

__device__ inline float toFloat(float value)
{
    return value;
}

__device__ inline float toFloat(__half value)
{
    return __half2float(value);
}

__device__ inline float toFloat(__nv_bfloat16 value)
{
    return __bfloat162float(value);
}

template <typename T>
__device__ T fromFloat(float value);

template <>
__device__ inline float fromFloat<float>(float value)
{
    return value;
}

template <>
__device__ inline __half fromFloat<__half>(float value)
{
    return __float2half_rn(value);
}

template <>
__device__ inline __nv_bfloat16 fromFloat<__nv_bfloat16>(float value)
{
    return __float2bfloat16_rn(value);
}

// Neighbouring elements that one instruction moves.
template <typename T, int Size>
struct alignas(sizeof(T) * Size) Vector
{
    T elements[Size];
};

// A vector and the piece that one instruction moves: left to itself, the compiler moves some vectors by elements.
template <typename T, int Size>
union VectorPiece
{
    using Piece = std::conditional_t<Size == 1, T, uint4>;

    Piece piece;
    Vector<T, Size> vector;
};

// How many channels a vector of a channels-last tensor has.
template <typename T>
constexpr int kVectorChannels = kVectorBytes / sizeof(T);

template <typename T>
using ChannelVector = Vector<T, kVectorChannels<T>>;

// Returns the channels of a vector, hidden from the compiler: it would convert a whole tile to float ahead, and have no
// registers for it.
template <typename T>
__device__ ChannelVector<T> unpacked(uint4 words)
{
    asm volatile("" : "+r"(words.x), "+r"(words.y), "+r"(words.z), "+r"(words.w));
    return reinterpret_cast<ChannelVector<T> const&>(words);
}

template <typename T>
struct TypeTag
{
    using Type = T;
};

// Calls body(TypeTag<T>{}) with the CUDA type of `type`.
template <typename Body>
void dispatchElementType(ElementType type, Body const& body)
{
    switch (type)
    {
    case ElementType::kFloat32: return body(TypeTag<float>{});
    case ElementType::kFloat16: return body(TypeTag<__half>{});
    case ElementType::kBFloat16: return body(TypeTag<__nv_bfloat16>{});
    }
    throw PluginError(text("element type ", static_cast<int32_t>(type), " is not known"));
}

} // namespace trtconv
