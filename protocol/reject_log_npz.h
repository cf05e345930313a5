/*
 * A reject log as autoreject's RejectLog.save() writes it and read_reject_log() reads it: a .npz of
 * ch_names ('<U...', [n_channels]), bad_epochs ('|b1', [n_epochs]) and labels ('<f8', [n_epochs]
 * [n_channels]: NaN not considered, 0 good, 1 bad, 2 interpolated).
 */
#ifndef PROTOCOL_REJECT_LOG_NPZ_H
#define PROTOCOL_REJECT_LOG_NPZ_H

#include <rejectd/error.h>
#include <rejectd/types.h>

#include "base/buffer.h"

/* Labels of a log that is read; 512 MiB of them in the file. */
enum { REJECT_LOG_MAX_LABELS = 1 << 26 };

/* Appends the .npz to an empty buffer; out->failed tells of want of memory or room. */
void reject_log_to_npz(const struct rejectd_reject_log *log, const struct rejectd_channel *channels,
                       struct buffer *out);

/*
 * Reads a log of `length` bytes that someone may have edited. Numbers of any dtype and order are
 * taken; the shapes must agree, the labels be NaN, 0, 1 or 2, bad_epochs false or true and the
 * names unique. Errors name the member, as "labels[3][7]".
 *
 *   log    owns its arrays: reject_log_npz_clear() it
 *   names  [log->n_channels] in the order of the labels, owned: free() it
 *
 * On failure *log is all-zero and *names NULL.
 */
enum rejectd_status reject_log_from_npz(const void *bytes, size_t length,
                                        struct rejectd_reject_log *log,
                                        char (**names)[REJECTD_NAME_SIZE],
                                        struct rejectd_error *error);
void reject_log_npz_clear(struct rejectd_reject_log *log); /* all-zero is allowed */

#endif
