/* Sending datasets and following jobs, with progress on the terminal. */
#ifndef CLIENT_CTL_TRANSFER_H
#define CLIENT_CTL_TRANSFER_H

#include "client/ctl/ctl.h"

struct transfer_source {
    const char *path;
    const char *metadata; /* a JSON file, or NULL */
    const char *name;     /* of the dataset, or NULL */
    const char *into;     /* the dataset that has the first of the samples already, or NULL */
    bool no_resume;       /* samples that break off are not gone on with */
    bool compress;
    uint64_t retry_seconds; /* 0: CTL_RETRY_SECONDS */
};

/*
 * Uploads what the path names and gives the dataset's id:
 *   a FIF, .set or .npz file  as it is; with all parts of a divided recording, or its .fdt
 *   a folder                  dataset.json and epochs.npy in it
 *   a .npy file               with metadata
 *   a JSON file, -            the whole dataset, samples inline
 * When samples break off for good, or are interrupted, it says how to go on. Returns an exit code.
 */
int transfer_upload(struct ctl *ctl, struct rejectd_client *client,
                    const struct transfer_source *source, char id[REJECTD_ID_SIZE]);

/* Uploads a model that AutoReject.save() wrote and gives its id. Returns an exit code. */
int transfer_upload_model(struct ctl *ctl, struct rejectd_client *client, const char *path,
                          char id[REJECTD_ID_SIZE]);

/* Waits until the job has ended, with patience for a server that is started anew; answered: it has
 * answered before (else it may be none). Interrupted, the process says how to go on, and ends. */
int transfer_follow(struct ctl *ctl, struct rejectd_client *client, const char *id, bool answered);

#endif
