/* A folder that a test makes, and removes with what is in it. */
#ifndef TESTS_UNIT_FOLDER_H
#define TESTS_UNIT_FOLDER_H

enum { FOLDER_SIZE = 64 };

/* A new one in /tmp, with the purpose in its name. */
void folder_make(const char *purpose, char path[FOLDER_SIZE]);
/* It may be gone. */
void folder_remove(const char *path);

#endif
