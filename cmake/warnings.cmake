add_compile_options(-Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes
                    -Wwrite-strings -Wvla -Wundef -Wformat=2 -Wcast-qual)
if(REJECTD_WERROR)
  add_compile_options(-Werror)
endif()
if(REJECTD_SANITIZE)
  add_compile_options(-fsanitize=${REJECTD_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${REJECTD_SANITIZE})
endif()
