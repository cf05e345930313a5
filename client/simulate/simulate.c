/*
 * Epochs are made one after the other, each from a generator seeded by (seed, epoch), so that the
 * amount of memory beside the samples stays that of one epoch and an epoch does not depend on the
 * others. The plan of the artefacts is drawn first.
 */
#include "client/simulate/simulate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "client/simulate/head.h"
#include "client/simulate/random.h"

enum { SOURCES = 24, POLES = 4 };

static const double microvolt = 1e-6;

const char *simulate_artefact_name(enum simulate_artefact_kind kind)
{
    static const char *const names[] = {
#define ARTEFACT_NAME(symbol, name) name,
        SIMULATE_ARTEFACT_LIST(ARTEFACT_NAME)
#undef ARTEFACT_NAME
    };
    return names[kind];
}

/* What every epoch is made from. */
struct model {
    const struct simulate_request *request;
    const struct rejectd_channel *channels;
    double fields[SOURCES][512];
    double alpha_field[512];
    double evoked_field[512];
    double *gain; /* [n_channels] of the sensors */
};

static enum rejectd_status check_request(const struct simulate_request *request,
                                         struct rejectd_error *error)
{
    if (request->n_epochs < 1 || request->n_epochs > REJECTD_MAX_EPOCHS)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "epochs", "1 to %d epochs, not %zu",
                            REJECTD_MAX_EPOCHS, request->n_epochs);
    if (request->n_channels < 8 || request->n_channels > 512)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "channels", "8 to 512 channels, not %zu",
                            request->n_channels);
    if (request->n_times < 8 || request->n_times > REJECTD_MAX_TIMES)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "times", "8 to %d samples, not %zu",
                            REJECTD_MAX_TIMES, request->n_times);
    if (!(request->sfreq > 0.0) || isinf(request->sfreq) || !isfinite(request->tmin))
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "sfreq",
                            "a finite sampling rate above 0 is needed, in Hz");
    return REJECTD_OK;
}

static bool add_artefact(struct simulated_epochs *simulated, enum simulate_artefact_kind kind,
                         size_t first, size_t last, const double *field, double least)
{
    const size_t n = simulated->epochs.n_channels;
    struct simulate_artefact *grown =
        realloc(simulated->artefacts, (simulated->n_artefacts + 1) * sizeof *grown);
    if (grown == NULL)
        return false;
    simulated->artefacts = grown;
    struct simulate_artefact *artefact = &grown[simulated->n_artefacts];
    *artefact = (struct simulate_artefact){.kind = kind,
                                           .first_epoch = first,
                                           .last_epoch = last,
                                           .channels = malloc(n * sizeof *artefact->channels)};
    if (artefact->channels == NULL)
        return false;
    simulated->n_artefacts++;
    for (size_t c = 0; c < n; c++)
        if (field[c] >= least)
            artefact->channels[artefact->n_channels++] = (uint16_t)c;
    return true;
}

static bool add_single(struct simulated_epochs *simulated, enum simulate_artefact_kind kind,
                       size_t first, size_t last, size_t channel)
{
    double field[512] = {0};
    field[channel] = 1.0;
    return add_artefact(simulated, kind, first, last, field, 1.0);
}

/* Draws what goes wrong where: about one epoch in six has a passing artefact, and one sensor in
 * thirty is dead or noisy. */
static bool plan_artefacts(const struct simulate_request *request,
                           struct simulated_epochs *simulated)
{
    struct random random;
    random_seed(&random, request->seed ^ 0x61727465);
    const size_t n = request->n_channels;
    double blink[512];
    head_patch_field(simulated->channels, n, (const double[3]){0.0, 1.0, 0.05}, 0.045, blink);
    bool ok = true;
    for (size_t e = 0; e < request->n_epochs && ok; e++) {
        double chance = random_uniform(&random);
        if (chance < 0.07) {
            ok = add_artefact(simulated, SIMULATE_BLINK, e, e, blink, 0.3);
        } else if (chance < 0.11) {
            double patch[512], side = random_uniform(&random) < 0.5 ? -1.0 : 1.0;
            const double direction[3] = {side, random_uniform(&random) - 0.5, -0.1};
            head_patch_field(simulated->channels, n, direction, 0.03, patch);
            ok = add_artefact(simulated, SIMULATE_MUSCLE, e, e, patch, 0.4);
        } else if (chance < 0.17) {
            ok = add_single(simulated, SIMULATE_JUMP, e, e, random_below(&random, n));
        }
    }
    const size_t n_defects = 1 + n / 30;
    for (size_t i = 0; i < n_defects && ok; i++) {
        enum simulate_artefact_kind kind = i % 2 == 0 ? SIMULATE_NOISY : SIMULATE_DEAD;
        size_t first = 0, last = request->n_epochs - 1;
        if (random_uniform(&random) < 0.5)
            first = random_below(&random, request->n_epochs);
        ok = add_single(simulated, kind, first, last, random_below(&random, n));
    }
    return ok;
}

static void build_model(struct model *model, struct random *random)
{
    const size_t n = model->request->n_channels;
    for (size_t s = 0; s < SOURCES; s++)
        head_random_field(random, model->channels, n, model->fields[s]);
    head_patch_field(model->channels, n, (const double[3]){0.0, -1.0, 0.3}, 0.06,
                     model->alpha_field);
    head_patch_field(model->channels, n, (const double[3]){0.1, -0.3, 1.0}, 0.05,
                     model->evoked_field);
    for (size_t c = 0; c < n; c++)
        model->gain[c] = 0.9 + 0.2 * random_uniform(random);
}

/* 1/f noise of variance about 1: a sum of slow to fast first-order processes. */
static void pink_noise(struct random *random, size_t n, double *out)
{
    static const double poles[POLES] = {0.995, 0.97, 0.85, 0.5};
    static const double weights[POLES] = {0.62, 0.5, 0.45, 0.4};
    double state[POLES];
    for (int p = 0; p < POLES; p++)
        state[p] = random_normal(random);
    for (size_t t = 0; t < n; t++) {
        double white = random_normal(random), sum = 0.0;
        for (int p = 0; p < POLES; p++) {
            state[p] = poles[p] * state[p] + sqrt(1.0 - poles[p] * poles[p]) * white;
            sum += weights[p] * state[p];
        }
        out[t] = sum;
    }
}

static void add_projected(double *epoch, const double *field, size_t n_channels, size_t n_times,
                          const double *activity, double amplitude)
{
    for (size_t c = 0; c < n_channels; c++) {
        const double gain = field[c] * amplitude;
        for (size_t t = 0; t < n_times; t++)
            epoch[c * n_times + t] += gain * activity[t];
    }
}

static void add_brain(const struct model *model, struct random *random, double *epoch,
                      double *activity)
{
    const struct simulate_request *r = model->request;
    for (size_t s = 0; s < SOURCES; s++) {
        pink_noise(random, r->n_times, activity);
        add_projected(epoch, model->fields[s], r->n_channels, r->n_times, activity,
                      6.0 * microvolt);
    }
    double phase = 2.0 * M_PI * random_uniform(random),
           frequency = 9.0 + 2.0 * random_uniform(random);
    double strength = 4.0 + 6.0 * random_uniform(random);
    for (size_t t = 0; t < r->n_times; t++)
        activity[t] = sin(2.0 * M_PI * frequency * (double)t / r->sfreq + phase);
    add_projected(epoch, model->alpha_field, r->n_channels, r->n_times, activity,
                  strength * microvolt);
    for (size_t t = 0; t < r->n_times; t++) {
        double time = r->tmin + (double)t / r->sfreq, d = (time - 0.3) / 0.07;
        activity[t] = exp(-0.5 * d * d);
    }
    add_projected(epoch, model->evoked_field, r->n_channels, r->n_times, activity, 8.0 * microvolt);
    for (size_t i = 0; i < r->n_channels * r->n_times; i++)
        epoch[i] += 1.5 * microvolt * random_normal(random);
}

/* The course over time of a passing artefact, and its largest amplitude in volts. */
static double draw_course(enum simulate_artefact_kind kind, struct random *random, size_t n,
                          double sfreq, double *course)
{
    const double centre = (0.2 + 0.6 * random_uniform(random)) * (double)n;
    switch (kind) {
    case SIMULATE_BLINK:
        for (size_t t = 0; t < n; t++) {
            double d = ((double)t - centre) / (0.06 * sfreq);
            course[t] = exp(-0.5 * d * d);
        }
        return (150.0 + 100.0 * random_uniform(random)) * microvolt;
    case SIMULATE_MUSCLE:
        for (size_t t = 0; t < n; t++) {
            double d = ((double)t - centre) / (0.15 * (double)n);
            course[t] = random_normal(random) * exp(-0.5 * d * d);
        }
        return (50.0 + 40.0 * random_uniform(random)) * microvolt;
    default:
        for (size_t t = 0; t < n; t++)
            course[t] = (double)t < centre ? 0.0 : exp(-((double)t - centre) / (double)n);
        return (200.0 + 400.0 * random_uniform(random)) * microvolt;
    }
}

static void apply_artefact(const struct model *model, const struct simulate_artefact *artefact,
                           struct random *random, double *epoch, double *course)
{
    const struct simulate_request *r = model->request;
    const size_t n = r->n_times;
    if (artefact->kind == SIMULATE_DEAD || artefact->kind == SIMULATE_NOISY) {
        double *row = epoch + artefact->channels[0] * n;
        double amplitude = artefact->kind == SIMULATE_DEAD ? 0.02 : 45.0;
        for (size_t t = 0; t < n; t++)
            row[t] = (artefact->kind == SIMULATE_DEAD ? 0.0 : row[t]) +
                     amplitude * microvolt * random_normal(random);
        return;
    }
    double amplitude = draw_course(artefact->kind, random, n, r->sfreq, course);
    if (artefact->kind == SIMULATE_BLINK) {
        double blink[512];
        head_patch_field(model->channels, r->n_channels, (const double[3]){0.0, 1.0, 0.05}, 0.045,
                         blink);
        add_projected(epoch, blink, r->n_channels, n, course, amplitude);
        return;
    }
    for (size_t i = 0; i < artefact->n_channels; i++)
        for (size_t t = 0; t < n; t++)
            epoch[artefact->channels[i] * n + t] += amplitude * course[t];
}

static void store_epoch(const struct model *model, const double *epoch, void *samples, size_t at)
{
    const size_t n_times = model->request->n_times;
    const size_t n = model->request->n_channels * n_times;
    for (size_t i = 0; i < n; i++) {
        double value = epoch[i] * model->gain[i / n_times];
        if (model->request->dtype == REJECTD_FLOAT64)
            ((double *)samples)[at * n + i] = value;
        else
            ((float *)samples)[at * n + i] = (float)value;
    }
}

static enum rejectd_status fill_samples(const struct simulate_request *request,
                                        struct simulated_epochs *simulated,
                                        struct rejectd_error *error)
{
    const size_t n = request->n_channels * request->n_times;
    enum rejectd_status status = REJECTD_OK;
    struct model *model = calloc(1, sizeof *model);
    double *gain = malloc(request->n_channels * sizeof *gain);
    double *epoch = malloc(n * sizeof *epoch),
           *activity = malloc(request->n_times * sizeof *activity);
    if (model == NULL || gain == NULL || epoch == NULL || activity == NULL) {
        status = REJECTD_FAIL_MEMORY(error, n * sizeof *epoch);
        goto cleanup;
    }
    struct random random;
    random_seed(&random, request->seed);
    model->request = request;
    model->channels = simulated->channels;
    model->gain = gain;
    build_model(model, &random);
    for (size_t e = 0; e < request->n_epochs; e++) {
        random_seed(&random, request->seed + 0x65706f63 * (uint64_t)(e + 1));
        memset(epoch, 0, n * sizeof *epoch);
        add_brain(model, &random, epoch, activity);
        for (size_t i = 0; i < simulated->n_artefacts; i++)
            if (simulated->artefacts[i].first_epoch <= e && e <= simulated->artefacts[i].last_epoch)
                apply_artefact(model, &simulated->artefacts[i], &random, epoch, activity);
        store_epoch(model, epoch, simulated->samples, e);
    }
cleanup:
    free(model);
    free(gain);
    free(epoch);
    free(activity);
    return status;
}

enum rejectd_status simulate_epochs(const struct simulate_request *request,
                                    struct simulated_epochs *simulated, struct rejectd_error *error)
{
    *simulated = (struct simulated_epochs){0};
    enum rejectd_status status = check_request(request, error);
    if (status != REJECTD_OK)
        return status;
    size_t count, bytes;
    if (!checked_multiply3(request->n_epochs, request->n_channels, request->n_times, &count) ||
        !checked_multiply(count, request->dtype == REJECTD_FLOAT64 ? 8 : 4, &bytes))
        return REJECTD_FAIL_MEMORY(error, SIZE_MAX);
    simulated->samples = malloc(bytes);
    simulated->channels = calloc(request->n_channels, sizeof *simulated->channels);
    if (simulated->samples == NULL || simulated->channels == NULL) {
        simulate_free(simulated);
        return REJECTD_FAIL_MEMORY(error, bytes);
    }
    head_place_electrodes(simulated->channels, request->n_channels);
    simulated->epochs = (struct rejectd_epochs){
        .n_epochs = request->n_epochs,
        .n_channels = request->n_channels,
        .n_times = request->n_times,
        .dtype = request->dtype,
        .samples = simulated->samples,
        .channels = simulated->channels,
    };
    if (!plan_artefacts(request, simulated))
        status = REJECTD_FAIL_MEMORY(error, request->n_channels * sizeof(uint16_t));
    if (status == REJECTD_OK)
        status = fill_samples(request, simulated, error);
    if (status != REJECTD_OK)
        simulate_free(simulated);
    return status;
}

void simulate_free(struct simulated_epochs *simulated)
{
    for (size_t i = 0; i < simulated->n_artefacts; i++)
        free(simulated->artefacts[i].channels);
    free(simulated->artefacts);
    free(simulated->samples);
    free(simulated->channels);
    *simulated = (struct simulated_epochs){0};
}
