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

const char *const dtype_names[DTYPES] = {
    [REJECTD_FLOAT32] = "float32",
    [REJECTD_FLOAT64] = "float64",
    [REJECTD_FLOAT16] = "float16",
    [REJECTD_BFLOAT16] = "bfloat16",
};

const char *const threshold_method_names[REJECTD_THRESHOLD_METHOD_COUNT] = {
#define NAME(symbol, name) [REJECTD_THRESHOLD_##symbol] = name,
    REJECTD_THRESHOLD_METHOD_LIST(NAME)
#undef NAME
};

const char *const meg_legendre_names[REJECTD_MEG_LEGENDRE_COUNT] = {
#define NAME(symbol, name) [REJECTD_MEG_LEGENDRE_##symbol] = name,
    REJECTD_MEG_LEGENDRE_LIST(NAME)
#undef NAME
};

const char *const job_type_names[JOB_TYPE_COUNT] = {
#define NAME(symbol, name) [JOB_##symbol] = name,
    JOB_TYPE_LIST(NAME)
#undef NAME
};

const char *const job_state_names[JOB_STATE_COUNT] = {
#define NAME(symbol, name, final) [JOB_STATE_##symbol] = name,
    JOB_STATE_LIST(NAME)
#undef NAME
};

static const bool final_states[JOB_STATE_COUNT] = {
#define FINAL(symbol, name, final) [JOB_STATE_##symbol] = final,
    JOB_STATE_LIST(FINAL)
#undef FINAL
};

const char *const dataset_state_names[DATASET_STATE_COUNT] = {
#define NAME(symbol, name) [DATASET_##symbol] = name,
    DATASET_STATE_LIST(NAME)
#undef NAME
};

const char *const visibility_names[VISIBILITY_COUNT] = {
#define NAME(symbol, name) [VISIBILITY_##symbol] = name,
    VISIBILITY_LIST(NAME)
#undef NAME
};

static const char *const artifact_names[ARTIFACT_COUNT] = {
#define NAME(symbol, name) [ARTIFACT_##symbol] = name,
    ARTIFACT_LIST(NAME)
#undef NAME
};

/* The index of a name; n_names when it isn't there. */
static int find(const char *name, const char *const *names, int n_names)
{
    int i = 0;
    while (i < n_names && strcmp(name, names[i]) != 0)
        i++;
    return i;
}

bool channel_type_from_name(const char *name, enum rejectd_channel_type *type)
{
    int i = find(name, channel_type_names, REJECTD_CHANNEL_TYPE_COUNT);
    if (i < REJECTD_CHANNEL_TYPE_COUNT)
        *type = (enum rejectd_channel_type)i;
    return i < REJECTD_CHANNEL_TYPE_COUNT;
}

bool channel_type_is_analysed(enum rejectd_channel_type type)
{
    return analysed_types[type];
}

const char *dataset_state_name(enum dataset_state state)
{
    return dataset_state_names[state];
}

const char *job_state_name(enum job_state state)
{
    return job_state_names[state];
}

const char *visibility_name(enum visibility visibility)
{
    return visibility_names[visibility];
}

bool visibility_from_name(const char *name, enum visibility *visibility)
{
    int i = find(name, visibility_names, VISIBILITY_COUNT);
    if (i < VISIBILITY_COUNT)
        *visibility = (enum visibility)i;
    return i < VISIBILITY_COUNT;
}

const char *artifact_name(enum artifact artifact)
{
    return artifact_names[artifact];
}

const char *job_type_name(enum job_type type)
{
    return job_type_names[type];
}

bool job_state_is_final(enum job_state state)
{
    return final_states[state];
}

bool dataset_state_from_name(const char *name, enum dataset_state *state)
{
    int i = find(name, dataset_state_names, DATASET_STATE_COUNT);
    if (i < DATASET_STATE_COUNT)
        *state = (enum dataset_state)i;
    return i < DATASET_STATE_COUNT;
}

bool job_state_from_name(const char *name, enum job_state *state)
{
    int i = find(name, job_state_names, JOB_STATE_COUNT);
    if (i < JOB_STATE_COUNT)
        *state = (enum job_state)i;
    return i < JOB_STATE_COUNT;
}

bool artifact_from_name(const char *name, enum artifact *artifact)
{
    int i = find(name, artifact_names, ARTIFACT_COUNT);
    if (i < ARTIFACT_COUNT)
        *artifact = (enum artifact)i;
    return i < ARTIFACT_COUNT;
}

bool job_type_from_name(const char *name, enum job_type *type)
{
    int i = find(name, job_type_names, JOB_TYPE_COUNT);
    if (i < JOB_TYPE_COUNT)
        *type = (enum job_type)i;
    return i < JOB_TYPE_COUNT;
}
