#include "worker/meg/coils.h"

#include <string.h>

/* Points are in the coil's own frame, in mm; the sensor looks along z. */
struct coil_pattern {
    uint16_t first_type, last_type; /* FIFF coil types that have this pattern */
    uint8_t n_points;
    struct {
        double weight, x, y, z;
    } points[COIL_MAX_POINTS];
};

/* Four points at the corners of a square of half-width r around x, at height z. */
#define SQUARE(weight, x, r, z)                                                                    \
    {weight, (x) + (r), (r), z}, {weight, (x) - (r), (r), z}, {weight, (x) + (r), -(r), z},        \
    {                                                                                              \
        weight, (x) - (r), -(r), z                                                                 \
    }

static const struct coil_pattern patterns[] = {
    /* Neuromag-122 planar gradiometer */
    {2, 2, 2, {{61.7284, 8.1, 0, 0}, {-61.7284, -8.1, 0, 0}}},
    /* point magnetometer */
    {2000, 2000, 1, {{1, 0, 0, 0}}},
    /* VectorView and TRIUX planar gradiometers; 29.7619 = 1 / (2 x 16.8 mm) */
    {3012,
     3015,
     4,
     {{29.7619, 8.4, 6.713, 0.3},
      {29.7619, 8.4, -6.713, 0.3},
      {-29.7619, -8.4, 6.713, 0.3},
      {-29.7619, -8.4, -6.713, 0.3}}},
    /* VectorView magnetometers T1, T2; T3; T4 */
    {3022, 3023, 4, {SQUARE(0.25, 0, 6.45, 0.3)}},
    {3024, 3024, 4, {SQUARE(0.25, 0, 5.25, 0.3)}},
    {3025, 3025, 4, {SQUARE(0.25, 0, 7.0, 0.3)}},
    /* Magnes WH2500 magnetometer, WH3600 axial gradiometer, reference sensors */
    {4001, 4001, 4, {SQUARE(0.25, 0, 5.75, 0)}},
    {4002, 4002, 8, {SQUARE(0.25, 0, 4.5, 0), SQUARE(-0.25, 0, 4.5, 50)}},
    {4003, 4003, 4, {SQUARE(0.25, 0, 7.5, 0)}},
    {4004, 4004, 8, {SQUARE(0.25, 0, 20, 0), SQUARE(-0.25, 0, 20, 135)}},
    {4005, 4005, 8, {SQUARE(0.25, 67.5, 20, 0), SQUARE(-0.25, -67.5, 20, 0)}},
    /* CTF axial gradiometer and reference sensors */
    {5001, 5001, 8, {SQUARE(0.25, 0, 4.5, 0), SQUARE(-0.25, 0, 4.5, 50)}},
    {5002, 5002, 4, {SQUARE(0.25, 0, 4.0, 0)}},
    {5003, 5003, 8, {SQUARE(0.25, 0, 8.6, 0), SQUARE(-0.25, 0, 8.6, 78.6)}},
    {5004, 5004, 8, {SQUARE(0.25, 39.3, 8.5, 0), SQUARE(-0.25, -39.3, 8.5, 0)}},
    /* KIT axial gradiometer, reference magnetometer */
    {6001, 6001, 8, {SQUARE(0.25, 0, 3.875, 0), SQUARE(-0.25, 0, 3.875, 50)}},
    {6002, 6002, 4, {SQUARE(0.25, 0, 3.875, 0)}},
    /* BabySQUID gradiometer, magnetometer */
    {7001, 7001, 2, {{1, 0, 0, 0}, {-1, 0, 0, 50}}},
    {7002, 7002, 4, {SQUARE(0.25, 0, 2.5, 0)}},
/* optically pumped magnetometers: QuSpin; FieldLine */
#define OPM_POINTS                                                                                 \
    {                                                                                              \
        {0.1667, -1.25, 0, 0}, {0.1667, -0.75, 0, 0}, {0.1667, -0.25, 0, 0}, {0.1667, 0.25, 0, 0}, \
            {0.1667, 0.75, 0, 0},                                                                  \
        {                                                                                          \
            0.1667, 1.25, 0, 0                                                                     \
        }                                                                                          \
    }
    {8001, 8001, 6, OPM_POINTS},
    {8101, 8101, 6, OPM_POINTS},
#undef OPM_POINTS
};

static const struct coil_pattern *find_pattern(int32_t coil_type)
{
    const uint16_t type = (uint16_t)((uint32_t)coil_type & 0xffff);
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        if (type >= patterns[i].first_type && type <= patterns[i].last_type)
            return &patterns[i];
    return NULL;
}

bool coil_type_is_known(int32_t coil_type)
{
    return find_pattern(coil_type) != NULL;
}

static void rotate(const double (*matrix)[4], const double in[3], double out[3])
{
    for (int row = 0; row < 3; row++)
        out[row] = matrix[row][0] * in[0] + matrix[row][1] * in[1] + matrix[row][2] * in[2];
}

void coil_place(const struct rejectd_epochs *epochs, const struct rejectd_channel *channel,
                struct coil *coil)
{
    static const double identity[4][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}};
    const double(*to_head)[4] = epochs->has_device_to_head ? epochs->device_to_head : identity;
    const struct coil_pattern *pattern = find_pattern(channel->coil_type);
    const double *origin = channel->loc, *x = channel->loc + 3, *y = channel->loc + 6,
                 *z = channel->loc + 9;
    memset(coil, 0, sizeof *coil);
    coil->n_points = pattern->n_points;
    rotate(to_head, z, coil->direction);
    for (size_t i = 0; i < coil->n_points; i++) {
        double device[3], head[3];
        for (int axis = 0; axis < 3; axis++)
            device[axis] =
                origin[axis] + (x[axis] * pattern->points[i].x + y[axis] * pattern->points[i].y +
                                z[axis] * pattern->points[i].z) *
                                   1e-3;
        rotate(to_head, device, head);
        for (int axis = 0; axis < 3; axis++)
            coil->points[i][axis] = head[axis] + to_head[axis][3];
        coil->weights[i] = pattern->points[i].weight;
    }
}
