#include "convert/mat73.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "convert/set_parts.h"

enum {
    MAX_DEPTH = 32,
    MAX_OBJECTS = 8000000, /* read for one variable: references may lead to the same one often */
    MAX_RANK = 8,
    MAX_FIELDS = 1024,
    MAX_RATIO = 1100, /* of HDF5's deflate, to a little more than it reaches */
};

/* Of one call of mat73_read(). */
struct reader {
    hid_t file;
    size_t n_objects;
    int depth;
};

static const struct {
    const char *name;
    enum matio_classes class;
    enum matio_types type;
    size_t size;
} classes[] = {
    {"double", MAT_C_DOUBLE, MAT_T_DOUBLE, 8}, {"single", MAT_C_SINGLE, MAT_T_SINGLE, 4},
    {"int8", MAT_C_INT8, MAT_T_INT8, 1},       {"uint8", MAT_C_UINT8, MAT_T_UINT8, 1},
    {"int16", MAT_C_INT16, MAT_T_INT16, 2},    {"uint16", MAT_C_UINT16, MAT_T_UINT16, 2},
    {"int32", MAT_C_INT32, MAT_T_INT32, 4},    {"uint32", MAT_C_UINT32, MAT_T_UINT32, 4},
    {"int64", MAT_C_INT64, MAT_T_INT64, 8},    {"uint64", MAT_C_UINT64, MAT_T_UINT64, 8},
    {"logical", MAT_C_UINT8, MAT_T_UINT8, 1},  {"char", MAT_C_CHAR, MAT_T_UTF16, 2},
    {"cell", MAT_C_CELL, MAT_T_CELL, 8},       {"struct", MAT_C_STRUCT, MAT_T_STRUCT, 8},
};
enum { N_CLASSES = sizeof classes / sizeof *classes };

static hid_t memory_type(enum matio_types type)
{
    switch (type) {
    case MAT_T_DOUBLE:
        return H5T_NATIVE_DOUBLE;
    case MAT_T_SINGLE:
        return H5T_NATIVE_FLOAT;
    case MAT_T_INT8:
        return H5T_NATIVE_INT8;
    case MAT_T_UINT8:
        return H5T_NATIVE_UINT8;
    case MAT_T_INT16:
        return H5T_NATIVE_INT16;
    case MAT_T_UINT16:
    case MAT_T_UTF16:
        return H5T_NATIVE_UINT16;
    case MAT_T_INT32:
        return H5T_NATIVE_INT32;
    case MAT_T_UINT32:
        return H5T_NATIVE_UINT32;
    case MAT_T_INT64:
        return H5T_NATIVE_INT64;
    default:
        return H5T_NATIVE_UINT64;
    }
}

/* The index in `classes` of an object's MATLAB_class; -1 without one, N_CLASSES for another. */
static int read_class(hid_t object)
{
    char name[33] = "";
    if (H5Aexists(object, "MATLAB_class") <= 0)
        return -1;
    const hid_t attribute = H5Aopen(object, "MATLAB_class", H5P_DEFAULT);
    const hid_t type = attribute >= 0 ? H5Aget_type(attribute) : -1;
    const hid_t space = attribute >= 0 ? H5Aget_space(attribute) : -1;
    /* Read as it lies: a conversion between paddings would cost the last character. */
    if (type >= 0 && space >= 0 && H5Tget_class(type) == H5T_STRING &&
        H5Tis_variable_str(type) == 0 && H5Tget_size(type) < sizeof name &&
        H5Sget_simple_extent_npoints(space) == 1)
        (void)H5Aread(attribute, type, name);
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    if (attribute >= 0)
        H5Aclose(attribute);
    int class = 0;
    while (class < N_CLASSES && strcmp(classes[class].name, name) != 0)
        class ++;
    return class;
}

struct shape {
    int rank;
    size_t dims[MAX_RANK];
    size_t count;
};

static bool read_shape(hid_t dataset, struct shape *shape)
{
    hsize_t dims[MAX_RANK];
    const hid_t space = H5Dget_space(dataset);
    const int rank = space >= 0 ? H5Sget_simple_extent_ndims(space) : -1;
    bool good = rank >= 0 && rank <= MAX_RANK &&
                (rank == 0 || H5Sget_simple_extent_dims(space, dims, NULL) == rank);
    *shape = (struct shape){.rank = rank < 2 ? 2 : rank, .count = 1};
    for (int i = 0; i < MAX_RANK; i++)
        shape->dims[i] = 1;
    for (int i = 0; i < rank && good; i++) {
        shape->dims[i] = dims[rank - 1 - i];
        good = checked_multiply(shape->count, shape->dims[i], &shape->count);
    }
    if (space >= 0)
        H5Sclose(space);
    return good;
}

/* Memory for a dataset's items, when the file can hold or expand to so many. */
static void *read_items(hid_t dataset, hid_t type, const struct shape *shape, size_t size)
{
    size_t bytes, most;
    if (!checked_multiply(shape->count, size, &bytes) ||
        !checked_multiply(H5Dget_storage_size(dataset), MAX_RATIO, &most) || bytes > most)
        return NULL;
    void *items = malloc(bytes + 1);
    if (items != NULL && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, items) < 0) {
        free(items);
        return NULL;
    }
    return items;
}

static matvar_t *read_object(struct reader *reader, hid_t object, bool with_data);

static matvar_t *read_numbers(hid_t dataset, int class, const struct shape *shape, bool with_data)
{
    const hid_t type = H5Dget_type(dataset);
    const H5T_class_t kind = type >= 0 ? H5Tget_class(type) : H5T_NO_CLASS;
    const bool numeric = kind == H5T_INTEGER || kind == H5T_FLOAT;
    if (type >= 0)
        H5Tclose(type);
    void *items = with_data && numeric ? read_items(dataset, memory_type(classes[class].type),
                                                    shape, classes[class].size)
                                       : NULL;
    if (with_data && items == NULL)
        return NULL;
    size_t dims[MAX_RANK];
    memcpy(dims, shape->dims, sizeof dims);
    matvar_t *variable = Mat_VarCreate(NULL, classes[class].class, classes[class].type, shape->rank,
                                       dims, items, MAT_F_DONT_COPY_DATA);
    if (variable == NULL) {
        free(items);
        return NULL;
    }
    variable->isComplex = !numeric;
    variable->mem_conserve = 0; /* Mat_VarFree() frees the items */
    return variable;
}

/* What a reference leads to; [] where that cannot be read. */
static matvar_t *follow(struct reader *reader, const hobj_ref_t *reference)
{
    const hid_t object = H5Rdereference2(reader->file, H5P_DEFAULT, H5R_OBJECT, reference);
    matvar_t *variable = object >= 0 ? read_object(reader, object, true) : NULL;
    if (object >= 0)
        H5Oclose(object);
    return variable != NULL ? variable : set_new_empty();
}

static hobj_ref_t *read_references(hid_t dataset, const struct shape *shape)
{
    const hid_t type = H5Dget_type(dataset);
    const bool good = type >= 0 && H5Tequal(type, H5T_STD_REF_OBJ) > 0;
    if (type >= 0)
        H5Tclose(type);
    return good && shape->count <= MAX_OBJECTS
               ? read_items(dataset, H5T_STD_REF_OBJ, shape, sizeof(hobj_ref_t))
               : NULL;
}

static matvar_t *read_cell(struct reader *reader, hid_t dataset, const struct shape *shape)
{
    hobj_ref_t *references = read_references(dataset, shape);
    matvar_t **cells = references != NULL ? calloc(shape->count + 1, sizeof *cells) : NULL;
    matvar_t *variable = NULL;
    size_t dims[MAX_RANK];
    memcpy(dims, shape->dims, sizeof dims);
    for (size_t i = 0; cells != NULL && i < shape->count; i++)
        cells[i] = follow(reader, &references[i]);
    if (cells != NULL)
        variable = Mat_VarCreate(NULL, MAT_C_CELL, MAT_T_CELL, shape->rank, dims, cells, 0);
    for (size_t i = 0; cells != NULL && variable == NULL && i < shape->count; i++)
        Mat_VarFree(cells[i]);
    free(cells);
    free(references);
    return variable;
}

/* An empty array: the dataset holds its dimensions, which nobody asks for. */
static matvar_t *new_empty(int class)
{
    size_t dims[2] = {0, 0};
    if (class < 0 || class == N_CLASSES || classes[class].class == MAT_C_STRUCT)
        return set_new_empty();
    return Mat_VarCreate(NULL, classes[class].class, classes[class].type, 2, dims, NULL, 0);
}

static matvar_t *read_dataset(struct reader *reader, hid_t dataset, int class, bool with_data)
{
    struct shape shape;
    if (H5Aexists(dataset, "MATLAB_empty") > 0)
        return new_empty(class);
    if (class < 0 || class == N_CLASSES || classes[class].class == MAT_C_STRUCT ||
        !read_shape(dataset, &shape))
        return NULL;
    if (classes[class].class == MAT_C_CELL)
        return with_data
                   ? read_cell(reader, dataset, &shape)
                   : Mat_VarCreate(NULL, MAT_C_CELL, MAT_T_CELL, shape.rank, shape.dims, NULL, 0);
    return read_numbers(dataset, class, &shape, with_data);
}

/* ---- structs ---- */

struct field_names {
    char *names[MAX_FIELDS]; /* owned */
    size_t n;
    bool failed;
};

static herr_t add_name(hid_t group, const char *name, const H5L_info_t *info, void *context)
{
    (void)group;
    (void)info;
    struct field_names *names = context;
    if (names->n < MAX_FIELDS)
        names->names[names->n] = strdup(name);
    names->failed = names->n == MAX_FIELDS || names->names[names->n] == NULL;
    names->n += !names->failed;
    return names->failed;
}

/* True for a member that holds the values of a struct array, which has no class of its own. */
static bool is_array_field(hid_t member, struct shape *shape)
{
    if (H5Iget_type(member) != H5I_DATASET || read_class(member) >= 0)
        return false;
    const hid_t type = H5Dget_type(member);
    const bool good = type >= 0 && H5Tget_class(type) == H5T_REFERENCE && read_shape(member, shape);
    if (type >= 0)
        H5Tclose(type);
    return good;
}

/* One field of all elements. */
static void read_field(struct reader *reader, hid_t group, const char *name, matvar_t *structs,
                       size_t count, bool is_array)
{
    struct shape shape;
    const hid_t member = H5Oopen(group, name, H5P_DEFAULT);
    if (member < 0)
        return;
    if (!is_array) {
        set_put(structs, name, 0, read_object(reader, member, true));
    } else if (is_array_field(member, &shape) && shape.count == count) {
        hobj_ref_t *references = read_references(member, &shape);
        for (size_t i = 0; references != NULL && i < count; i++)
            set_put(structs, name, i, follow(reader, &references[i]));
        free(references);
    }
    H5Oclose(member);
}

static matvar_t *read_struct(struct reader *reader, hid_t group, bool with_data)
{
    struct field_names names = {0};
    struct shape shape = {.count = 1};
    matvar_t *structs = NULL;
    bool is_array = false;
    if (H5Literate(group, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, add_name, &names) == 0 &&
        names.n > 0) {
        const hid_t first = H5Oopen(group, names.names[0], H5P_DEFAULT);
        is_array = first >= 0 && is_array_field(first, &shape);
        if (first >= 0)
            H5Oclose(first);
        if (!is_array)
            shape.count = 1;
    }
    /* set_new_structs() puts [] everywhere, so memory is some 100 bytes a value. */
    if (!names.failed && shape.count <= MAX_OBJECTS / (names.n + 1)) {
        reader->n_objects += shape.count * names.n;
        structs = set_new_structs(shape.count, (const char *const *)names.names, names.n);
    }
    for (size_t f = 0; f < names.n; f++) {
        if (with_data && structs != NULL)
            read_field(reader, group, names.names[f], structs, shape.count, is_array);
        free(names.names[f]);
    }
    return structs;
}

static matvar_t *read_object(struct reader *reader, hid_t object, bool with_data)
{
    if (reader->depth == MAX_DEPTH || reader->n_objects++ > MAX_OBJECTS)
        return NULL;
    reader->depth++;
    const int class = read_class(object);
    matvar_t *variable = NULL;
    if (H5Iget_type(object) == H5I_DATASET)
        variable = read_dataset(reader, object, class, with_data);
    else if (H5Iget_type(object) == H5I_GROUP &&
             (class < 0 || (class < N_CLASSES && classes[class].class == MAT_C_STRUCT)))
        variable = read_struct(reader, object, with_data);
    reader->depth--;
    return variable;
}

static matvar_t *read_variable(hid_t group, const char *name, bool with_data)
{
    if (H5Lexists(group, name, H5P_DEFAULT) <= 0)
        return NULL;
    const hid_t object = H5Oopen(group, name, H5P_DEFAULT);
    if (object < 0)
        return NULL;
    struct reader reader = {.file = group};
    matvar_t *variable = read_object(&reader, object, with_data);
    H5Oclose(object);
    return variable;
}

matvar_t *mat73_read(hid_t group, const char *name)
{
    return read_variable(group, name, true);
}

matvar_t *mat73_info(hid_t group, const char *name)
{
    return read_variable(group, name, false);
}
