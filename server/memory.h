/* How much memory this process may have: of the machine, or of its control groups, whichever is
 * less. */
#ifndef SERVER_MEMORY_H
#define SERVER_MEMORY_H

#include <stdint.h>

/* Bytes; 0 when nothing tells. `root` is where /proc and /sys are: "" but in tests. */
uint64_t memory_of_machine(const char *root);

#endif
