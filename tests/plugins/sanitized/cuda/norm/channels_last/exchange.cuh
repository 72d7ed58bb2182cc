// What launches name of the exchange between blocks.
#pragma once

#include "common/kernel_launch.cuh"
#include "norm/channels_last/part.cuh"

namespace trtconv::channels_last
{

struct TaggedNumbers;

} // namespace trtconv::channels_last
