#include "tensorrt_face/trace.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace trtconv
{

namespace
{

int32_t nextNumber() noexcept
{
    static std::atomic<int32_t> last{0};
    return isTraced() ? ++last : 0;
}

} // namespace

bool readTraceSwitch() noexcept
{
    char const* const value = std::getenv("TRTCONV_TRACE");
    return value != nullptr && std::string_view(value) == "1";
}

void writeTrace(std::string const& line) noexcept
{
    std::fprintf(stderr, "[trtconv trace] %s\n", line.c_str());
}

TracedPlugin::TracedPlugin(char const* kind, std::string const& nodeName)
    : mWhere(text(kind, " \"", nodeName, "\""))
{
}

TracedPlugin::TracedPlugin(TracedPlugin const& other)
    : mWhere(other.mWhere)
    , mNumber(nextNumber())
    , mPhase(other.mPhase)
{
}

TracedPlugin::~TracedPlugin()
{
    if (mNumber != 0)
    {
        call("destroyed");
    }
}

void TracedPlugin::setCreated(nvinfer1::TensorRTPhase phase) noexcept
{
    mPhase = phase;
    mNumber = nextNumber();
}

} // namespace trtconv
