/* The description of the HTTP API, protocol/openapi.yaml, as the server hands it out. */
#ifndef PROTOCOL_OPENAPI_H
#define PROTOCOL_OPENAPI_H

#include <stddef.h>

extern const char openapi_yaml[]; /* NUL-terminated */
extern const size_t openapi_yaml_length;

#endif
