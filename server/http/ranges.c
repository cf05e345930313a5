#include "server/http/ranges.h"

#include <string.h>

/* Digits alone, without a sign; advances *text behind them. */
static bool read_number(const char **text, uint64_t *number)
{
    const char *start = *text;
    *number = 0;
    for (; **text >= '0' && **text <= '9'; (*text)++) {
        if (__builtin_mul_overflow(*number, UINT64_C(10), number) ||
            __builtin_add_overflow(*number, (uint64_t)(**text - '0'), number)) {
            return false;
        }
    }
    return *text != start;
}

static enum range_kind read_suffix(const char *text, uint64_t size, uint64_t *first,
                                   uint64_t *count)
{
    uint64_t length;
    if (!read_number(&text, &length) || *text != '\0') {
        return RANGE_WHOLE;
    }
    *count = length < size ? length : size;
    *first = size - *count;
    return *count > 0 ? RANGE_PART : RANGE_UNSATISFIABLE;
}

enum range_kind range_read(const char *header, uint64_t size, uint64_t *first, uint64_t *count)
{
    static const char unit[] = "bytes=";
    uint64_t last = UINT64_MAX;
    if (strncmp(header, unit, sizeof unit - 1) != 0) {
        return RANGE_WHOLE;
    }
    const char *text = header + sizeof unit - 1;
    if (*text == '-') {
        return read_suffix(text + 1, size, first, count);
    }
    if (!read_number(&text, first) || *text++ != '-' ||
        (*text != '\0' && !read_number(&text, &last)) || *text != '\0' || last < *first) {
        return RANGE_WHOLE;
    }
    if (*first >= size) {
        return RANGE_UNSATISFIABLE;
    }
    *count = last < size ? last - *first + 1 : size - *first;
    return RANGE_PART;
}

bool etag_matches(const char *list, const char *etag)
{
    static const char separators[] = ", \t";
    const size_t length = strlen(etag);
    if (strcmp(list, "*") == 0) {
        return true;
    }
    for (list += strspn(list, separators); *list != '\0'; list += strspn(list, separators)) {
        list += strncmp(list, "W/", 2) == 0 ? 2 : 0;
        if (strncmp(list, etag, length) == 0 && strchr(separators, list[length]) != NULL) {
            return true;
        }
        list += strcspn(list, separators);
    }
    return false;
}
