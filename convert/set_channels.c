/* Channels of a .set: chanlocs, read and written. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/set_parts.h"
#include "protocol/names.h"

/* MNE-Python's other channel types: rejectd carries them along as "misc". */
static const char *const other_types[] = {"ref_meg",
                                          "resp",
                                          "exci",
                                          "ias",
                                          "syst",
                                          "dipole",
                                          "gof",
                                          "bio",
                                          "chpi",
                                          "dbs",
                                          "csd",
                                          "gsr",
                                          "temperature",
                                          "eyegaze",
                                          "pupil",
                                          "fnirs",
                                          "whitened",
                                          "fnirs_cw_amplitude",
                                          "fnirs_fd_ac_amplitude",
                                          "fnirs_fd_phase",
                                          "fnirs_od"};

static enum rejectd_channel_type read_type(const matvar_t *value)
{
    char text[64];
    enum rejectd_channel_type type = REJECTD_CHANNEL_EEG;
    if (!matlab_text(value, text, sizeof text))
        return type;
    char *begin = text + strspn(text, " \t");
    for (char *at = begin; *at != 0; at++)
        *at = (char)tolower((unsigned char)*at);
    for (size_t n = strlen(begin); n > 0 && begin[n - 1] == ' '; n--)
        begin[n - 1] = 0;
    for (size_t i = 0; i < sizeof other_types / sizeof *other_types; i++)
        if (strcmp(begin, other_types[i]) == 0)
            return REJECTD_CHANNEL_MISC;
    (void)channel_type_from_name(begin, &type);
    return type;
}

/* In EEGLAB X is to the nose, Y to the left ear; in head coordinates x is to the right. */
static bool read_place(const matvar_t *chanlocs, size_t i, double place[3])
{
    double x, y, z;
    if (!matlab_number(matlab_member(chanlocs, "X", i), &x) ||
        !matlab_number(matlab_member(chanlocs, "Y", i), &y) ||
        !matlab_number(matlab_member(chanlocs, "Z", i), &z) || !isfinite(x) || !isfinite(y) ||
        !isfinite(z))
        return false;
    place[0] = -y;
    place[1] = x;
    place[2] = z;
    return true;
}

/* The unit is told by the mean radius, as MNE-Python does: a head has some 0.09 m. */
static void scale_places(struct dataset_description *d)
{
    double sum = 0;
    size_t n = 0;
    for (size_t c = 0; c < d->n_channels; c++) {
        const double *p = d->channels[c].position;
        if (d->channels[c].has_position) {
            sum += sqrt(p[0] * p[0] + p[1] * p[1] + p[2] * p[2]);
            n++;
        }
    }
    const double radius = n > 0 ? sum / (double)n : 0;
    const double units = radius < 0.25 ? 1 : radius < 2.5 ? 10 : radius < 25 ? 100 : 1000;
    for (size_t c = 0; c < d->n_channels; c++) {
        double *p = d->channels[c].position;
        for (int axis = 0; axis < 3; axis++)
            p[axis] *= 1 / units;
        if (p[0] == 0.0 && p[1] == 0.0 && p[2] == 0.0)
            d->channels[c].has_position = false;
    }
}

enum rejectd_status set_read_channels(struct matlab_file *file, struct dataset_description *d,
                                      struct rejectd_error *error)
{
    const matvar_t *chanlocs = matlab_field(file, "chanlocs");
    const size_t n = matlab_count(chanlocs);
    d->channels = calloc(d->n_channels, sizeof *d->channels);
    if (d->channels == NULL)
        return REJECTD_FAIL_MEMORY(error, d->n_channels * sizeof *d->channels);
    if (n > 0 && (!matlab_is_struct(chanlocs) || n != d->n_channels))
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "chanlocs",
                            "has %zu entries; a struct array of nbchan = %zu is accepted", n,
                            d->n_channels);
    for (size_t c = 0; c < d->n_channels; c++) {
        struct rejectd_channel *channel = &d->channels[c];
        if (n == 0) { /* named as MNE-Python names them */
            snprintf(channel->name, sizeof channel->name, "EEG %03zu", c);
            continue;
        }
        if (!set_name(matlab_member(chanlocs, "labels", c), channel->name, sizeof channel->name)) {
            char field[64];
            snprintf(field, sizeof field, "chanlocs[%zu].labels", c);
            return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, field,
                                "is missing or no text; every channel needs a name");
        }
        channel->type = read_type(matlab_member(chanlocs, "type", c));
        channel->has_position = read_place(chanlocs, c, channel->position);
    }
    scale_places(d);
    return REJECTD_OK;
}

/* ---- writing ---- */

static void put_number(matvar_t *chanlocs, const char *name, size_t i, double value)
{
    set_put(chanlocs, name, i, set_new_number(value));
}

static void write_place(matvar_t *chanlocs, size_t i, const double position[3])
{
    const double degrees = 180 / acos(-1.0);
    const double x = position[1] * 1000, y = -position[0] * 1000, z = position[2] * 1000;
    const double radius = sqrt(x * x + y * y + z * z);
    const double theta = atan2(y, x) * degrees;
    const double phi = radius > 0 ? asin(z / radius) * degrees : 0;
    put_number(chanlocs, "X", i, x);
    put_number(chanlocs, "Y", i, y);
    put_number(chanlocs, "Z", i, z);
    put_number(chanlocs, "sph_theta", i, theta);
    put_number(chanlocs, "sph_phi", i, phi);
    put_number(chanlocs, "sph_radius", i, radius);
    put_number(chanlocs, "theta", i, -theta);
    put_number(chanlocs, "radius", i, 0.5 - phi / 180);
}

matvar_t *set_write_channels(const struct dataset_description *d)
{
    static const char *const fields[] = {"labels",    "type",    "X",          "Y",     "Z",
                                         "sph_theta", "sph_phi", "sph_radius", "theta", "radius"};
    matvar_t *chanlocs = set_new_structs(d->n_channels, fields, sizeof fields / sizeof *fields);
    if (chanlocs == NULL)
        return NULL;
    for (size_t c = 0; c < d->n_channels; c++) {
        char type[32];
        snprintf(type, sizeof type, "%s", channel_type_names[d->channels[c].type]);
        for (char *at = type; *at != 0; at++)
            *at = (char)toupper((unsigned char)*at);
        set_put(chanlocs, "labels", c, set_new_text(d->channels[c].name));
        set_put(chanlocs, "type", c, set_new_text(type));
        if (d->channels[c].has_position)
            write_place(chanlocs, c, d->channels[c].position);
    }
    return chanlocs;
}
