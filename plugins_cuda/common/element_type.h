// The floating-point types that kernels compute on.
#pragma once

#include <cstdint>

namespace trtconv
{

enum class ElementType : int32_t // values are part of trtconv_kernels.h
{
    kFloat32 = 0,
    kFloat16 = 1,
    kBFloat16 = 2,
};

constexpr int32_t elementBytes(ElementType type)
{
    return type == ElementType::kFloat32 ? 4 : 2;
}

} // namespace trtconv
