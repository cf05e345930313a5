#include "worker/algorithm/folds.h"

#include <math.h>
#include <stdlib.h>

#include "worker/algorithm/mt19937.h"

/*
 * Shares n_draws between two classes, of which the second may be empty, by their sizes: floors
 * first, then one each to the largest remainders; equal remainders are put in random order
 * (sklearn.utils.extmath._approximate_mode).
 */
static void share_draws(struct mt19937 *generator, const size_t sizes[2], size_t n_draws,
                        size_t shares[2])
{
    const double total = (double)(sizes[0] + sizes[1]);
    double remainder[2];
    for (int i = 0; i < 2; i++) {
        double exact = (double)sizes[i] / total * (double)n_draws;
        shares[i] = (size_t)floor(exact);
        remainder[i] = exact - floor(exact);
    }
    size_t missing = n_draws - shares[0] - shares[1];
    if (missing == 0)
        return;
    uint32_t order[2] = {0, 1};
    if (remainder[0] == remainder[1])
        mt19937_permute(generator, order, 2);
    else if (remainder[1] > remainder[0])
        order[0] = 1, order[1] = 0;
    for (size_t i = 0; i < 2 && missing > 0; i++, missing--)
        shares[order[i]]++;
}

enum rejectd_status folds_shuffle_split(size_t n_epochs, size_t n_classes, uint32_t seed,
                                        uint8_t **is_test, struct rejectd_error *error)
{
    const size_t n_rows = n_classes * n_epochs, second = n_classes == 2 ? n_epochs : 0;
    const size_t n_test = (size_t)ceil(0.2 * (double)n_rows), n_train = n_rows - n_test;
    uint8_t *test = calloc(FOLDS_SHUFFLE_SPLITS * n_rows, sizeof *test);
    uint32_t *permutation = malloc(n_rows * sizeof *permutation);
    if (test == NULL || permutation == NULL) {
        free(test);
        free(permutation);
        return REJECTD_FAIL_MEMORY(error, FOLDS_SHUFFLE_SPLITS * n_rows);
    }
    struct mt19937 generator;
    mt19937_seed(&generator, seed);
    for (size_t f = 0; f < FOLDS_SHUFFLE_SPLITS; f++) {
        size_t train_share[2], test_share[2];
        share_draws(&generator, (const size_t[2]){n_epochs, second}, n_train, train_share);
        share_draws(&generator,
                    (const size_t[2]){n_epochs - train_share[0], second - train_share[1]}, n_test,
                    test_share);
        for (size_t class = 0; class < n_classes; class ++) {
            const size_t others = train_share[class];
            for (size_t i = 0; i < n_epochs; i++)
                permutation[i] = (uint32_t)i;
            mt19937_permute_last(&generator, permutation, n_epochs, n_epochs - others);
            for (size_t i = 0; i < test_share[class]; i++)
                test[f * n_rows + class * n_epochs + permutation[others + i]] = 1;
        }
        /* scikit-learn shuffles both lists once more. Their order is of no consequence here, but
         * the draws are. */
        mt19937_skip_permutation(&generator, n_train);
        mt19937_skip_permutation(&generator, n_test);
    }
    free(permutation);
    *is_test = test;
    return REJECTD_OK;
}

void folds_contiguous(size_t n_epochs, size_t n_folds, uint16_t *fold)
{
    size_t e = 0;
    for (size_t f = 0; f < n_folds; f++) {
        size_t length = n_epochs / n_folds + (f < n_epochs % n_folds);
        for (size_t i = 0; i < length; i++)
            fold[e++] = (uint16_t)f;
    }
}
