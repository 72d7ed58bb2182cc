#include "reflect_pad/pad_plugin_parts.h"

#include "common/plugin_error.h"
#include "reflect_pad/reflect_pad.h"
#include "tensorrt_face/shapes.h"
#include "tensorrt_face/tensor_formats.h"

namespace trtconv
{

using nvinfer1::DataType;

int32_t paddableBytes(DataType type)
{
    switch (type)
    {
    case DataType::kINT64: return 8;
    case DataType::kFLOAT:
    case DataType::kINT32: return 4;
    case DataType::kHALF:
    case DataType::kBF16: return 2;
    case DataType::kINT8:
    case DataType::kBOOL:
    case DataType::kUINT8:
    case DataType::kFP8: return 1;
    }
    return 0;
}

void requirePadsWithin(nvinfer1::Dims const& x, std::vector<int64_t> const& pads)
{
    int32_t const rank = static_cast<int32_t>(pads.size() / 2);
    require(x.nbDims == rank, "pads ", toText(pads), " are for rank ", rank, ", X has rank ", x.nbDims);
    MapRequest request{};
    request.rank = rank;
    std::copy(x.d, x.d + rank, request.sizes);
    std::copy(pads.begin(), pads.end(), request.pads);
    std::fill(request.upsample, request.upsample + rank, 1);
    requireCountable(request, x);
    int32_t const badAxis = findBadPad(rank, x.d, pads.data());
    require(badAxis < 0, "pads ", toText(pads), " must be smaller than the axis they reflect, axis ", badAxis, " of X ",
        toText(x), " is too small");
}

void launchPads(nvinfer1::PluginTensorDesc const& x, std::vector<int64_t> const& pads, void const* input, void* output,
    DeviceLimits const& device, cudaStream_t stream)
{
    Layout const layout = layoutOf(x).value();
    int32_t const elementBytes = paddableBytes(x.type);
    PadShape const shape = makePadShape(layout, elementBytes, x.dims.nbDims, x.dims.d, pads.data());
    launchReflectPad({input, output, shape, elementBytes, channelsToMask(layout, x.dims.d)}, device, stream);
}

} // namespace trtconv
