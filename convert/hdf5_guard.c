#include "convert/hdf5_guard.h"

#include <stdbool.h>

enum { MAX_LINKS = 4000000 };

void hdf5_guard_init(void)
{
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5PLset_loading_state(0);
}

struct visit {
    size_t count;
    const char *wrong; /* NULL while nothing is */
};

static const char *check_dataset(hid_t group, const char *name)
{
    const char *wrong = NULL;
    const hid_t dataset = H5Dopen2(group, name, H5P_DEFAULT);
    const hid_t plist = dataset >= 0 ? H5Dget_create_plist(dataset) : -1;
    if (plist < 0)
        wrong = "a dataset cannot be opened";
    else if (H5Pget_layout(plist) == H5D_VIRTUAL || H5Pget_external_count(plist) != 0)
        wrong = "a dataset is kept in other files";
    if (plist >= 0)
        H5Pclose(plist);
    if (dataset >= 0)
        H5Dclose(dataset);
    return wrong;
}

static herr_t visit_link(hid_t group, const char *name, const H5L_info_t *info, void *context)
{
    struct visit *visit = context;
    H5O_info_t object;
    if (++visit->count > MAX_LINKS)
        visit->wrong = "it has too many objects";
    else if (info->type != H5L_TYPE_HARD)
        visit->wrong = "it has soft or external links";
    else if (H5Oget_info_by_name(group, name, &object, H5P_DEFAULT) < 0)
        visit->wrong = "an object cannot be opened";
    else if (object.type == H5O_TYPE_DATASET)
        visit->wrong = check_dataset(group, name);
    return visit->wrong != NULL;
}

enum rejectd_status hdf5_guard_open(const char *path, hid_t *file, struct rejectd_error *error)
{
    struct visit visit = {0};
    *file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (*file < 0)
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "file",
                            "is not a readable HDF5 file (is it complete?)");
    const herr_t result = H5Lvisit(*file, H5_INDEX_NAME, H5_ITER_NATIVE, visit_link, &visit);
    if (result == 0 && visit.wrong == NULL)
        return REJECTD_OK;
    H5Fclose(*file);
    *file = -1;
    return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "file",
                        "is an HDF5 file that is not accepted: %s",
                        visit.wrong != NULL ? visit.wrong : "its links cannot be read");
}
