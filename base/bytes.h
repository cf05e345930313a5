/* Numbers of bytes, for people. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

enum { BYTES_TEXT_SIZE = 32 };

/* "1.5 GB": three digits, and units of 1000. */
void bytes_write(double bytes, char out[BYTES_TEXT_SIZE]);

#endif
