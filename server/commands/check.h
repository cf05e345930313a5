/* "rejectd check": is all that the store refers to there, and as it was? */
#ifndef SERVER_COMMANDS_CHECK_H
#define SERVER_COMMANDS_CHECK_H

#include <rejectd/error.h>

/*
 * argv[0] is "check"; the rest are settings. Prints what is damaged on stdout, and how much was
 * looked at. INVALID_VALUE for wrong settings; STORAGE when something is damaged; UNAVAILABLE
 * while a daemon uses the directory.
 */
enum rejectd_status check_command(int argc, char **argv, char *const *environment,
                                  struct rejectd_error *error);

#endif
