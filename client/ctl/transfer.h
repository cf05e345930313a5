/* Sending datasets and following jobs, with progress on the terminal. */
#ifndef CLIENT_CTL_TRANSFER_H
#define CLIENT_CTL_TRANSFER_H

#include "client/ctl/ctl.h"

/*
 * Uploads what `source` names and gives the dataset's id:
 *   a folder         dataset.json and epochs.npy in it
 *   a .npy file      with metadata (a JSON file, `metadata`)
 *   a JSON file, -   the whole dataset, samples inline
 * Returns an exit code.
 */
int transfer_upload(struct ctl *ctl, struct rejectd_client *client, const char *source,
                    const char *metadata, char id[REJECTD_ID_SIZE]);

/* Waits until the job has ended. Interrupted, it says how to go on and returns CTL_JOB_FAILED. */
int transfer_follow(struct ctl *ctl, struct rejectd_client *client, const char *id);

#endif
