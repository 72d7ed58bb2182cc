#pragma once

#include <cuda_runtime_api.h>

#include "common/device_limits.h"
#include "common/plugin_error.h"
