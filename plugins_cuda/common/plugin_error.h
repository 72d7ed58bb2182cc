// The error that plugin code throws, and how its text is put together.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace trtconv
{

class PluginError : public std::runtime_error
{
public:
    using std::runtime_error::runtime_error;
};

// Returns all arguments as one text.
template <typename... Parts>
std::string text(Parts const&... parts)
{
    std::ostringstream stream;
    (stream << ... << parts);
    return stream.str();
}

// Throws a PluginError made of `parts` unless `condition` holds.
template <typename... Parts>
void require(bool condition, Parts const&... parts)
{
    if (!condition)
    {
        throw PluginError(text(parts...));
    }
}

} // namespace trtconv
