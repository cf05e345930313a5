# CUDA, where nvcc is found (the environment's CUDACXX, PATH, /usr/local/cuda/bin):
#
#   add_cuda_module(<target> <source.cu>...)      a shared module, to be loaded at run time
#   add_cuda_executable(<target> <source.cu>...)
#
# Both compile with nvcc and link the CUDA runtime statically, cuBLAS and cuSOLVER dynamically.
# Include directories, definitions and libraries are given to the target as to any other; what the
# target compiles with is known when all of CMakeLists.txt has been read. Without nvcc, or with
# sanitizers, the functions do not exist: if(COMMAND add_cuda_module).
#
# Where REJECTD_REQUIRE_CUDA is on, not to build it is an error: what ran no nvcc then can't pass.
#
# No CUDA language of CMake's: it would be asked for at the top, by builds without nvcc, too.
option(REJECTD_CUDA "Build what needs nvcc, where nvcc is found" ON)
option(REJECTD_REQUIRE_CUDA "Fail where what needs nvcc can't be built" OFF)
set(REJECTD_CUDA_ARCHITECTURES 75 80 86 89 90 CACHE STRING
    "GPU architectures to compile for; newer ones compile the last when they first run it")

function(cuda_not_built why)
  if(REJECTD_REQUIRE_CUDA)
    message(FATAL_ERROR "CUDA: not built (${why}), and REJECTD_REQUIRE_CUDA asks for it")
  endif()
  message(STATUS "CUDA: not built (${why})")
endfunction()

if(NOT REJECTD_CUDA)
  cuda_not_built("REJECTD_CUDA is off")
  return()
endif()
if(REJECTD_SANITIZE)
  cuda_not_built("sanitizers look into the emulation of it")
  return()
endif()
find_program(REJECTD_NVCC nvcc HINTS $ENV{CUDACXX} PATHS /usr/local/cuda/bin)
if(DEFINED ENV{CUDACXX} AND EXISTS "$ENV{CUDACXX}")
  set(REJECTD_NVCC "$ENV{CUDACXX}" CACHE FILEPATH "" FORCE)
endif()
if(NOT REJECTD_NVCC OR NOT CMAKE_CXX_COMPILER)
  cuda_not_built("no nvcc found")
  return()
endif()

file(REAL_PATH ${REJECTD_NVCC} nvcc_real)
cmake_path(GET nvcc_real PARENT_PATH nvcc_directory)
foreach(name cudart_static cublas cusolver)
  find_library(REJECTD_CUDA_${name} ${name} NO_DEFAULT_PATH
               HINTS ${nvcc_directory}/../lib64
                     ${nvcc_directory}/../targets/${CMAKE_SYSTEM_PROCESSOR}-linux/lib
                     ${nvcc_directory}/../lib/${CMAKE_LIBRARY_ARCHITECTURE} # Debian's
                     ${nvcc_directory}/../lib)
  if(NOT REJECTD_CUDA_${name})
    cuda_not_built("${REJECTD_NVCC} is there, its library ${name} is not")
    return()
  endif()
endforeach()
message(STATUS "CUDA: ${REJECTD_NVCC}, architectures ${REJECTD_CUDA_ARCHITECTURES}")

set(nvcc_flags -std=c++17 -O3 -lineinfo -Xcompiler=-fPIC,-fopenmp,-Wall,-Wextra)
if(REJECTD_WERROR)
  list(APPEND nvcc_flags -Werror=all-warnings -Xcompiler=-Werror)
endif()
set(nvcc_flags "${nvcc_flags}" CACHE INTERNAL "")
foreach(architecture ${REJECTD_CUDA_ARCHITECTURES})
  list(APPEND module_code -gencode=arch=compute_${architecture},code=sm_${architecture})
  set(newest ${architecture})
endforeach()
list(APPEND module_code -gencode=arch=compute_${newest},code=compute_${newest})
set(nvcc_module_code "${module_code}" CACHE INTERNAL "")
# Programs are tests: one code, which the GPU's driver compiles for what is there, builds fast.
list(GET REJECTD_CUDA_ARCHITECTURES 0 oldest)
set(nvcc_program_code -gencode=arch=compute_${oldest},code=compute_${oldest} CACHE INTERNAL "")

# cuda_objects(<variable> <target> <flags> <source.cu>...): puts the names of the objects that nvcc
# makes of the sources with these flags, and with the include directories and definitions of the
# target, in the variable.
function(cuda_objects variable target code)
  set(includes "$<TARGET_PROPERTY:${target},INCLUDE_DIRECTORIES>")
  set(definitions "$<TARGET_PROPERTY:${target},COMPILE_DEFINITIONS>")
  set(objects)
  foreach(source ${ARGN})
    cmake_path(ABSOLUTE_PATH source)
    cmake_path(GET source FILENAME name)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${target}.nvcc/${name}.o)
    add_custom_command(
      OUTPUT ${object}
      COMMAND ${REJECTD_NVCC} ${nvcc_flags} ${code}
              "$<$<BOOL:${includes}>:-I$<JOIN:${includes},;-I>>"
              "$<$<BOOL:${definitions}>:-D$<JOIN:${definitions},;-D>>"
              -MD -MF ${object}.d -MT ${object} -c ${source} -o ${object}
      DEPENDS ${source}
      DEPFILE ${object}.d
      COMMENT "Building CUDA object ${target}.nvcc/${name}.o"
      COMMAND_EXPAND_LISTS VERBATIM)
    list(APPEND objects ${object})
  endforeach()
  file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/${target}.nvcc)
  set_source_files_properties(${objects} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
  set(${variable} ${objects} PARENT_SCOPE)
endfunction()

function(cuda_link target)
  set_target_properties(${target} PROPERTIES LINKER_LANGUAGE CXX)
  target_link_libraries(${target} PRIVATE ${REJECTD_CUDA_cublas} ${REJECTD_CUDA_cusolver}
                        ${REJECTD_CUDA_cudart_static} Threads::Threads ${CMAKE_DL_LIBS} rt)
endfunction()

function(add_cuda_module target)
  cuda_objects(objects ${target} "${nvcc_module_code}" ${ARGN})
  add_library(${target} MODULE ${objects})
  cuda_link(${target})
endfunction()

function(add_cuda_executable target)
  cuda_objects(objects ${target} "${nvcc_program_code}" ${ARGN})
  add_executable(${target} ${objects})
  cuda_link(${target})
endfunction()
