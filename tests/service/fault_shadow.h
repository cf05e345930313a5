/* What would be left of a directory if the power failed now. Shared by the fault_*.c alone. */
#ifndef TESTS_SERVICE_FAULT_SHADOW_H
#define TESTS_SERVICE_FAULT_SHADOW_H

/*
 * Takes what lies below `folder` as being on the disk. From then on `shadow`, an empty directory,
 * has the pessimist's view of it:
 *
 *   root         the inode number of the folder
 *   dir-INODE    names and inode numbers in a directory when it was last synced, a line each
 *   file-INODE   the content of a file when it was last synced
 *
 * What was never synced isn't there. Inodes that were seen are kept from being used again.
 */
void shadow_begin(const char *folder, const char *shadow);

/* This file or directory has been synced. */
void shadow_synced(int fd);

#endif
