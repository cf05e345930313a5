/*
 * MEG sensors: their coils, the products of their lead fields, and mappings between them. What
 * MNE-Python makes of the same sensors is in tests/parity.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "run_suite.h"
#include "worker/blas_threads.h"
#include "worker/meg/field_map.h"
#include "worker/meg/lead_field.h"
#include "worker/meg/legendre.h"
#include "worker/meg/projection.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static const double centre[3] = {0.0, 0.0, 0.04};

/* A coil at the distance `radius` from the head's centre, looking outwards. */
static struct rejectd_channel sensor(int32_t coil_type, double theta, double phi, double radius)
{
    const double z[3] = {sin(theta) * cos(phi), sin(theta) * sin(phi), cos(theta)};
    const double x[3] = {cos(theta) * cos(phi), cos(theta) * sin(phi), -sin(theta)};
    const double y[3] = {-sin(phi), cos(phi), 0.0};
    struct rejectd_channel channel = {.type = REJECTD_CHANNEL_MAG,
                                      .has_loc = true,
                                      .has_coil_type = true,
                                      .coil_type = coil_type};
    for (int i = 0; i < 3; i++)
        channel.loc[i] = centre[i] + radius * z[i];
    memcpy(channel.loc + 3, x, sizeof x);
    memcpy(channel.loc + 6, y, sizeof y);
    memcpy(channel.loc + 9, z, sizeof z);
    return channel;
}

static struct coil placed(const struct rejectd_channel *channel)
{
    const struct rejectd_epochs epochs = {.n_channels = 1, .channels = channel};
    struct coil coil;
    coil_place(&epochs, channel, &coil);
    return coil;
}

/* ---- coils ---- */

static const struct {
    int32_t type;
    size_t n_points;
    double sum; /* of the weights: 0 for gradiometers */
} coil_cases[] = {
    {2, 2, 0},    {2000, 1, 1}, {3012, 4, 0}, {3013, 4, 0},      {3014, 4, 0},
    {3015, 4, 0}, {3022, 4, 1}, {3023, 4, 1}, {3024, 4, 1},      {3025, 4, 1},
    {4001, 4, 1}, {4002, 8, 0}, {4003, 4, 1}, {4004, 8, 0},      {4005, 8, 0},
    {5001, 8, 0}, {5002, 4, 1}, {5003, 8, 0}, {5004, 8, 0},      {6001, 8, 0},
    {6002, 4, 1}, {7001, 2, 0}, {7002, 4, 1}, {8001, 6, 1.0002}, {8101, 6, 1.0002},
};

START_TEST(test_every_coil_pattern)
{
    const struct rejectd_channel channel = sensor(coil_cases[_i].type, 0.3, 1.0, 0.12);
    ck_assert(coil_type_is_known(channel.coil_type));
    const struct coil coil = placed(&channel);
    double sum = 0.0, mean[3] = {0};
    ck_assert_uint_eq(coil.n_points, coil_cases[_i].n_points);
    for (size_t i = 0; i < coil.n_points; i++) {
        sum += coil.weights[i];
        for (int axis = 0; axis < 3; axis++)
            mean[axis] += coil.points[i][axis] / (double)coil.n_points;
    }
    ck_assert_double_eq_tol(sum, coil_cases[_i].sum, 1e-12);
    /* A pattern is balanced across the axis that it looks along. */
    for (int axis = 0; axis < 2; axis++) {
        double across = 0.0;
        for (int i = 0; i < 3; i++)
            across += (mean[i] - channel.loc[i]) * channel.loc[3 + 3 * axis + i];
        ck_assert_double_eq_tol(across, 0.0, 1e-12);
    }
}
END_TEST

START_TEST(test_coil_types)
{
    ck_assert(coil_type_is_known(3 << 16 | 5001)); /* CTF with third-order compensation */
    ck_assert(!coil_type_is_known(0));
    ck_assert(!coil_type_is_known(1));
    ck_assert(!coil_type_is_known(3011));
    ck_assert(!coil_type_is_known(-1));
}
END_TEST

START_TEST(test_coils_move_with_the_head)
{
    const struct rejectd_channel channel = sensor(3012, 0.5, 0.2, 0.12);
    const struct rejectd_epochs turned = {
        .n_channels = 1,
        .channels = &channel,
        .has_device_to_head = true,
        .device_to_head = {{0, -1, 0, 0.01}, {1, 0, 0, 0.02}, {0, 0, 1, 0.03}, {0, 0, 0, 1}}};
    const struct coil plain = placed(&channel);
    struct coil coil;
    coil_place(&turned, &channel, &coil);
    for (size_t i = 0; i < coil.n_points; i++) {
        ck_assert_double_eq_tol(coil.points[i][0], 0.01 - plain.points[i][1], 1e-15);
        ck_assert_double_eq_tol(coil.points[i][1], 0.02 + plain.points[i][0], 1e-15);
        ck_assert_double_eq_tol(coil.points[i][2], 0.03 + plain.points[i][2], 1e-15);
        ck_assert(coil.weights[i] == plain.weights[i]);
    }
    ck_assert_double_eq_tol(coil.direction[0], -plain.direction[1], 1e-15);
    ck_assert_double_eq_tol(coil.direction[1], plain.direction[0], 1e-15);
}
END_TEST

/* ---- Legendre sums ---- */

static void sums_at(const struct legendre_table *table, double cosine, double beta, double out[4])
{
    double cosines[LEGENDRE_LANES], betas[LEGENDRE_LANES], sums[4][LEGENDRE_LANES];
    for (int l = 0; l < LEGENDRE_LANES; l++) {
        cosines[l] = cosine;
        betas[l] = beta;
    }
    legendre_sums(table, cosines, betas, sums);
    for (int k = 0; k < 4; k++)
        out[k] = sums[k][LEGENDRE_LANES - 1];
}

START_TEST(test_sums_of_the_lowest_degrees)
{
    /* With a tiny beta only the first two degrees matter. */
    const double c = 0.3, beta = 1e-5, p2 = 1.5 * c * c - 0.5;
    double sums[4];
    sums_at(NULL, c, beta, sums);
    const double b2 = beta * beta, b3 = b2 * beta;
    ck_assert_double_eq_tol(sums[0], 2.0 / 3 * b2 * c + 6.0 / 5 * b3 * p2, 1e-19);
    ck_assert_double_eq_tol(sums[1], 1.0 / 3 * b2 + 2.0 / 5 * b3 * 3 * c, 1e-19);
    ck_assert_double_eq_tol(sums[2], 1.0 / 6 * b2 + 2.0 / 15 * b3 * 3 * c, 1e-19);
    ck_assert_double_eq_tol(sums[3], 2.0 / 15 * b3 * 3, 1e-19);
}
END_TEST

START_TEST(test_sums_at_the_ends)
{
    /* P_n(1) = 1, P_n(-1) = (-1)^n, P_n'(1) = n (n + 1) / 2 */
    double sums[4], at_one = 0.0, at_minus_one = 0.0, slope = 0.0;
    for (int n = 1; n <= LEGENDRE_DEGREES; n++) {
        const double power = pow(0.6, n + 1), factor = n / (2.0 * n + 1) * power;
        at_one += factor * (n + 1);
        at_minus_one += factor * (n + 1) * (n % 2 == 0 ? 1 : -1);
        slope += factor * n * (n + 1) / 2;
    }
    sums_at(NULL, 1.0, 0.6, sums);
    ck_assert_double_eq_tol(sums[0], at_one, 1e-13);
    ck_assert_double_eq_tol(sums[1], slope, 1e-12);
    sums_at(NULL, -1.0, 0.6, sums);
    ck_assert_double_eq_tol(sums[0], at_minus_one, 1e-13);
}
END_TEST

START_TEST(test_the_table_takes_the_nearest_entry)
{
    struct legendre_table *table;
    struct rejectd_error error;
    double low[4], tie[4], above[4], exact[4];
    ck_assert_int_eq(legendre_table_make(&table, &error), REJECTD_OK);
    for (int k = 0; k < 20000; k += 1999) {
        /* Halfway between two entries, which these numbers are exactly, the lower one is taken. */
        const double at = -1.0 + k / 10000.0;
        sums_at(table, at, 0.5, low);
        sums_at(table, at + 0.49e-4, 0.5, tie);
        ck_assert_mem_eq(low, tie, sizeof low);
        sums_at(table, at + 0.51e-4, 0.5, above);
        ck_assert(memcmp(low, above, sizeof low) != 0);
        sums_at(NULL, at, 0.5, exact);
        for (int i = 0; i < 4; i++)
            ck_assert_double_eq_tol(low[i], exact[i], 1e-6 * (1.0 + fabs(exact[i])));
    }
    sums_at(table, -1.0 + 0.5e-4, 0.5, tie);
    sums_at(table, -1.0, 0.5, low);
    ck_assert_mem_eq(low, tie, sizeof low);
    sums_at(table, 1.0, 0.5, low);
    ck_assert(isfinite(low[0]) && low[0] > 0.0);
    legendre_table_free(table);
}
END_TEST

/* ---- products ---- */

enum { HELMET = 24 };

/* As the other gradiometer of a place is. */
static void turn_by_a_quarter(struct rejectd_channel *channel)
{
    double x[3];
    memcpy(x, channel->loc + 3, sizeof x);
    memcpy(channel->loc + 3, channel->loc + 6, sizeof x);
    for (int axis = 0; axis < 3; axis++)
        channel->loc[6 + axis] = -x[axis];
}

static void fill_helmet(struct rejectd_channel channels[HELMET])
{
    static const int32_t types[3] = {3012, 3012, 3024};
    for (size_t i = 0; i < HELMET; i++) {
        channels[i] = sensor(types[i % 3], 0.15 + 0.055 * (double)i, 2.4 * (double)(i / 3), 0.11);
        channels[i].type = i % 3 == 2 ? REJECTD_CHANNEL_MAG : REJECTD_CHANNEL_GRAD;
        if (i % 3 == 1)
            turn_by_a_quarter(&channels[i]);
    }
}

START_TEST(test_products_are_symmetric_positive_and_thread_independent)
{
    struct rejectd_channel channels[HELMET];
    struct coil coils[HELMET];
    double one[HELMET * HELMET], many[HELMET * HELMET];
    struct rejectd_error error;
    fill_helmet(channels);
    for (size_t i = 0; i < HELMET; i++)
        coils[i] = placed(&channels[i]);
    for (int way = 0; way < REJECTD_MEG_LEGENDRE_COUNT; way++) {
        const enum rejectd_meg_legendre legendre = (enum rejectd_meg_legendre)way;
        ck_assert_int_eq(lead_field_products(coils, HELMET, legendre, 1, one, &error), 0);
        ck_assert_int_eq(lead_field_products(coils, HELMET, legendre, 4, many, &error), 0);
        ck_assert_mem_eq(one, many, sizeof one);
        for (size_t i = 0; i < HELMET; i++) {
            ck_assert(one[i * HELMET + i] > 0.0);
            for (size_t j = 0; j < HELMET; j++)
                ck_assert(one[i * HELMET + j] == one[j * HELMET + i]);
        }
    }
}
END_TEST

START_TEST(test_products_do_not_change_when_all_turn_about_the_centre)
{
    struct rejectd_channel a[2] = {sensor(3024, 0.3, 0.1, 0.11), sensor(3012, 0.7, 0.4, 0.12)};
    struct rejectd_channel b[2] = {sensor(3024, 0.3, 1.3, 0.11), sensor(3012, 0.7, 1.6, 0.12)};
    double before[4], after[4];
    struct rejectd_error error;
    const struct coil first[2] = {placed(&a[0]), placed(&a[1])};
    const struct coil second[2] = {placed(&b[0]), placed(&b[1])};
    ck_assert_int_eq(lead_field_products(first, 2, REJECTD_MEG_LEGENDRE_EXACT, 1, before, &error),
                     0);
    ck_assert_int_eq(lead_field_products(second, 2, REJECTD_MEG_LEGENDRE_EXACT, 1, after, &error),
                     0);
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq_tol(before[i], after[i], 1e-12 * sqrt(before[0] * before[3]));
}
END_TEST

START_TEST(test_product_of_a_radial_point_sensor_with_itself)
{
    /* S1 alone remains: A = B = C = D = E = c = 1. */
    const double radius = 0.11, beta = 0.06 * 0.06 / (radius * radius);
    const struct rejectd_channel channel = sensor(2000, 0.4, 0.9, radius);
    const struct coil coil = placed(&channel);
    double product, sum = 0.0;
    struct rejectd_error error;
    for (int n = 1; n <= LEGENDRE_DEGREES; n++)
        sum += n * (n + 1.0) / (2.0 * n + 1) * pow(beta, n + 1);
    ck_assert_int_eq(lead_field_products(&coil, 1, REJECTD_MEG_LEGENDRE_EXACT, 1, &product, &error),
                     0);
    ck_assert_double_eq_tol(product / (4e-14 * M_PI / (radius * radius) * sum), 1.0, 1e-12);
}
END_TEST

/* ---- mappings ---- */

static struct field_map *map_of(const struct rejectd_epochs *epochs, size_t n)
{
    size_t picks[HELMET];
    struct field_map *map;
    struct rejectd_error error = {0};
    for (size_t i = 0; i < n; i++)
        picks[i] = i;
    ck_assert_msg(field_map_open(epochs, picks, n, REJECTD_MEG_LEGENDRE_EXACT, 2, &map, &error) ==
                      REJECTD_OK,
                  "%s", error.message);
    return map;
}

/* Row b of the leave-one-out weights, by an eigenproblem of its own. */
static void leave_out(const struct field_map *map, size_t n, size_t b, double *weights)
{
    size_t from[HELMET] = {0};
    double row[HELMET];
    struct rejectd_error error = {0};
    for (size_t i = 0; i + 1 < n; i++)
        from[i] = i + (i >= b);
    ck_assert_int_eq(field_map_between(map, from, n - 1, &b, 1, row, &error), REJECTD_OK);
    weights[b] = 0.0;
    for (size_t i = 0; i + 1 < n; i++)
        weights[from[i]] = row[i];
}

static void compare_leave_one_out(const struct rejectd_epochs *epochs, size_t n)
{
    struct field_map *map = map_of(epochs, n);
    double weights[HELMET * HELMET], again[HELMET * HELMET], row[HELMET];
    struct rejectd_error error = {0};
    ck_assert_int_eq(field_map_leave_one_out(map, 1, weights, &error), REJECTD_OK);
    ck_assert_int_eq(field_map_leave_one_out(map, 3, again, &error), REJECTD_OK);
    ck_assert_mem_eq(weights, again, n * n * sizeof(double));
    for (size_t b = 0; b < n; b++) {
        double largest = 1e-3;
        leave_out(map, n, b, row);
        for (size_t i = 0; i < n; i++)
            largest = fmax(largest, fabs(row[i]));
        for (size_t i = 0; i < n; i++)
            ck_assert_msg(fabs(weights[b * n + i] - row[i]) <= 1e-9 * largest,
                          "sensor %zu of %zu, weight %zu: %.17g, expected %.17g", b, n, i,
                          weights[b * n + i], row[i]);
    }
    field_map_close(map);
}

START_TEST(test_leaving_out_by_the_secular_equation)
{
    struct rejectd_channel channels[HELMET];
    const struct rejectd_epochs epochs = {.n_channels = HELMET, .channels = channels};
    fill_helmet(channels);
    for (size_t n = 2; n <= HELMET; n++)
        compare_leave_one_out(&epochs, n);
    /* The same sensor twice: the products are singular, and an eigenvalue does not move. */
    channels[5] = channels[2];
    channels[8] = channels[2];
    compare_leave_one_out(&epochs, HELMET);
    /* Sensors in places that mirror each other: eigenvalues come in pairs. */
    for (size_t i = 0; i < 12; i++)
        channels[i] = sensor(3024, 0.8, 2.0 * M_PI * (double)i / 12.0, 0.11);
    compare_leave_one_out(&epochs, 12);
}
END_TEST

/* A whole helmet of gradiometers: matrices with most eigenvalues nearly zero, some of which
 * LAPACK's method of relatively robust representations does not take apart. Both ways have to find
 * all maps. */
START_TEST(test_a_helmet_of_gradiometers)
{
    enum { N = 204 };
    struct rejectd_channel *channels = calloc(N, sizeof *channels);
    double *weights = malloc(sizeof(double[N][N])), row[N - 1];
    size_t sensors[N];
    struct field_map *map;
    struct rejectd_error error = {0};
    ck_assert(channels != NULL && weights != NULL);
    for (size_t i = 0; i < N; i++) {
        const double place = (double)(i / 2);
        channels[i] = sensor(3012, 0.1 + 1.7 * sqrt(place / 102.0), 2.39996 * place, 0.115);
        channels[i].type = REJECTD_CHANNEL_GRAD;
        if (i % 2 == 1)
            turn_by_a_quarter(&channels[i]);
        sensors[i] = i;
    }
    const struct rejectd_epochs epochs = {.n_channels = N, .channels = channels};
    ck_assert_int_eq(
        field_map_open(&epochs, sensors, N, (enum rejectd_meg_legendre)_i, 2, &map, &error), 0);
    ck_assert_int_eq(field_map_leave_one_out(map, 2, weights, &error), 0);
    for (size_t b = 0; b < N; b++) {
        double largest = 0.0, worst = 0.0;
        for (size_t i = 0; i < N - 1; i++)
            sensors[i] = i + (i >= b);
        ck_assert_int_eq(field_map_between(map, sensors, N - 1, &b, 1, row, &error), 0);
        for (size_t i = 0; i < N - 1; i++) {
            largest = fmax(largest, fabs(row[i]));
            worst = fmax(worst, fabs(row[i] - weights[b * N + sensors[i]]));
        }
        ck_assert_msg(worst <= 1e-9 * largest, "sensor %zu: %g of %g", b, worst, largest);
    }
    field_map_close(map);
    free(weights);
    free(channels);
}
END_TEST

START_TEST(test_a_sensor_in_the_same_place_takes_over)
{
    struct rejectd_channel channels[HELMET];
    const struct rejectd_epochs epochs = {.n_channels = HELMET, .channels = channels};
    double weights[HELMET];
    fill_helmet(channels);
    channels[5] = channels[2];
    struct field_map *map = map_of(&epochs, HELMET);
    leave_out(map, HELMET, 2, weights);
    for (size_t i = 0; i < HELMET; i++)
        ck_assert(i == 5 ? weights[i] > 0.9 && weights[i] < 1.1 : fabs(weights[i]) < 0.1);
    field_map_close(map);
}
END_TEST

START_TEST(test_projectors)
{
    struct rejectd_channel channels[HELMET];
    double vectors[3 * HELMET] = {0};
    struct rejectd_projector projectors[2] = {
        {.active = true, .n_vectors = 2, .vectors = vectors},
        {.active = false, .n_vectors = 1, .vectors = vectors + 2 * HELMET}};
    struct rejectd_epochs epochs = {
        .n_channels = HELMET, .channels = channels, .projectors = projectors, .n_projectors = 2};
    fill_helmet(channels);
    for (size_t i = 2; i < HELMET; i += 3) { /* over the magnetometers, the second one all zero */
        vectors[i] = 1.0;
        vectors[2 * HELMET + i] = channels[i].loc[0];
    }
    compare_leave_one_out(&epochs, HELMET);
    /* The weights see nothing of what the projectors take out of the other sensors. */
    struct field_map *map = map_of(&epochs, HELMET);
    double weights[HELMET], along = 0.0, size = 0.0;
    leave_out(map, HELMET, 0, weights);
    for (size_t i = 2; i < HELMET; i += 3) {
        along += weights[i];
        size += fabs(weights[i]);
    }
    ck_assert(size > 0.0);
    ck_assert_double_eq_tol(along, 0.0, 1e-9 * size);
    field_map_close(map);
}
END_TEST

/* Sensors of one noise level, whose maps under projectors come from one eigendecomposition. */
START_TEST(test_projectors_by_the_secular_equation)
{
    struct rejectd_channel channels[HELMET], mags[HELMET];
    double vectors[3 * HELMET] = {0};
    struct rejectd_projector projector = {.active = true, .vectors = vectors};
    struct rejectd_epochs epochs = {
        .n_channels = HELMET / 3, .channels = mags, .projectors = &projector, .n_projectors = 1};
    const size_t n = HELMET / 3;
    fill_helmet(channels);
    for (size_t i = 0; i < n; i++) {
        mags[i] = channels[3 * i + 2];
        vectors[i] = 1.0;
        vectors[n + i] = mags[i].loc[0];
        vectors[2 * n + i] = mags[i].loc[1] - 0.01;
    }
    for (projector.n_vectors = 1; projector.n_vectors <= 3; projector.n_vectors++)
        compare_leave_one_out(&epochs, n);
    /* The same vector twice, and but for one sensor; one of a single sensor; one sensor twice. */
    projector.n_vectors = 3;
    memcpy(vectors + n, vectors, n * sizeof *vectors);
    compare_leave_one_out(&epochs, n);
    vectors[n + 3] = 2.0;
    compare_leave_one_out(&epochs, n);
    memset(vectors + n, 0, n * sizeof *vectors);
    vectors[n + 4] = 1.0;
    compare_leave_one_out(&epochs, n);
    vectors[n + 5] = 1e-4;
    compare_leave_one_out(&epochs, n);
    mags[7] = mags[1];
    compare_leave_one_out(&epochs, n);
    /* Eigenvalues in pairs, one of a pair left alone by the projector. */
    for (size_t i = 0; i < n; i++) {
        mags[i] = sensor(3024, 0.8, 2.0 * M_PI * (double)i / (double)n, 0.11);
        vectors[i] = 1.0;
        vectors[n + i] = cos(2.0 * M_PI * (double)i / (double)n);
    }
    for (projector.n_vectors = 1; projector.n_vectors <= 2; projector.n_vectors++)
        compare_leave_one_out(&epochs, n);
}
END_TEST

START_TEST(test_projector_bases)
{
    /* Two vectors that are the same but for 0.1 %, and one that is zero: one dimension. */
    double vectors[3 * 4] = {1, 1, 1, 1, 2, 2, 2, 2.004, 0, 0, 0, 0}, basis[3 * 4];
    double x[4] = {3, 3, 3, 3};
    size_t n_basis;
    struct rejectd_error error;
    ck_assert_int_eq(projection_basis(vectors, 3, 4, basis, &n_basis, &error), REJECTD_OK);
    ck_assert_uint_eq(n_basis, 1);
    projection_apply(basis, n_basis, 4, x);
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq_tol(x[i], 0.0, 0.01);
    double nothing[4] = {0};
    ck_assert_int_eq(projection_basis(nothing, 1, 4, basis, &n_basis, &error), REJECTD_OK);
    ck_assert_uint_eq(n_basis, 0);
    double all[2 * 2] = {1, 0, 0, 1};
    ck_assert_int_eq(projection_basis(all, 2, 2, basis, &n_basis, &error),
                     REJECTD_UNSUITABLE_DATASET);
    ck_assert_str_eq(error.field, "projectors");
    double huge[2] = {1e200, 1e200};
    ck_assert_int_eq(projection_basis(huge, 1, 2, basis, &n_basis, &error), REJECTD_OK);
    ck_assert_uint_eq(n_basis, 1);
    ck_assert_double_eq_tol(fabs(basis[0]), sqrt(0.5), 1e-12);
}
END_TEST

int main(void)
{
    /* Two BLAS threads wait for each other longer than these small matrices take. */
    blas_threads_pin();
    Suite *suite = suite_create("meg");
    TCase *coils = tcase_create("coils");
    tcase_add_loop_test(coils, test_every_coil_pattern, 0, LENGTH(coil_cases));
    tcase_add_test(coils, test_coil_types);
    tcase_add_test(coils, test_coils_move_with_the_head);
    suite_add_tcase(suite, coils);
    TCase *products = tcase_create("products");
    tcase_add_test(products, test_sums_of_the_lowest_degrees);
    tcase_add_test(products, test_sums_at_the_ends);
    tcase_add_test(products, test_the_table_takes_the_nearest_entry);
    tcase_add_test(products, test_products_are_symmetric_positive_and_thread_independent);
    tcase_add_test(products, test_products_do_not_change_when_all_turn_about_the_centre);
    tcase_add_test(products, test_product_of_a_radial_point_sensor_with_itself);
    suite_add_tcase(suite, products);
    TCase *maps = tcase_create("mappings");
    tcase_add_test(maps, test_leaving_out_by_the_secular_equation);
    tcase_add_loop_test(maps, test_a_helmet_of_gradiometers, 0, REJECTD_MEG_LEGENDRE_COUNT);
    tcase_add_test(maps, test_a_sensor_in_the_same_place_takes_over);
    tcase_add_test(maps, test_projectors);
    tcase_add_test(maps, test_projectors_by_the_secular_equation);
    tcase_add_test(maps, test_projector_bases);
    suite_add_tcase(suite, maps);
    return run_suite_in_process(suite);
}
