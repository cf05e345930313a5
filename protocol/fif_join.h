/* The epochs of the parts of a divided FIF file, taken together. Internal to protocol/. */
#ifndef PROTOCOL_FIF_JOIN_H
#define PROTOCOL_FIF_JOIN_H

#include "protocol/fif_info.h"
#include "protocol/fif_reader.h"

struct fif_join {
    struct fif_epochs *parts; /* [n_parts], owned; they borrow from the heads */
    size_t n_parts;
    size_t n_epochs;      /* of all parts */
    struct fif_span *log; /* [n_log] JSON text for each original epoch, owned */
    size_t n_log;
    bool has_metadata;
};

/* An epoch, by its number among all. */
struct fif_joined_epoch {
    const unsigned char *event;    /* 12 bytes */
    size_t selected;               /* its original index */
    const struct fif_span *record; /* its row of metadata; NULL without */
};

/* Joins the heads; *info is that of the first one. On failure both are cleared. */
enum rejectd_status fif_join_read(const struct fif_leftover *heads, size_t n_heads,
                                  struct fif_info *info, struct fif_join *join,
                                  struct rejectd_error *error);
void fif_join_clear(struct fif_join *join);

struct fif_joined_epoch fif_join_epoch(const struct fif_join *join, size_t epoch);

/* JSON texts of entries of a drop log. */
extern const struct fif_span fif_log_ignored;
extern const struct fif_span fif_log_dropped;

#endif
