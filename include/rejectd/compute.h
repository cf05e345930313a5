/*
 * autoreject's numerics as an embeddable library.
 *
 *   Jas M, Engemann DA, Bekhti Y, Raimondo F, Gramfort A (2017). Autoreject: automated artifact
 *   rejection for MEG and EEG data. NeuroImage 159:417-429.
 *   Bigdely-Shamlo N, Mullen T, Kothe C, Su KM, Robbins KA (2015). The PREP pipeline: standardized
 *   preprocessing for large-scale EEG analysis. Front Neuroinform 9:16.
 *
 * No I/O, no globals, no HTTP. Functions may be called from several threads at once on different
 * data; each uses up to options.n_threads threads of its own. Results are bit-identical for any
 * number of threads and any memory budget.
 */
#ifndef REJECTD_COMPUTE_H
#define REJECTD_COMPUTE_H

#include <rejectd/devices.h>
#include <rejectd/error.h>
#include <rejectd/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Told how far the work is. Called on the thread that called the library, now and then, with the
 * name of the stage ("thresholds", "repair", "local_cv", "clean", "mappings", "ransac",
 * "global_thresholds", "validation_curve") and the fraction of the whole
 * call that is done, which never decreases. Returning false cancels: the call then ends soon with
 * REJECTD_CANCELLED.
 */
struct rejectd_monitor {
    bool (*report)(void *context, const char *stage, double fraction);
    void *context;
};

/*
 * A share of a search for thresholds: of the C channels of a type those from C index / n on, up to
 * those of the next share. Several devices search one dataset, a share each; what they find is
 * bit-identical to what one finds that searches them all.
 */
struct rejectd_share {
    size_t index; /* < n */
    size_t n;     /* 0: no share, all channels */
};

struct rejectd_compute_options {
    const char *backend;           /* "reference", "cpu"; NULL: the best one here */
    struct rejectd_device *device; /* a GPU, open: computes there instead; NULL: the processor.
                                      Borrowed; used by one call at a time */
    const char *instruction_set;   /* "x86-64-v4", ...; NULL: the best this processor has */
    int n_threads;                 /* 0: as many as the machine has processors */
    size_t memory_budget;          /* bytes of scratch beyond the samples; 0: no limit */
    struct rejectd_share share;    /* of rejectd_thresholds(): thresholds and losses of all other
                                      channels are NaN */
    const struct rejectd_thresholds *found; /* all shares of what would be searched, joined: taken
                                               instead of a search; NULL: nothing was searched */
    struct rejectd_monitor monitor;         /* report may be NULL */
};

/* Where cleaned epochs go: called once for each kept epoch in order, with
 * n_channels * n_times samples in the dtype of the dataset. A failure ends the call with it. */
struct rejectd_sink {
    enum rejectd_status (*write)(void *context, const void *samples, size_t bytes,
                                 struct rejectd_error *error);
    void *context;
};

/*
 * Checks that the parameters can be used with the epochs, without looking at the samples: the
 * same checks, with the same errors, that rejectd_fit() makes before it starts. Field names are
 * those of the wire: "parameters.cv" and "parameters.consensus[3]" of the job,
 * "channels[7].position" and "n_epochs" of the dataset.
 */
enum rejectd_status rejectd_fit_check(const struct rejectd_epochs *epochs,
                                      const struct rejectd_fit_parameters *parameters,
                                      struct rejectd_error *error);

/*
 * Fits autoreject (local, Jas et al. 2017): per-channel thresholds, then consensus and
 * n_interpolate by cross-validation, then the reject log of these epochs.
 *
 * On success *fit is owned by the caller: rejectd_fit_free(). On failure *fit is NULL.
 */
enum rejectd_status rejectd_fit(const struct rejectd_epochs *epochs,
                                const struct rejectd_fit_parameters *parameters,
                                const struct rejectd_compute_options *options,
                                struct rejectd_fit **fit, struct rejectd_error *error);
void rejectd_fit_free(struct rejectd_fit *fit); /* NULL is allowed */

/*
 * The thresholds of a fit alone, with or without predictions to augment the epochs: the check
 * without looking at the samples, and the search. On success *thresholds is owned by the caller:
 * rejectd_thresholds_free(); NULL on failure.
 */
enum rejectd_status rejectd_thresholds_check(const struct rejectd_epochs *epochs,
                                             const struct rejectd_thresholds_parameters *parameters,
                                             struct rejectd_error *error);
enum rejectd_status rejectd_thresholds(const struct rejectd_epochs *epochs,
                                       const struct rejectd_thresholds_parameters *parameters,
                                       const struct rejectd_compute_options *options,
                                       struct rejectd_thresholds **thresholds,
                                       struct rejectd_error *error);
void rejectd_thresholds_free(struct rejectd_thresholds *thresholds); /* NULL is allowed */

/*
 * What of a fit is needed to apply it elsewhere. *model is owned by the caller:
 * rejectd_model_free().
 */
enum rejectd_status rejectd_model_from_fit(const struct rejectd_fit *fit,
                                           const struct rejectd_epochs *epochs,
                                           struct rejectd_model **model,
                                           struct rejectd_error *error);
void rejectd_model_free(struct rejectd_model *model); /* NULL is allowed */

/* Checks that a model can be applied to epochs, without looking at the samples: every channel of
 * the model must be there by name, with its type and, where needed, a position. */
enum rejectd_status rejectd_apply_check(const struct rejectd_epochs *epochs,
                                        const struct rejectd_model *model,
                                        struct rejectd_error *error);

/*
 * The reject log that a model gives to epochs (AutoReject.get_reject_log). *log is filled and
 * owned by the caller: rejectd_reject_log_clear(). Fit results carry the log of their own epochs.
 */
enum rejectd_status rejectd_apply(const struct rejectd_epochs *epochs,
                                  const struct rejectd_model *model,
                                  const struct rejectd_compute_options *options,
                                  struct rejectd_reject_log *log, struct rejectd_error *error);
void rejectd_reject_log_clear(struct rejectd_reject_log *log);

/* Checks that a reject log, say one that a person edited, goes with epochs and a model, without
 * looking at the samples: it considers the model's channels and no others in every epoch, and
 * rejectd_clean_check(). */
enum rejectd_status rejectd_log_check(const struct rejectd_epochs *epochs,
                                      const struct rejectd_model *model,
                                      const struct rejectd_reject_log *log,
                                      struct rejectd_error *error);

/* Checks that the epochs can be cleaned by the log, without looking at the samples: the sensors it
 * labels REJECTD_LABEL_INTERPOLATED have others to be interpolated from, in known places. */
enum rejectd_status rejectd_clean_check(const struct rejectd_epochs *epochs,
                                        const struct rejectd_reject_log *log,
                                        const struct rejectd_clean_parameters *parameters,
                                        struct rejectd_error *error);

/*
 * Writes the kept epochs, sensors labelled REJECTD_LABEL_INTERPOLATED repaired from the other
 * sensors of the log (AutoReject.transform): EEG from EEG, MEG from all MEG sensors together.
 * Channels of other types stay as they are, as autoreject leaves them, whatever their label.
 * Epochs that the log calls bad are left out. With parameters->leave_one_out the sensors that are
 * labelled so are replaced by predictions from all others instead, each as if it alone were bad.
 */
enum rejectd_status rejectd_clean(const struct rejectd_epochs *epochs,
                                  const struct rejectd_reject_log *log,
                                  const struct rejectd_clean_parameters *parameters,
                                  const struct rejectd_compute_options *options,
                                  const struct rejectd_sink *sink, struct rejectd_error *error);

/* The checks that rejectd_ransac() makes before it starts, as rejectd_fit_check() for a fit. */
enum rejectd_status rejectd_ransac_check(const struct rejectd_epochs *epochs,
                                         const struct rejectd_ransac_parameters *parameters,
                                         struct rejectd_error *error);

/*
 * Looks for channels of one type that the others do not predict (autoreject.Ransac.fit;
 * Bigdely-Shamlo et al. 2015, section 2.3.3): each pick is interpolated from many small random
 * subsets of the picks, and the median of the predictions is correlated with what was measured,
 * epoch by epoch.
 *
 * On success *ransac is owned by the caller: rejectd_ransac_free(). On failure *ransac is NULL.
 */
enum rejectd_status rejectd_ransac(const struct rejectd_epochs *epochs,
                                   const struct rejectd_ransac_parameters *parameters,
                                   const struct rejectd_compute_options *options,
                                   struct rejectd_ransac **ransac, struct rejectd_error *error);
void rejectd_ransac_free(struct rejectd_ransac *ransac); /* NULL is allowed */

/* The checks that rejectd_global_thresholds() makes before it starts. */
enum rejectd_status
rejectd_global_thresholds_check(const struct rejectd_epochs *epochs,
                                const struct rejectd_global_thresholds_parameters *parameters,
                                struct rejectd_error *error);

/*
 * One peak-to-peak threshold for all channels of a type (autoreject.get_rejection_threshold; Jas et
 * al. 2017, section 2.1): an epoch is kept when no channel exceeds it.
 *
 * On success *thresholds is owned by the caller: rejectd_global_thresholds_free(). On failure
 * *thresholds is NULL.
 */
enum rejectd_status
rejectd_global_thresholds(const struct rejectd_epochs *epochs,
                          const struct rejectd_global_thresholds_parameters *parameters,
                          const struct rejectd_compute_options *options,
                          struct rejectd_global_thresholds **thresholds,
                          struct rejectd_error *error);
void rejectd_global_thresholds_free(struct rejectd_global_thresholds *thresholds); /* or NULL */

/* The first sample that MNE-Python keeps of epochs that start at tmin (s): of every decim samples,
 * >= 1, the one that falls on time 0. tmin and sfreq (Hz) are finite. */
size_t rejectd_decim_start(double tmin, double sfreq, size_t decim);

/* The checks that rejectd_validation_curve() makes before it starts. */
enum rejectd_status
rejectd_validation_curve_check(const struct rejectd_epochs *epochs,
                               const struct rejectd_validation_curve_parameters *parameters,
                               struct rejectd_error *error);

/*
 * How well global thresholds do in cross-validation (autoreject.validation_curve), over all data
 * channels that are not marked bad, whatever their type.
 *
 * On success *curve is owned by the caller: rejectd_validation_curve_free(). On failure *curve is
 * NULL.
 */
enum rejectd_status
rejectd_validation_curve(const struct rejectd_epochs *epochs,
                         const struct rejectd_validation_curve_parameters *parameters,
                         const struct rejectd_compute_options *options,
                         struct rejectd_validation_curve **curve, struct rejectd_error *error);
void rejectd_validation_curve_free(struct rejectd_validation_curve *curve); /* NULL is allowed */

/* One line for people about a backend (NULL: the best one here): name, instruction set, BLAS.
 * Static storage; NULL when there is no such backend. */
const char *rejectd_compute_description(const char *backend);

#ifdef __cplusplus
}
#endif

#endif
