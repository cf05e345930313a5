/*
 * Results as JSON text.
 *
 * The labels of thousands of epochs are most of it; everything is appended piece by piece, never
 * built as a document first.
 */
#include <math.h>
#include <rejectd/version.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "protocol/job_json.h"
#include "protocol/json_text.h"
#include "protocol/names.h"

static const size_t max_result_bytes = (size_t)1 << 34;

static void append_key(struct buffer *text, const char *key)
{
    buffer_append_text(text, ",");
    json_append_string(text, key);
    buffer_append_text(text, ":");
}

static void append_separator(struct buffer *text, size_t i)
{
    if (i > 0)
        buffer_append(text, ",", 1);
}

static void append_doubles(struct buffer *text, const double *values, size_t count)
{
    buffer_append_text(text, "[");
    for (size_t i = 0; i < count; i++) {
        append_separator(text, i);
        json_append_double(text, values[i]);
    }
    buffer_append_text(text, "]");
}

static void append_type_key(struct buffer *text, enum rejectd_channel_type type, size_t i)
{
    append_separator(text, i);
    json_append_string(text, channel_type_names[type]);
    buffer_append_text(text, ":");
}

/* {"name": value, ...} of the channels whose value is a number; values may be NULL. */
static void append_by_channel(struct buffer *text, const struct rejectd_channel *channels,
                              size_t n_channels, const double *values)
{
    size_t written = 0;
    buffer_append_text(text, "{");
    for (size_t c = 0; values != NULL && c < n_channels; c++) {
        if (isnan(values[c]))
            continue;
        append_separator(text, written++);
        json_append_string(text, channels[c].name);
        buffer_append_text(text, ":");
        json_append_double(text, values[c]);
    }
    buffer_append_text(text, "}");
}

static void append_thresholds(struct buffer *text, const struct rejectd_channel *channels,
                              size_t n_channels, const double *thresholds, const double *losses)
{
    buffer_append_text(text, "{\"thresholds\":");
    append_by_channel(text, channels, n_channels, thresholds);
    append_key(text, "threshold_losses");
    append_by_channel(text, channels, n_channels, losses);
}

static void append_loss(struct buffer *text, const struct rejectd_type_fit *type)
{
    const double *folds = type->loss;
    buffer_append_text(text, "[");
    for (size_t i = 0; i < type->n_consensus; i++) {
        append_separator(text, i);
        buffer_append_text(text, "[");
        for (size_t j = 0; j < type->n_n_interpolate; j++, folds += type->n_folds) {
            append_separator(text, j);
            append_doubles(text, folds, type->n_folds);
        }
        buffer_append_text(text, "]");
    }
    buffer_append_text(text, "]");
}

static void append_n_interpolate_grid(struct buffer *text, const struct rejectd_type_fit *type)
{
    buffer_append_text(text, "[");
    for (size_t i = 0; i < type->n_n_interpolate; i++)
        buffer_append_format(text, "%s%d", i > 0 ? "," : "", type->n_interpolate_grid[i]);
    buffer_append_text(text, "]");
}

static void append_fit_types(struct buffer *text, const struct rejectd_fit *fit)
{
    buffer_append_text(text, ",\"consensus\":{");
    for (size_t i = 0; i < fit->n_types; i++) {
        append_type_key(text, fit->types[i].type, i);
        json_append_double(text, fit->types[i].consensus);
    }
    buffer_append_text(text, "},\"n_interpolate\":{");
    for (size_t i = 0; i < fit->n_types; i++) {
        append_type_key(text, fit->types[i].type, i);
        buffer_append_format(text, "%d", fit->types[i].n_interpolate);
    }
    buffer_append_text(text, "},\"consensus_grid\":{");
    for (size_t i = 0; i < fit->n_types; i++) {
        append_type_key(text, fit->types[i].type, i);
        append_doubles(text, fit->types[i].consensus_grid, fit->types[i].n_consensus);
    }
    buffer_append_text(text, "},\"n_interpolate_grid\":{");
    for (size_t i = 0; i < fit->n_types; i++) {
        append_type_key(text, fit->types[i].type, i);
        append_n_interpolate_grid(text, &fit->types[i]);
    }
    buffer_append_text(text, "},\"loss\":{");
    for (size_t i = 0; i < fit->n_types; i++) {
        append_type_key(text, fit->types[i].type, i);
        append_loss(text, &fit->types[i]);
    }
    buffer_append_text(text, "}");
}

static void append_legendre(struct buffer *text, enum rejectd_meg_legendre legendre)
{
    append_key(text, "meg_legendre");
    json_append_string(text, meg_legendre_names[legendre]);
}

static void append_label_row(struct buffer *text, const int8_t *labels, size_t n_channels)
{
    char piece[512]; /* "-1," at most for each label */
    size_t length = 0;
    for (size_t c = 0; c < n_channels; c++) {
        if (length + 4 > sizeof piece) {
            buffer_append(text, piece, length);
            length = 0;
        }
        if (c > 0)
            piece[length++] = ',';
        if (labels[c] < 0)
            piece[length++] = '-';
        piece[length++] = (char)('0' + abs(labels[c]) % 10);
    }
    buffer_append(text, piece, length);
}

static void append_log(struct buffer *text, const struct rejectd_reject_log *log)
{
    size_t written = 0;
    append_key(text, "bad_epochs");
    buffer_append_text(text, "[");
    for (size_t e = 0; e < log->n_epochs; e++)
        if (log->bad_epochs[e] != 0)
            buffer_append_format(text, "%s%zu", written++ > 0 ? "," : "", e);
    buffer_append_text(text, "],\"labels\":[");
    for (size_t e = 0; e < log->n_epochs; e++) {
        buffer_append_text(text, e > 0 ? ",[" : "[");
        append_label_row(text, log->labels + e * log->n_channels, log->n_channels);
        buffer_append_text(text, "]");
    }
    buffer_append_text(text, "]");
}

static size_t append_warning_items(struct buffer *text, const struct rejectd_warning *warnings,
                                   size_t n_warnings, size_t written)
{
    for (size_t i = 0; i < n_warnings; i++) {
        append_separator(text, written++);
        buffer_append_text(text, "{\"code\":");
        json_append_string(text, warnings[i].code);
        buffer_append_text(text, ",\"message\":");
        json_append_string(text, warnings[i].message);
        buffer_append_text(text, "}");
    }
    return written;
}

static void append_warnings(struct buffer *text, const struct rejectd_warning *warnings,
                            size_t n_warnings, const struct result_context *context)
{
    append_key(text, "warnings");
    buffer_append_text(text, "[");
    const size_t written = append_warning_items(text, warnings, n_warnings, 0);
    append_warning_items(text, context->warnings, context->n_warnings, written);
    buffer_append_text(text, "]");
}

/* Of results that have no warnings of their own. */
static void append_any_warnings(struct buffer *text, const struct result_context *context)
{
    if (context->n_warnings > 0)
        append_warnings(text, NULL, 0, context);
}

/* Words between blanks. */
static void append_devices(struct buffer *text, const char *devices)
{
    append_key(text, "devices");
    buffer_append_text(text, "[");
    for (const char *word = devices; *word != '\0';) {
        const size_t length = strcspn(word, " ");
        buffer_append_format(text, "%s\"%.*s\"", word > devices ? "," : "", (int)length, word);
        word += length + (word[length] == ' ');
    }
    buffer_append_text(text, "]");
}

static void append_provenance(struct buffer *text, const struct result_context *context)
{
    buffer_append_text(text, ",\"provenance\":{\"version\":\"" REJECTD_VERSION "\"");
    append_key(text, "backend");
    json_append_string_or_null(text, context->backend);
    if (context->devices != NULL)
        append_devices(text, context->devices);
    append_key(text, "dataset_sha256");
    json_append_string_or_null(text, context->dataset_sha256);
    append_key(text, "parameters");
    buffer_append_text(text, context->parameters_json != NULL ? context->parameters_json : "{}");
    buffer_append_text(text, "}}");
}

/* What was really reckoned in, which may be better than what was asked for. */
static void append_precision(struct buffer *text, enum rejectd_dtype precision)
{
    append_key(text, "precision");
    json_append_string(text, dtype_names[precision]);
}

static void append_origin(struct buffer *text, const struct result_context *context)
{
    append_key(text, "model");
    json_append_string_or_null(text, context->model);
    append_key(text, "random_state");
    buffer_append_format(text, "%lu", (unsigned long)context->random_state);
    append_key(text, "device");
    json_append_string_or_null(text, context->device);
    append_key(text, "timings");
    buffer_append_text(text, "{\"queued\":");
    json_append_double(text, context->seconds_queued);
    append_key(text, "running");
    json_append_double(text, context->seconds_running);
}

static char *finish_plain(struct buffer *text, const struct result_context *context)
{
    append_origin(text, context);
    buffer_append_text(text, "}");
    append_provenance(text, context);
    return buffer_take(text, NULL);
}

char *fit_result_to_json(const struct rejectd_fit *fit, const struct rejectd_channel *channels,
                         const struct result_context *context)
{
    struct buffer text;
    buffer_init(&text, max_result_bytes);
    append_thresholds(&text, channels, fit->n_channels, fit->thresholds, fit->threshold_losses);
    append_fit_types(&text, fit);
    append_legendre(&text, fit->meg_legendre);
    append_precision(&text, fit->precision);
    append_log(&text, &fit->log);
    append_warnings(&text, fit->warnings, fit->n_warnings, context);
    append_origin(&text, context);
    append_key(&text, "fit");
    json_append_double(&text, fit->seconds_thresholds + fit->seconds_local_cv);
    append_key(&text, "thresholds");
    json_append_double(&text, fit->seconds_thresholds);
    append_key(&text, "local_cv");
    json_append_double(&text, fit->seconds_local_cv);
    buffer_append_text(&text, "}");
    append_provenance(&text, context);
    return buffer_take(&text, NULL);
}

static void append_model(struct buffer *text, const struct rejectd_model *model)
{
    buffer_append_text(text, "{\"thresholds\":{");
    for (size_t i = 0; i < model->n_channels; i++) {
        append_separator(text, i);
        json_append_string(text, model->channels[i].name);
        buffer_append_text(text, ":");
        json_append_double(text, model->channels[i].threshold);
    }
    buffer_append_text(text, "},\"consensus\":{");
    for (size_t i = 0; i < model->n_types; i++) {
        append_type_key(text, model->types[i].type, i);
        json_append_double(text, model->types[i].consensus);
    }
    buffer_append_text(text, "},\"n_interpolate\":{");
    for (size_t i = 0; i < model->n_types; i++) {
        append_type_key(text, model->types[i].type, i);
        buffer_append_format(text, "%d", model->types[i].n_interpolate);
    }
    buffer_append_text(text, "}");
}

/* apply has no warnings of its own, except the one that its result itself shows. */
static size_t apply_warnings(const struct rejectd_reject_log *log, struct rejectd_warning *warning)
{
    for (size_t e = 0; e < log->n_epochs; e++)
        if (log->bad_epochs[e] == 0)
            return 0;
    *warning = (struct rejectd_warning){
        .code = "all-epochs-bad",
        .message = "every epoch is bad by this model; no epoch is kept",
    };
    return 1;
}

char *apply_result_to_json(const struct rejectd_reject_log *log, const struct rejectd_model *model,
                           const struct rejectd_channel *channels,
                           const struct result_context *context)
{
    (void)channels;
    struct buffer text;
    struct rejectd_warning warning;
    buffer_init(&text, max_result_bytes);
    append_model(&text, model);
    append_legendre(&text, model->meg_legendre);
    append_log(&text, log);
    append_warnings(&text, &warning, apply_warnings(log, &warning), context);
    return finish_plain(&text, context);
}

char *thresholds_result_to_json(const struct rejectd_thresholds *thresholds,
                                enum rejectd_meg_legendre meg_legendre,
                                const struct rejectd_channel *channels,
                                const struct result_context *context)
{
    struct buffer text;
    buffer_init(&text, max_result_bytes);
    append_thresholds(&text, channels, thresholds->n_channels, thresholds->thresholds,
                      thresholds->losses);
    append_legendre(&text, meg_legendre);
    append_precision(&text, thresholds->precision);
    append_any_warnings(&text, context);
    return finish_plain(&text, context);
}

char *ransac_result_to_json(const struct rejectd_ransac *ransac,
                            enum rejectd_meg_legendre meg_legendre,
                            const struct rejectd_channel *channels,
                            const struct result_context *context)
{
    static const struct rejectd_warning all_bad = {
        .code = "all-channels-bad",
        .message = "every channel is bad; there is none to interpolate from, so no cleaned epochs",
    };
    struct buffer text;
    size_t n_bad = 0;
    buffer_init(&text, max_result_bytes);
    buffer_append_text(&text, "{\"bad_channels\":[");
    for (size_t i = 0; i < ransac->n_picks; i++)
        if (ransac->bad[i] != 0) {
            append_separator(&text, n_bad++);
            json_append_string(&text, channels[ransac->picks[i]].name);
        }
    buffer_append_text(&text, "],\"channels\":[");
    for (size_t i = 0; i < ransac->n_picks; i++) {
        append_separator(&text, i);
        json_append_string(&text, channels[ransac->picks[i]].name);
    }
    buffer_append_text(&text, "]");
    append_legendre(&text, meg_legendre);
    append_precision(&text, ransac->precision);
    append_warnings(&text, &all_bad, n_bad == ransac->n_picks, context);
    return finish_plain(&text, context);
}

char *global_thresholds_result_to_json(const struct rejectd_global_thresholds *thresholds,
                                       const struct result_context *context)
{
    struct buffer text;
    buffer_init(&text, max_result_bytes);
    buffer_append_text(&text, "{\"reject\":{");
    for (size_t i = 0; i < thresholds->n_types; i++) {
        append_type_key(&text, thresholds->types[i].type, i);
        json_append_double(&text, thresholds->types[i].threshold);
    }
    buffer_append_text(&text, "},\"losses\":{");
    for (size_t i = 0; i < thresholds->n_types; i++) {
        append_type_key(&text, thresholds->types[i].type, i);
        json_append_double(&text, thresholds->types[i].loss);
    }
    buffer_append_text(&text, "}");
    append_precision(&text, thresholds->precision);
    append_any_warnings(&text, context);
    return finish_plain(&text, context);
}

static void append_scores(struct buffer *text, const char *key, const double *scores,
                          const struct rejectd_validation_curve *curve)
{
    append_key(text, key);
    buffer_append_text(text, "[");
    for (size_t i = 0; i < curve->n_params; i++) {
        append_separator(text, i);
        append_doubles(text, scores + i * curve->n_folds, curve->n_folds);
    }
    buffer_append_text(text, "]");
}

char *validation_curve_result_to_json(const struct rejectd_validation_curve *curve,
                                      const struct result_context *context)
{
    struct buffer text;
    buffer_init(&text, max_result_bytes);
    buffer_append_text(&text, "{\"param_range\":");
    append_doubles(&text, curve->param_range, curve->n_params);
    append_scores(&text, "train_scores", curve->train_scores, curve);
    append_scores(&text, "test_scores", curve->test_scores, curve);
    append_precision(&text, curve->precision);
    append_any_warnings(&text, context);
    return finish_plain(&text, context);
}

char *interpolate_result_to_json(const struct rejectd_reject_log *log,
                                 const struct rejectd_clean_parameters *parameters,
                                 const struct rejectd_channel *channels,
                                 const struct result_context *context)
{
    struct buffer text;
    size_t written = 0;
    buffer_init(&text, max_result_bytes);
    buffer_append_text(&text, "{\"interpolated\":{");
    for (size_t c = 0; c < log->n_channels; c++) {
        size_t n = 0;
        for (size_t e = 0; e < log->n_epochs; e++)
            n += log->labels[e * log->n_channels + c] == REJECTD_LABEL_INTERPOLATED;
        if (n == 0)
            continue;
        append_separator(&text, written++);
        json_append_string(&text, channels[c].name);
        buffer_append_format(&text, ":%zu", n);
    }
    buffer_append_text(&text, "},\"origin\":");
    append_doubles(&text, parameters->origin, 3);
    append_legendre(&text, parameters->meg_legendre);
    append_any_warnings(&text, context);
    return finish_plain(&text, context);
}
