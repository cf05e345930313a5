/*
 * Variables of MAT 7.3 files, which are HDF5, as matio's variables.
 *
 * matio reads such files too, but misses the class of variables that Python wrote. A struct is a
 * group and a struct array one whose members are datasets of references; a cell array is a dataset
 * of references; text is unsigned integers; an attribute MATLAB_class tells which; dimensions come
 * last first; MATLAB_empty marks a dataset that holds the dimensions of an empty array.
 */
#ifndef CONVERT_MAT73_H
#define CONVERT_MAT73_H

#include <hdf5.h>
#include <matio.h>

/* The variable `name` of a group, or NULL when there is none or it cannot be read. Mat_VarFree()
 * it. Sizes are held against what the file can expand to; what is unknown inside of it becomes [].
 */
matvar_t *mat73_read(hid_t group, const char *name);

/* The same without data: class and shape. */
matvar_t *mat73_info(hid_t group, const char *name);

#endif
