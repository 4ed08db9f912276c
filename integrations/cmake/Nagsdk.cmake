# Builds the models of nagsdk.toml as part of a CMake build (CMake 3.16 or newer).
#
#     include(Nagsdk)
#     nagsdk_build(models PROJECT ${CMAKE_CURRENT_SOURCE_DIR}/nagsdk.toml LOCKED)
#     add_dependencies(app models)
#
# The target runs in every build. nagsdk compares contents; if nothing changed, it takes less than a second and touches
# no file. Without LOCKED, deployments that changed are deployed and pinned again, which may take minutes and needs the
# device.
#
#   NAGSDK_PROGRAM   the nagsdk program to run; if it is not set, nagsdk is looked for on the PATH

function(nagsdk_build target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "LOCKED;REQUIRE_VERIFIED" "PROJECT" "")
  if(NOT arg_PROJECT OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "Use nagsdk_build(TARGET PROJECT nagsdk.toml [LOCKED] [REQUIRE_VERIFIED]); unknown arguments: ${arg_UNPARSED_ARGUMENTS}")
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
