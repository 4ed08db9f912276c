# Models of nagsdk.toml as part of a CMake build (3.16 or newer).
#
#     include(Nagsdk)
#     nagsdk_build(models PROJECT ${CMAKE_CURRENT_SOURCE_DIR}/nagsdk.toml LOCKED)
#     add_dependencies(app models)
#
# The target runs in every build: nagsdk compares contents, needs less than a second where nothing changed, and then
# touches no file. Without LOCKED what changed is deployed and pinned anew, which may take minutes and the device.
#
#   NAGSDK_PROGRAM   the nagsdk to run; found on the PATH where it is not set

function(nagsdk_build target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "LOCKED;REQUIRE_VERIFIED" "PROJECT" "")
  if(NOT arg_PROJECT OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "nagsdk_build(TARGET PROJECT nagsdk.toml [LOCKED] [REQUIRE_VERIFIED]); not understood: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  find_program(NAGSDK_PROGRAM nagsdk REQUIRED)
  set(command ${NAGSDK_PROGRAM} build --project ${arg_PROJECT})
  if(arg_LOCKED)
    list(APPEND command --locked)
  endif()
  if(arg_REQUIRE_VERIFIED)
    list(APPEND command --require-verified)
  endif()
  add_custom_target(${target} COMMAND ${command} COMMENT "nagsdk build" VERBATIM USES_TERMINAL)
endfunction()
