#include "worker/algorithm/warnings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum rejectd_status warnings_add(struct rejectd_fit *fit, struct rejectd_error *error,
                                 const char *code, const char *format, ...)
{
    const size_t bytes = (fit->n_warnings + 1) * sizeof *fit->warnings;
    struct rejectd_warning *grown = realloc(fit->warnings, bytes);
    if (grown == NULL)
        return REJECTD_FAIL_MEMORY(error, bytes);
    fit->warnings = grown;
    struct rejectd_warning *warning = &fit->warnings[fit->n_warnings++];
    snprintf(warning->code, sizeof warning->code, "%s", code);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(warning->message, sizeof warning->message, format, arguments);
    va_end(arguments);
    return REJECTD_OK;
}

enum rejectd_status warnings_about_log(struct rejectd_fit *fit, struct rejectd_error *error)
{
    const size_t n = fit->log.n_epochs;
    size_t n_bad = 0;
    for (size_t e = 0; e < n; e++)
        n_bad += fit->log.bad_epochs[e];
    if (n_bad == n)
        return warnings_add(fit, error, "all-epochs-bad",
                            "every one of the %zu epochs is bad: nothing is left", n);
    if (2 * n_bad > n)
        return warnings_add(fit, error, "most-epochs-bad", "%zu of %zu epochs are bad", n_bad, n);
    return REJECTD_OK;
}

enum rejectd_status warnings_about_flat(struct rejectd_fit *fit,
                                        const struct rejectd_channel *channels, const size_t *picks,
                                        size_t n_picks, const double *ptp, size_t n_epochs,
                                        struct rejectd_error *error)
{
    for (size_t c = 0; c < n_picks; c++) {
        bool flat = true;
        for (size_t e = 0; e < n_epochs && flat; e++)
            flat = ptp[e * n_picks + c] == 0.0;
        if (!flat)
            continue;
        enum rejectd_status status =
            warnings_add(fit, error, "flat-channel",
                         "channel \"%s\" is constant in every epoch; mark it bad to leave it out",
                         channels[picks[c]].name);
        if (status != REJECTD_OK)
            return status;
    }
    return REJECTD_OK;
}
