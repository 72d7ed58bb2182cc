# Sets CMAKE_CUDA_COMPILER: the machine's nvcc if it is new enough, else the one that pip installed.
include_guard()
set(TRTCONV_MIN_NVCC 12.4)

# Sets `result` to the version of `nvcc`, empty if it does not run.
function(trtconv_nvcc_version nvcc result)
    execute_process(COMMAND ${nvcc} --version OUTPUT_VARIABLE output ERROR_QUIET RESULT_VARIABLE status)
    string(REGEX MATCH "release ([0-9]+\\.[0-9]+)" matched "${output}")
    if(status EQUAL 0 AND matched)
        set(${result} ${CMAKE_MATCH_1} PARENT_SCOPE)
    else()
        set(${result} "" PARENT_SCOPE)
    endif()
endfunction()

# Sets `result` to the folder of NVIDIA's CUDA packages in the Python that builds, empty if there is none.
function(trtconv_pip_cuda_folder result)
    find_package(Python COMPONENTS Interpreter REQUIRED)
    execute_process(
        COMMAND ${Python_EXECUTABLE} -c "import nvidia.cu13; print(nvidia.cu13.__path__[0])"
        OUTPUT_VARIABLE folder ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
    set(${result} "${folder}" PARENT_SCOPE)
endfunction()

if(NOT CMAKE_CUDA_COMPILER)
    set(system_nvcc $ENV{CUDACXX})
    if(NOT system_nvcc)
        find_program(system_nvcc nvcc PATHS /usr/local/cuda/bin NO_CACHE)
    endif()
    set(system_version "")
    if(system_nvcc)
        trtconv_nvcc_version(${system_nvcc} system_version)
    endif()
    if(system_version VERSION_GREATER_EQUAL TRTCONV_MIN_NVCC)
        set(CMAKE_CUDA_COMPILER ${system_nvcc})
    else()
        trtconv_pip_cuda_folder(pip_cuda)
        if(NOT pip_cuda)
            message(FATAL_ERROR "no CUDA compiler: found neither nvcc ${TRTCONV_MIN_NVCC} or later (PATH, CUDACXX, "
                "/usr/local/cuda) nor NVIDIA's packages; type: pip install nvidia-cuda-nvcc nvidia-nvvm "
                "nvidia-cuda-crt nvidia-cuda-cccl nvidia-cuda-runtime")
        endif()
        # Wheels lose the run bit of some of their programs.
        file(GLOB programs ${pip_cuda}/bin/* ${pip_cuda}/nvvm/bin/*)
        foreach(program IN LISTS programs)
            if(NOT IS_DIRECTORY ${program})
                file(CHMOD ${program} PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
                    WORLD_READ WORLD_EXECUTE)
            endif()
        endforeach()
        set(CMAKE_CUDA_COMPILER ${pip_cuda}/bin/nvcc)
        set(CUDAToolkit_ROOT ${pip_cuda})
    endif()
endif()
message(STATUS "CUDA compiler: ${CMAKE_CUDA_COMPILER}")
