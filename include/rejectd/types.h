/*
 * The nouns of rejectd: epochs, channels, fit parameters, the reject log, a fitted model.
 *
 * Plain structs, no behaviour. SI units throughout: volts, metres, seconds, hertz. Indices are
 * 0-based. Arrays are C order, the last index varying fastest.
 */
#ifndef REJECTD_TYPES_H
#define REJECTD_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Limits of what a dataset may be; larger input is refused, not truncated. */
enum {
    REJECTD_MAX_CHANNELS = 4096,
    REJECTD_MAX_EPOCHS = 1000000,
    REJECTD_MAX_TIMES = 10000000,
    REJECTD_MAX_FOLDS = 1000,
    REJECTD_MAX_GRID = 1000,     /* values of consensus, and of n_interpolate */
    REJECTD_MAX_RESAMPLE = 1000, /* subsets that RANSAC draws */
    REJECTD_MAX_PROJECTORS = 256,
    REJECTD_NAME_SIZE = 64, /* bytes of a channel name with its NUL */
};

/* X(symbol, name on the wire, is a data channel that is analysed unless picks say otherwise) */
#define REJECTD_CHANNEL_TYPE_LIST(X)                                                               \
    X(EEG, "eeg", true)                                                                            \
    X(MAG, "mag", true)                                                                            \
    X(GRAD, "grad", true)                                                                          \
    X(ECOG, "ecog", true)                                                                          \
    X(SEEG, "seeg", true)                                                                          \
    X(HBO, "hbo", true)                                                                            \
    X(HBR, "hbr", true)                                                                            \
    X(EOG, "eog", false)                                                                           \
    X(ECG, "ecg", false)                                                                           \
    X(EMG, "emg", false)                                                                           \
    X(STIM, "stim", false)                                                                         \
    X(MISC, "misc", false)

enum rejectd_channel_type {
#define REJECTD_CHANNEL_TYPE_ENUM(symbol, name, analysed) REJECTD_CHANNEL_##symbol,
    REJECTD_CHANNEL_TYPE_LIST(REJECTD_CHANNEL_TYPE_ENUM)
#undef REJECTD_CHANNEL_TYPE_ENUM
        REJECTD_CHANNEL_TYPE_COUNT
};

/* Of samples (the first two), and of arithmetic: a precision of 16 bits means that a GPU keeps
 * samples and what it makes of them in 16 bits, and reckons in float32; the processor, and a GPU
 * that can't multiply that type, take float32 altogether. */
enum rejectd_dtype {
    REJECTD_FLOAT32,
    REJECTD_FLOAT64,
    REJECTD_FLOAT16,
    REJECTD_BFLOAT16,
};

/* X(symbol, name on the wire) */
#define REJECTD_THRESHOLD_METHOD_LIST(X)                                                           \
    X(BAYESIAN_OPTIMIZATION, "bayesian_optimization")                                              \
    X(RANDOM_SEARCH, "random_search")                                                              \
    X(EXACT, "exact")

enum rejectd_threshold_method {
#define REJECTD_THRESHOLD_METHOD_ENUM(symbol, name) REJECTD_THRESHOLD_##symbol,
    REJECTD_THRESHOLD_METHOD_LIST(REJECTD_THRESHOLD_METHOD_ENUM)
#undef REJECTD_THRESHOLD_METHOD_ENUM
        REJECTD_THRESHOLD_METHOD_COUNT
};

/* X(symbol, name on the wire): how MEG field maps evaluate Legendre series. MNE-Python up to 1.12
 * looked them up in a coarse table, which makes other maps; newer ones evaluate them. */
#define REJECTD_MEG_LEGENDRE_LIST(X)                                                               \
    X(EXACT, "exact")                                                                              \
    X(TABLE, "table")

enum rejectd_meg_legendre {
#define REJECTD_MEG_LEGENDRE_ENUM(symbol, name) REJECTD_MEG_LEGENDRE_##symbol,
    REJECTD_MEG_LEGENDRE_LIST(REJECTD_MEG_LEGENDRE_ENUM)
#undef REJECTD_MEG_LEGENDRE_ENUM
        REJECTD_MEG_LEGENDRE_COUNT
};

struct rejectd_channel {
    char name[REJECTD_NAME_SIZE]; /* UTF-8, not empty, unique in its dataset */
    enum rejectd_channel_type type;
    bool bad; /* excluded from analysis, never a source of interpolation, left untouched */
    bool has_position;
    double position[3]; /* m, head coordinates; finite where has_position */
    bool has_loc;
    double loc[12]; /* of a MEG coil: origin (m) and the axes x, y, z (z is its normal), in device
                       coordinates, as MNE-Python's info has it; NaN where unknown */
    bool has_coil_type;
    int32_t coil_type; /* FIFF code; the high 16 bits are the CTF compensation grade */
};

/* A signal-space projector: vectors over the channels of the dataset, 0 where it has none. */
struct rejectd_projector {
    char description[REJECTD_NAME_SIZE]; /* UTF-8, may be empty */
    bool active;                         /* has been applied to the samples */
    size_t n_vectors;
    double *vectors; /* [n_vectors][n_channels], finite */
};

/* A view of epochs; owns nothing. */
struct rejectd_epochs {
    size_t n_epochs;
    size_t n_channels;
    size_t n_times;
    enum rejectd_dtype dtype;
    const void *samples; /* [n_epochs][n_channels][n_times], finite, SI units */
    const char *content; /* SHA-256 of the samples, hexadecimal: a GPU may keep them for the next
                            call with the same; NULL: it doesn't */
    const struct rejectd_channel *channels; /* [n_channels] */
    bool has_device_to_head;
    double device_to_head[4][4]; /* MEG coils to head coordinates; without it they stay in device
                                    coordinates */
    const struct rejectd_projector *projectors; /* [n_projectors], active or not */
    size_t n_projectors;
};

/*
 * How to fit. Zero-initialised it means autoreject's defaults except random_state, which
 * autoreject draws at random and rejectd fixes to 42 when the caller leaves it out on the wire.
 */
struct rejectd_fit_parameters {
    const int *n_interpolate; /* NULL: 1, 4, min(n_picks - 1, 32); each >= 0 and < n_picks, which
                                 counts the picks of all types */
    size_t n_n_interpolate;
    const double *consensus; /* NULL: 0, 0.1, ..., 1 as numpy.linspace(0, 1, 11) computes it */
    size_t n_consensus;
    size_t cv; /* folds of the local cross-validation; 0: 10 */
    enum rejectd_threshold_method thresh_method;
    uint32_t random_state;
    const size_t *picks; /* ascending channel indices; NULL: every data channel not bad */
    size_t n_picks;
    const double *thresholds;     /* [n_channels], read at the picks, skips the search; or NULL */
    enum rejectd_dtype precision; /* arithmetic; see REJECTD_PRECISION_DEFAULT below */
    enum rejectd_meg_legendre meg_legendre;
};

/* The arithmetic used unless asked otherwise, whatever the dtype of the dataset. */
#define REJECTD_PRECISION_DEFAULT REJECTD_FLOAT64

/* How to search thresholds alone (autoreject.compute_thresholds). */
struct rejectd_thresholds_parameters {
    enum rejectd_threshold_method thresh_method;
    uint32_t random_state;
    const size_t *picks; /* ascending channel indices; NULL: every data channel not bad */
    size_t n_picks;
    enum rejectd_dtype precision;
    enum rejectd_meg_legendre meg_legendre;
    bool without_augmentation; /* no leave-one-out predictions, and so no positions needed */
};

struct rejectd_thresholds {
    size_t n_channels;
    double *thresholds;           /* [n_channels] SI unit of the channel; NaN where not picked */
    double *losses;               /* [n_channels] at the threshold; NaN where not picked */
    enum rejectd_dtype precision; /* that was really used: what was asked for, or better */
};

/* Labels of a reject log. */
enum {
    REJECTD_LABEL_GOOD = 0,
    REJECTD_LABEL_BAD = 1,
    REJECTD_LABEL_INTERPOLATED = 2,
    REJECTD_LABEL_NOT_CONSIDERED = -1,
};

struct rejectd_reject_log {
    size_t n_epochs;
    size_t n_channels;
    int8_t *labels;      /* [n_epochs][n_channels] */
    uint8_t *bad_epochs; /* [n_epochs], 0 or 1 */
};

/* How the sensors that a reject log labels REJECTD_LABEL_INTERPOLATED are predicted.
 * Zero-initialised it means as in AutoReject.transform. */
struct rejectd_clean_parameters {
    enum rejectd_meg_legendre meg_legendre;
    double origin[3];   /* m: the centre of the sphere on which the electrodes lie; of EEG alone */
    bool leave_one_out; /* each from all other sensors of the log, labelled so or not
                           (autoreject.clean_by_interp) */
};

/* What the local cross-validation chose for the channels of one type, and the losses behind it. */
struct rejectd_type_fit {
    enum rejectd_channel_type type;
    double consensus;
    int n_interpolate;
    size_t n_consensus;
    size_t n_n_interpolate;
    size_t n_folds;
    double *consensus_grid;  /* [n_consensus] */
    int *n_interpolate_grid; /* [n_n_interpolate] */
    double *loss;            /* [n_consensus][n_n_interpolate][n_folds]; infinity is possible */
};

/* What must be kept of a fit to apply it to other epochs. Channels are matched by name. */
struct rejectd_model_channel {
    char name[REJECTD_NAME_SIZE];
    enum rejectd_channel_type type;
    double threshold; /* peak-to-peak, SI unit of the channel */
};

struct rejectd_model_type {
    enum rejectd_channel_type type;
    double consensus;
    int n_interpolate;
};

struct rejectd_model {
    size_t n_channels; /* the picks of the fit, in their order */
    struct rejectd_model_channel *channels;
    size_t n_types;
    struct rejectd_model_type *types;
    enum rejectd_meg_legendre meg_legendre;
};

/* Something legal that a person should look at. */
struct rejectd_warning {
    char code[32];     /* stable, for programs: "flat-channel", "all-epochs-bad", ... */
    char message[224]; /* for people */
};

struct rejectd_fit {
    size_t n_channels;
    double *thresholds;       /* [n_channels]; NaN for channels that were not picked */
    double *threshold_losses; /* [n_channels]; loss at the threshold; NaN where not searched */
    size_t n_types;
    struct rejectd_type_fit *types; /* in the order of their first picks */
    enum rejectd_meg_legendre meg_legendre;
    enum rejectd_dtype precision; /* that was really used: what was asked for, or better */
    struct rejectd_reject_log log;
    size_t n_warnings;
    struct rejectd_warning *warnings;
    double seconds_thresholds; /* wall time of the two halves of the fit */
    double seconds_local_cv;
};

/* How to look for channels that the others do not predict. Start from REJECTD_RANSAC_DEFAULTS. */
struct rejectd_ransac_parameters {
    size_t n_resample;    /* subsets drawn, 1 to REJECTD_MAX_RESAMPLE */
    double min_channels;  /* size of a subset as a share of the picks, in (0, 1]; the product is
                             rounded half to even, and may not be 0 */
    double min_corr;      /* correlations below it are poor, in [-1, 1] */
    double unbroken_time; /* a channel is bad when poor in more than this share of epochs, [0, 1] */
    uint32_t random_state; /* draws the subsets */
    const size_t *picks;   /* ascending channel indices; NULL: every data channel not bad. Picked
                              channels that are marked bad are judged but never drawn */
    size_t n_picks;
    enum rejectd_dtype precision;
    enum rejectd_meg_legendre meg_legendre;
};

/* autoreject's defaults, its fixed random_state included. */
#define REJECTD_RANSAC_DEFAULTS                                                                    \
    {                                                                                              \
        .n_resample = 50, .min_channels = 0.25, .min_corr = 0.75, .unbroken_time = 0.4,            \
        .random_state = 435656, .precision = REJECTD_PRECISION_DEFAULT                             \
    }

struct rejectd_ransac {
    size_t n_epochs;
    size_t n_picks;
    size_t n_resample;
    size_t n_samples;     /* picks of a subset */
    size_t *picks;        /* [n_picks] channel indices */
    double *correlations; /* [n_epochs][n_picks] of each pick with its prediction; NaN where one of
                             them is zero throughout */
    uint8_t *bad;         /* [n_picks] 0 or 1 */
    uint32_t *subsets;    /* [n_resample][n_samples] positions in picks, in the order drawn */
    enum rejectd_dtype precision; /* that was really used */
};

/* How to look for one threshold for all channels of a type. Zero-initialised it means autoreject's
 * defaults, but for precision. */
struct rejectd_global_thresholds_parameters {
    const enum rejectd_channel_type *ch_types; /* NULL: mag, grad, eeg, eog, hbo, hbr, ecog, seeg */
    size_t n_ch_types;
    size_t decim;          /* every decim-th sample is used; 0: 1 */
    size_t decim_start;    /* first sample used, below decim; see rejectd_decim_start() */
    size_t cv;             /* folds; 0: 5 */
    uint32_t random_state; /* of no effect, in autoreject neither: nothing is drawn */
    enum rejectd_dtype precision;
};

struct rejectd_global_threshold {
    enum rejectd_channel_type type;
    double threshold; /* peak-to-peak, SI unit of the type */
    double loss;      /* mean over folds, at the threshold */
};

struct rejectd_global_thresholds {
    size_t n_types;
    struct rejectd_global_threshold
        *types;                   /* [n_types] in the order asked for; types of which the
                                     dataset has no channel that is not bad are left out */
    enum rejectd_dtype precision; /* that was really used */
};

/* The scores of given global thresholds. Zero-initialised it means autoreject's defaults, but for
 * precision. */
struct rejectd_validation_curve_parameters {
    const double *param_range; /* peak-to-peak thresholds, finite, in any order; NULL: 15 from the
                                  smallest to the largest amplitude of a channel in an epoch */
    size_t n_param_range;      /* 1 to REJECTD_MAX_GRID */
    size_t cv;                 /* folds; 0: 5 */
    enum rejectd_dtype precision;
};

struct rejectd_validation_curve {
    size_t n_params;
    size_t n_folds;
    double *param_range;  /* [n_params] */
    double *train_scores; /* [n_params][n_folds] minus the loss; -infinity where no epoch is kept */
    double *test_scores;  /* [n_params][n_folds] */
    enum rejectd_dtype precision; /* that was really used */
};

#endif
