#include "worker/meg/legendre.h"

#include <math.h>
#include <stdlib.h>

enum { TABLE_STEPS = 20000 };

/* P_n, P_n' and P_n'' of one degree. */
struct polynomial {
    float value, first, second;
};

struct legendre_table {
    struct polynomial rows[TABLE_STEPS + 1][LEGENDRE_DEGREES];
};

enum rejectd_status legendre_table_make(struct legendre_table **table, struct rejectd_error *error)
{
    struct legendre_table *made = malloc(sizeof *made);
    *table = made;
    if (made == NULL)
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    for (int i = 0; i <= TABLE_STEPS; i++) {
        const double x = -1.0 + i * (2.0 / TABLE_STEPS);
        double before = 1.0, value = x, first = 1.0, second = 0.0;
        for (int n = 1; n <= LEGENDRE_DEGREES; n++) {
            made->rows[i][n - 1] = (struct polynomial){(float)value, (float)first, (float)second};
            const double next = ((2 * n + 1) * x * value - n * before) / (n + 1);
            const double next_second = (n + 2) * first + x * second;
            first = (n + 1) * value + x * first;
            second = next_second;
            before = value;
            value = next;
        }
    }
    return REJECTD_OK;
}

void legendre_table_free(struct legendre_table *table)
{
    free(table);
}

/* Adds degree n of one lane to the sums; power is beta^(n+1). */
static inline void add_degree(int n, double power, double value, double first, double second,
                              double sums[4][LEGENDRE_LANES], int lane)
{
    const double a = (double)n / (2 * n + 1), b = a / (n + 1);
    sums[0][lane] += a * (n + 1) * power * value;
    sums[1][lane] += a * power * first;
    sums[2][lane] += b * power * first;
    sums[3][lane] += b * power * second;
}

static void sums_exact(const double *x, const double *betas, double sums[4][LEGENDRE_LANES])
{
    double before[LEGENDRE_LANES], value[LEGENDRE_LANES], first[LEGENDRE_LANES],
        second[LEGENDRE_LANES], power[LEGENDRE_LANES];
    for (int l = 0; l < LEGENDRE_LANES; l++) {
        before[l] = 1.0;
        value[l] = x[l];
        first[l] = 1.0;
        second[l] = 0.0;
        power[l] = betas[l] * betas[l];
    }
    for (int n = 1; n <= LEGENDRE_DEGREES; n++) {
        const double next_factor = (2.0 * n + 1) / (n + 1), before_factor = (double)n / (n + 1);
        for (int l = 0; l < LEGENDRE_LANES; l++) {
            add_degree(n, power[l], value[l], first[l], second[l], sums, l);
            const double next = next_factor * x[l] * value[l] - before_factor * before[l];
            const double next_second = (n + 2) * first[l] + x[l] * second[l];
            first[l] = (n + 1) * value[l] + x[l] * first[l];
            second[l] = next_second;
            before[l] = value[l];
            value[l] = next;
            power[l] *= betas[l];
        }
    }
}

static void sums_by_table(const struct legendre_table *table, const double *x, const double *betas,
                          double sums[4][LEGENDRE_LANES])
{
    for (int l = 0; l < LEGENDRE_LANES; l++) {
        /* The nearest entry; a tie goes to the lower one. */
        double entry = ceil((x[l] + 1.0) * (TABLE_STEPS / 2) - 0.5);
        entry = entry < 0.0 ? 0.0 : entry > TABLE_STEPS ? TABLE_STEPS : entry;
        const struct polynomial *row = table->rows[(int)entry];
        double power = betas[l] * betas[l];
        for (int n = 1; n <= LEGENDRE_DEGREES; n++) {
            const struct polynomial *p = &row[n - 1];
            add_degree(n, power, (double)p->value, (double)p->first, (double)p->second, sums, l);
            power *= betas[l];
        }
    }
}

void legendre_sums(const struct legendre_table *table, const double cosines[LEGENDRE_LANES],
                   const double betas[LEGENDRE_LANES], double sums[4][LEGENDRE_LANES])
{
    for (int k = 0; k < 4; k++)
        for (int l = 0; l < LEGENDRE_LANES; l++)
            sums[k][l] = 0.0;
    if (table == NULL)
        sums_exact(cosines, betas, sums);
    else
        sums_by_table(table, cosines, betas, sums);
}
