/*
 * Interpolation of EEG: what must hold for any sensors, weights that MNE-Python computed, and the
 * partitioned inverse against the bordered system solved directly for every set of bad sensors.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "run_suite.h"
#include "worker/algorithm/interpolation.h"
#include "worker/algorithm/spline.h"
#include "worker/backend.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

enum { MOST = 32 };

static const size_t sizes[] = {2, 3, 4, 5, 8, 13, 19, MOST};

/* Fp1 Fp2 F3 F4 C3 C4 O1 O2 of the 10-05 montage, in metres. */
static const double montage[8][3] = {
    {-0.0309, 0.1146, 0.0279},  {0.0284, 0.1153, 0.0277},  {-0.0518, 0.0867, 0.0787},
    {0.0503, 0.0874, 0.0773},   {-0.0671, 0.0234, 0.1045}, {0.0653, 0.0236, 0.1037},
    {-0.0316, -0.0806, 0.0548}, {0.0277, -0.0805, 0.0547},
};

/* mne.channels.interpolation._make_interpolation_matrix(good, bad, alpha=1e-5). */
struct mne_case {
    size_t n_bad;
    size_t bad[3];
    double weights[3][7];
};

static const struct mne_case mne_cases[] = {
    {1,
     {0},
     {{0.8856329791935327, 0.9995113526668327, -0.7415217060257113, -0.3748427223221693,
       0.18951051834353727, 0.11365839725050364, -0.0719488191065274}}},
    {2,
     {1, 4},
     {{0.7989172813179876, -0.5047534716956283, 0.9340224417094877, -0.29446925606906404,
       0.013948889069175407, 0.05233411566804813},
      {-0.37305602665002, 1.1708071463486007, -0.31350376037850824, 0.3667837351465948,
       0.449844718428651, -0.3008758128953165}}},
    {3,
     {2, 3, 7},
     {{0.602964014190523, -0.15426990500836202, 0.6052205038633907, 0.10657895047678499,
       -0.16049356352234323},
      {-0.2194732397586825, 0.6790461490787139, 0.2137002980521202, 0.4815933638264393,
       -0.15486657119859304},
      {0.3200778289020667, -0.33514740683305416, -0.6636382251344183, 0.6908197258996323,
       0.9878880771657745}}},
};

static uint64_t random_state;

static double random_value(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(random_state >> 11) * 0x1p-53 - 0.5;
}

/* Sensors on the upper half of a bumpy head, some of them close to each other. */
static void random_positions(uint64_t seed, size_t n, double (*positions)[3])
{
    random_state = seed;
    for (size_t i = 0; i < n; i++) {
        double x = random_value(), y = random_value(), z = 0.1 + fabs(random_value());
        double scale = (0.09 + 0.01 * random_value()) / sqrt(x * x + y * y + z * z);
        positions[i][0] = x * scale;
        positions[i][1] = y * scale;
        positions[i][2] = z * scale;
    }
}

static void make_precision(const double (*positions)[3], size_t n, double *precision)
{
    struct rejectd_error error;
    ck_assert_int_eq(spline_precision(positions, n, 2, precision, &error), REJECTD_OK);
}

/* Perrin et al. 1989, eq. 3, in long double. */
static long double kernel(long double x)
{
    static long double factors[51];
    for (int n = 1; factors[50] == 0.0L && n <= 50; n++)
        factors[n] = (2 * n + 1) / (powl(n, 4) * powl(n + 1, 4) * 4.0L * acosl(-1.0L));
    long double sum = 0.0L, before = 1.0L, legendre = x;
    for (int n = 1; n <= 50; n++) {
        sum += factors[n] * legendre;
        long double next = ((2 * n + 1) * x * legendre - n * before) / (n + 1);
        before = legendre;
        legendre = next;
    }
    return sum;
}

static long double cosine(const double a[3], const double b[3])
{
    long double ab = 0.0L, aa = 0.0L, bb = 0.0L;
    for (int axis = 0; axis < 3; axis++) {
        ab += (long double)a[axis] * b[axis];
        aa += (long double)a[axis] * a[axis];
        bb += (long double)b[axis] * b[axis];
    }
    return ab / sqrtl(aa * bb);
}

/* Solves the n equations of system [n][n + 1] (the right-hand side last) by elimination. */
static void solve(long double (*system)[MOST + 2], size_t n, long double *solution)
{
    for (size_t k = 0; k < n; k++) {
        size_t pivot = k;
        for (size_t i = k + 1; i < n; i++)
            if (fabsl(system[i][k]) > fabsl(system[pivot][k]))
                pivot = i;
        for (size_t j = 0; j <= n; j++) {
            long double swap = system[k][j];
            system[k][j] = system[pivot][j];
            system[pivot][j] = swap;
        }
        for (size_t i = k + 1; i < n; i++) {
            long double factor = system[i][k] / system[k][k];
            for (size_t j = k; j <= n; j++)
                system[i][j] -= factor * system[k][j];
        }
    }
    for (size_t k = n; k-- > 0;) {
        solution[k] = system[k][n];
        for (size_t j = k + 1; j < n; j++)
            solution[k] -= system[k][j] * solution[j];
        solution[k] /= system[k][k];
    }
}

/* The definition: weights [n] of sensor b from the sensors that are not bad, 0 at the bad ones. */
static void direct_weights(const double (*positions)[3], size_t n, const bool *bad, size_t b,
                           double *weights)
{
    static long double system[MOST + 1][MOST + 2];
    long double solution[MOST + 1];
    size_t good[MOST], k = 0;
    for (size_t i = 0; i < n; i++)
        if (!bad[i])
            good[k++] = i;
    for (size_t i = 0; i < k; i++) {
        for (size_t j = 0; j < k; j++)
            system[i][j] = kernel(cosine(positions[good[i]], positions[good[j]]));
        system[i][i] += 1e-5;
        system[i][k] = system[k][i] = 1.0L;
        system[i][k + 1] = kernel(cosine(positions[good[i]], positions[b]));
    }
    system[k][k] = 0.0L;
    system[k][k + 1] = 1.0L;
    solve(system, k + 1, solution);
    memset(weights, 0, n * sizeof *weights);
    for (size_t i = 0; i < k; i++)
        weights[good[i]] = (double)solution[i];
}

/*
 * The weights that a backend repairs with, [n_bad][n] in the order of bad: the epoch is the
 * identity matrix, so that each repaired row is a row of weights.
 */
static void repair_weights(const struct backend *backend, const double *precision, size_t n,
                           const uint16_t *bad, size_t n_bad, double *weights)
{
    double *identity = calloc(n * n, sizeof *identity);
    size_t picks[MOST];
    ck_assert_ptr_nonnull(identity);
    for (size_t i = 0; i < n; i++) {
        identity[i * n + i] = 1.0;
        picks[i] = i;
    }
    const struct backend_samples samples = {.data = identity,
                                            .dtype = REJECTD_FLOAT64,
                                            .n_epochs = 1,
                                            .n_channels = n,
                                            .n_times = n,
                                            .picks = picks,
                                            .n_picks = n};
    const struct backend_options options = {.n_threads = 1, .precision = REJECTD_FLOAT64};
    const size_t offsets[2] = {0, n_bad};
    const uint16_t prefix[1] = {(uint16_t)n_bad};
    const struct backend_repairs repairs = {1, 1, offsets, bad, prefix};
    struct backend_session *session;
    struct rejectd_error error;
    ck_assert_int_eq(backend->open(&samples, &options, &session, &error), REJECTD_OK);
    ck_assert_int_eq(backend->interpolate_epochs(session, precision, &repairs, &error), REJECTD_OK);
    ck_assert_int_eq(backend->read_repaired(session, 0, 0, weights, &error), REJECTD_OK);
    backend->close(session);
    free(identity);
}

START_TEST(test_weights_are_mne_s)
{
    const struct mne_case *c = &mne_cases[_i];
    double precision[64], weights[3 * 8];
    uint16_t bad[3];
    make_precision(montage, 8, precision);
    for (size_t i = 0; i < c->n_bad; i++)
        bad[i] = (uint16_t)c->bad[i];
    for (size_t b = 0; backend_at(b) != NULL; b++) {
        repair_weights(backend_at(b), precision, 8, bad, c->n_bad, weights);
        for (size_t i = 0; i < c->n_bad; i++)
            for (size_t j = 0, good = 0; j < 8; j++) {
                bool is_bad = false;
                for (size_t k = 0; k < c->n_bad; k++)
                    is_bad |= c->bad[k] == j;
                double expected = is_bad ? 0.0 : c->weights[i][good++];
                ck_assert_double_eq_tol(weights[i * 8 + j], expected, 1e-11);
            }
    }
}
END_TEST

START_TEST(test_leave_one_out_is_mne_s)
{
    double precision[64], weights[64];
    make_precision(montage, 8, precision);
    spline_leave_one_out(precision, 8, weights);
    ck_assert_double_eq(weights[0], 0.0);
    for (size_t j = 1; j < 8; j++)
        ck_assert_double_eq_tol(weights[j], mne_cases[0].weights[0][j - 1], 1e-11);
}
END_TEST

/* Every sensor from all the others, as the definition has it. */
START_TEST(test_leave_one_out_is_the_direct_solution)
{
    const size_t n = sizes[_i];
    double positions[MOST][3], precision[MOST * MOST], weights[MOST * MOST], expected[MOST];
    random_positions((uint64_t)_i, n, positions);
    make_precision((const double(*)[3])positions, n, precision);
    spline_leave_one_out(precision, n, weights);
    for (size_t b = 0; b < n; b++) {
        bool bad[MOST] = {0};
        bad[b] = true;
        direct_weights((const double(*)[3])positions, n, bad, b, expected);
        ck_assert_double_eq(weights[b * n + b], 0.0);
        for (size_t j = 0; j < n; j++)
            ck_assert_double_eq_tol(weights[b * n + j], expected[j], 1e-9);
    }
}
END_TEST

/* Bad sets of every size that leaves somebody, through every backend. */
START_TEST(test_repairs_are_the_direct_solution)
{
    const size_t n = 24, n_bad = (size_t)_i;
    double positions[MOST][3], precision[MOST * MOST], weights[MOST * MOST], expected[MOST];
    uint16_t list[MOST];
    bool bad[MOST] = {0};
    random_positions(100 + (uint64_t)_i, n, positions);
    make_precision((const double(*)[3])positions, n, precision);
    for (size_t i = 0; i < n_bad; i++) {
        size_t pick;
        do
            pick = (size_t)((random_value() + 0.5) * (double)n);
        while (bad[pick]);
        bad[pick] = true;
        list[i] = (uint16_t)pick;
    }
    for (size_t b = 0; backend_at(b) != NULL; b++) {
        repair_weights(backend_at(b), precision, n, list, n_bad, weights);
        for (size_t i = 0; i < n_bad; i++) {
            direct_weights((const double(*)[3])positions, n, bad, list[i], expected);
            for (size_t j = 0; j < n; j++)
                ck_assert_double_eq_tol(weights[i * n + j], expected[j], 1e-9);
        }
    }
}
END_TEST

/* Every entry is that of its two sensors alone, to the last bit, whatever else is in the matrix and
 * however many threads make it. */
START_TEST(test_a_kernel_is_that_of_two_sensors)
{
    enum { MANY = 131 };
    static double positions[MANY][3], all[MANY * MANY], matrix[MANY * MANY];
    random_positions(400, MANY, positions);
    spline_kernel_matrix((const double(*)[3])positions, MANY, 2, all);
    for (size_t i = 0; i < MANY; i++)
        for (size_t j = 0; j <= i; j++) {
            const double two[2][3] = {{positions[j][0], positions[j][1], positions[j][2]},
                                      {positions[i][0], positions[i][1], positions[i][2]}};
            double alone[4];
            spline_kernel_matrix(two, 2, 1, alone);
            ck_assert_double_eq(all[i * MANY + j], alone[2]);
            ck_assert_double_eq(all[j * MANY + i], alone[1]);
            ck_assert_double_eq_tol(
                alone[1], (double)kernel(fminl(cosine(positions[i], positions[j]), 1.0L)), 1e-15);
        }
    for (size_t n = 1; n <= MANY; n++) {
        spline_kernel_matrix((const double(*)[3])positions, n, (int)(n % 4) + 1, matrix);
        for (size_t i = 0; i < n; i++)
            ck_assert_mem_eq(matrix + i * n, all + i * MANY, n * sizeof *matrix);
    }
}
END_TEST

START_TEST(test_threads_change_nothing)
{
    enum { MANY = 70 };
    static double positions[MANY][3], one[MANY * MANY], several[MANY * MANY];
    struct rejectd_error error;
    random_positions(500, MANY, positions);
    ck_assert_int_eq(spline_precision((const double(*)[3])positions, MANY, 1, one, &error),
                     REJECTD_OK);
    for (int n_threads = 2; n_threads < 6; n_threads++) {
        ck_assert_int_eq(
            spline_precision((const double(*)[3])positions, MANY, n_threads, several, &error),
            REJECTD_OK);
        ck_assert_mem_eq(one, several, sizeof one);
    }
}
END_TEST

/* What is made when it is needed is the same, prepared before or not. */
START_TEST(test_an_interpolation_is_made_when_needed)
{
    enum { N = 8 };
    static const size_t picks[N] = {7, 1, 2, 3, 4, 5, 6, 0};
    struct rejectd_channel channels[N] = {0};
    const struct rejectd_epochs epochs = {.n_channels = N, .channels = channels};
    double positions[N][3], precision[N * N], expected[N * N];
    const double *weights, *again;
    struct interpolation interpolation;
    struct rejectd_error error;
    for (size_t i = 0; i < N; i++) {
        channels[i].type = REJECTD_CHANNEL_EEG;
        memcpy(channels[i].position, montage[i], sizeof channels[i].position);
        memcpy(positions[i], montage[picks[i]], sizeof positions[i]);
    }
    make_precision((const double(*)[3])positions, N, precision);
    spline_leave_one_out(precision, N, expected);
    ck_assert_int_eq(interpolation_open(&epochs, picks, N, (enum rejectd_meg_legendre)0, 2,
                                        &interpolation, &error),
                     REJECTD_OK);
    ck_assert_ptr_null(interpolation.precision);
    if (_i == 1)
        ck_assert_int_eq(interpolation_prepare(&interpolation, 1, &error), REJECTD_OK);
    ck_assert_int_eq(interpolation_leave_one_out(&interpolation, &weights, &error), REJECTD_OK);
    ck_assert_mem_eq(interpolation.precision, precision, sizeof precision);
    ck_assert_mem_eq(weights, expected, sizeof expected);
    ck_assert_int_eq(interpolation_prepare(&interpolation, 1, &error), REJECTD_OK);
    ck_assert_int_eq(interpolation_leave_one_out(&interpolation, &again, &error), REJECTD_OK);
    ck_assert_ptr_eq(weights, again);
    interpolation_close(&interpolation);
}
END_TEST

/* P is symmetric, positive semidefinite and blind to a constant. */
START_TEST(test_the_precision_matrix_is_a_laplacian)
{
    const size_t n = sizes[_i];
    double positions[MOST][3], precision[MOST * MOST];
    random_positions(200 + (uint64_t)_i, n, positions);
    make_precision((const double(*)[3])positions, n, precision);
    double largest = 0.0;
    for (size_t i = 0; i < n * n; i++)
        largest = fmax(largest, fabs(precision[i]));
    for (size_t i = 0; i < n; i++) {
        double sum = 0.0;
        for (size_t j = 0; j < n; j++) {
            sum += precision[i * n + j];
            ck_assert_double_eq_tol(precision[i * n + j], precision[j * n + i], 1e-12 * largest);
        }
        ck_assert_double_eq_tol(sum, 0.0, 1e-10 * largest);
        ck_assert_double_gt(precision[i * n + i], 0.0);
    }
    for (int repetition = 0; repetition < 20; repetition++) {
        double x[MOST], form = 0.0;
        for (size_t i = 0; i < n; i++)
            x[i] = random_value();
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++)
                form += x[i] * precision[i * n + j] * x[j];
        ck_assert_double_gt(form, 0.0);
    }
}
END_TEST

/* Rows sum to one: a field that is the same everywhere is reproduced. */
START_TEST(test_a_constant_field_is_reproduced)
{
    const size_t n = sizes[_i];
    double positions[MOST][3], precision[MOST * MOST], weights[MOST * MOST];
    random_positions(300 + (uint64_t)_i, n, positions);
    make_precision((const double(*)[3])positions, n, precision);
    spline_leave_one_out(precision, n, weights);
    for (size_t b = 0; b < n; b++) {
        double field = 0.0;
        for (size_t j = 0; j < n; j++)
            field += weights[b * n + j] * 50e-6;
        ck_assert_double_eq_tol(field, 50e-6, 50e-6 * 1e-10);
    }
}
END_TEST

/* Only directions count; a power of two does not even round. */
START_TEST(test_the_size_of_the_head_does_not_matter)
{
    double larger[8][3], precision[64], expected[64];
    make_precision(montage, 8, expected);
    for (size_t i = 0; i < 8; i++)
        for (int axis = 0; axis < 3; axis++)
            larger[i][axis] = (i % 2 == 0 ? 2.0 : 0.5) * montage[i][axis];
    make_precision((const double(*)[3])larger, 8, precision);
    ck_assert_mem_eq(precision, expected, sizeof precision);
}
END_TEST

START_TEST(test_the_order_of_the_sensors_does_not_matter)
{
    double reversed[8][3], precision[64], expected[64], weights[64], expected_weights[64];
    make_precision(montage, 8, expected);
    spline_leave_one_out(expected, 8, expected_weights);
    for (size_t i = 0; i < 8; i++)
        memcpy(reversed[i], montage[7 - i], sizeof reversed[i]);
    make_precision((const double(*)[3])reversed, 8, precision);
    spline_leave_one_out(precision, 8, weights);
    for (size_t i = 0; i < 64; i++)
        ck_assert_double_eq_tol(weights[i], expected_weights[63 - i], 1e-11);
}
END_TEST

/* The only other sensor is the whole prediction. */
START_TEST(test_two_sensors_predict_each_other)
{
    double precision[4], weights[4];
    make_precision(montage, 2, precision);
    spline_leave_one_out(precision, 2, weights);
    for (size_t i = 0; i < 4; i++)
        ck_assert_double_eq_tol(weights[i], i == 0 || i == 3 ? 0.0 : 1.0, 1e-9);
}
END_TEST

/* Two electrodes above each other differ in position but not in direction: legal, as in MNE, and
 * one nearly stands in for the other. */
START_TEST(test_two_sensors_in_one_direction)
{
    double positions[8][3], precision[64], weights[64];
    memcpy(positions, montage, sizeof positions);
    for (int axis = 0; axis < 3; axis++)
        positions[7][axis] = 1.25 * positions[0][axis];
    make_precision((const double(*)[3])positions, 8, precision);
    spline_leave_one_out(precision, 8, weights);
    ck_assert_double_eq_tol(weights[7], weights[7 * 8], 1e-9);
    ck_assert_double_gt(weights[7], 0.8);
    for (size_t i = 0; i < 64; i++)
        ck_assert(isfinite(weights[i]));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("spline");
    TCase *values = tcase_create("values");
    tcase_add_loop_test(values, test_weights_are_mne_s, 0, LENGTH(mne_cases));
    tcase_add_test(values, test_leave_one_out_is_mne_s);
    tcase_add_loop_test(values, test_leave_one_out_is_the_direct_solution, 0, LENGTH(sizes));
    tcase_add_loop_test(values, test_repairs_are_the_direct_solution, 1, 24);
    tcase_add_test(values, test_a_kernel_is_that_of_two_sensors);
    tcase_add_test(values, test_threads_change_nothing);
    tcase_add_loop_test(values, test_an_interpolation_is_made_when_needed, 0, 2);
    suite_add_tcase(suite, values);
    TCase *properties = tcase_create("properties");
    tcase_add_loop_test(properties, test_the_precision_matrix_is_a_laplacian, 0, LENGTH(sizes));
    tcase_add_loop_test(properties, test_a_constant_field_is_reproduced, 0, LENGTH(sizes));
    tcase_add_test(properties, test_the_size_of_the_head_does_not_matter);
    tcase_add_test(properties, test_the_order_of_the_sensors_does_not_matter);
    tcase_add_test(properties, test_two_sensors_predict_each_other);
    tcase_add_test(properties, test_two_sensors_in_one_direction);
    suite_add_tcase(suite, properties);
    /* OpenMP's threads do not survive a fork. */
    return run_suite_in_process(suite);
}
