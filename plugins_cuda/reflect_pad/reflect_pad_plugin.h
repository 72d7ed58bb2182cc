// ReflectPad as TensorRT sees it.  (X) -> Y, each axis with its phases interleaved, upsampled by its factor and then
// longer by its two pads.
//
// It moves elements of any type bit for bit; with an activation or another type of Y it computes in fp32. The formats
// of X and Y may differ: each is linear or one of the channels-last ones.
#pragma once

#include <cuda_runtime_api.h>

#include "gather/request.h"
#include "tensorrt_face/phase_attributes.h"
#include "tensorrt_face/plugin_shell.h"
#include "tensorrt_face/shared_attributes.h"

namespace trtconv
{

class ReflectPadPlugin : public PluginShell<ReflectPadPlugin>
{
public:
    static constexpr char const* kName = "ReflectPad";
    static constexpr int32_t kNumInputs = 1;
    static constexpr nvinfer1::PluginField kFields[]{
        {"pads", nullptr, nvinfer1::PluginFieldType::kINT32, 0},
        {"activation", nullptr, nvinfer1::PluginFieldType::kCHAR, 0},
        {"alpha", nullptr, nvinfer1::PluginFieldType::kFLOAT32, 1},
        {"upsample", nullptr, nvinfer1::PluginFieldType::kINT32, 0},
        {"pad_mode", nullptr, nvinfer1::PluginFieldType::kCHAR, 0},
        {"to", nullptr, nvinfer1::PluginFieldType::kINT32, 1},
        {"phases", nullptr, nvinfer1::PluginFieldType::kINT32, 0},
        {"crop", nullptr, nvinfer1::PluginFieldType::kINT32, 0},
    };

    ReflectPadPlugin(std::string const& nodeName, FieldReader& fields);

    std::vector<nvinfer1::PluginField> fields() const;
    bool supports(nvinfer1::PluginTensorDesc const& x) const;
    bool supportsOutput(nvinfer1::PluginTensorDesc const& x, nvinfer1::PluginTensorDesc const& y) const;
    nvinfer1::DataType outputType(nvinfer1::DataType typeOfX) const;
    nvinfer1::DimsExprs outputShape(nvinfer1::DimsExprs const* inputs, nvinfer1::IExprBuilder& builder) const;
    void checkShapes(nvinfer1::PluginTensorDesc const* inputs) const;
    static DeviceLimits prepareDevice();
    size_t workspaceBytes(nvinfer1::DynamicPluginTensorDesc const* inputs) const;
    void launchTo(nvinfer1::PluginTensorDesc const* outputDesc, nvinfer1::PluginTensorDesc const* inputDesc,
        void const* const* inputs, void* output, void* workspace, cudaStream_t stream) const;

private:
    int32_t rank() const { return static_cast<int32_t>(mPads.size() / 2); }
    bool isComputed() const { return mActivation.value != Activation::kNone || mElementType != 0; }
    MapRequest requestOf(nvinfer1::Dims const& x, Layout inputLayout, Layout outputLayout) const;

    std::vector<int32_t> mPads; // ONNX order: all begins, then all ends
    Named<Activation> mActivation;
    float mAlpha;
    std::vector<int32_t> mUpsample; // one factor for all axes, or one for each
    Named<PadMode> mPadMode;
    int32_t mElementType; // of Y: ONNX's number, 0 for that of X
    PhaseAttributes mInput;
};

} // namespace trtconv
