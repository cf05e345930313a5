/*
 * Jobs and what they leave behind, on the wire: requests, fit parameters, results, models.
 *
 * Parsing is strict: unknown fields, wrong types and values out of range are errors that name the
 * field. What depends on the dataset (names in picks and thresholds) is resolved separately, so
 * that a request can be checked before its dataset is loaded.
 */
#ifndef PROTOCOL_JOB_JSON_H
#define PROTOCOL_JOB_JSON_H

#include <rejectd/error.h>
#include <rejectd/types.h>

/* X(symbol, name on the wire) */
#define JOB_TYPE_LIST(X)                                                                           \
    X(FIT, "fit")                                                                                  \
    X(APPLY, "apply")                                                                              \
    X(THRESHOLDS, "thresholds")                                                                    \
    X(RANSAC, "ransac")                                                                            \
    X(GLOBAL_THRESHOLDS, "global_thresholds")                                                      \
    X(VALIDATION_CURVE, "validation_curve")                                                        \
    X(INTERPOLATE, "interpolate")

enum job_type {
#define JOB_TYPE_ENUM(symbol, name) JOB_##symbol,
    JOB_TYPE_LIST(JOB_TYPE_ENUM)
#undef JOB_TYPE_ENUM
        JOB_TYPE_COUNT
};

enum { JOB_ID_SIZE = 40, JOB_MAX_PRIORITY = 100 };

struct job_request {
    enum job_type type;
    char dataset[JOB_ID_SIZE]; /* "ds_..." */
    char model[JOB_ID_SIZE];   /* "md_...", for apply */
    char device[32];           /* "auto" unless given */
    int priority;              /* -JOB_MAX_PRIORITY..JOB_MAX_PRIORITY, 0 unless given */
    bool fresh; /* "reuse": false: it is to be computed, whatever is there from earlier jobs */
    char *parameters_json; /* the "parameters" object as canonical text, owned; "{}" if absent */
};

enum rejectd_status job_request_from_json(const char *text, size_t length,
                                          struct job_request *request, struct rejectd_error *error);
void job_request_clear(struct job_request *request);
/* The text of a request, for clients; "dataset", "model" and "device" are left out when "".
 * free() it; NULL without memory or when parameters_json is not a JSON object. */
char *job_request_to_json(const struct job_request *request);

/*
 * Fit parameters resolved against a dataset; owns the arrays that `parameters` points to.
 * picks given as names or types become channel indices as autoreject picks them: names include
 * channels marked bad, types do not.
 */
struct fit_parameters {
    struct rejectd_fit_parameters parameters;
    int *n_interpolate;
    double *consensus;
    size_t *picks;
    double *thresholds;
    bool without_cleaned; /* no cleaned epochs are wanted */
};

enum rejectd_status fit_parameters_from_json(const char *text, size_t length,
                                             const struct rejectd_channel *channels,
                                             size_t n_channels, struct fit_parameters *parameters,
                                             struct rejectd_error *error);
void fit_parameters_clear(struct fit_parameters *parameters);

/*
 * The parameters of a job of any type, resolved against its dataset; owns what they point to. Only
 * the part of the type is filled.
 */
struct job_parameters {
    struct fit_parameters fit;
    struct rejectd_thresholds_parameters thresholds;
    struct rejectd_ransac_parameters ransac;
    struct rejectd_global_thresholds_parameters global_thresholds;
    struct rejectd_validation_curve_parameters validation_curve;
    size_t *picks; /* of all types but the fit */
    enum rejectd_channel_type *ch_types;
    double *param_range;
    struct rejectd_reject_log log; /* of an interpolation; of an apply, if it is given one: labels
                                      is NULL when there is none */
    struct rejectd_clean_parameters clean; /* of an interpolation */
    bool without_cleaned;                  /* of an apply and RANSAC, as of a fit */
    uint32_t random_state;                 /* as the result states it */
};

/* The samples of the epochs are not looked at. decim_start of global thresholds stays 0. */
enum rejectd_status job_parameters_from_json(enum job_type type, const char *text, size_t length,
                                             const struct rejectd_epochs *epochs,
                                             struct job_parameters *parameters,
                                             struct rejectd_error *error);
void job_parameters_clear(struct job_parameters *parameters);

/* Facts about a finished job that the numerics do not know. */
struct result_context {
    const char *model;          /* "md_...", or NULL */
    const char *device;         /* "cpu" */
    const char *devices;        /* "cuda:0 cuda:1": who shared the search for thresholds; or NULL */
    const char *backend;        /* rejectd_compute_description() or the like */
    const char *dataset_sha256; /* hex */
    const char *parameters_json; /* parameters as posted */
    uint32_t random_state;
    double seconds_queued;
    double seconds_running;
    const struct rejectd_warning *warnings; /* of whoever ran it, beside those of the numerics */
    size_t n_warnings;
};

/* Result of a fit as architecture.md fixes it, with "warnings", "timings" and "provenance".
 * Losses that are infinite are null; only picked channels have thresholds. free() it. */
char *fit_result_to_json(const struct rejectd_fit *fit, const struct rejectd_channel *channels,
                         const struct result_context *context);

/* Result of apply: the same shape without the loss. free() it. */
char *apply_result_to_json(const struct rejectd_reject_log *log, const struct rejectd_model *model,
                           const struct rejectd_channel *channels,
                           const struct result_context *context);

/* Result of a thresholds job: {"thresholds": {...}, "threshold_losses": {...}, ...}. free() it. */
char *thresholds_result_to_json(const struct rejectd_thresholds *thresholds,
                                enum rejectd_meg_legendre meg_legendre,
                                const struct rejectd_channel *channels,
                                const struct result_context *context);

/* Result of RANSAC: {"bad_channels": [...], "channels": [names in the order of correlations.npy],
 * ...}. free() it. */
char *ransac_result_to_json(const struct rejectd_ransac *ransac,
                            enum rejectd_meg_legendre meg_legendre,
                            const struct rejectd_channel *channels,
                            const struct result_context *context);

/* {"reject": {type: threshold, ...}, "losses": {type: loss, ...}, ...}. free() it. */
char *global_thresholds_result_to_json(const struct rejectd_global_thresholds *thresholds,
                                       const struct result_context *context);

/* {"param_range": [...], "train_scores": [[...]], "test_scores": [[...]], ...}, null where a score
 * is minus infinity. free() it. */
char *validation_curve_result_to_json(const struct rejectd_validation_curve *curve,
                                      const struct result_context *context);

/* Result of an interpolation: {"interpolated": {name: number of epochs, ...},
 * "origin": [...], ...}. free() it. */
char *interpolate_result_to_json(const struct rejectd_reject_log *log,
                                 const struct rejectd_clean_parameters *parameters,
                                 const struct rejectd_channel *channels,
                                 const struct result_context *context);

/* Models as JSON: {"channels": [{"name", "type", "threshold"}], "types": [...]}. */
char *model_to_json(const struct rejectd_model *model);
enum rejectd_status model_from_json(const char *text, size_t length, struct rejectd_model **model,
                                    struct rejectd_error *error); /* rejectd_model_free() it */

#endif
