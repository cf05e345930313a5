/* "rejectd token ...": who may ask the daemon. */
#ifndef SERVER_COMMANDS_TOKEN_H
#define SERVER_COMMANDS_TOKEN_H

#include <rejectd/error.h>

/*
 * add, list, revoke and rotate tokens in the store of a data directory, whether or not a daemon is
 * running on it; a running one knows at once. argv[0] is "token". As root, it acts as the user whom
 * the data directory belongs to.
 *
 * Wrong usage is INVALID_VALUE.
 */
enum rejectd_status token_command(int argc, char **argv, char *const *environment,
                                  struct rejectd_error *error);

#endif
