/* Whether sensors are where interpolation can use them. */
#include <math.h>
#include <stdio.h>

#include "worker/algorithm/checks.h"
#include "worker/algorithm/interpolation.h"
#include "worker/meg/lead_field.h"

static const double coincident = 1e-6; /* m: electrodes nearer than this are one place */

static enum rejectd_status check_electrode(const struct rejectd_channel *channel, size_t index,
                                           struct rejectd_error *error)
{
    char field[48];
    snprintf(field, sizeof field, "channels[%zu].position", index);
    if (!channel->has_position)
        return REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, field,
                            "channel \"%s\" has no position; interpolation needs the position of "
                            "every picked channel, in metres",
                            channel->name);
    const double *p = channel->position;
    if (!isfinite(p[0]) || !isfinite(p[1]) || !isfinite(p[2]))
        return REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, field,
                            "the position of channel \"%s\" is not finite", channel->name);
    if (sqrt(p[0] * p[0] + p[1] * p[1] + p[2] * p[2]) < coincident)
        return REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, field,
                            "the position of channel \"%s\" is the origin of the head frame, or "
                            "of the sphere where one is given; positions are in metres on the head",
                            channel->name);
    return REJECTD_OK;
}

static enum rejectd_status check_loc(const struct rejectd_channel *channel, size_t index,
                                     struct rejectd_error *error)
{
    char field[48];
    snprintf(field, sizeof field, "channels[%zu].loc", index);
    if (!channel->has_loc)
        return REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, field,
                            "channel \"%s\" is of type %s and has no loc; field maps need the 12 "
                            "numbers of every coil",
                            channel->name, checks_type_name(channel->type));
    for (size_t i = 0; i < 12; i++)
        if (!isfinite(channel->loc[i]))
            return REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, field,
                                "number %zu of the loc of channel \"%s\" is not finite", i,
                                channel->name);
    const double *z = channel->loc + 9;
    const double length = sqrt(z[0] * z[0] + z[1] * z[1] + z[2] * z[2]);
    if (!(length > 0.5 && length < 2.0))
        return REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, field,
                            "the last three numbers of the loc of channel \"%s\" are the direction "
                            "that its coil looks in, of length 1, not %g",
                            channel->name, length);
    return REJECTD_OK;
}

static enum rejectd_status check_coil(const struct rejectd_epochs *epochs, size_t index,
                                      struct rejectd_error *error)
{
    const struct rejectd_channel *channel = &epochs->channels[index];
    char field[48];
    enum rejectd_status status = check_loc(channel, index, error);
    if (status != REJECTD_OK)
        return status;
    snprintf(field, sizeof field, "channels[%zu].coil_type", index);
    if (!channel->has_coil_type || !coil_type_is_known(channel->coil_type))
        return REJECTD_FAIL(
            error, REJECTD_UNSUITABLE_DATASET, field,
            "the coil type of channel \"%s\" is %s (%d); those of VectorView, TRIUX, "
            "CTF, 4D, KIT, BabySQUID and OPM systems are accepted",
            channel->name, channel->has_coil_type ? "unknown" : "missing",
            (int)(channel->coil_type & 0xffff));
    struct coil coil;
    coil_place(epochs, channel, &coil);
    for (size_t i = 0; i < coil.n_points; i++) {
        const double radius = lead_field_radius(coil.points[i]);
        if (radius >= lead_field_least_radius && radius < 10.0)
            continue;
        snprintf(field, sizeof field, "channels[%zu].loc", index);
        return REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, field,
                            "channel \"%s\" is %g m from the centre of the head; a MEG sensor is "
                            "%g to 10 m away (is device_to_head right, and in metres?)",
                            channel->name, radius, lead_field_least_radius);
    }
    return REJECTD_OK;
}

enum rejectd_status checks_sensor(const struct rejectd_epochs *epochs, size_t channel,
                                  struct rejectd_error *error)
{
    switch (interpolation_kind_of(epochs->channels[channel].type)) {
    case INTERPOLATION_SPLINE:
        return check_electrode(&epochs->channels[channel], channel, error);
    case INTERPOLATION_FIELD_MAP:
        return check_coil(epochs, channel, error);
    default:
        return REJECTD_OK;
    }
}

/* Splines cannot tell two electrodes in one place apart. */
static enum rejectd_status check_apart(const struct rejectd_epochs *epochs, const size_t *picks,
                                       size_t i, struct rejectd_error *error)
{
    const struct rejectd_channel *channel = &epochs->channels[picks[i]];
    for (size_t j = 0; j < i; j++) {
        const struct rejectd_channel *other = &epochs->channels[picks[j]];
        double square = 0.0;
        if (other->type != channel->type)
            continue;
        for (int axis = 0; axis < 3; axis++) {
            double d = channel->position[axis] - other->position[axis];
            square += d * d;
        }
        if (square < coincident * coincident) {
            char field[48];
            snprintf(field, sizeof field, "channels[%zu].position", picks[i]);
            return REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, field,
                                "channels \"%s\" and \"%s\" have the same position", other->name,
                                channel->name);
        }
    }
    return REJECTD_OK;
}

/* A sensor is predicted from the others of its type. */
static enum rejectd_status check_counts(const size_t counts[REJECTD_CHANNEL_TYPE_COUNT],
                                        struct rejectd_error *error)
{
    for (int type = 0; type < REJECTD_CHANNEL_TYPE_COUNT; type++)
        if (counts[type] == 1 &&
            interpolation_kind_of((enum rejectd_channel_type)type) != INTERPOLATION_NONE)
            return REJECTD_FAIL(error, REJECTD_UNSUITABLE_DATASET, "parameters.picks",
                                "one channel of type %s is picked, which cannot be interpolated "
                                "from others of its type; pick more of them, or none",
                                checks_type_name((enum rejectd_channel_type)type));
    return REJECTD_OK;
}

enum rejectd_status checks_sensors_of_log(const struct rejectd_epochs *epochs, const size_t *picks,
                                          size_t n_picks, struct rejectd_error *error)
{
    for (size_t i = 0; i < n_picks; i++) {
        const struct rejectd_channel *channel = &epochs->channels[picks[i]];
        enum rejectd_status status = checks_sensor(epochs, picks[i], error);
        if (status == REJECTD_OK && interpolation_kind_of(channel->type) == INTERPOLATION_SPLINE)
            status = check_apart(epochs, picks, i, error);
        if (status != REJECTD_OK)
            return status;
    }
    return REJECTD_OK;
}

enum rejectd_status checks_types(const struct rejectd_epochs *epochs, const size_t *picks,
                                 size_t n_picks, struct rejectd_error *error)
{
    for (size_t i = 0; i < n_picks; i++) {
        const struct rejectd_channel *channel = &epochs->channels[picks[i]];
        if (!checks_is_analysed(channel->type))
            return REJECTD_FAIL(
                error, REJECTD_UNSUITABLE_DATASET, "parameters.picks",
                "channel \"%s\" is of type %s; only channels of type " CHECKS_ANALYSED_TYPES
                " are analysed",
                channel->name, checks_type_name(channel->type));
    }
    return REJECTD_OK;
}

enum rejectd_status checks_sensors(const struct rejectd_epochs *epochs, const size_t *picks,
                                   size_t n_picks, struct rejectd_error *error)
{
    size_t counts[REJECTD_CHANNEL_TYPE_COUNT] = {0};
    for (size_t i = 0; i < n_picks; i++)
        counts[epochs->channels[picks[i]].type]++;
    enum rejectd_status status = checks_types(epochs, picks, n_picks, error);
    if (status == REJECTD_OK)
        status = checks_sensors_of_log(epochs, picks, n_picks, error);
    return status == REJECTD_OK ? check_counts(counts, error) : status;
}
