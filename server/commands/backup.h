/* "rejectd backup" and "rejectd restore". */
#ifndef SERVER_COMMANDS_BACKUP_H
#define SERVER_COMMANDS_BACKUP_H

#include <rejectd/error.h>

/*
 * argv[0] is the command's name; the rest are its flags, which are taken out, and settings.
 * INVALID_VALUE for what is wrong with them or with a backup. A backup that lacks something is
 * finished, and STORAGE all the same.
 */
enum rejectd_status backup_command(int argc, char **argv, char *const *environment,
                                   struct rejectd_error *error);
enum rejectd_status restore_command(int argc, char **argv, char *const *environment,
                                    struct rejectd_error *error);

#endif
