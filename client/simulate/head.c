#include "client/simulate/head.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double radius = 0.095; /* m */

/* The 10-10 system as angles: inclination from the vertex (degrees) and azimuth (0 right ear, 90
 * nose), on a sphere. */
static const struct {
    const char *name;
    short inclination, azimuth;
} electrodes[] = {
    {"Fp1", 90, 108}, {"Fp2", 90, 72},   {"F7", 90, 144},   {"F3", 60, 129},    {"Fz", 45, 90},
    {"F4", 60, 51},   {"F8", 90, 36},    {"FC5", 69, 159},  {"FC1", 32, 135},   {"FC2", 32, 45},
    {"FC6", 69, 21},  {"T7", 90, 180},   {"C3", 45, 180},   {"Cz", 0, 0},       {"C4", 45, 0},
    {"T8", 90, 0},    {"CP5", 69, 201},  {"CP1", 32, 225},  {"CP2", 32, 315},   {"CP6", 69, 339},
    {"P7", 90, 216},  {"P3", 60, 231},   {"Pz", 45, 270},   {"P4", 60, 309},    {"P8", 90, 324},
    {"PO3", 74, 247}, {"PO4", 74, 293},  {"O1", 90, 252},   {"Oz", 90, 270},    {"O2", 90, 288},
    {"AF3", 74, 113}, {"AF4", 74, 67},   {"AF7", 90, 126},  {"AF8", 90, 54},    {"F1", 50, 112},
    {"F2", 50, 68},   {"F5", 73, 139},   {"F6", 73, 41},    {"FC3", 49, 152},   {"FC4", 49, 28},
    {"FCz", 23, 90},  {"C1", 23, 180},   {"C2", 23, 0},     {"C5", 68, 180},    {"C6", 68, 0},
    {"CP3", 49, 208}, {"CP4", 49, 332},  {"CPz", 23, 270},  {"P1", 50, 248},    {"P2", 50, 292},
    {"P5", 73, 221},  {"P6", 73, 319},   {"PO7", 90, 234},  {"PO8", 90, 306},   {"POz", 67, 270},
    {"AFz", 67, 90},  {"Fpz", 90, 90},   {"FT7", 90, 162},  {"FT8", 90, 18},    {"TP7", 90, 198},
    {"TP8", 90, 342}, {"FT9", 112, 162}, {"FT10", 112, 18}, {"TP9", 112, 198},  {"TP10", 112, 342},
    {"P9", 112, 216}, {"P10", 112, 324}, {"PO9", 112, 234}, {"PO10", 112, 306}, {"F9", 112, 144},
    {"F10", 112, 36}, {"Iz", 112, 270},
};

enum { N_ELECTRODES = sizeof electrodes / sizeof electrodes[0] };

static void place(double inclination, double azimuth, double position[3])
{
    position[0] = radius * sin(inclination) * cos(azimuth);
    position[1] = radius * sin(inclination) * sin(azimuth);
    position[2] = radius * cos(inclination);
}

static double nearest_square(const struct rejectd_channel *channels, size_t n,
                             const double position[3])
{
    double nearest = INFINITY;
    for (size_t c = 0; c < n; c++) {
        double square = 0.0;
        for (int axis = 0; axis < 3; axis++) {
            double d = channels[c].position[axis] - position[axis];
            square += d * d;
        }
        nearest = square < nearest ? square : nearest;
    }
    return nearest;
}

/* The emptiest of many places on a golden spiral over the upper head. */
static void place_between(const struct rejectd_channel *channels, size_t n, double position[3])
{
    enum { PLACES = 1024 };
    double widest = -1.0;
    for (int i = 0; i < PLACES; i++) {
        double candidate[3];
        place(acos(1.0 - 1.35 * (i + 0.5) / PLACES), i * 2.399963229728653, candidate);
        double gap = nearest_square(channels, n, candidate);
        if (gap > widest) {
            widest = gap;
            memcpy(position, candidate, sizeof candidate);
        }
    }
}

void head_place_electrodes(struct rejectd_channel *channels, size_t n)
{
    for (size_t c = 0; c < n; c++) {
        channels[c] = (struct rejectd_channel){.type = REJECTD_CHANNEL_EEG, .has_position = true};
        if (c < N_ELECTRODES) {
            snprintf(channels[c].name, sizeof channels[c].name, "%s", electrodes[c].name);
            place(electrodes[c].inclination * M_PI / 180.0, electrodes[c].azimuth * M_PI / 180.0,
                  channels[c].position);
        } else {
            snprintf(channels[c].name, sizeof channels[c].name, "E%zu", c + 1);
            place_between(channels, c, channels[c].position);
        }
    }
}

void head_random_field(struct random *random, const struct rejectd_channel *channels, size_t n,
                       double *field)
{
    double source[3], moment[3], largest = 0.0;
    double inclination = acos(1.0 - 1.2 * random_uniform(random));
    double azimuth = 2.0 * M_PI * random_uniform(random),
           depth = 0.55 + 0.3 * random_uniform(random);
    place(inclination, azimuth, source);
    for (int axis = 0; axis < 3; axis++) {
        source[axis] *= depth;
        moment[axis] = source[axis] / radius + 0.7 * random_normal(random);
    }
    /* The potential of a current dipole in an unbounded conductor: smooth, and with both signs. */
    for (size_t c = 0; c < n; c++) {
        double d[3], square = 0.0, along = 0.0;
        for (int axis = 0; axis < 3; axis++) {
            d[axis] = channels[c].position[axis] - source[axis];
            square += d[axis] * d[axis];
            along += d[axis] * moment[axis];
        }
        field[c] = along / (square * sqrt(square));
        largest = fabs(field[c]) > largest ? fabs(field[c]) : largest;
    }
    for (size_t c = 0; c < n; c++)
        field[c] /= largest;
}

void head_patch_field(const struct rejectd_channel *channels, size_t n, const double direction[3],
                      double width, double *field)
{
    double length = sqrt(direction[0] * direction[0] + direction[1] * direction[1] +
                         direction[2] * direction[2]);
    for (size_t c = 0; c < n; c++) {
        double square = 0.0;
        for (int axis = 0; axis < 3; axis++) {
            double d = channels[c].position[axis] - radius * direction[axis] / length;
            square += d * d;
        }
        field[c] = exp(-0.5 * square / (width * width));
    }
}
