#include "protocol/names.h"

#include <string.h>

const char *const channel_type_names[REJECTD_CHANNEL_TYPE_COUNT] = {
#define NAME(symbol, name, analysed) [REJECTD_CHANNEL_##symbol] = name,
    REJECTD_CHANNEL_TYPE_LIST(NAME)
#undef NAME
};

static const bool analysed_types[REJECTD_CHANNEL_TYPE_COUNT] = {
#define ANALYSED(symbol, name, analysed) [REJECTD_CHANNEL_##symbol] = analysed,
    REJECTD_CHANNEL_TYPE_LIST(ANALYSED)
#undef ANALYSED
};

const char *const dtype_names[2] = {
    [REJECTD_FLOAT32] = "float32",
    [REJECTD_FLOAT64] = "float64",
};

const char *const threshold_method_names[REJECTD_THRESHOLD_METHOD_COUNT] = {
#define NAME(symbol, name) [REJECTD_THRESHOLD_##symbol] = name,
    REJECTD_THRESHOLD_METHOD_LIST(NAME)
#undef NAME
};

bool channel_type_from_name(const char *name, enum rejectd_channel_type *type)
{
    for (int i = 0; i < REJECTD_CHANNEL_TYPE_COUNT; i++)
        if (strcmp(name, channel_type_names[i]) == 0) {
            *type = (enum rejectd_channel_type)i;
            return true;
        }
    return false;
}

bool channel_type_is_analysed(enum rejectd_channel_type type)
{
    return analysed_types[type];
}
