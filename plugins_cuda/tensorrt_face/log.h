// Messages to TensorRT's logger; to standard error while TensorRT has none.
#pragma once

#include <string>

#include "abi/host_interfaces.h"

namespace trtconv
{

void logError(std::string const& message) noexcept;

// Remembers which TensorRT handed over `finder` (an ILoggerFinder of its own layout), to log there.
void logThrough(void* finder) noexcept;

} // namespace trtconv
