/*
 * Copies of variables, built anew from what has been checked. matio's own duplicate trusts the
 * shape of a damaged variable.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "convert/set_parts.h"

enum { MAX_DEPTH = 32, MAX_RANK = 8 };

static matvar_t *copy(const matvar_t *from, int depth);

static matvar_t *copy_text(const matvar_t *from)
{
    const size_t size = 3 * from->nbytes + 4;
    char *text = malloc(size);
    matvar_t *value = text != NULL && matlab_text(from, text, size) ? set_new_text(text) : NULL;
    free(text);
    return value;
}

static matvar_t *copy_items(const matvar_t *from)
{
    size_t shape[MAX_RANK];
    memcpy(shape, from->dims, (size_t)from->rank * sizeof *shape);
    return Mat_VarCreate(NULL, from->class_type, from->data_type, from->rank, shape, from->data,
                         from->isLogical ? MAT_F_LOGICAL : 0);
}

static matvar_t *copy_cell(const matvar_t *from, int depth)
{
    const size_t count = matlab_count(from);
    size_t shape[MAX_RANK];
    memcpy(shape, from->dims, (size_t)from->rank * sizeof *shape);
    matvar_t **cells = calloc(count + 1, sizeof *cells);
    if (cells == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        cells[i] = copy(matlab_cell(from, i), depth + 1);
    matvar_t *value = Mat_VarCreate(NULL, MAT_C_CELL, MAT_T_CELL, from->rank, shape, cells, 0);
    for (size_t i = 0; i < count && value == NULL; i++)
        Mat_VarFree(cells[i]);
    free(cells);
    return value;
}

static matvar_t *copy_struct(const matvar_t *from, const size_t *indices, size_t n, int depth)
{
    char *const *names = Mat_VarGetStructFieldnames(from);
    const unsigned n_names = Mat_VarGetNumberOfFields((matvar_t *)(uintptr_t)from);
    for (unsigned f = 0; f < n_names; f++)
        if (names == NULL || names[f] == NULL)
            return NULL;
    matvar_t *structs = set_new_structs(n, (const char *const *)names, n_names);
    for (size_t i = 0; i < n && structs != NULL; i++)
        for (unsigned f = 0; f < n_names; f++)
            set_put(
                structs, names[f], i,
                copy(matlab_member(from, names[f], indices != NULL ? indices[i] : i), depth + 1));
    return structs;
}

/* [] for NULL and for whatever cannot be copied. */
static matvar_t *copy(const matvar_t *from, int depth)
{
    matvar_t *value = NULL;
    const size_t count = matlab_count(from);
    if (count == 0 && from != NULL && from->class_type == MAT_C_CELL)
        value = set_new_empty_cell();
    else if (count == 0 && from != NULL && from->class_type == MAT_C_CHAR)
        value = set_new_text("");
    else if (count > 0 && from->data != NULL && from->rank <= MAX_RANK && depth < MAX_DEPTH) {
        if (from->class_type == MAT_C_CHAR)
            value = copy_text(from);
        else if (from->class_type == MAT_C_CELL)
            value = copy_cell(from, depth);
        else if (from->class_type == MAT_C_STRUCT)
            value = copy_struct(from, NULL, count, depth);
        else if (matlab_is_numeric(from))
            value = copy_items(from);
    }
    return value != NULL ? value : set_new_empty();
}

matvar_t *matlab_copy(const matvar_t *variable)
{
    return copy(variable, 0);
}

matvar_t *matlab_copy_structs(const matvar_t *structs, const size_t *indices, size_t n)
{
    return matlab_is_struct(structs) ? copy_struct(structs, indices, n, 0) : NULL;
}
