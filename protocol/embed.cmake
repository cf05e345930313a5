# cmake -DINPUT=<file> -DOUTPUT=<file.c> -DHEADER=<header> -DNAME=<symbol> -P embed.cmake
#
# Writes a C source that holds the file as `const char <NAME>[]`, with a NUL behind it, and its
# length as `const size_t <NAME>_length`.
file(READ ${INPUT} bytes HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${bytes}")
string(REGEX REPLACE "(('[^']*',)('[^']*',)('[^']*',)('[^']*',)('[^']*',)('[^']*',)('[^']*',)('[^']*',))"
                     "\\1\n" bytes "${bytes}")
file(WRITE ${OUTPUT} "#include \"${HEADER}\"\n\n"
     "const char ${NAME}[] = {\n${bytes}'\\0'};\n"
     "const size_t ${NAME}_length = sizeof ${NAME} - 1;\n")
