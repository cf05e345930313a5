/*
 * Everything a fit, an apply or a clean refuses: each case changes one thing of valid input and
 * says which error has to come. Samples that are not finite and names that repeat never come this
 * far: test_protocol_dataset.c and the service tests have those.
 */
#include <check.h>
#include <math.h>
#include <rejectd/compute.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run_suite.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

enum { E = 12, C = 10, LIST = 1001 };

/* Valid input of everything: eight EEG channels, an EOG channel and a bad EEG channel without
 * positions, and lists that a case may point the parameters to. */
struct situation {
    struct rejectd_channel channels[C];
    struct rejectd_epochs epochs;
    struct rejectd_fit_parameters parameters;
    double consensus[LIST];
    int n_interpolate[LIST];
    size_t picks[C];
    double thresholds[C];
    struct rejectd_model_channel model_channels[C];
    struct rejectd_model_type model_type;
    struct rejectd_model model;
    int8_t labels[E * C];
    uint8_t bad_epochs[E];
    struct rejectd_reject_log log;
};

static void place_channel(struct rejectd_channel *channel, size_t index)
{
    *channel = (struct rejectd_channel){.type = REJECTD_CHANNEL_EEG, .has_position = true};
    snprintf(channel->name, sizeof channel->name, "E%zu", index);
    channel->position[0] = 0.09 * cos(0.7 * (double)index);
    channel->position[1] = 0.09 * sin(0.7 * (double)index);
    channel->position[2] = 0.01 * (double)index;
}

static void fill_channels(struct situation *s)
{
    for (size_t c = 0; c < C; c++)
        place_channel(&s->channels[c], c);
    s->channels[3].has_position = false;
    s->channels[3].type = REJECTD_CHANNEL_EOG;
    s->channels[6].has_position = false;
    s->channels[6].bad = true;
}

static void fill_lists(struct situation *s)
{
    static const size_t eeg[8] = {0, 1, 2, 4, 5, 7, 8, 9};
    memcpy(s->picks, eeg, sizeof eeg);
    for (size_t c = 0; c < C; c++)
        s->thresholds[c] = c == 3 || c == 6 ? NAN : 1e-4;
    for (size_t i = 0; i < 8; i++) {
        memcpy(s->model_channels[i].name, s->channels[eeg[i]].name, REJECTD_NAME_SIZE);
        s->model_channels[i].type = REJECTD_CHANNEL_EEG;
        s->model_channels[i].threshold = 1e-4;
    }
    memset(s->labels, REJECTD_LABEL_NOT_CONSIDERED, sizeof s->labels);
    for (size_t e = 0; e < E; e++)
        for (size_t i = 0; i < 8; i++)
            s->labels[e * C + eeg[i]] = REJECTD_LABEL_GOOD;
    s->labels[5 * C + 2] = REJECTD_LABEL_INTERPOLATED;
}

static struct situation *valid(void)
{
    struct situation *s = calloc(1, sizeof *s);
    ck_assert_ptr_nonnull(s);
    fill_channels(s);
    fill_lists(s);
    s->epochs = (struct rejectd_epochs){.n_epochs = E,
                                        .n_channels = C,
                                        .n_times = 20,
                                        .dtype = REJECTD_FLOAT64,
                                        .channels = s->channels};
    s->model_type = (struct rejectd_model_type){REJECTD_CHANNEL_EEG, 0.5, 2};
    s->model = (struct rejectd_model){
        .n_channels = 8, .channels = s->model_channels, .n_types = 1, .types = &s->model_type};
    s->log = (struct rejectd_reject_log){E, C, s->labels, s->bad_epochs};
    return s;
}

static void give_consensus(struct situation *s, size_t n, size_t at, double value)
{
    s->parameters.consensus = s->consensus;
    s->parameters.n_consensus = n;
    s->consensus[at] = value;
}

static void give_n_interpolate(struct situation *s, size_t n, size_t at, int value)
{
    s->parameters.n_interpolate = s->n_interpolate;
    s->parameters.n_n_interpolate = n;
    s->n_interpolate[at] = value;
}

static void give_picks(struct situation *s, size_t n)
{
    s->parameters.picks = s->picks;
    s->parameters.n_picks = n;
}

static void give_threshold(struct situation *s, size_t channel, double value)
{
    s->parameters.thresholds = s->thresholds;
    s->thresholds[channel] = value;
}

static void move_channel(struct situation *s, size_t channel, double x, double y, double z)
{
    s->channels[channel].position[0] = x;
    s->channels[channel].position[1] = y;
    s->channels[channel].position[2] = z;
}

static void put_beside(struct situation *s, size_t channel, size_t other, double distance)
{
    const double *p = s->channels[other].position;
    s->channels[channel].has_position = true;
    move_channel(s, channel, p[0], p[1], p[2] + distance);
}

static void rename_to(char name[REJECTD_NAME_SIZE], const char *other)
{
    snprintf(name, REJECTD_NAME_SIZE, "%s", other);
}

/* A magnetometer of a VectorView system that looks at the head from where the electrode was. */
static void make_mag(struct rejectd_channel *channel)
{
    const double *p = channel->position;
    const double radius = sqrt(p[0] * p[0] + p[1] * p[1] + p[2] * p[2]);
    static const double axes[6] = {1, 0, 0, 0, 1, 0};
    channel->type = REJECTD_CHANNEL_MAG;
    channel->has_position = false;
    channel->has_loc = channel->has_coil_type = true;
    channel->coil_type = 3024;
    memcpy(channel->loc + 3, axes, sizeof axes);
    for (int i = 0; i < 3; i++) {
        channel->loc[i] = 1.3 * p[i];
        channel->loc[9 + i] = p[i] / radius;
    }
}

static void make_meg(struct situation *s)
{
    for (size_t c = 0; c < C; c++)
        if (s->channels[c].type == REJECTD_CHANNEL_EEG)
            make_mag(&s->channels[c]);
}

/* CHANGE(name, statements): what a case does to a valid situation *s. */
#define CHANGE(name, ...)                                                                          \
    static void name(struct situation *s)                                                          \
    {                                                                                              \
        __VA_ARGS__;                                                                               \
    }

CHANGE(two_epochs, s->epochs.n_epochs = 2)
CHANGE(no_epochs, s->epochs.n_epochs = 0)
CHANGE(three_epochs, s->epochs.n_epochs = 3; s->parameters.cv = 3)
CHANGE(many_epochs, s->epochs.n_epochs = REJECTD_MAX_EPOCHS + 1)
CHANGE(no_channels, s->epochs.n_channels = 0)
CHANGE(many_channels, s->epochs.n_channels = REJECTD_MAX_CHANNELS + 1)
CHANGE(no_times, s->epochs.n_times = 0)
CHANGE(many_times, s->epochs.n_times = (size_t)REJECTD_MAX_TIMES + 1)
CHANGE(unknown_pick, give_picks(s, 8); s->picks[7] = C)
CHANGE(huge_pick, give_picks(s, 1); s->picks[0] = SIZE_MAX)
CHANGE(picks_descend, give_picks(s, 8); s->picks[4] = 3)
CHANGE(picks_repeat, give_picks(s, 8); s->picks[4] = 4)
CHANGE(no_picks, give_picks(s, 0))
CHANGE(one_pick, give_picks(s, 1))
CHANGE(three_picks, give_picks(s, 3))
CHANGE(two_picks, give_picks(s, 2); give_n_interpolate(s, 2, 1, 1))
CHANGE(pick_eog, give_picks(s, 8); s->picks[3] = 3)
CHANGE(pick_bad, give_picks(s, 8); s->picks[5] = 6)
CHANGE(all_bad, for (size_t c = 0; c < C; c++) s->channels[c].bad = true)
CHANGE(three_good, for (size_t c = 4; c < C; c++) s->channels[c].bad = true)
CHANGE(one_mag, make_mag(&s->channels[4]))
CHANGE(mag_without_loc, make_meg(s); s->channels[4].has_loc = false)
CHANGE(loc_nan, make_meg(s); s->channels[2].loc[7] = NAN)
CHANGE(loc_without_direction, make_meg(s);
       s->channels[2].loc[9] = s->channels[2].loc[10] = s->channels[2].loc[11] = 0.0)
CHANGE(loc_in_millimetres, make_meg(s); for (int i = 0; i < 3; i++) s->channels[0].loc[i] *= 1e3)
CHANGE(loc_in_the_head, make_meg(s); for (int i = 0; i < 3; i++) s->channels[9].loc[i] *= 0.4)
CHANGE(device_far_away, make_meg(s); s->epochs.has_device_to_head = true;
       s->epochs.device_to_head[2][3] = 12.0)
CHANGE(coil_missing, make_meg(s); s->channels[5].has_coil_type = false)
CHANGE(coil_unknown, make_meg(s); s->channels[5].coil_type = 3 << 16 | 9999)
CHANGE(coils_with_grade, make_meg(s); s->channels[5].coil_type |= 3 << 16)
CHANGE(coils_in_one_place, make_meg(s);
       memcpy(s->channels[5].loc, s->channels[1].loc, sizeof s->channels[5].loc))
CHANGE(
    ecog_without_positions, for (size_t c = 0; c < C; c++) {
        s->channels[c].type = REJECTD_CHANNEL_ECOG;
        s->channels[c].has_position = false;
    })
CHANGE(one_seeg, s->channels[4].type = REJECTD_CHANNEL_SEEG)
CHANGE(cv_one, s->parameters.cv = 1)
CHANGE(cv_two, s->parameters.cv = 2)
CHANGE(cv_all, s->parameters.cv = E)
CHANGE(cv_above, s->parameters.cv = E + 1)
CHANGE(cv_default_above, s->epochs.n_epochs = 9)
CHANGE(cv_huge, s->epochs.n_epochs = 2000; s->parameters.cv = REJECTD_MAX_FOLDS + 1)
CHANGE(consensus_empty, give_consensus(s, 0, 0, 0.5))
CHANGE(consensus_long, give_consensus(s, REJECTD_MAX_GRID + 1, 0, 0.5))
CHANGE(consensus_low, give_consensus(s, 4, 3, -0.01))
CHANGE(consensus_high, give_consensus(s, 4, 2, 1.0000001))
CHANGE(consensus_nan, give_consensus(s, 2, 1, NAN))
CHANGE(consensus_infinite, give_consensus(s, 1, 0, INFINITY))
CHANGE(consensus_ends, give_consensus(s, 2, 1, 1.0))
CHANGE(consensus_longest, give_consensus(s, REJECTD_MAX_GRID, 0, 0.5))
CHANGE(n_interpolate_empty, give_n_interpolate(s, 0, 0, 1))
CHANGE(n_interpolate_long, give_n_interpolate(s, REJECTD_MAX_GRID + 1, 0, 1))
CHANGE(n_interpolate_all, give_n_interpolate(s, 3, 1, 8))
CHANGE(n_interpolate_most, give_n_interpolate(s, 3, 1, 7))
CHANGE(n_interpolate_negative, give_n_interpolate(s, 1, 0, -1))
CHANGE(n_interpolate_of_picks, give_picks(s, 3); give_n_interpolate(s, 1, 0, 3))
CHANGE(no_position, s->channels[4].has_position = false)
CHANGE(position_nan, move_channel(s, 0, 0.1, NAN, 0.0))
CHANGE(position_infinite, move_channel(s, 9, 0.0, 0.0, -INFINITY))
CHANGE(position_zero, move_channel(s, 7, 0.0, 0.0, 0.0))
CHANGE(position_almost_zero, move_channel(s, 7, 5e-7, -5e-7, 5e-7))
CHANGE(position_near_zero, move_channel(s, 7, 2e-6, 0.0, 0.0))
CHANGE(position_shared, put_beside(s, 5, 1, 0.0))
CHANGE(position_nearly_shared, put_beside(s, 5, 1, 0.9e-6))
CHANGE(position_near, put_beside(s, 5, 1, 1.1e-6))
CHANGE(position_shared_with_bad, put_beside(s, 6, 1, 0.0))
CHANGE(eog_position_nan, s->channels[3].has_position = true; move_channel(s, 3, NAN, 0.0, 0.0))
CHANGE(threshold_missing, give_threshold(s, 4, NAN))
CHANGE(threshold_negative, give_threshold(s, 0, -1e-9))
CHANGE(threshold_infinite, give_threshold(s, 9, INFINITY))
CHANGE(threshold_zero, give_threshold(s, 9, 0.0))
CHANGE(cells_most, s->epochs.n_epochs = 500; give_consensus(s, 100, 0, 0.5);
       give_n_interpolate(s, 2, 0, 1); s->parameters.cv = 500)
CHANGE(cells_above, cells_most(s); give_consensus(s, 101, 0, 0.5))
CHANGE(nothing, (void)s)

struct refusal {
    void (*change)(struct situation *s);
    enum rejectd_status status;
    const char *field;
    const char *message; /* a piece of it */
};

static const struct refusal fit_refusals[] = {
    {two_epochs, REJECTD_UNSUITABLE_DATASET, "n_epochs", "3 to 1000000 epochs are needed"},
    {no_epochs, REJECTD_UNSUITABLE_DATASET, "n_epochs", "the dataset has 0"},
    {many_epochs, REJECTD_UNSUITABLE_DATASET, "n_epochs", "the dataset has 1000001"},
    {no_channels, REJECTD_UNSUITABLE_DATASET, "channels", "1 to 4096 channels, this one 0"},
    {many_channels, REJECTD_UNSUITABLE_DATASET, "channels", "this one 4097"},
    {no_times, REJECTD_UNSUITABLE_DATASET, "n_times", "1 to 10000000 time samples, this one 0"},
    {many_times, REJECTD_UNSUITABLE_DATASET, "n_times", "this one 10000001"},
    {unknown_pick, REJECTD_INVALID_VALUE, "parameters.picks[7]", "channel 10 does not exist"},
    {huge_pick, REJECTD_INVALID_VALUE, "parameters.picks[0]", "the dataset has 10 channels"},
    {picks_descend, REJECTD_INVALID_VALUE, "parameters.picks[4]", "ascending"},
    {picks_repeat, REJECTD_INVALID_VALUE, "parameters.picks[4]", "without repeats"},
    {no_picks, REJECTD_UNSUITABLE_DATASET, "parameters.picks", "0 channels are picked"},
    {one_pick, REJECTD_UNSUITABLE_DATASET, "parameters.picks", "at least 2"},
    {three_picks, REJECTD_UNSUITABLE_DATASET, "parameters.n_interpolate", "too few channels: 3"},
    {pick_eog, REJECTD_UNSUITABLE_DATASET, "parameters.picks", "\"E3\" is of type eog"},
    {pick_bad, REJECTD_UNSUITABLE_DATASET, "channels[6].position", "\"E6\" has no position"},
    {all_bad, REJECTD_UNSUITABLE_DATASET, "parameters.picks", "not marked bad"},
    {three_good, REJECTD_UNSUITABLE_DATASET, "parameters.n_interpolate", "needs 4"},
    {one_mag, REJECTD_UNSUITABLE_DATASET, "parameters.picks", "one channel of type mag"},
    {mag_without_loc, REJECTD_UNSUITABLE_DATASET, "channels[4].loc", "\"E4\" is of type mag and"},
    {loc_nan, REJECTD_UNSUITABLE_DATASET, "channels[2].loc", "number 7 of the loc"},
    {loc_without_direction, REJECTD_UNSUITABLE_DATASET, "channels[2].loc", "of length 1, not 0"},
    {loc_in_millimetres, REJECTD_UNSUITABLE_DATASET, "channels[0].loc", "in metres?"},
    {loc_in_the_head, REJECTD_UNSUITABLE_DATASET, "channels[9].loc", "centre of the head"},
    {device_far_away, REJECTD_UNSUITABLE_DATASET, "channels[0].loc", "is device_to_head right"},
    {coil_missing, REJECTD_UNSUITABLE_DATASET, "channels[5].coil_type", "is missing"},
    {coil_unknown, REJECTD_UNSUITABLE_DATASET, "channels[5].coil_type", "unknown (9999)"},
    {cv_one, REJECTD_INVALID_VALUE, "parameters.cv", "cv is 1; 2 to 1000 folds"},
    {cv_above, REJECTD_INVALID_VALUE, "parameters.cv", "cannot have 13 folds with 12 epochs"},
    {cv_default_above, REJECTD_INVALID_VALUE, "parameters.cv", "10 folds with 9 epochs"},
    {cv_huge, REJECTD_INVALID_VALUE, "parameters.cv", "cv is 1001"},
    {consensus_empty, REJECTD_INVALID_VALUE, "parameters.consensus", "1 to 1000 values"},
    {consensus_long, REJECTD_INVALID_VALUE, "parameters.consensus", "not 1001"},
    {consensus_low, REJECTD_INVALID_VALUE, "parameters.consensus[3]", "-0.01 is outside [0, 1]"},
    {consensus_high, REJECTD_INVALID_VALUE, "parameters.consensus[2]", "outside [0, 1]"},
    {consensus_nan, REJECTD_INVALID_VALUE, "parameters.consensus[1]", "nan is outside [0, 1]"},
    {consensus_infinite, REJECTD_INVALID_VALUE, "parameters.consensus[0]", "inf is outside"},
    {n_interpolate_empty, REJECTD_INVALID_VALUE, "parameters.n_interpolate", "1 to 1000 values"},
    {n_interpolate_long, REJECTD_INVALID_VALUE, "parameters.n_interpolate", "not 1001"},
    {n_interpolate_all, REJECTD_INVALID_VALUE, "parameters.n_interpolate[1]",
     "with 8 picked channels 0 to 7 are accepted"},
    {n_interpolate_negative, REJECTD_INVALID_VALUE, "parameters.n_interpolate[0]", "-1 sensors"},
    {n_interpolate_of_picks, REJECTD_INVALID_VALUE, "parameters.n_interpolate[0]", "0 to 2 are"},
    {no_position, REJECTD_UNSUITABLE_DATASET, "channels[4].position", "\"E4\" has no position"},
    {position_nan, REJECTD_UNSUITABLE_DATASET, "channels[0].position", "\"E0\" is not finite"},
    {position_infinite, REJECTD_UNSUITABLE_DATASET, "channels[9].position", "not finite"},
    {position_zero, REJECTD_UNSUITABLE_DATASET, "channels[7].position", "origin of the head"},
    {position_almost_zero, REJECTD_UNSUITABLE_DATASET, "channels[7].position", "origin"},
    {position_shared, REJECTD_UNSUITABLE_DATASET, "channels[5].position",
     "\"E1\" and \"E5\" have the same position"},
    {position_nearly_shared, REJECTD_UNSUITABLE_DATASET, "channels[5].position", "same position"},
    {threshold_missing, REJECTD_INVALID_VALUE, "parameters.thresholds", "\"E4\" is picked but"},
    {threshold_negative, REJECTD_INVALID_VALUE, "parameters.thresholds", "\"E0\" is -1e-09"},
    {threshold_infinite, REJECTD_INVALID_VALUE, "parameters.thresholds", "\"E9\" is inf"},
    {cells_above, REJECTD_INVALID_VALUE, "parameters", "the grid has 101000 cells"},
};

static void expect_refusal(const struct refusal *refusal, enum rejectd_status status,
                           const struct rejectd_error *error)
{
    ck_assert_int_eq(status, refusal->status);
    ck_assert_int_eq(error->status, refusal->status);
    ck_assert_str_eq(error->field, refusal->field);
    ck_assert_msg(strstr(error->message, refusal->message) != NULL, "\"%s\" is not in \"%s\"",
                  refusal->message, error->message);
}

START_TEST(test_what_a_fit_refuses)
{
    const struct refusal *refusal = &fit_refusals[_i];
    struct situation *s = valid();
    struct rejectd_error error = {0};
    refusal->change(s);
    expect_refusal(refusal, rejectd_fit_check(&s->epochs, &s->parameters, &error), &error);
    ck_assert_int_eq(rejectd_fit_check(&s->epochs, &s->parameters, NULL), refusal->status);
    free(s);
}
END_TEST

/* The fit itself makes the same checks first: there are no samples to be touched here. */
START_TEST(test_the_fit_refuses_the_same)
{
    const struct refusal *refusal = &fit_refusals[_i];
    const struct rejectd_compute_options options = {.n_threads = 1};
    struct situation *s = valid();
    struct rejectd_error error = {0};
    struct rejectd_fit unset, *fit = &unset;
    refusal->change(s);
    expect_refusal(refusal, rejectd_fit(&s->epochs, &s->parameters, &options, &fit, &error),
                   &error);
    ck_assert_ptr_null(fit);
    free(s);
}
END_TEST

/* Just inside the limits, and what lies outside the picks. */
static void (*const fit_accepted[])(struct situation *s) = {
    nothing,
    three_epochs,
    cv_two,
    cv_all,
    consensus_ends,
    n_interpolate_most,
    position_near,
    position_near_zero,
    two_picks,
    threshold_zero,
    cells_most,
    position_shared_with_bad,
    consensus_longest,
    eog_position_nan,
    make_meg,
    coils_with_grade,
    coils_in_one_place,
    ecog_without_positions,
    one_seeg,
};

START_TEST(test_what_a_fit_accepts)
{
    struct situation *s = valid();
    struct rejectd_error error = {0};
    fit_accepted[_i](s);
    enum rejectd_status status = rejectd_fit_check(&s->epochs, &s->parameters, &error);
    ck_assert_msg(status == REJECTD_OK, "%s: %s", error.field, error.message);
    free(s);
}
END_TEST

CHANGE(model_without_channels, s->model.n_channels = 0)
CHANGE(model_of_one_channel, s->model.n_channels = 1)
CHANGE(model_without_types, s->model.n_types = 0)
CHANGE(model_of_strange_type, s->model_type.type = REJECTD_CHANNEL_GRAD)
CHANGE(model_of_stranger, rename_to(s->model_channels[2].name, "Cz"))
CHANGE(model_of_repeats, s->model_channels[3] = s->model_channels[1])
CHANGE(model_of_mag, s->model_channels[2].type = REJECTD_CHANNEL_MAG)
CHANGE(channel_became_mag, make_mag(&s->channels[2]))
CHANGE(model_of_eog, rename_to(s->model_channels[2].name, "E3"))
CHANGE(model_in_any_order, s->model_channels[8] = s->model_channels[0];
       s->model_channels[0] = s->model_channels[7]; s->model_channels[7] = s->model_channels[8])
CHANGE(one_epoch, s->epochs.n_epochs = 1)

static const struct refusal apply_refusals[] = {
    {no_epochs, REJECTD_UNSUITABLE_DATASET, "n_epochs", "1 to 1000000 epochs are needed"},
    {no_channels, REJECTD_UNSUITABLE_DATASET, "channels", "this one 0"},
    {no_times, REJECTD_UNSUITABLE_DATASET, "n_times", "this one 0"},
    {model_without_channels, REJECTD_UNSUITABLE_DATASET, "model", "the model has 0 channels"},
    {model_of_one_channel, REJECTD_UNSUITABLE_DATASET, "model", "the model has 1 channels"},
    {model_without_types, REJECTD_UNSUITABLE_DATASET, "model", "no consensus for them"},
    {model_of_strange_type, REJECTD_UNSUITABLE_DATASET, "model", "type eeg and no consensus"},
    {model_of_stranger, REJECTD_UNSUITABLE_DATASET, "channels", "no channel \"Cz\""},
    {model_of_repeats, REJECTD_UNSUITABLE_DATASET, "channels[1].position", "\"E1\" and \"E1\""},
    {model_of_mag, REJECTD_UNSUITABLE_DATASET, "model", "channels of type mag and no"},
    {channel_became_mag, REJECTD_UNSUITABLE_DATASET, "channels[2].type", "type mag; the model was"},
    {model_of_eog, REJECTD_UNSUITABLE_DATASET, "channels[3].type", "fitted on type eeg"},
    {no_position, REJECTD_UNSUITABLE_DATASET, "channels[4].position", "\"E4\" has no position"},
    {position_nan, REJECTD_UNSUITABLE_DATASET, "channels[0].position", "not finite"},
    {position_zero, REJECTD_UNSUITABLE_DATASET, "channels[7].position", "origin"},
    {position_shared, REJECTD_UNSUITABLE_DATASET, "channels[5].position", "same position"},
};

START_TEST(test_what_an_apply_refuses)
{
    const struct refusal *refusal = &apply_refusals[_i];
    const struct rejectd_compute_options options = {.n_threads = 1};
    struct situation *s = valid();
    struct rejectd_error error = {0};
    struct rejectd_reject_log log = s->log;
    refusal->change(s);
    expect_refusal(refusal, rejectd_apply_check(&s->epochs, &s->model, &error), &error);
    memset(&error, 0, sizeof error);
    expect_refusal(refusal, rejectd_apply(&s->epochs, &s->model, &options, &log, &error), &error);
    ck_assert_ptr_null(log.labels);
    ck_assert_ptr_null(log.bad_epochs);
    free(s);
}
END_TEST

START_TEST(test_what_an_apply_accepts)
{
    static void (*const accepted[])(struct situation * s) = {nothing, one_epoch, position_near,
                                                             model_in_any_order};
    for (size_t i = 0; i < LENGTH(accepted); i++) {
        struct situation *s = valid();
        struct rejectd_error error = {0};
        accepted[i](s);
        enum rejectd_status status = rejectd_apply_check(&s->epochs, &s->model, &error);
        ck_assert_msg(status == REJECTD_OK, "%s: %s", error.field, error.message);
        free(s);
    }
}
END_TEST

CHANGE(log_of_fewer_epochs, s->log.n_epochs--)
CHANGE(log_of_more_channels, s->log.n_channels++)
CHANGE(log_repairs_eog, s->labels[C + 3] = REJECTD_LABEL_INTERPOLATED)
CHANGE(log_repairs_everything, for (size_t c = 0; c < C; c++) if (s->labels[7 * C + c] >= 0)
                                   s->labels[7 * C + c] = REJECTD_LABEL_INTERPOLATED)

static const struct refusal clean_refusals[] = {
    {no_epochs, REJECTD_UNSUITABLE_DATASET, "n_epochs", "the dataset has 0"},
    {no_times, REJECTD_UNSUITABLE_DATASET, "n_times", "this one 0"},
    {log_of_fewer_epochs, REJECTD_INVALID_VALUE, "labels", "11 epochs x 10 channels"},
    {log_of_more_channels, REJECTD_INVALID_VALUE, "labels", "12 epochs x 11 channels"},
    {log_repairs_eog, REJECTD_INVALID_VALUE, "labels", "\"E3\" is of type eog"},
    {no_position, REJECTD_UNSUITABLE_DATASET, "channels[4].position", "no position"},
    {position_shared, REJECTD_UNSUITABLE_DATASET, "channels[5].position", "same position"},
    {log_repairs_everything, REJECTD_INVALID_VALUE, "labels", "every sensor of epoch 7"},
};

static enum rejectd_status refuse_to_write(void *context, const void *samples, size_t bytes,
                                           struct rejectd_error *error)
{
    (void)context;
    (void)samples;
    (void)bytes;
    return REJECTD_FAIL(error, REJECTD_INTERNAL, "", "nothing may be written");
}

START_TEST(test_what_a_clean_refuses)
{
    const struct refusal *refusal = &clean_refusals[_i];
    const struct rejectd_compute_options options = {.n_threads = 1};
    const struct rejectd_sink sink = {refuse_to_write, NULL};
    struct situation *s = valid();
    struct rejectd_error error = {0};
    refusal->change(s);
    expect_refusal(refusal,
                   rejectd_clean(&s->epochs, &s->log, &(struct rejectd_clean_parameters){0},
                                 &options, &sink, &error),
                   &error);
    free(s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("checks");
    TCase *fit = tcase_create("fit");
    tcase_add_loop_test(fit, test_what_a_fit_refuses, 0, LENGTH(fit_refusals));
    tcase_add_loop_test(fit, test_the_fit_refuses_the_same, 0, LENGTH(fit_refusals));
    tcase_add_loop_test(fit, test_what_a_fit_accepts, 0, LENGTH(fit_accepted));
    suite_add_tcase(suite, fit);
    TCase *others = tcase_create("apply and clean");
    tcase_add_loop_test(others, test_what_an_apply_refuses, 0, LENGTH(apply_refusals));
    tcase_add_test(others, test_what_an_apply_accepts);
    tcase_add_loop_test(others, test_what_a_clean_refuses, 0, LENGTH(clean_refusals));
    suite_add_tcase(suite, others);
    return run_suite_in_process(suite);
}
