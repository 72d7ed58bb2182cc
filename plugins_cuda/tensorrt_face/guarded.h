// TensorRT's functions must not throw: `guarded` turns an exception into a logged message and a status.
#pragma once

#include <exception>
#include <string>

#include "tensorrt_face/log.h"

namespace trtconv
{

constexpr int32_t kSuccess = 0;
constexpr int32_t kFailure = -1;

// Runs `body`; returns kSuccess, or logs "where: what went wrong" and returns kFailure.
template <typename Body>
int32_t guarded(std::string const& where, Body&& body) noexcept
{
    try
    {
        body();
        return kSuccess;
    }
    catch (std::exception const& error)
    {
        logError(where + ": " + error.what());
    }
    catch (...)
    {
        logError(where + ": unknown exception");
    }
    return kFailure;
}

} // namespace trtconv
