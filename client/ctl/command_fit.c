/* fit and apply. */
#include <stdio.h>

#include "client/ctl/job_run.h"
#include "client/ctl/summary.h"

#define TRUTH_HELP "  --truth FILE            planted artefacts (from simulate) to look for\n"

static const struct job_option fit_options[] = {
    {"--consensus", "consensus", JOB_NUMBERS},
    {"--n-interpolate", "n_interpolate", JOB_NUMBERS},
    {"--cv", "cv", JOB_COUNT},
    {"--thresh-method", "thresh_method", JOB_TEXT},
    {"--random-state", "random_state", JOB_COUNT},
    {"--picks", "picks", JOB_TEXTS},
    {"--precision", "precision", JOB_TEXT},
    {"--meg-legendre", "meg_legendre", JOB_TEXT},
    {"--thresholds", "thresholds", JOB_JSON_FILE},
    {"--cleaned", "cleaned", JOB_BOOL},
    {"--truth", NULL, JOB_TRUTH},
};

static const struct job_option apply_options[] = {
    {"--model", NULL, JOB_MODEL},
    {"--reject-log", NULL, JOB_REJECT_LOG},
    {"--cleaned", "cleaned", JOB_BOOL},
    {"--truth", NULL, JOB_TRUTH},
};

static bool show(const struct job_outcome *outcome)
{
    return summary_print(outcome->result, outcome->result_length, outcome->dataset,
                         outcome->dataset_length, outcome->settings->truth, outcome->seconds);
}

static int check_apply(const struct job_settings *settings)
{
    return settings->model != NULL
               ? CTL_OK
               : ctl_usage("apply needs --model md_...; a fit's result names its model");
}

static int run_fit(struct ctl *ctl, int argc, char **argv)
{
    static const struct job_command job = {
        &ctl_fit, "fit", JOB_OPTIONS(fit_options), NULL, show,
    };
    return job_run(&job, ctl, argc, argv);
}

static int run_apply(struct ctl *ctl, int argc, char **argv)
{
    static const struct job_command job = {
        &ctl_apply, "apply", JOB_OPTIONS(apply_options), check_apply, show,
    };
    return job_run(&job, ctl, argc, argv);
}

const struct ctl_command ctl_fit = {
    .name = "fit",
    .summary = "fit autoreject to a dataset",
    .help =
        "usage: rejectctl fit DATASET|SOURCE [OPTION]...\n\n" SOURCE_HELP
        "  --consensus LIST        shares of bad sensors, as 0.1,0.2,0.5\n"
        "  --n-interpolate LIST    sensors to repair per epoch, as 1,4,32\n"
        "  --cv N                  folds (10)\n"
        "  --thresh-method NAME    bayesian_optimization, random_search or exact\n"
        "  --random-state N        seed (42)\n" PICKS_HELP PRECISION_HELP
        "  --thresholds FILE       JSON object of thresholds by channel: no search\n" LEGENDRE_HELP
            CLEANED_HELP TRUTH_HELP JOB_COMMON_HELP "\nexamples:\n"
        "  rejectctl fit sub-01-epo.fif\n"
        "  rejectctl fit demo --truth demo/truth.json\n"
        "  rejectctl fit ds_abc --cv 5 --consensus 0.2,0.4,0.6 --json > result.json\n",
    .run = run_fit,
};

const struct ctl_command ctl_apply = {
    .name = "apply",
    .summary = "apply a fitted model, or an edited reject log",
    .help =
        "usage: rejectctl apply DATASET|SOURCE --model md_... [OPTION]...\n\n"
        "  --model ID              the model, as named by a fit's result\n"
        "  --reject-log FILE       a .npz as autoreject's RejectLog.save() writes it: take its\n"
        "                          labels and bad epochs, which a person may have "
        "edited\n" CLEANED_HELP TRUTH_HELP JOB_COMMON_HELP "\nexamples:\n"
        "  rejectctl apply session2-epo.fif --model md_abc\n"
        "  rejectctl apply ds_abc --model md_abc --reject-log edited.npz\n",
    .run = run_apply,
};
