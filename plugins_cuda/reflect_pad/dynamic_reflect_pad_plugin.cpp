#include "reflect_pad/dynamic_reflect_pad_plugin.h"

#include "common/version.h"
#include "reflect_pad/pad_plugin_parts.h"
#include "reflect_pad/reflect_pad.h"
#include "tensorrt_face/shapes.h"
#include "tensorrt_face/tensor_formats.h"

namespace trtconv
{

namespace
{

// Returns all begins, then all ends: ONNX's order.
std::vector<int64_t> padsOf(nvinfer1::PluginTensorDesc const* inputs)
{
    std::vector<int64_t> pads;
    for (nvinfer1::Dims const* const dims : {&inputs[1].dims, &inputs[2].dims})
    {
        for (int32_t axis = 0; axis < dims->nbDims; ++axis)
        {
            pads.push_back(dims->d[axis]);
        }
    }
    return pads;
}

} // namespace

DynamicReflectPadPlugin::DynamicReflectPadPlugin(std::string const& nodeName, FieldReader& fields)
    : PluginShell(nodeName)
    , mRank(fields.getIntegers("rank"))
{
    fields.rejectUnread();
    require(mRank.size() == 1 && mRank[0] >= 1 && mRank[0] <= kMaxRank, "field \"rank\": expected 1 to ", kMaxRank,
        ", given ", toText(mRank));
    setTimingCacheId(text(kLibraryVersion, " rank ", mRank[0]));
}

std::vector<nvinfer1::PluginField> DynamicReflectPadPlugin::fields() const
{
    return {{"rank", mRank.data(), nvinfer1::PluginFieldType::kINT32, 1}};
}

bool DynamicReflectPadPlugin::supports(nvinfer1::PluginTensorDesc const& x) const
{
    // Which axes get no pad is not known, so every layout but the linear one could be broken up.
    return paddableBytes(x.type) != 0 && x.dims.nbDims == mRank[0] && layoutOf(x) == Layout::kLinear;
}

nvinfer1::DataType DynamicReflectPadPlugin::typeOfInput(int32_t /*input*/, nvinfer1::DataType /*typeOfX*/)
{
    return nvinfer1::DataType::kINT32;
}

nvinfer1::DimsExprs DynamicReflectPadPlugin::outputShape(
    nvinfer1::DimsExprs const* inputs, nvinfer1::IExprBuilder& builder) const
{
    for (int32_t input = 0; input < kNumInputs; ++input)
    {
        require(inputs[input].nbDims == mRank[0], "input ", input, " must have rank ", mRank[0], ", got ",
            inputs[input].nbDims);
    }
    nvinfer1::DimsExprs output = inputs[0];
    for (int32_t axis = 0; axis < mRank[0]; ++axis)
    {
        auto const* const pads = sumOf(*inputs[1].d[axis], *inputs[2].d[axis], axis, builder);
        output.d[axis] = sumOf(*inputs[0].d[axis], *pads, axis, builder);
    }
    return output;
}

void DynamicReflectPadPlugin::checkShapes(nvinfer1::PluginTensorDesc const* inputs) const
{
    for (int32_t input = 0; input < kNumInputs; ++input)
    {
        require(inputs[input].dims.nbDims == mRank[0], "input ", input, " must have rank ", mRank[0], ", got ",
            inputs[input].dims.nbDims);
    }
    requirePadsWithin(inputs[0].dims, padsOf(inputs));
}

DeviceLimits DynamicReflectPadPlugin::prepareDevice()
{
    return prepareReflectPad();
}

size_t DynamicReflectPadPlugin::workspaceBytes(nvinfer1::DynamicPluginTensorDesc const* /*inputs*/) const
{
    return 0;
}

void DynamicReflectPadPlugin::launch(nvinfer1::PluginTensorDesc const* inputDesc, void const* const* inputs,
    void* output, void* /*workspace*/, cudaStream_t stream) const
{
    launchPads(inputDesc[0], padsOf(inputDesc), inputs[0], output, device(), stream);
}

} // namespace trtconv
