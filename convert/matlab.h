/*
 * Variables of MAT files as matio gives them (of 7.3 ones as mat73.h does), read with distrust:
 * every access is checked against the variable's class and shape. Memory is freed with the file.
 */
#ifndef CONVERT_MATLAB_H
#define CONVERT_MATLAB_H

#include <hdf5.h>
#include <matio.h>
#include <rejectd/error.h>
#include <stdbool.h>
#include <stddef.h>

enum { MATLAB_MAX_VARIABLES = 64 };

struct matlab_file {
    bool is_open;
    mat_t *mat;    /* of MAT 5 */
    matvar_t *eeg; /* its struct EEG, the fields not read yet; NULL when they are variables */
    bool is_hdf5;
    hid_t hdf5, group; /* of MAT 7.3: the file, and the struct EEG or the root */
    struct matlab_known {
        char name[32];
        matvar_t *variable;
        bool read;                 /* with its data */
    } known[MATLAB_MAX_VARIABLES]; /* fields that were asked for */
    size_t n_known;
};

/* Opens a MAT 5 or 7.3 file; INVALID_VALUE for anything else. matlab_close() it. */
enum rejectd_status matlab_open(const char *path, struct matlab_file *file,
                                struct rejectd_error *error);
void matlab_close(struct matlab_file *file); /* all-zero is allowed */

/* A field of EEG, without its data (info) or with (field). NULL when it is missing, empty or
 * unreadable. Owned by the file. */
matvar_t *matlab_info(struct matlab_file *file, const char *name);
matvar_t *matlab_field(struct matlab_file *file, const char *name);

/* Elements of a variable; 0 for NULL, and where the product overflows. */
size_t matlab_count(const matvar_t *variable);

/* A real number of any class and width. */
bool matlab_is_numeric(const matvar_t *variable);
double matlab_number_at(const matvar_t *variable, size_t i); /* of a numeric one, i < count */
/* The first element of a numeric variable; false when it has none. */
bool matlab_number(const matvar_t *variable, double *value);

/* A row of text as UTF-8, cut where it would pass size - 1 bytes; false when it is no text. */
bool matlab_text(const matvar_t *variable, char *out, size_t size);

/* Field of element i of a struct; cell i of a cell array. NULL where there is none. */
matvar_t *matlab_member(const matvar_t *variable, const char *name, size_t i);
matvar_t *matlab_cell(const matvar_t *variable, size_t i);
bool matlab_is_struct(const matvar_t *variable);

/* A copy to Mat_VarFree(), with [] for what matio cannot write or a damaged file lacks; NULL
 * without memory. Of a struct array those elements, as a row; NULL when it is none. */
matvar_t *matlab_copy(const matvar_t *variable);
matvar_t *matlab_copy_structs(const matvar_t *structs, const size_t *indices, size_t n);

#endif
