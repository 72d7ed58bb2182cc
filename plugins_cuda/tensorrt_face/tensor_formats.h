// Which of TensorRT's formats this library knows, and the layout that each is. docs/decisions/0015 says why these.
#pragma once

#include <optional>

#include "abi/tensor_types.h"
#include "common/layout.h"

namespace trtconv
{

// Returns nothing where the format's channels are not the tensor's second axis, or where it does not exist for the
// type.
inline std::optional<Layout> layoutOf(nvinfer1::PluginTensorDesc const& tensor)
{
    using nvinfer1::DataType;
    using nvinfer1::TensorFormat;

    bool const isImage = tensor.dims.nbDims == 4; // [N, C, H, W]: C is third from the end
    bool const isVolume = tensor.dims.nbDims == 5; // [N, C, D, H, W]: C is fourth from the end
    bool const isHalf = tensor.type == DataType::kHALF || tensor.type == DataType::kBF16;
    bool const isByte = tensor.type == DataType::kINT8;
    // Channels are not padded in these formats, so they must fill whole vectors. A number known only at run time is -1
    // here.
    bool const isWholeFloat = tensor.type == DataType::kFLOAT && tensor.dims.d[1] > 0 && tensor.dims.d[1] % 4 == 0;
    auto const layoutIf = [](bool isKnown, Layout layout)
    { return isKnown ? std::optional<Layout>(layout) : std::nullopt; };
    switch (tensor.format)
    {
    case TensorFormat::kLINEAR: return Layout::kLinear;
    case TensorFormat::kHWC8: return layoutIf(isImage && isHalf, Layout::kChannelsLast);
    case TensorFormat::kDHWC8: return layoutIf(isVolume && isHalf, Layout::kChannelsLast);
    case TensorFormat::kHWC: return layoutIf(isImage && isWholeFloat, Layout::kChannelsLast);
    case TensorFormat::kDHWC: return layoutIf(isVolume && isWholeFloat, Layout::kChannelsLast);
    case TensorFormat::kHWC16: return layoutIf(isImage && isByte, Layout::kChannelsLast);
    case TensorFormat::kCHW4: return layoutIf(isImage && isByte, Layout::kBlocksOf4);
    case TensorFormat::kCHW32: return layoutIf(isImage && isByte, Layout::kBlocksOf32);
    case TensorFormat::kCDHW32: return layoutIf(isVolume && isByte, Layout::kBlocksOf32);
    }
    return std::nullopt;
}

} // namespace trtconv
