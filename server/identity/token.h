/*
 * Bearer tokens: "rjd_", an id that may be told, "_", and a secret of 256 random bits. The store
 * keeps a BLAKE2b hash of the secret: who reads the store cannot ask in anybody's name.
 */
#ifndef SERVER_IDENTITY_TOKEN_H
#define SERVER_IDENTITY_TOKEN_H

#include "server/store/store.h"

enum { TOKEN_TEXT_SIZE = 72 }; /* of any token, with its NUL */

/* A new token: fills its id and hash, and the text that its owner is to be given, once. */
void token_make(struct store_token *token, char text[TOKEN_TEXT_SIZE]);

/* The id of what has the form of a token; false for anything else. */
bool token_read_id(const char *text, char id[STORE_TOKEN_ID_SIZE]);

/* The secret is this token's. Takes the same time whatever differs. */
bool token_fits(const struct store_token *token, const char *text);

/* Not revoked, and not expired at `now`, milliseconds since 1970. */
bool token_is_valid(const struct store_token *token, int64_t now);

#endif
