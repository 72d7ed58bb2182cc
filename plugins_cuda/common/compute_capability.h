// Which GPUs can what, by the major version of their compute capability.
#pragma once

#include <cstdint>

namespace trtconv
{

constexpr int32_t kHopperMajorVersion = 9; // the first with clusters of blocks, bulk copies and early launches

} // namespace trtconv
