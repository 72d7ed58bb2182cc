// Everything in the library is hidden except what carries this mark and has a name of exports.map.
#pragma once

#define TRTCONV_EXPORT extern "C" __attribute__((visibility("default")))
