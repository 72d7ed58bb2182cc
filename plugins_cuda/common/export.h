// Everything in the library is hidden but what carries this mark and is listed in exports.map.
#pragma once

#define TRTCONV_EXPORT extern "C" __attribute__((visibility("default")))
