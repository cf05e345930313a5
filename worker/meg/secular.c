#include "worker/meg/secular.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* LAPACK: root i (from 1) of 1/rho + sum z_j^2 / (d_j - lambda), and delta_j = d_j - lambda. */
extern void dlaed4_(const int *n, const int *i, const double *d, const double *z, double *delta,
                    const double *rho, double *lambda, int *info);

/* In place of an infinite rho; d is scaled to at most 1. */
static const double rho = 1e40;

/* One eigenvalue of what is left; `root` is the row of its deltas, or n when the eigenvalue does
 * not move: one whose eigenvector has nothing of the sensor, `index` being its number, or one of a
 * multiple one, `index` being n. */
struct eigenvalue {
    double value;
    size_t root, index;
};

struct secular {
    size_t capacity;
    double *poles, *weights; /* [n] of the poles that matter: scaled d, and sqrt(sum v^2) */
    size_t *pole;            /* [n] the pole of each d; n where it does not matter */
    double *deltas;          /* [n][n] poles minus root */
    double *factors;         /* [n] corrected weight of a pole over its weight */
    double *sums;            /* [n] of the poles over the kept eigenvalues */
    double *along;           /* [n] x along v at each pole */
    struct eigenvalue *eigenvalues;
};

struct secular *secular_open(size_t n)
{
    struct secular *made = calloc(1, sizeof *made);
    if (made == NULL)
        return NULL;
    made->capacity = n;
    made->poles = malloc(n * sizeof(double));
    made->weights = malloc(n * sizeof(double));
    made->pole = malloc(n * sizeof(size_t));
    made->deltas = malloc(n * n * sizeof(double));
    made->factors = malloc(n * sizeof(double));
    made->sums = malloc(n * sizeof(double));
    made->along = malloc(n * sizeof(double));
    made->eigenvalues = malloc(n * sizeof(struct eigenvalue));
    if (made->poles == NULL || made->weights == NULL || made->pole == NULL ||
        made->deltas == NULL || made->factors == NULL || made->sums == NULL ||
        made->along == NULL || made->eigenvalues == NULL) {
        secular_close(made);
        return NULL;
    }
    return made;
}

void secular_close(struct secular *secular)
{
    if (secular == NULL)
        return;
    free(secular->poles);
    free(secular->weights);
    free(secular->pole);
    free(secular->deltas);
    free(secular->factors);
    free(secular->sums);
    free(secular->along);
    free(secular->eigenvalues);
    free(secular);
}

/*
 * Lists the poles: equal eigenvalues are one pole with their weights together, eigenvalues without
 * weight are none. What does not move goes to the eigenvalues at once; returns how many do not.
 */
static size_t list_poles(struct secular *s, const double *d, const double *v, size_t n,
                         double scale, size_t *n_poles)
{
    size_t m = 0, fixed = 0;
    for (size_t i = 0; i < n; i++) {
        const double value = d[i] / scale;
        const bool same = m > 0 && value - s->poles[m - 1] <= 4.0 * DBL_EPSILON;
        s->pole[i] = n;
        const bool still = fabs(v[i]) <= DBL_EPSILON;
        if (still || same)
            s->eigenvalues[fixed++] = (struct eigenvalue){value, n, still ? i : n};
        if (still)
            continue;
        if (same) {
            s->weights[m - 1] = hypot(s->weights[m - 1], v[i]);
            s->pole[i] = m - 1;
        } else {
            s->poles[m] = value;
            s->weights[m] = fabs(v[i]);
            s->pole[i] = m++;
        }
    }
    *n_poles = m;
    return fixed;
}

/* Root i between poles i and i + 1. */
static bool find_root(struct secular *s, size_t n_poles, size_t i, double *root)
{
    double *delta = s->deltas + i * s->capacity;
    if (n_poles == 2) {
        const double a = s->weights[0] * s->weights[0], b = s->weights[1] * s->weights[1];
        const double gap = s->poles[1] - s->poles[0];
        *root = s->poles[0] + gap * (a / (a + b));
        delta[0] = -gap * (a / (a + b));
        delta[1] = gap * (b / (a + b));
        return true;
    }
    const int n = (int)n_poles, number = (int)i + 1;
    int info;
    dlaed4_(&n, &number, s->poles, s->weights, delta, &rho, root, &info);
    return info == 0;
}

/*
 * The weights for which the roots that were found are exact (Gu M, Eisenstat SC (1994). A stable
 * and efficient algorithm for the rank-one modification of the symmetric eigenproblem. SIAM J
 * Matrix Anal Appl 15:1266-1276): with them the eigenvectors of close roots stay orthogonal.
 */
static void correct_weights(struct secular *s, size_t n_poles)
{
    for (size_t i = 0; i < n_poles; i++) {
        double square = 1.0;
        for (size_t k = 0; k + 1 < n_poles; k++)
            square *= s->deltas[k * s->capacity + i] / (s->poles[i] - s->poles[k < i ? k : k + 1]);
        const double weight = sqrt(fabs(square));
        s->factors[i] = weight / s->weights[i];
        s->weights[i] = weight;
    }
}

static int by_magnitude(const void *a, const void *b)
{
    const struct eigenvalue *x = a, *y = b;
    const double p = fabs(x->value), q = fabs(y->value);
    if (p != q)
        return p > q ? -1 : 1;
    return (x->value < y->value) - (x->value > y->value);
}

/* Adds one kept eigenvector to the sums of the poles. */
static void add_eigenvector(struct secular *s, size_t n_poles, const struct eigenvalue *kept,
                            double share)
{
    const double *delta = s->deltas + kept->root * s->capacity;
    double square = 0.0, product = share;
    for (size_t j = 0; j < n_poles; j++) {
        const double w = s->weights[j] / delta[j];
        square += w * w;
        product += w * s->along[j];
    }
    const double scale = product / (kept->value * square);
    for (size_t j = 0; j < n_poles; j++)
        s->sums[j] += scale / delta[j];
}

/* What of x lies along v at each pole. */
static void take_along(struct secular *s, const double *v, const double *x, size_t n,
                       size_t n_poles, double scale)
{
    memset(s->along, 0, n_poles * sizeof *s->along);
    for (size_t i = 0; x != NULL && i < n; i++)
        if (s->pole[i] < n)
            s->along[s->pole[i]] += x[i] * (v[i] / s->weights[s->pole[i]]) / scale;
}

/* Adds the kept eigenvectors that are those of the whole; false where that is not one vector. */
static bool add_fixed(const struct secular *s, const double *x, size_t n, size_t n_kept,
                      double scale, double *y)
{
    for (size_t k = 0; k < n_kept; k++) {
        const struct eigenvalue *kept = &s->eigenvalues[k];
        if (kept->root == n && kept->index == n)
            return false;
        if (kept->root == n)
            y[kept->index] += x[kept->index] / (kept->value * scale);
    }
    return true;
}

bool secular_leave_out(struct secular *s, const double *d, const double *v, const double *x,
                       double share, size_t n, double miss, double *y)
{
    const double scale = fmax(fabs(d[0]), fabs(d[n - 1]));
    size_t n_poles;
    if (n < 2 || !(scale > 0.0))
        return false;
    size_t n_values = list_poles(s, d, v, n, scale, &n_poles);
    double norm = 0.0;
    take_along(s, v, x, n, n_poles, scale);
    for (size_t j = 0; j < n_poles; j++) {
        s->sums[j] = 0.0;
        norm = hypot(norm, s->weights[j]);
    }
    for (size_t j = 0; j < n_poles; j++)
        s->weights[j] /= norm;
    for (size_t i = 0; i + 1 < n_poles; i++) {
        s->eigenvalues[n_values].root = i;
        if (!find_root(s, n_poles, i, &s->eigenvalues[n_values++].value))
            return false;
    }
    correct_weights(s, n_poles);
    double total = 0.0, sum = 0.0;
    for (size_t k = 0; k < n_values; k++)
        total += fabs(s->eigenvalues[k].value);
    if (!(total > 0.0))
        return false;
    qsort(s->eigenvalues, n_values, sizeof *s->eigenvalues, by_magnitude);
    size_t n_kept = 0;
    for (; n_kept < n_values && sum < (1.0 - miss) * total; n_kept++) {
        sum += fabs(s->eigenvalues[n_kept].value);
        if (s->eigenvalues[n_kept].root < n)
            add_eigenvector(s, n_poles, &s->eigenvalues[n_kept], share);
    }
    for (size_t i = 0; i < n; i++)
        y[i] = s->pole[i] < n ? v[i] / norm * s->factors[s->pole[i]] * s->sums[s->pole[i]] : 0.0;
    return x == NULL || add_fixed(s, x, n, n_kept, scale, y);
}
