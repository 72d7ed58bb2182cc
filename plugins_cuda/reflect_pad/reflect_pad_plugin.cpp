#include "reflect_pad/reflect_pad_plugin.h"

#include "common/version.h"
#include "reflect_pad/pad_plugin_parts.h"
#include "reflect_pad/reflect_pad.h"
#include "tensorrt_face/tensor_formats.h"

namespace trtconv
{

ReflectPadPlugin::ReflectPadPlugin(std::string const& nodeName, FieldReader& fields)
    : PluginShell(nodeName)
    , mPads(fields.getIntegers("pads"))
{
    fields.rejectUnread();
    require(!mPads.empty() && mPads.size() % 2 == 0 && rank() <= kMaxRank,
        "field \"pads\": expected 2 values for each "
        "of 1 to ",
        kMaxRank, " axes, given ", mPads.size(), " values");
    for (int32_t const pad : mPads)
    {
        require(pad >= 0, "field \"pads\": expected no negative value, given ", toText(mPads));
    }
    setTimingCacheId(text(kLibraryVersion, " pads ", toText(mPads)));
}

std::vector<nvinfer1::PluginField> ReflectPadPlugin::fields() const
{
    return {{"pads", mPads.data(), nvinfer1::PluginFieldType::kINT32, static_cast<int32_t>(mPads.size())}};
}

bool ReflectPadPlugin::supports(nvinfer1::PluginTensorDesc const& x) const
{
    std::optional<Layout> const layout = layoutOf(x);
    return paddableBytes(x.type) != 0 && x.dims.nbDims == rank() && layout && canPadIn(*layout, rank(), mPads.data());
}

nvinfer1::DimsExprs ReflectPadPlugin::outputShape(
    nvinfer1::DimsExprs const* inputs, nvinfer1::IExprBuilder& builder) const
{
    require(inputs[0].nbDims == rank(), "pads ", toText(mPads), " are for rank ", rank(), ", X has rank ",
        inputs[0].nbDims);
    nvinfer1::DimsExprs output = inputs[0];
    for (int32_t axis = 0; axis < rank(); ++axis)
    {
        nvinfer1::IDimensionExpr const& size = *inputs[0].d[axis];
        int64_t const padBegin = mPads[axis];
        int64_t const padEnd = mPads[rank() + axis];
        int64_t const padSum = padBegin + padEnd;
        // A size known only at run time is checked there.
        require(padSum == 0 || !size.isConstant() || std::max(padBegin, padEnd) < size.getConstantValue(), "pads ",
            toText(mPads), " must be smaller than the axis they reflect, axis ", axis, " has size ",
            size.isConstant() ? size.getConstantValue() : -1);
        output.d[axis] = builder.operation(nvinfer1::DimensionOperation::kSUM, size, *builder.constant(padSum));
    }
    return output;
}

void ReflectPadPlugin::checkShapes(nvinfer1::PluginTensorDesc const* inputs) const
{
    requirePadsWithin(inputs[0].dims, mPads);
}

DeviceLimits ReflectPadPlugin::prepareDevice()
{
    return prepareReflectPad();
}

size_t ReflectPadPlugin::workspaceBytes(nvinfer1::DynamicPluginTensorDesc const* /*inputs*/) const
{
    return 0;
}

void ReflectPadPlugin::launch(nvinfer1::PluginTensorDesc const* inputDesc, void const* const* inputs, void* output,
    void* /*workspace*/, cudaStream_t stream) const
{
    launchPads(inputDesc[0], mPads, inputs[0], output, device(), stream);
}

} // namespace trtconv
