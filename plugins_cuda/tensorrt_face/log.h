// Messages go to TensorRT's logger, or to standard error while TensorRT has none.
#pragma once

#include <string>

#include "abi/host_interfaces.h"

namespace trtconv
{

void logError(std::string const& message) noexcept;

// Makes later messages go to the TensorRT that handed over `finder`, an ILoggerFinder of its own layout.
void logThrough(void* finder) noexcept;

} // namespace trtconv
