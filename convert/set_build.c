/* Making MATLAB values. Where memory fails a value is NULL, which is taken for [] when added. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "convert/set_parts.h"
#include "protocol/utf8.h"

static const size_t empty_shape[2] = {0, 0}, one_shape[2] = {1, 1};

matvar_t *set_new_empty(void)
{
    return Mat_VarCreate(NULL, MAT_C_DOUBLE, MAT_T_DOUBLE, 2, (size_t *)(uintptr_t)empty_shape,
                         NULL, 0);
}

matvar_t *set_new_empty_cell(void)
{
    return Mat_VarCreate(NULL, MAT_C_CELL, MAT_T_CELL, 2, (size_t *)(uintptr_t)empty_shape, NULL,
                         0);
}

matvar_t *set_new_number(double value)
{
    return Mat_VarCreate(NULL, MAT_C_DOUBLE, MAT_T_DOUBLE, 2, (size_t *)(uintptr_t)one_shape,
                         &value, 0);
}

matvar_t *set_new_matrix(enum matio_classes class, size_t rows, size_t columns, const void *data)
{
    size_t shape[2] = {rows, columns};
    const enum matio_types type = class == MAT_C_DOUBLE   ? MAT_T_DOUBLE
                                  : class == MAT_C_SINGLE ? MAT_T_SINGLE
                                                          : MAT_T_INT8;
    return Mat_VarCreate(NULL, class, type, 2, shape, (void *)(uintptr_t)data, 0);
}

/* As UTF-16, which is how MATLAB keeps text. */
matvar_t *set_new_text(const char *text)
{
    size_t shape[2] = {1, 0}, n;
    unsigned code;
    uint16_t *units = calloc(strlen(text) + 1, sizeof *units);
    if (units == NULL)
        return NULL;
    for (; *text != 0 && (n = utf8_decode(text, &code)) > 0; text += n) {
        if (code >= 0x10000) {
            units[shape[1]++] = (uint16_t)(0xd800 + ((code - 0x10000) >> 10));
            code = 0xdc00 + ((code - 0x10000) & 0x3ff);
        }
        units[shape[1]++] = (uint16_t)code;
    }
    shape[0] = shape[1] > 0;
    matvar_t *value =
        Mat_VarCreate(NULL, MAT_C_CHAR, MAT_T_UTF16, 2, shape, shape[1] > 0 ? units : NULL, 0);
    free(units);
    return value;
}

void set_add(matvar_t *object, const char *name, matvar_t *value)
{
    if (value == NULL)
        value = set_new_empty();
    if (object == NULL || Mat_VarAddStructField(object, name) != 0)
        Mat_VarFree(value);
    else
        set_put(object, name, 0, value);
}

void set_put(matvar_t *structs, const char *name, size_t i, matvar_t *value)
{
    if (value == NULL || structs == NULL)
        Mat_VarFree(value);
    else
        Mat_VarFree(Mat_VarSetStructFieldByName(structs, name, i, value));
}

matvar_t *set_new_structs(size_t n, const char *const *fields, size_t n_fields)
{
    size_t shape[2] = {1, n};
    const char **names = calloc(n_fields + 1, sizeof *names);
    if (names == NULL)
        return NULL;
    for (size_t f = 0; f < n_fields; f++)
        names[f] = fields[f];
    matvar_t *structs = Mat_VarCreateStruct(NULL, 2, shape, names, (unsigned)n_fields);
    free(names);
    for (size_t i = 0; i < n && structs != NULL; i++)
        for (size_t f = 0; f < n_fields; f++)
            set_put(structs, fields[f], i, set_new_empty());
    return structs;
}
