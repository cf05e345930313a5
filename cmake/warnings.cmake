add_compile_options(-Wall -Wextra -Wshadow -Wpointer-arith -Wwrite-strings -Wvla -Wundef -Wformat=2
                    -Wcast-qual
                    $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes>
                    $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>)
if(REJECTD_WERROR)
  add_compile_options(-Werror)
endif()
if(REJECTD_SANITIZE)
  add_compile_options(-fsanitize=${REJECTD_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${REJECTD_SANITIZE})
endif()
