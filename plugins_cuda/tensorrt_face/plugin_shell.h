// What every plugin of this library has in common, written once: the four interfaces of a V3 plugin, and its creator.
//
// A plugin derives from PluginShell<itself> and states
//   static constexpr char const* kName;
//   static constexpr int32_t kNumInputs;
//   static constexpr nvinfer1::PluginField kFields[];                   the attributes, with their types
//   Plugin(std::string const& nodeName, FieldReader& fields);           throws PluginError on a wrong field
//   std::vector<nvinfer1::PluginField> fields() const;                  the same, with data, for the engine file
//   bool supports(PluginTensorDesc const& x) const;                     the first input: its type and format
//   nvinfer1::DimsExprs outputShape(DimsExprs const* inputs, IExprBuilder& builder) const;
//   void checkShapes(PluginTensorDesc const* inputs) const;             throws PluginError
//   static DeviceLimits prepareDevice();                                readies its kernels for the current device
//   size_t workspaceBytes(DynamicPluginTensorDesc const* inputs) const;
//   void launch(PluginTensorDesc const* inputDesc, void const* const* inputs, void* output, void* workspace,
//       cudaStream_t stream) const;                                     may ask device() for what prepareDevice gave
// It has one output, of the type and format of its first input unless it has outputType, supportsOutput and launchTo of
// its own; the other inputs are linear and, unless the plugin has a typeOfInput of its own, of that type, too. A plugin
// whose last inputs may be absent has maxInputs and minInputs of its own, and isLikeX where such an input has the
// format of the first one.
#pragma once

#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "abi/plugin_v3.h"
#include "common/device.h"
#include "common/plugin_error.h"
#include "tensorrt_face/field_reader.h"
#include "tensorrt_face/guarded.h"
#include "tensorrt_face/shapes.h"
#include "tensorrt_face/trace.h"

namespace trtconv
{

constexpr char const* kPluginVersion = "1";
constexpr char const* kPluginNamespace = "trtconv";

template <typename Plugin>
class CreatorShell;

template <typename Plugin>
class PluginShell : public nvinfer1::IPluginV3,
                    public nvinfer1::IPluginV3OneCore,
                    public nvinfer1::IPluginV3OneBuild,
                    public nvinfer1::IPluginV3OneRuntime
{
public:
    nvinfer1::IPluginCapability* getCapabilityInterface(nvinfer1::PluginCapabilityType type) noexcept override
    {
        switch (type)
        {
        case nvinfer1::PluginCapabilityType::kCORE: return static_cast<nvinfer1::IPluginV3OneCore*>(this);
        case nvinfer1::PluginCapabilityType::kBUILD: return static_cast<nvinfer1::IPluginV3OneBuild*>(this);
        case nvinfer1::PluginCapabilityType::kRUNTIME: return static_cast<nvinfer1::IPluginV3OneRuntime*>(this);
        }
        return nullptr;
    }

    nvinfer1::IPluginV3* clone() noexcept override { return copied("clone"); }

    nvinfer1::AsciiChar const* getPluginName() const noexcept override { return Plugin::kName; }
    nvinfer1::AsciiChar const* getPluginVersion() const noexcept override { return kPluginVersion; }
    nvinfer1::AsciiChar const* getPluginNamespace() const noexcept override { return kPluginNamespace; }
    int32_t getNbOutputs() const noexcept override { return 1; }

    int32_t configurePlugin(nvinfer1::DynamicPluginTensorDesc const* in, int32_t nbInputs,
        nvinfer1::DynamicPluginTensorDesc const* /*out*/, int32_t /*nbOutputs*/) noexcept override
    {
        mTraced.call("configurePlugin ", InputRanges{in, nbInputs});
        return guarded(mTraced.where(), [&] { takeInputs(nbInputs); });
    }

    int32_t getOutputDataTypes(nvinfer1::DataType* outputTypes, int32_t /*nbOutputs*/,
        nvinfer1::DataType const* inputTypes, int32_t nbInputs) const noexcept override
    {
        mTraced.call("getOutputDataTypes");
        return guarded(mTraced.where(),
            [&]
            {
                requireInputs(nbInputs);
                for (int32_t i = 1; i < nbInputs; ++i)
                {
                    nvinfer1::DataType const wanted = Plugin::typeOfInput(i, inputTypes[0]);
                    require(inputTypes[i] == wanted, "input ", i, " must be of type ", static_cast<int32_t>(wanted),
                        ", got type ", static_cast<int32_t>(inputTypes[i]));
                }
                outputTypes[0] = self().outputType(inputTypes[0]);
            });
    }

    int32_t getOutputShapes(nvinfer1::DimsExprs const* inputs, int32_t nbInputs,
        nvinfer1::DimsExprs const* /*shapeInputs*/, int32_t /*nbShapeInputs*/, nvinfer1::DimsExprs* outputs,
        int32_t /*nbOutputs*/, nvinfer1::IExprBuilder& exprBuilder) noexcept override
    {
        mTraced.call("getOutputShapes");
        return guarded(mTraced.where(),
            [&]
            {
                takeInputs(nbInputs);
                for (int32_t i = 0; i < nbInputs; ++i)
                {
                    requireRank(inputs[i].nbDims);
                }
                outputs[0] = self().outputShape(inputs, exprBuilder);
            });
    }

    bool supportsFormatCombination(int32_t pos, nvinfer1::DynamicPluginTensorDesc const* inOut, int32_t nbInputs,
        int32_t /*nbOutputs*/) noexcept override
    {
        nvinfer1::PluginTensorDesc const& tensor = inOut[pos].desc;
        nvinfer1::PluginTensorDesc const& first = inOut[0].desc;
        auto const isOperand = [&]
        {
            bool const isLikeX = self().isLikeX(pos, nbInputs);
            nvinfer1::TensorFormat const format = isLikeX ? first.format : nvinfer1::TensorFormat::kLINEAR;
            return tensor.type == Plugin::typeOfInput(pos, first.type) && tensor.format == format;
        };
        bool const fits = pos == 0 ? self().supports(tensor)
            : pos == nbInputs      ? self().supportsOutput(first, tensor)
                                   : isOperand();
        bool const isTaken = hasInputs(nbInputs) && fits;
        mTraced.call("supportsFormatCombination tensor ", pos, " type ", static_cast<int32_t>(tensor.type), " format ",
            static_cast<int32_t>(tensor.format), isTaken ? " -> yes" : " -> no");
        return isTaken;
    }

    size_t getWorkspaceSize(nvinfer1::DynamicPluginTensorDesc const* inputs, int32_t nbInputs,
        nvinfer1::DynamicPluginTensorDesc const* /*outputs*/, int32_t /*nbOutputs*/) const noexcept override
    {
        size_t numBytes = 0;
        guarded(mTraced.where(), [&] { numBytes = self().workspaceBytes(inputs); });
        mTraced.call("getWorkspaceSize ", InputRanges{inputs, nbInputs}, " -> ", numBytes, " bytes");
        return numBytes;
    }

    char const* getTimingCacheID() noexcept override
    {
        mTraced.call("getTimingCacheID -> ", mTimingCacheId);
        return mTimingCacheId.c_str();
    }

    int32_t setTactic(int32_t tactic) noexcept override
    {
        mTraced.call("setTactic ", tactic);
        return kSuccess; // there is only one
    }

    int32_t onShapeChange(nvinfer1::PluginTensorDesc const* in, int32_t nbInputs,
        nvinfer1::PluginTensorDesc const* /*out*/, int32_t /*nbOutputs*/) noexcept override
    {
        mTraced.call("onShapeChange ", InputShapes{in, nbInputs});
        return guarded(mTraced.where(),
            [&]
            {
                takeInputs(nbInputs);
                for (int32_t i = 0; i < nbInputs; ++i)
                {
                    requireCountable("an input", in[i].dims);
                }
                self().checkShapes(in);
                prepareOnce();
            });
    }

    int32_t enqueue(nvinfer1::PluginTensorDesc const* inputDesc, nvinfer1::PluginTensorDesc const* outputDesc,
        void const* const* inputs, void* const* outputs, void* workspace, CUstream_st* stream) noexcept override
    {
        mTraced.call("enqueue ", InputShapes{inputDesc, mNumInputs}, " stream ", stream);
        return guarded(
            mTraced.where(), [&] { self().launchTo(outputDesc, inputDesc, inputs, outputs[0], workspace, stream); });
    }

    nvinfer1::IPluginV3* attachToContext(nvinfer1::IPluginResourceContext* /*context*/) noexcept override
    {
        return copied("attachToContext"); // two contexts share nothing
    }

    nvinfer1::PluginFieldCollection const* getFieldsToSerialize() noexcept override
    {
        mTraced.call("getFieldsToSerialize");
        int32_t const status = guarded(mTraced.where(),
            [&]
            {
                mFields = self().fields();
                mFieldCollection = {static_cast<int32_t>(mFields.size()), mFields.data()};
            });
        return status == kSuccess ? &mFieldCollection : nullptr;
    }

    // The type that an input beside X must have. A plugin that differs hides this with a function of its own.
    static nvinfer1::DataType typeOfInput(int32_t /*input*/, nvinfer1::DataType typeOfX) { return typeOfX; }

    int32_t minInputs() const { return Plugin::kNumInputs; }
    int32_t maxInputs() const { return self().minInputs(); }

    // Whether an input beside X has the format of X.
    bool isLikeX(int32_t /*input*/, int32_t /*numInputs*/) const { return false; }

    nvinfer1::DataType outputType(nvinfer1::DataType typeOfX) const { return typeOfX; }

    // Whether the output may be Y where the first input is X, which `supports` has taken.
    bool supportsOutput(nvinfer1::PluginTensorDesc const& x, nvinfer1::PluginTensorDesc const& y) const
    {
        return y.type == x.type && y.format == x.format;
    }

    void launchTo(nvinfer1::PluginTensorDesc const* /*outputDesc*/, nvinfer1::PluginTensorDesc const* inputDesc,
        void const* const* inputs, void* output, void* workspace, cudaStream_t stream) const
    {
        self().launch(inputDesc, inputs, output, workspace, stream);
    }

protected:
    explicit PluginShell(std::string const& nodeName)
        : mTraced(Plugin::kName, nodeName)
    {
    }

    // Returns how many inputs the node has, which TensorRT says before it asks for a shape or a launch.
    int32_t numInputs() const { return mNumInputs; }

    // Returns the limits of the device that the plugin runs on; all are zero where there is none.
    DeviceLimits const& device() const { return mDevice; }

    // Must be called at the end of the plugin's constructor.
    void setTimingCacheId(std::string id) { mTimingCacheId = std::move(id); }

private:
    friend class CreatorShell<Plugin>;

    nvinfer1::IPluginV3* copied(char const* call) noexcept
    {
        Plugin* copy = nullptr;
        guarded(mTraced.where(),
            [&]
            {
                copy = new Plugin(self());
                mTraced.call(call, " -> #", copy->mTraced.number());
            });
        return copy;
    }

    Plugin& self() { return static_cast<Plugin&>(*this); }
    Plugin const& self() const { return static_cast<Plugin const&>(*this); }

    bool hasInputs(int32_t nbInputs) const { return nbInputs >= self().minInputs() && nbInputs <= self().maxInputs(); }

    void requireInputs(int32_t nbInputs) const
    {
        int32_t const most = self().maxInputs();
        std::string const orMore = most == self().minInputs() ? "" : text(" to ", most);
        require(hasInputs(nbInputs), "expected ", self().minInputs(), orMore, " inputs, got ", nbInputs);
    }

    void takeInputs(int32_t nbInputs)
    {
        requireInputs(nbInputs);
        mNumInputs = nbInputs;
    }

    // Readies the device before the first enqueue, which must ask it for nothing. Without a device the launch fails.
    void prepareOnce()
    {
        if (mDevice.numProcessors == 0 && hasDevice())
        {
            mDevice = Plugin::prepareDevice();
        }
    }

    TracedPlugin mTraced;
    std::string mTimingCacheId;
    DeviceLimits mDevice;
    int32_t mNumInputs = Plugin::kNumInputs;
    std::vector<nvinfer1::PluginField> mFields; // points into this object: rebuilt by every getFieldsToSerialize
    nvinfer1::PluginFieldCollection mFieldCollection{};
};

template <typename Plugin>
class CreatorShell : public nvinfer1::IPluginCreatorV3One
{
public:
    nvinfer1::IPluginV3* createPlugin(nvinfer1::AsciiChar const* name, nvinfer1::PluginFieldCollection const* fc,
        nvinfer1::TensorRTPhase phase) noexcept override
    {
        // Both phases take the same fields: what the network gave is what getFieldsToSerialize writes.
        Plugin* plugin = nullptr;
        std::string const nodeName = name == nullptr ? "" : name;
        guarded(text(Plugin::kName, " \"", nodeName, "\""),
            [&]
            {
                FieldReader fields(fc);
                plugin = new Plugin(nodeName, fields);
                plugin->mTraced.setCreated(phase);
                trace("creator ", Plugin::kName, ": createPlugin ", TracedPlugin::phaseName(phase), " \"", nodeName,
                    "\" -> #", plugin->mTraced.number());
            });
        return plugin;
    }

    nvinfer1::PluginFieldCollection const* getFieldNames() noexcept override
    {
        trace("creator ", Plugin::kName, ": getFieldNames");
        return &mFieldNames;
    }

    nvinfer1::AsciiChar const* getPluginName() const noexcept override { return Plugin::kName; }
    nvinfer1::AsciiChar const* getPluginVersion() const noexcept override { return kPluginVersion; }
    nvinfer1::AsciiChar const* getPluginNamespace() const noexcept override { return kPluginNamespace; }

private:
    nvinfer1::PluginFieldCollection mFieldNames{static_cast<int32_t>(std::size(Plugin::kFields)), Plugin::kFields};
};

} // namespace trtconv
