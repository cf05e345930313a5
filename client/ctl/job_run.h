/*
 * What every command that runs a job does: options to parameters, upload if need be, submit, follow
 * and show the result. A command is a table of its options and a function that prints.
 */
#ifndef CLIENT_CTL_JOB_RUN_H
#define CLIENT_CTL_JOB_RUN_H

#include "base/buffer.h"
#include "client/ctl/ctl.h"

/* What the text of an option becomes: a member of "parameters", but for the last ones. */
enum job_form {
    JOB_NUMBERS, /* "1,2" as an array of numbers */
    JOB_TEXTS,   /* "a,b" as an array of strings */
    JOB_COUNT,
    JOB_REAL,
    JOB_TEXT,
    JOB_BOOL,
    JOB_JSON_FILE,  /* the JSON in a file */
    JOB_CHANNEL,    /* NAME or NAME=3,5: one of "channels" */
    JOB_EACH,       /* no value: "channels" is "each" */
    JOB_REJECT_LOG, /* a .npz as autoreject saves it */
    JOB_MODEL,
    JOB_METADATA,
    JOB_NAME,
    JOB_TRUTH,
    JOB_DEVICE,
    JOB_PRIORITY,
    JOB_NO_WAIT,
    JOB_FRESH, /* no value: not answered by an earlier result */
};

struct job_option {
    const char *option; /* "--cv" */
    const char *member; /* of "parameters"; NULL for forms that are none */
    enum job_form form;
};

struct job_settings {
    const char *source; /* dataset id, file or folder */
    const char *metadata, *name;
    const char *model;
    const char *truth;
    const char *reject_log;
    const char *device; /* NULL: any */
    bool wait;
    bool each;
    bool fresh;
    uint64_t priority;
    struct buffer parameters; /* members of "parameters", comma-separated */
    struct buffer channels;   /* members of its "channels" */
};

/* A job that succeeded. */
struct job_outcome {
    const struct job_settings *settings;
    const char *result, *dataset; /* JSON */
    size_t result_length, dataset_length;
    double seconds; /* since the command began */
};

struct job_command {
    const struct ctl_command *command;
    const char *type; /* on the wire */
    const struct job_option *options;
    size_t n_options;
    /* Says what is missing: CTL_OK, or an exit code after a message. May be NULL. */
    int (*check)(const struct job_settings *settings);
    /* Prints the result for people; false after a message. */
    bool (*show)(const struct job_outcome *outcome);
};

int job_run(const struct job_command *job, struct ctl *ctl, int argc, char **argv);

#define JOB_OPTIONS(table) (table), sizeof(table) / sizeof(table)[0]

/* Begins every --help. */
#define SOURCE_HELP                                                                                \
    "DATASET is an id (ds_...); a SOURCE is uploaded first, as by rejectctl upload.\n"             \
    "Parameters that are left out are autoreject's.\n\n"

/* Lines of --help about what several types of jobs have. */
#define PICKS_HELP "  --picks LIST            channel names or types, as eeg or Fp1,Fz,Cz\n"
#define PRECISION_HELP "  --precision TYPE        float64, float32, or mixed: float16, bfloat16\n"
#define LEGENDRE_HELP                                                                              \
    "  --meg-legendre NAME     exact or table: MEG field maps as newer or older MNE-Python\n"
#define CLEANED_HELP "  --cleaned BOOL          false: make no cleaned epochs (true)\n"

/* Lines of --help about the options that every job has. */
#define JOB_COMMON_HELP                                                                            \
    "  --metadata FILE         JSON for a .npy SOURCE\n"                                           \
    "  --name TEXT             name of the dataset, for FIF and .npz files\n"                      \
    "  --device NAME           auto, cpu, cuda, cuda:0 or cuda:all\n"                              \
    "  --priority N            0 to 100, larger runs earlier\n"                                    \
    "  --fresh                 compute it, whatever earlier jobs have found\n"                     \
    "  --no-wait               only submit\n"                                                      \
    "  --json                  print ids and result as JSON\n"

#endif
