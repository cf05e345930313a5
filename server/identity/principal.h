/* Who asks, and what that allows. */
#ifndef SERVER_IDENTITY_PRINCIPAL_H
#define SERVER_IDENTITY_PRINCIPAL_H

#include <string.h>

#include "server/store/store.h"

struct principal {
    bool known;                    /* else nobody: sees what is open to everybody */
    bool admin;                    /* sees and may do everything */
    char user[RESOURCE_USER_SIZE]; /* "": there are no users, only this machine */
};

/* For the lists of the store: NULL for who sees everything. *viewer borrows from the principal. */
static inline const struct store_viewer *principal_viewer(const struct principal *principal,
                                                          struct store_viewer *viewer)
{
    viewer->user = principal->user;
    return principal->admin ? NULL : viewer;
}

static inline bool principal_owns(const struct principal *principal,
                                  const struct ownership *ownership)
{
    return principal->admin || (principal->known && strcmp(principal->user, ownership->owner) == 0);
}

static inline bool principal_sees(const struct principal *principal,
                                  const struct ownership *ownership)
{
    return principal_owns(principal, ownership) ||
           (principal->known && ownership->visibility == VISIBILITY_LAB);
}

#endif
