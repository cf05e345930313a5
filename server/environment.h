/* The environment as it is handed down: a NULL-terminated list of "NAME=value". */
#ifndef SERVER_ENVIRONMENT_H
#define SERVER_ENVIRONMENT_H

/* The value of the first entry of that name, which lives as long as the list; NULL when there is
 * none. */
const char *environment_value(char *const *environment, const char *name);

#endif
