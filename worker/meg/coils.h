/*
 * MEG sensors as integration points: where the magnetic field is sampled, in which direction, and
 * with what weight the samples add up to the sensor's value.
 *
 * The point patterns are those of the "normal" accuracy of MNE-Python's coil definitions, which go
 * back to the file of M. Hamalainen: VectorView and TRIUX, CTF, 4D (Magnes), KIT, BabySQUID and
 * optically pumped sensors.
 */
#ifndef WORKER_MEG_COILS_H
#define WORKER_MEG_COILS_H

#include <rejectd/error.h>
#include <rejectd/types.h>

enum { COIL_MAX_POINTS = 8 };

/* One sensor in head coordinates (device coordinates where the dataset has no transform). */
struct coil {
    size_t n_points;
    double points[COIL_MAX_POINTS][3]; /* m */
    double weights[COIL_MAX_POINTS];   /* 1 (mag) or 1/m (planar grad) */
    double direction[3];               /* of every point; unit length as given */
};

/* Whether the coil type (the low 16 bits; the others are a compensation grade) is known. */
bool coil_type_is_known(int32_t coil_type);

/*
 * Places the coil of one channel: its loc, moved by device_to_head where the dataset has one. The
 * channel's loc is finite and its coil type known (checks.h).
 */
void coil_place(const struct rejectd_epochs *epochs, const struct rejectd_channel *channel,
                struct coil *coil);

#endif
