/*
 * Simulated EEG epochs with known artefacts.
 *
 * What it makes: a head of radius 9.5 cm with electrodes spread over it; a few dozen cortical
 * sources with 1/f activity, an alpha rhythm at the back, a response evoked at t = 0, projected
 * to the electrodes by smooth fields; sensor noise. On top of it planted artefacts, whose epochs
 * and sensors are told: blinks (frontal sensors), muscle bursts (a patch at the side), jumps (one
 * sensor, one epoch), dead sensors and noisy sensors (throughout, or for a part of the epochs).
 *
 * The same request gives the same bytes on every machine with IEEE arithmetic and the same C
 * library. Amplitudes are in volts, positions in metres.
 */
#ifndef CLIENT_SIMULATE_SIMULATE_H
#define CLIENT_SIMULATE_SIMULATE_H

#include <rejectd/error.h>
#include <rejectd/types.h>

/* X(symbol, name) */
#define SIMULATE_ARTEFACT_LIST(X)                                                                  \
    X(BLINK, "blink")                                                                              \
    X(MUSCLE, "muscle")                                                                            \
    X(JUMP, "jump")                                                                                \
    X(DEAD, "dead")                                                                                \
    X(NOISY, "noisy")

enum simulate_artefact_kind {
#define SIMULATE_ARTEFACT_ENUM(symbol, name) SIMULATE_##symbol,
    SIMULATE_ARTEFACT_LIST(SIMULATE_ARTEFACT_ENUM)
#undef SIMULATE_ARTEFACT_ENUM
        SIMULATE_ARTEFACT_COUNT
};

struct simulate_request {
    size_t n_epochs;   /* 1..REJECTD_MAX_EPOCHS */
    size_t n_channels; /* 8..512 */
    size_t n_times;    /* 8..REJECTD_MAX_TIMES */
    double sfreq;      /* Hz, > 0 */
    double tmin;       /* s */
    enum rejectd_dtype dtype;
    uint64_t seed;
};

/* One planted artefact: epochs first_epoch..last_epoch, and the sensors where it is strong. */
struct simulate_artefact {
    enum simulate_artefact_kind kind;
    size_t first_epoch;
    size_t last_epoch;
    size_t n_channels;
    uint16_t *channels; /* owned */
};

struct simulated_epochs {
    struct rejectd_epochs epochs;     /* views of the two arrays below */
    void *samples;                    /* [n_epochs][n_channels][n_times], owned */
    struct rejectd_channel *channels; /* [n_channels], owned */
    size_t n_artefacts;
    struct simulate_artefact *artefacts; /* owned */
};

/* Makes the epochs; *simulated is the caller's: simulate_free(). */
enum rejectd_status simulate_epochs(const struct simulate_request *request,
                                    struct simulated_epochs *simulated,
                                    struct rejectd_error *error);
void simulate_free(struct simulated_epochs *simulated);

/* "blink", "muscle", ... Static storage. */
const char *simulate_artefact_name(enum simulate_artefact_kind kind);

#endif
