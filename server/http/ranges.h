/* What the headers of RFC 9110 ask for, of parts and of what is already there. Pure. */
#ifndef SERVER_HTTP_RANGES_H
#define SERVER_HTTP_RANGES_H

#include <stdbool.h>
#include <stdint.h>

enum range_kind {
    RANGE_WHOLE,         /* no range, or none that is understood: several at once, another unit */
    RANGE_PART,          /* *count (> 0) bytes from *first on */
    RANGE_UNSATISFIABLE, /* begins behind the end */
};

/* Reads "bytes=0-99", "bytes=100-" or "bytes=-100" of a whole of `size` bytes. */
enum range_kind range_read(const char *header, uint64_t size, uint64_t *first, uint64_t *count);

/* "*", or a list of entity tags that has this one. Weak tags compare as strong ones do, as
 * If-None-Match wants it. `etag` with its quotes. */
bool etag_matches(const char *list, const char *etag);

#endif
