/* The jobs other than fits: thresholds, ransac, global-thresholds, validation-curve, interpolate.
 */
#include "client/ctl/job_run.h"
#include "client/ctl/tables.h"

/* ---- thresholds ---- */

static int run_thresholds(struct ctl *ctl, int argc, char **argv)
{
    static const struct job_option options[] = {
        {"--thresh-method", "thresh_method", JOB_TEXT},
        {"--random-state", "random_state", JOB_COUNT},
        {"--picks", "picks", JOB_TEXTS},
        {"--augment", "augment", JOB_BOOL},
        {"--precision", "precision", JOB_TEXT},
        {"--meg-legendre", "meg_legendre", JOB_TEXT},
    };
    static const struct job_command job = {
        &ctl_thresholds, "thresholds", JOB_OPTIONS(options), NULL, tables_thresholds,
    };
    return job_run(&job, ctl, argc, argv);
}

const struct ctl_command ctl_thresholds = {
    .name = "thresholds",
    .summary = "find a rejection threshold for each channel",
    .help =
        "usage: rejectctl thresholds DATASET|SOURCE [OPTION]...\n\n" SOURCE_HELP
        "  --thresh-method NAME    bayesian_optimization, random_search or exact\n"
        "  --random-state N        seed (42)\n" PICKS_HELP
        "  --augment BOOL          false: without leave-one-out predictions, which need\n"
        "                          positions (true)\n" PRECISION_HELP LEGENDRE_HELP JOB_COMMON_HELP
        "\nexample:\n"
        "  rejectctl thresholds sub-01-epo.fif --picks eeg --json | jq .result.thresholds\n",
    .run = run_thresholds,
};

/* ---- RANSAC ---- */

static int run_ransac(struct ctl *ctl, int argc, char **argv)
{
    static const struct job_option options[] = {
        {"--n-resample", "n_resample", JOB_COUNT},
        {"--min-channels", "min_channels", JOB_REAL},
        {"--min-corr", "min_corr", JOB_REAL},
        {"--unbroken-time", "unbroken_time", JOB_REAL},
        {"--random-state", "random_state", JOB_COUNT},
        {"--picks", "picks", JOB_TEXTS},
        {"--precision", "precision", JOB_TEXT},
        {"--meg-legendre", "meg_legendre", JOB_TEXT},
        {"--cleaned", "cleaned", JOB_BOOL},
    };
    static const struct job_command job = {
        &ctl_ransac, "ransac", JOB_OPTIONS(options), NULL, tables_ransac,
    };
    return job_run(&job, ctl, argc, argv);
}

const struct ctl_command ctl_ransac = {
    .name = "ransac",
    .summary = "find channels that the others do not predict",
    .help = "usage: rejectctl ransac DATASET|SOURCE [OPTION]...\n\n" SOURCE_HELP
            "  --n-resample N          subsets of channels that are drawn (50)\n"
            "  --min-channels SHARE    of the channels, in a subset (0.25)\n"
            "  --min-corr R            correlations below it are poor (0.75)\n"
            "  --unbroken-time SHARE   of poor epochs, above which a channel is bad (0.4)\n"
            "  --random-state N        seed (435656)\n" PICKS_HELP PRECISION_HELP LEGENDRE_HELP
                CLEANED_HELP JOB_COMMON_HELP "\nexamples:\n"
            "  rejectctl ransac sub-01-epo.fif --picks eeg\n"
            "  rejectctl download jb_abc correlations.npy sub-01-correlations.npy\n",
    .run = run_ransac,
};

/* ---- global thresholds ---- */

static int run_global_thresholds(struct ctl *ctl, int argc, char **argv)
{
    static const struct job_option options[] = {
        {"--ch-types", "ch_types", JOB_TEXTS},
        {"--decim", "decim", JOB_COUNT},
        {"--cv", "cv", JOB_COUNT},
        {"--random-state", "random_state", JOB_COUNT},
        {"--precision", "precision", JOB_TEXT},
    };
    static const struct job_command job = {
        &ctl_global_thresholds,   "global_thresholds", JOB_OPTIONS(options), NULL,
        tables_global_thresholds,
    };
    return job_run(&job, ctl, argc, argv);
}

const struct ctl_command ctl_global_thresholds = {
    .name = "global-thresholds",
    .summary = "find one rejection threshold for each type of channel",
    .help =
        "usage: rejectctl global-thresholds DATASET|SOURCE [OPTION]...\n\n" SOURCE_HELP
        "  --ch-types LIST         types of channels, as eeg,eog\n"
        "  --decim N               use every Nth sample (1)\n"
        "  --cv N                  folds (5)\n"
        "  --random-state N        of no effect, as in autoreject\n" PRECISION_HELP JOB_COMMON_HELP
        "\nexample:\n"
        "  rejectctl global-thresholds sub-01-epo.fif --decim 2 --json | jq .result.reject\n",
    .run = run_global_thresholds,
};

/* ---- validation curve ---- */

static int run_validation_curve(struct ctl *ctl, int argc, char **argv)
{
    static const struct job_option options[] = {
        {"--param-range", "param_range", JOB_NUMBERS},
        {"--cv", "cv", JOB_COUNT},
        {"--precision", "precision", JOB_TEXT},
    };
    static const struct job_command job = {
        &ctl_validation_curve,   "validation_curve", JOB_OPTIONS(options), NULL,
        tables_validation_curve,
    };
    return job_run(&job, ctl, argc, argv);
}

const struct ctl_command ctl_validation_curve = {
    .name = "validation-curve",
    .summary = "score rejection thresholds by cross-validation",
    .help = "usage: rejectctl validation-curve DATASET|SOURCE [OPTION]...\n\n" SOURCE_HELP
            "  --param-range LIST      thresholds in volts (or the unit of the channels), as\n"
            "                          40e-6,80e-6 (15 over the range of the amplitudes)\n"
            "  --cv N                  folds (5)\n" PRECISION_HELP JOB_COMMON_HELP
            "\nScores are minus the error; -inf where no epoch was kept.\n"
            "\nexample:\n"
            "  rejectctl validation-curve ds_abc --param-range 40e-6,80e-6,120e-6\n",
    .run = run_validation_curve,
};

/* ---- interpolation ---- */

static int check_interpolate(const struct job_settings *settings)
{
    if (settings->channels.length > 0 && settings->each)
        return ctl_usage("interpolate takes --channel or --each, not both");
    return settings->channels.length > 0 || settings->each
               ? CTL_OK
               : ctl_usage("interpolate needs --channel NAME, --channel NAME=3,5,9 or --each");
}

static int run_interpolate(struct ctl *ctl, int argc, char **argv)
{
    static const struct job_option options[] = {
        {"--channel", NULL, JOB_CHANNEL},
        {"--each", NULL, JOB_EACH},
        {"--picks", "picks", JOB_TEXTS},
        {"--origin", "origin", JOB_NUMBERS},
        {"--meg-legendre", "meg_legendre", JOB_TEXT},
    };
    static const struct job_command job = {
        &ctl_interpolate,  "interpolate",      JOB_OPTIONS(options),
        check_interpolate, tables_interpolate,
    };
    return job_run(&job, ctl, argc, argv);
}

const struct ctl_command ctl_interpolate = {
    .name = "interpolate",
    .summary = "repair given channels from the others",
    .help = "usage: rejectctl interpolate DATASET|SOURCE --channel NAME[=EPOCHS] [OPTION]...\n"
            "       rejectctl interpolate DATASET|SOURCE --each [OPTION]...\n\n"
            "DATASET is an id (ds_...); a SOURCE is uploaded first, as by rejectctl upload.\n\n"
            "  --channel NAME          in all epochs; may be given again for further channels\n"
            "  --channel NAME=3,5,9    in these epochs, numbered from 0\n"
            "  --each                  each channel, in all epochs, from all the others\n"
            "  --picks LIST            with --each: channel names or types, as eeg or Fp1,Fz,Cz\n"
            "  --origin X,Y,Z          centre of the sphere of the EEG electrodes, in metres "
            "(0,0,0)\n" LEGENDRE_HELP JOB_COMMON_HELP "\nexamples:\n"
            "  rejectctl interpolate sub-01-epo.fif --channel Fz --channel Cz=3,5,9\n"
            "  rejectctl interpolate sub-01-epo.fif --each --picks eeg\n"
            "  rejectctl download jb_abc cleaned-epo.fif .\n",
    .run = run_interpolate,
};
