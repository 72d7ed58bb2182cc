#pragma once

namespace trtconv
{

constexpr char const* kLibraryVersion = "0.0.0";
constexpr char const kCompiler[] = "a host compiler";

} // namespace trtconv
