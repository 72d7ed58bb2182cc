# The same sources and compilers give the same bytes, in whatever folder the sources lie.
include_guard()
include(CheckCompilerFlag)

# Compiles the sources of a target, in the folder of the caller, with paths that begin there. nvcc makes up names from a
# random number and from the path of a file, in place of which it is told the path within this folder; that it can be
# told so is documented for the number alone, and only from nvcc 13 on is it tried.
function(make_reproducible target)
    set(prefix_maps -ffile-prefix-map=${CMAKE_SOURCE_DIR}=. -ffile-prefix-map=${CMAKE_BINARY_DIR}=build)
    string(JOIN "," cuda_prefix_maps ${prefix_maps})
    target_compile_options(${target} PRIVATE
        $<$<COMPILE_LANGUAGE:CXX>:${prefix_maps}> $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=${cuda_prefix_maps}>)
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 13)
        return()
    endif()
    check_compiler_flag(CUDA -Xcicc=--orig_src_path_name=x.cu TRTCONV_NVCC_TAKES_SOURCE_PATH)
    foreach(source IN LISTS ARGN)
        if(NOT source MATCHES "\\.cu$")
            continue()
        endif()
        file(RELATIVE_PATH path ${CMAKE_CURRENT_SOURCE_DIR} ${source})
        set(options -frandom-seed=${path})
        if(TRTCONV_NVCC_TAKES_SOURCE_PATH)
            list(APPEND options -Xcicc=--orig_src_path_name=${path} -Xcudafe=--orig_src_path_name=${path})
        endif()
        set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${options}")
    endforeach()
endfunction()
