#include "tensorrt_face/log.h"

#include <atomic>
#include <cstdio>

#include "tensorrt_face/tensorrt_host.h"

namespace trtconv
{

namespace
{

// One per process, as TensorRT's own logger is: the finder that came last.
std::atomic<void*> gLoggerFinder{nullptr};

bool logThroughFinder(nvinfer1::Severity severity, char const* message)
{
    void* const finder = gLoggerFinder.load();
    std::optional<TensorRtHost> const host = finder == nullptr ? std::nullopt : TensorRtHost::behindObject(finder);
    if (!host)
    {
        return false;
    }
    auto const findAndLog = [&](auto* typedFinder)
    {
        auto* const logger = typedFinder->findLogger();
        if (logger != nullptr)
        {
            logger->log(severity, message);
        }
        return logger != nullptr;
    };
    return host->release() == HostRelease::k10 ? findAndLog(static_cast<nvinfer1::release_10::ILoggerFinder*>(finder))
                                               : findAndLog(static_cast<nvinfer1::release_11::ILoggerFinder*>(finder));
}

bool logThroughLoadedTensorRt(nvinfer1::Severity severity, char const* message)
{
    for (char const* const soname : kTensorRtSonames)
    {
        std::optional<TensorRtHost> const host = TensorRtHost::loadedAs(soname);
        if (host && host->log(severity, message))
        {
            return true;
        }
    }
    return false;
}

} // namespace

void logError(std::string const& message) noexcept
{
    std::string const line = "[trtconv] " + message;
    auto const severity = nvinfer1::Severity::kERROR;
    if (!logThroughFinder(severity, line.c_str()) && !logThroughLoadedTensorRt(severity, line.c_str()))
    {
        std::fprintf(stderr, "%s\n", line.c_str());
    }
}

void logThrough(void* finder) noexcept
{
    gLoggerFinder.store(finder);
}

} // namespace trtconv
