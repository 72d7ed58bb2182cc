#include "reflect_pad/reflect_pad_plugin.h"

#include "common/version.h"
#include "reflect_pad/pad_plugin_parts.h"
#include "reflect_pad/reflect_pad.h"
#include "tensorrt_face/shapes.h"
#include "tensorrt_face/tensor_formats.h"

namespace trtconv
{

ReflectPadPlugin::ReflectPadPlugin(std::string const& nodeName, FieldReader& fields)
    : PluginShell(nodeName)
    , mPads(fields.getIntegers("pads"))
    , mActivation(readActivation(fields))
    , mAlpha(readAlpha(fields))
    , mUpsample(readUpsample(fields))
    , mPadMode(readPadMode(fields))
    , mElementType(readElementType(fields))
    , mInput(fields)
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
    require(mUpsample.size() == 1 || mUpsample.size() == static_cast<size_t>(rank()),
        "field \"upsample\": expected 1 or ", rank(), " factors, as pads ", toText(mPads), " have axes, given ",
        toText(mUpsample));
    require(mActivation.value != Activation::kPRelu,
        "field \"activation\": prelu has a slope for each channel, which only a norm takes");
    mInput.ofAllAxes(rank()); // throws where they do not fit
    setTimingCacheId(
        text(kLibraryVersion, " pads ", toText(mPads), " ", mActivation.name, " upsample ", toText(mUpsample), " ",
            mPadMode.name, " to ", mElementType, " phases ", toText(mInput.phases), " crop ", toText(mInput.crop)));
}

std::vector<nvinfer1::PluginField> ReflectPadPlugin::fields() const
{
    using nvinfer1::PluginFieldType;
    return {fieldOf("pads", mPads), fieldOf("activation", mActivation.name),
        {"alpha", &mAlpha, PluginFieldType::kFLOAT32, 1}, fieldOf("upsample", mUpsample),
        fieldOf("pad_mode", mPadMode.name), {"to", &mElementType, PluginFieldType::kINT32, 1},
        fieldOf("phases", mInput.phases), fieldOf("crop", mInput.crop)};
}

MapRequest ReflectPadPlugin::requestOf(nvinfer1::Dims const& x, Layout inputLayout, Layout outputLayout) const
{
    std::vector<int32_t> const factors = spread(mUpsample, rank());
    AxisPhases const axes = mInput.ofAllAxes(rank());
    MapRequest request{};
    request.rank = rank();
    std::copy(x.d, x.d + rank(), request.sizes);
    std::copy(mPads.begin(), mPads.end(), request.pads);
    std::copy(factors.begin(), factors.end(), request.upsample);
    std::copy(axes.phases.begin(), axes.phases.end(), request.phases);
    std::copy(axes.crop.begin(), axes.crop.end(), request.crop);
    request.mode = mPadMode.value;
    request.inputLayout = inputLayout;
    request.outputLayout = outputLayout;
    return request;
}

bool ReflectPadPlugin::supports(nvinfer1::PluginTensorDesc const& x) const
{
    std::optional<Layout> const layout = layoutOf(x);
    bool const hasType = isComputed() ? isFloatingPoint(x.type) : paddableBytes(x.type) != 0;
    return hasType && x.dims.nbDims == rank() && layout && canMapBetween(requestOf(x.dims, *layout, *layout));
}

bool ReflectPadPlugin::supportsOutput(nvinfer1::PluginTensorDesc const& x, nvinfer1::PluginTensorDesc const& y) const
{
    std::optional<Layout> const input = layoutOf(x);
    std::optional<Layout> const output = layoutOf(y);
    if (y.type != typeOf(mElementType, x.type) || !input || !output)
    {
        return PluginShell::supportsOutput(x, y) && mElementType == 0; // X decides alone
    }
    // Bytes move between tensors of one format: the formats of int8 are too many to try all pairs.
    bool const isSame = *input == *output;
    return (isSame || paddableBytes(x.type) >= 2) && canMapBetween(requestOf(x.dims, *input, *output));
}

nvinfer1::DataType ReflectPadPlugin::outputType(nvinfer1::DataType typeOfX) const
{
    require(!isComputed() || isFloatingPoint(typeOfX),
        "with an activation or \"to\", X must be float32, float16 or "
        "bfloat16, got type ",
        static_cast<int32_t>(typeOfX));
    return typeOf(mElementType, typeOfX);
}

nvinfer1::DimsExprs ReflectPadPlugin::outputShape(
    nvinfer1::DimsExprs const* inputs, nvinfer1::IExprBuilder& builder) const
{
    require(inputs[0].nbDims == rank(), "pads ", toText(mPads), " are for rank ", rank(), ", X has rank ",
        inputs[0].nbDims);
    std::vector<int32_t> const factors = spread(mUpsample, rank());
    nvinfer1::DimsExprs output = interleavedShape(inputs[0], mInput.ofAllAxes(rank()), builder);
    for (int32_t axis = 0; axis < rank(); ++axis)
    {
        output.d[axis] = mappedSize(
            *output.d[axis], factors[axis], mPads[axis], mPads[rank() + axis], mPadMode.value, axis, builder);
    }
    return output;
}

void ReflectPadPlugin::checkShapes(nvinfer1::PluginTensorDesc const* inputs) const
{
    nvinfer1::Dims const& x = inputs[0].dims;
    require(x.nbDims == rank(), "pads ", toText(mPads), " are for rank ", rank(), ", X has rank ", x.nbDims);
    nvinfer1::Dims const whole = interleavedShape(x, mInput.ofAllAxes(rank()));
    int32_t const badAxis = findBadAxis(requestOf(x, Layout::kLinear, Layout::kLinear));
    require(badAxis < 0, "pads ", toText(mPads), " ", padRule(mPadMode.value), ", axis ", badAxis, " of X ",
        toText(whole), " is too small");
}

DeviceLimits ReflectPadPlugin::prepareDevice()
{
    return prepareReflectPad();
}

size_t ReflectPadPlugin::workspaceBytes(nvinfer1::DynamicPluginTensorDesc const* /*inputs*/) const
{
    return 0;
}

void ReflectPadPlugin::launchTo(nvinfer1::PluginTensorDesc const* outputDesc,
    nvinfer1::PluginTensorDesc const* inputDesc, void const* const* inputs, void* output, void* /*workspace*/,
    cudaStream_t stream) const
{
    nvinfer1::PluginTensorDesc const& x = inputDesc[0];
    GatherArguments arguments{inputs[0], output,
        requestOf(x.dims, layoutOf(x).value(), layoutOf(outputDesc[0]).value()), paddableBytes(x.type)};
    arguments.isComputed = mActivation.value != Activation::kNone || outputDesc[0].type != x.type;
    if (arguments.isComputed)
    {
        arguments.inputType = elementTypeOf(x.type);
        arguments.outputType = elementTypeOf(outputDesc[0].type);
        arguments.activation = mActivation.value;
        arguments.alpha = mAlpha;
    }
    launchPad(arguments, device(), stream);
}

} // namespace trtconv
