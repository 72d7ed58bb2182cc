// Traces the life of plugins and of their creators, one line a call on standard error, where TRTCONV_TRACE is 1 in the
// environment. Questions whose answer never changes are not traced: names, versions, the number of outputs.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>

#include "abi/plugin_v3.h"
#include "common/plugin_error.h"
#include "tensorrt_face/shapes.h"

namespace trtconv
{

bool readTraceSwitch() noexcept;
void writeTrace(std::string const& line) noexcept;

// Reads the variable once: whoever sets it does so before the process starts.
inline bool isTraced() noexcept
{
    static bool const isOn = readTraceSwitch();
    return isOn;
}

template <typename... Parts>
void trace(Parts const&... parts) noexcept
{
    if (!isTraced())
    {
        return;
    }
    try
    {
        writeTrace(text(parts...));
    }
    catch (std::exception const&) // no memory for the line: the plugin's own work goes on
    {
    }
}

// A plugin as the trace and the messages tell it apart: the op, a number, the node's name, and the phase in which it or
// what it is a copy of was created. A copy is another plugin and has a number of its own.
class TracedPlugin
{
public:
    TracedPlugin(char const* kind, std::string const& nodeName);
    TracedPlugin(TracedPlugin const& other);
    TracedPlugin& operator=(TracedPlugin const&) = delete;
    ~TracedPlugin();

    // Must be called once the plugin is complete; one that was refused before is not traced.
    void setCreated(nvinfer1::TensorRTPhase phase) noexcept;

    int32_t number() const noexcept { return mNumber; } // 0 while nothing is traced
    std::string const& where() const noexcept { return mWhere; } // InstanceNorm "the node's name"

    template <typename... Parts>
    void call(Parts const&... parts) const noexcept
    {
        trace("#", mNumber, " ", phaseName(mPhase), " ", mWhere, ": ", parts...);
    }

    static char const* phaseName(nvinfer1::TensorRTPhase phase) noexcept
    {
        return phase == nvinfer1::TensorRTPhase::kBUILD ? "build" : "runtime";
    }

private:
    std::string mWhere;
    int32_t mNumber = 0;
    nvinfer1::TensorRTPhase mPhase = nvinfer1::TensorRTPhase::kBUILD;
};

// The shapes of all inputs, for a line of the trace; they become text only where that is written.
struct InputShapes
{
    nvinfer1::PluginTensorDesc const* inputs;
    int32_t numInputs;
};

inline std::ostream& operator<<(std::ostream& stream, InputShapes const& shapes)
{
    for (int32_t i = 0; i < shapes.numInputs; ++i)
    {
        stream << (i == 0 ? "" : " ") << toText(shapes.inputs[i].dims);
    }
    return stream;
}

// The smallest and the largest shape of all inputs, for a line of the trace.
struct InputRanges
{
    nvinfer1::DynamicPluginTensorDesc const* inputs;
    int32_t numInputs;
};

inline std::ostream& operator<<(std::ostream& stream, InputRanges const& ranges)
{
    for (int32_t i = 0; i < ranges.numInputs; ++i)
    {
        stream << (i == 0 ? "" : " ") << toText(ranges.inputs[i].min) << ":" << toText(ranges.inputs[i].max);
    }
    return stream;
}

} // namespace trtconv
