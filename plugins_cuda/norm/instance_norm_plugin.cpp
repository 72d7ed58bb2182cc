#include "norm/instance_norm_plugin.h"

#include <algorithm>

#include "common/version.h"
#include "norm/placed.h"
#include "tensorrt_face/shapes.h"
#include "tensorrt_face/tensor_formats.h"

namespace trtconv
{

namespace
{

using nvinfer1::DataType;

// Returns the layout of a tensor that `supports` has taken.
Layout takenLayoutOf(nvinfer1::PluginTensorDesc const& x)
{
    return x.format == nvinfer1::TensorFormat::kLINEAR ? Layout::kLinear : Layout::kChannelsLast;
}

// Throws PluginError unless an operand has the sizes of X's first axes, up to its own rank, as far as both are known.
void requireLeading(char const* name, nvinfer1::DimsExprs const& operand, nvinfer1::DimsExprs const& x, int32_t xAxis)
{
    for (int32_t axis = 0; axis < operand.nbDims; ++axis)
    {
        nvinfer1::IDimensionExpr const& size = *operand.d[axis];
        nvinfer1::IDimensionExpr const& wanted = *x.d[xAxis + axis];
        // A size known only at run time is checked then, by checkShapes.
        require(!size.isConstant() || !wanted.isConstant() || size.getConstantValue() == wanted.getConstantValue(),
            "X has ", wanted.getConstantValue(), xAxis + axis == 1 ? " channels, " : " as size, ", name, " has ",
            size.getConstantValue(), xAxis + axis == 1 ? " elements" : "");
    }
}

// Throws PluginError unless a residual has the sizes of X and its pads around them, as far as all are known.
void requireResidual(
    nvinfer1::DimsExprs const& residual, nvinfer1::DimsExprs const& x, std::vector<int32_t> const& pads)
{
    int32_t const count = x.nbDims - 2;
    for (int32_t axis = 0; axis < x.nbDims; ++axis)
    {
        nvinfer1::IDimensionExpr const& size = *residual.d[axis];
        nvinfer1::IDimensionExpr const& wanted = *x.d[axis];
        int64_t const around = axis < 2 ? 0 : int64_t{pads[axis - 2]} + pads[count + axis - 2];
        require(!size.isConstant() || !wanted.isConstant()
                || size.getConstantValue() == checkedSum(wanted.getConstantValue(), around),
            "axis ", axis, " of X has size ", wanted.getConstantValue(), " and pads of ", around, ", residual has ",
            size.getConstantValue());
    }
}

bool areEqual(nvinfer1::Dims const& left, nvinfer1::Dims const& right)
{
    return left.nbDims == right.nbDims && std::equal(left.d, left.d + left.nbDims, right.d);
}

} // namespace

InstanceNormPlugin::InstanceNormPlugin(std::string const& nodeName, FieldReader& fields)
    : PluginShell(nodeName)
    , mAttributes(fields)
{
    // The numbers epsilon and alpha do not change how long it takes.
    setTimingCacheId(text(kLibraryVersion, " ", mAttributes.activation.name, " groups ", mAttributes.groups,
        " upsample ", toText(mAttributes.upsample), " pads ", toText(mAttributes.pads), " ", mAttributes.padMode.name,
        " residual ", toText(mAttributes.residualPads), " to ", mAttributes.to, " phases ",
        toText(mAttributes.input.phases), " crop ", toText(mAttributes.input.crop)));
}

std::vector<nvinfer1::PluginField> InstanceNormPlugin::fields() const
{
    return mAttributes.fields();
}

int32_t InstanceNormPlugin::minInputs() const
{
    return kNumInputs + (mAttributes.isPRelu() ? 1 : 0);
}

int32_t InstanceNormPlugin::maxInputs() const
{
    return minInputs() + 1;
}

bool InstanceNormPlugin::isLikeX(int32_t input, int32_t numInputs) const
{
    return input == kResidual && numInputs == maxInputs();
}

bool InstanceNormPlugin::supports(nvinfer1::PluginTensorDesc const& x) const
{
    std::optional<Layout> const layout = layoutOf(x);
    // How much workspace phases need depends on whether channels fill vectors, so on their number if that is open.
    bool const areChannelsKnown = layout != Layout::kChannelsLast || !mAttributes.input.arePhased() || x.dims.d[1] > 0;
    return isFloatingPoint(x.type) && layout && canNormIn(*layout) && areChannelsKnown;
}

bool InstanceNormPlugin::supportsOutput(nvinfer1::PluginTensorDesc const& x, nvinfer1::PluginTensorDesc const& y) const
{
    if (mAttributes.to == 0)
    {
        return PluginShell::supportsOutput(x, y);
    }
    std::optional<Layout> const layout = layoutOf(y);
    return y.type == typeOf(mAttributes.to, x.type) && layout && layout == layoutOf(x);
}

DataType InstanceNormPlugin::outputType(DataType typeOfX) const
{
    DataType const type = typeOf(mAttributes.to, typeOfX);
    // Results are rounded to the type of X before they are converted.
    require(type == typeOfX || typeOfX == DataType::kFLOAT,
        "field \"to\": this version converts from float32 alone, X "
        "has type ",
        static_cast<int32_t>(typeOfX));
    return type;
}

nvinfer1::DimsExprs InstanceNormPlugin::outputShape(
    nvinfer1::DimsExprs const* inputs, nvinfer1::IExprBuilder& builder) const
{
    int32_t const rank = inputs[1].nbDims;
    require(inputs[0].nbDims >= 3, "X must have rank 3 or more, got ", inputs[0].nbDims);
    mAttributes.requireSpatialAxes(inputs[0].nbDims - 2);
    nvinfer1::DimsExprs const x =
        interleavedShape(inputs[0], mAttributes.input.ofSpatialAxes(inputs[0].nbDims), builder);
    require((rank == 1 || rank == 2) && inputs[2].nbDims == rank,
        "scale and bias must both have rank 1 or both rank 2, got ", rank, " and ", inputs[2].nbDims);
    requireLeading("scale", inputs[1], x, 2 - rank);
    requireLeading("bias", inputs[2], x, 2 - rank);
    if (hasResidual())
    {
        require(inputs[kResidual].nbDims == x.nbDims, "residual must have the rank of X, ", x.nbDims, ", got ",
            inputs[kResidual].nbDims);
        requireResidual(inputs[kResidual], x, spread(mAttributes.residualPads, 2 * (x.nbDims - 2)));
    }
    if (mAttributes.isPRelu())
    {
        nvinfer1::DimsExprs const& slope = inputs[numInputs() - 1];
        require(slope.nbDims == 1, "slope must have rank 1, got ", slope.nbDims);
        requireLeading("slope", slope, x, 1);
    }
    nvinfer1::IDimensionExpr const& channels = *x.d[1];
    require(mAttributes.groups == 0 || !channels.isConstant() || channels.getConstantValue() % mAttributes.groups == 0,
        "groups ", mAttributes.groups, " do not divide the ", channels.getConstantValue(), " channels of X");
    return placedShape(x, builder);
}

nvinfer1::DimsExprs InstanceNormPlugin::placedShape(nvinfer1::DimsExprs const& x, nvinfer1::IExprBuilder& builder) const
{
    int32_t const count = x.nbDims - 2;
    std::vector<int32_t> const factors = spread(mAttributes.upsample, count);
    std::vector<int32_t> const pads = spread(mAttributes.pads, 2 * count);
    nvinfer1::DimsExprs output = x;
    for (int32_t axis = 0; axis < count; ++axis)
    {
        output.d[2 + axis] = mappedSize(*x.d[2 + axis], factors[axis], pads[axis], pads[count + axis],
            mAttributes.padMode.value, 2 + axis, builder);
    }
    return output;
}

void InstanceNormPlugin::requirePlaceable(nvinfer1::Dims const& x) const
{
    requireCountable("X", x);
    require(x.nbDims >= 3, "X must have rank 3 or more, got ", x.nbDims);
    mAttributes.requireSpatialAxes(x.nbDims - 2);
    NormPlace const place = mAttributes.placeOf(x, ElementType::kFloat32);
    requireCountable(phasesRequest(place, x.d[0], x.d[1], Layout::kLinear), x);
    int64_t const channels = interleavedShape(x, mAttributes.input.ofSpatialAxes(x.nbDims)).d[1];
    NormPlace const whole = place.interleaved();
    requireCountable(outputRequest(whole, x.d[0], channels, Layout::kLinear), x);
    requireCountable(residualRequest(whole, x.d[0], channels, Layout::kLinear), x);
    require(mAttributes.groups == 0 || channels % mAttributes.groups == 0, "groups ", mAttributes.groups,
        " do not divide the ", channels, " channels of X ", toText(x));
}

void InstanceNormPlugin::checkShapes(nvinfer1::PluginTensorDesc const* inputs) const
{
    nvinfer1::Dims const& given = inputs[0].dims;
    requirePlaceable(given);
    nvinfer1::Dims const x = interleavedShape(given, mAttributes.input.ofSpatialAxes(given.nbDims));
    int64_t const channels = x.d[1];
    for (int32_t i = 1; i < kNumInputs; ++i)
    {
        nvinfer1::Dims const& operand = inputs[i].dims;
        bool const isPerImage = operand.nbDims == 2;
        bool const hasRank = operand.nbDims == inputs[1].dims.nbDims && (isPerImage || operand.nbDims == 1);
        bool const fits =
            hasRank && operand.d[operand.nbDims - 1] == channels && (!isPerImage || operand.d[0] == x.d[0]);
        require(fits, "X ", toText(x), " has ", channels, " channels, scale ", toText(inputs[1].dims), ", bias ",
            toText(inputs[2].dims));
    }
    NormPlace const place = mAttributes.placeOf(given, ElementType::kFloat32).interleaved();
    if (hasResidual())
    {
        nvinfer1::Dims expected = x;
        for (int32_t axis = 0; axis < x.nbDims - 2; ++axis)
        {
            expected.d[2 + axis] += place.residualPads[axis] + place.residualPads[x.nbDims - 2 + axis];
        }
        require(areEqual(inputs[kResidual].dims, expected), "residual ", toText(inputs[kResidual].dims),
            " does not have the shape of X ", toText(x), place.isResidualPadded() ? " with its pads" : "");
    }
    int32_t const badAxis = findBadAxis(outputRequest(place, x.d[0], x.d[1], Layout::kLinear));
    require(badAxis < 0, "pads ", toText(mAttributes.pads), " ", padRule(mAttributes.padMode.value), ", axis ", badAxis,
        " of X ", toText(x), " is too small");
    if (mAttributes.isPRelu())
    {
        nvinfer1::Dims const& slope = inputs[numInputs() - 1].dims;
        require(slope.nbDims == 1 && slope.d[0] == channels, "X ", toText(x), " has ", channels, " channels, slope ",
            toText(slope));
    }
}

DeviceLimits InstanceNormPlugin::prepareDevice()
{
    return prepareNorm();
}

NormArguments InstanceNormPlugin::argumentsOf(
    nvinfer1::PluginTensorDesc const& x, nvinfer1::Dims const& dims, NormPlace const& place) const
{
    NormArguments arguments{};
    arguments.shape = normalisedShape(place, dims.d[0], dims.d[1]);
    arguments.epsilon = mAttributes.epsilon;
    arguments.type = elementTypeOf(x.type);
    arguments.layout = takenLayoutOf(x);
    arguments.groups = mAttributes.groups;
    return arguments;
}

size_t InstanceNormPlugin::workspaceBytes(nvinfer1::DynamicPluginTensorDesc const* inputs) const
{
    nvinfer1::DynamicPluginTensorDesc const& x = inputs[0];
    requirePlaceable(x.max);
    NormPlace const place = mAttributes.placeOf(x.max, elementTypeOf(typeOf(mAttributes.to, x.desc.type)));
    return static_cast<size_t>(placedWorkspaceBytes(argumentsOf(x.desc, x.max, place), place, areEqual(x.min, x.max)));
}

void InstanceNormPlugin::launch(nvinfer1::PluginTensorDesc const* inputDesc, void const* const* inputs, void* output,
    void* workspace, cudaStream_t stream) const
{
    nvinfer1::PluginTensorDesc const& x = inputDesc[0];
    NormPlace const place = mAttributes.placeOf(x.dims, elementTypeOf(typeOf(mAttributes.to, x.type)));
    NormArguments arguments = argumentsOf(x, x.dims, place);
    arguments.input = inputs[0];
    arguments.scale = inputs[1];
    arguments.bias = inputs[2];
    arguments.output = output;
    arguments.workspace = workspace;
    arguments.isAffinePerImage = inputDesc[1].dims.nbDims == 2;
    arguments.epilogue = {hasResidual() ? inputs[kResidual] : nullptr,
        mAttributes.isPRelu() ? inputs[numInputs() - 1] : nullptr, mAttributes.activation.value, mAttributes.alpha};
    launchPlacedNorm(arguments, place, device(), stream);
}

} // namespace trtconv
