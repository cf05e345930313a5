#include "protocol/utf8.h"

size_t utf8_decode(const char *text, unsigned *code)
{
    const unsigned char *s = (const unsigned char *)text;
    static const unsigned least[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = s[0] < 0x80             ? 1
               : (s[0] & 0xe0) == 0xc0 ? 2
               : (s[0] & 0xf0) == 0xe0 ? 3
               : (s[0] & 0xf8) == 0xf0 ? 4
                                       : 0;
    if (n == 0)
        return 0;
    *code = n == 1 ? s[0] : s[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (s[i] & 0x3fu);
    }
    bool surrogate = *code >= 0xd800 && *code < 0xe000;
    return *code < least[n] || *code > 0x10ffff || surrogate ? 0 : n;
}

bool utf8_is_valid(const char *text)
{
    while (*text != 0) {
        unsigned code;
        size_t n = utf8_decode(text, &code);
        if (n == 0)
            return false;
        text += n;
    }
    return true;
}

bool utf8_is_printable(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    for (; *s != 0; s++) {
        bool c1 = s[0] == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0;
        if (*s < 0x20 || *s == 0x7f || c1)
            return false;
    }
    return true;
}
