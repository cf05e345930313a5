# room_headers(<target> <room>): who links <target> may include "<room>/...".
#
# Each room is a library target whose include path holds only that room (a link in the build
# tree), so a header of a room that is not linked does not compile.
function(room_headers target room)
  set(view ${PROJECT_BINARY_DIR}/rooms/${room})
  file(MAKE_DIRECTORY ${view})
  if(NOT EXISTS ${view}/${room})
    file(CREATE_LINK ${PROJECT_SOURCE_DIR}/${room} ${view}/${room} SYMBOLIC)
  endif()
  target_include_directories(${target} PUBLIC ${view})
endfunction()
