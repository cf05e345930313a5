#include "base/bytes.h"

#include <stdio.h>

void bytes_write(double bytes, char out[BYTES_TEXT_SIZE])
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    int unit = 0;
    while (bytes >= 999.5 && unit < 4) {
        bytes /= 1000.0;
        unit++;
    }
    snprintf(out, BYTES_TEXT_SIZE, unit == 0 ? "%.0f %s" : "%.3g %s", bytes, units[unit]);
}
