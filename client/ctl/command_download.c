/* download: what a job leaves behind, as files. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "client/ctl/bar.h"
#include "client/ctl/ctl.h"
#include "protocol/json_text.h"

enum { MAX_PATH = 4096, MAX_PARTS = 1000 };

struct artifact_file {
    const char *what, *path;
    const char *name; /* in a folder */
};

static const struct artifact_file model_file = {"model.h5", "model.h5", "model.h5"};

static const struct artifact_file files[] = {
    {"result", "result", "result.json"},
    {"labels", "result/labels.npy", "labels.npy"},
    {"cleaned", "result/cleaned.npy", "cleaned.npy"},
    {"labels.npy", "result/labels.npy", "labels.npy"},
    {"cleaned.npy", "result/cleaned.npy", "cleaned.npy"},
    {"correlations.npy", "result/correlations.npy", "correlations.npy"},
    {"reject_log.npz", "result/reject_log.npz", "reject_log.npz"},
    {"cleaned.set", "result/cleaned.set", "cleaned.set"},
    {"cleaned-epo.fif", "result/cleaned-epo.fif", "cleaned-epo.fif"},
};

enum { NO_RESUME = CTL_OPTION_OWN, RETRY };

static const struct option options[] = {{"no-resume", no_argument, NULL, NO_RESUME},
                                        {"retry", required_argument, NULL, RETRY},
                                        CTL_COMMON_OPTIONS};

/* One file of the recording: downloaded under the first name, to appear under the second. Meanwhile
 * the third file has its ETag, so that another call can go on with it. */
struct part {
    char temporary[MAX_PATH], final[MAX_PATH], tag[MAX_PATH];
    bool can_go_on;
};

struct download {
    struct ctl *ctl;
    struct rejectd_client *client;
    const struct artifact_file *file;
    char resource[192];
    char folder[MAX_PATH]; /* with its slash; "" for the current one */
    char name[MAX_PATH];   /* in the folder, as the command line says; "": the server's */
    struct part *parts;    /* [n_parts] */
    size_t n_parts;
    bool no_resume;
    uint64_t retry_seconds;
};

struct download_bar {
    struct bar bar;
    char what[32];
    struct part *part; /* NULL: standard output */
};

static bool show_download(void *context, uint64_t done, uint64_t total)
{
    struct download_bar *shown = context;
    bar_update(&shown->bar, shown->what, (double)done / (double)total);
    return true;
}

/* Notes the tag of what is written now. Without one nobody can go on with it. */
static void note_tag(void *context, const char *etag)
{
    const struct download_bar *shown = context;
    struct part *part = shown->part;
    if (part == NULL)
        return;
    FILE *file = etag[0] == '\0' ? NULL : fopen(part->tag, "we");
    part->can_go_on = file != NULL && fprintf(file, "%s\n", etag) > 0;
    if (file != NULL && fclose(file) != 0)
        part->can_go_on = false;
    if (!part->can_go_on)
        unlink(part->tag);
}

/* The tag of what an earlier call left; "": none. */
static void read_tag(const struct part *part, char *etag, int size)
{
    FILE *file = fopen(part->tag, "re");
    etag[0] = '\0';
    if (file != NULL && fgets(etag, size, file) == NULL)
        etag[0] = '\0';
    if (file != NULL)
        fclose(file);
    etag[strcspn(etag, "\n")] = '\0';
}

/* Downloads one part (from 1) into an open file. */
static int fetch(struct download *d, size_t part, int file, struct rejectd_downloaded *downloaded)
{
    char path[sizeof d->resource + 32];
    struct rejectd_error error;
    const bool to_stdout = file == STDOUT_FILENO;
    struct download_bar shown = {.what = "downloading",
                                 .part = to_stdout ? NULL : &d->parts[part - 1]};
    snprintf(path, sizeof path, "%s", d->resource);
    if (part > 1) {
        snprintf(path, sizeof path, "%s?part=%zu", d->resource, part);
        snprintf(shown.what, sizeof shown.what, "part %zu of %zu", part, d->n_parts);
    }
    bar_begin(&shown.bar, d->ctl->bar && !to_stdout);
    const struct rejectd_transfer transfer = {
        .report = show_download,
        .context = &shown,
        .begun = note_tag,
        .retry_seconds = to_stdout || d->no_resume ? 0.0 : (double)d->retry_seconds,
    };
    enum rejectd_status status =
        rejectd_client_download(d->client, path, file, &transfer, downloaded, &error);
    bar_end(&shown.bar);
    if (shown.part != NULL && status != REJECTD_IO && status != REJECTD_UNAVAILABLE)
        shown.part->can_go_on = false;
    return status == REJECTD_OK ? CTL_OK : ctl_failure(&error);
}

static int download_to_stdout(struct download *d)
{
    struct rejectd_downloaded downloaded = {0};
    int code = fetch(d, 1, STDOUT_FILENO, &downloaded);
    if (code == CTL_OK && downloaded.n_parts > 1)
        code = ctl_usage("the recording is divided over %zu files, and this is the first only; "
                         "give a folder",
                         downloaded.n_parts);
    return code;
}

/* Makes room for the parts once their number is known. */
static int grow(struct download *d, size_t n_parts)
{
    if (n_parts > MAX_PARTS)
        return ctl_usage("the recording is divided over %zu files; %d are accepted", n_parts,
                         MAX_PARTS);
    struct part *parts = realloc(d->parts, n_parts * sizeof *parts);
    if (parts == NULL)
        return ctl_usage("no memory for the names of %zu files", n_parts);
    memset(parts + d->n_parts, 0, (n_parts - d->n_parts) * sizeof *parts);
    d->parts = parts;
    d->n_parts = n_parts;
    return CTL_OK;
}

/* The parts of a divided recording name each other, so that they need the server's names; a single
 * file may have any. */
static int choose_name(struct download *d, size_t part, const char *named)
{
    const char *name = named[0] != '\0' ? named : d->file->name;
    if (d->n_parts > 1 && named[0] == '\0')
        return ctl_usage("the server gives part %zu no name that can be used", part);
    if (d->n_parts > 1 && part == 1 && d->name[0] != '\0' && strcmp(d->name, named) != 0)
        return ctl_usage("the recording is divided over %zu files that name each other, so that "
                         "they cannot be called \"%s\"; give a folder, or a file %s",
                         d->n_parts, d->name, named);
    if (part == 1 && d->name[0] != '\0')
        name = d->name;
    char *final = d->parts[part - 1].final;
    return (size_t)snprintf(final, MAX_PATH, "%s%s", d->folder, name) < MAX_PATH
               ? CTL_OK
               : ctl_usage("%s%s: the name is too long", d->folder, name);
}

static int download_part(struct download *d, size_t part)
{
    struct rejectd_downloaded downloaded = {0};
    char *temporary = d->parts[part - 1].temporary;
    const char *name = d->name[0] != '\0' ? d->name : d->file->name;
    char suffix[32] = "";
    if (part > 1)
        snprintf(suffix, sizeof suffix, ".%zu", part);
    if ((size_t)snprintf(temporary, MAX_PATH, "%s%s%s.part", d->folder, name, suffix) >= MAX_PATH ||
        (size_t)snprintf(d->parts[part - 1].tag, MAX_PATH, "%s%s%s.part.etag", d->folder, name,
                         suffix) >= MAX_PATH) {
        temporary[0] = '\0';
        return ctl_usage("%s%s: the name is too long", d->folder, name);
    }
    if (!d->no_resume)
        read_tag(&d->parts[part - 1], downloaded.etag, sizeof downloaded.etag);
    d->parts[part - 1].can_go_on = downloaded.etag[0] != '\0';
    const int fresh = downloaded.etag[0] == '\0' ? O_TRUNC : 0;
    const int file = open(temporary, O_WRONLY | O_CREAT | O_CLOEXEC | fresh, 0666);
    if (file < 0 || lseek(file, 0, SEEK_END) < 0) {
        const int code = ctl_usage("%s: %s", temporary, strerror(errno));
        temporary[0] = '\0';
        return code;
    }
    int code = fetch(d, part, file, &downloaded);
    if (close(file) != 0 && code == CTL_OK)
        code = ctl_usage("%s: %s", temporary, strerror(errno));
    if (code == CTL_OK && part == 1)
        code = grow(d, downloaded.n_parts);
    return code == CTL_OK ? choose_name(d, part, downloaded.name) : code;
}

/* The first file appears last: who sees it finds the others. */
static int rename_all(struct download *d)
{
    for (size_t i = d->n_parts; i-- > 0;) {
        struct part *part = &d->parts[i];
        if (rename(part->temporary, part->final) != 0)
            return ctl_usage("%s: %s", part->final, strerror(errno));
        unlink(part->tag);
        part->temporary[0] = '\0';
    }
    return CTL_OK;
}

/* The names, where the command line does not have them all. */
static void print_names(const struct download *d)
{
    struct buffer text;
    buffer_init(&text, (size_t)MAX_PARTS * MAX_PATH * 2);
    for (size_t i = 0; i < d->n_parts; i++) {
        if (d->ctl->json) {
            buffer_append_text(&text, i == 0 ? "{\"files\": [" : ", ");
            json_append_string(&text, d->parts[i].final);
        } else {
            buffer_append_format(&text, "%s\n", d->parts[i].final);
        }
    }
    if (d->ctl->json)
        buffer_append_text(&text, "]}\n");
    if (!text.failed)
        fputs(text.data, stdout);
    buffer_free(&text);
}

/* Downloads into temporary files beside the targets and renames them when all are complete: no half
 * file is ever seen. */
static int download_to_files(struct download *d)
{
    int code = grow(d, 1);
    for (size_t part = 1; code == CTL_OK && part <= d->n_parts; part++)
        code = download_part(d, part);
    if (code == CTL_OK)
        code = rename_all(d);
    for (size_t i = 0; i < d->n_parts; i++)
        if (d->parts[i].temporary[0] != '\0' && d->parts[i].can_go_on) {
            ctl_usage("%s is not complete; the same command goes on with it",
                      d->parts[i].temporary);
        } else if (d->parts[i].temporary[0] != '\0') {
            unlink(d->parts[i].temporary);
            unlink(d->parts[i].tag);
        }
    if (code == CTL_OK && (d->name[0] == '\0' || d->n_parts > 1))
        print_names(d);
    free(d->parts);
    return code;
}

/* A file takes the place of what has its name: of a device or a pipe it must not, and of a link it
 * takes what the link leads to. */
static int follow_target(const char *named, char target[MAX_PATH], bool *is_folder)
{
    struct stat about;
    *is_folder = false;
    if ((size_t)snprintf(target, MAX_PATH, "%s", named) >= MAX_PATH - 1)
        return ctl_usage("%s: the name is too long", named);
    if (lstat(named, &about) != 0)
        return CTL_OK;
    if (S_ISLNK(about.st_mode) && (realpath(named, target) == NULL || stat(target, &about) != 0))
        return ctl_usage("%s: a link that leads nowhere: %s", named, strerror(errno));
    *is_folder = S_ISDIR(about.st_mode);
    return S_ISREG(about.st_mode) || *is_folder
               ? CTL_OK
               : ctl_usage("%s is no file or folder; - is standard output", named);
}

/* The folder and the name in it that the last argument means. */
static int split_target(struct download *d, const char *named)
{
    char target[MAX_PATH];
    bool is_folder;
    if (follow_target(named, target, &is_folder) != CTL_OK)
        return CTL_USAGE;
    const char *slash = strrchr(target, '/');
    if (is_folder) {
        const char *slash_after = target[strlen(target) - 1] == '/' ? "" : "/";
        return (size_t)snprintf(d->folder, MAX_PATH, "%s%s", target, slash_after) < MAX_PATH
                   ? CTL_OK
                   : ctl_usage("%s: the name is too long", target);
    }
    const size_t folder = slash == NULL ? 0 : (size_t)(slash + 1 - target);
    if (target[folder] == '\0')
        return ctl_usage("\"%s\" is not there, or no name of a file", target);
    snprintf(d->folder, sizeof d->folder, "%.*s", (int)folder, target);
    snprintf(d->name, sizeof d->name, "%s", target + folder);
    return CTL_OK;
}

/* -1: go on; else the exit code. */
static int take_options(struct download *d, int argc, char **argv)
{
    int option, code;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (ctl_common_option(d->ctl, &ctl_download, option, &code)) {
            if (code >= 0)
                return code;
        } else if (option == NO_RESUME) {
            d->no_resume = true;
        } else if (!ctl_parse_count("--retry", optarg, 1, CTL_MOST_RETRY_SECONDS,
                                    &d->retry_seconds)) {
            return CTL_USAGE;
        }
    }
    return argc - optind == 3
               ? -1
               : ctl_usage("download needs three arguments; see rejectctl download --help");
}

static int run_download(struct ctl *ctl, int argc, char **argv)
{
    struct download d = {.ctl = ctl, .retry_seconds = CTL_RETRY_SECONDS};
    char resource[128];
    int code = take_options(&d, argc, argv);
    if (code >= 0)
        return code;
    const char *id = argv[optind], *what = argv[optind + 1], *target = argv[optind + 2];
    const bool is_model = strncmp(id, "md_", 3) == 0;
    if ((strncmp(id, "jb_", 3) != 0 && !is_model) || !ctl_resource_path(id, resource))
        return ctl_usage("download needs the id of a job, jb_..., or of a model, md_...");
    if (is_model && strcmp(what, model_file.what) == 0)
        d.file = &model_file;
    for (size_t i = 0; i < sizeof files / sizeof files[0] && !is_model; i++)
        if (strcmp(what, files[i].what) == 0)
            d.file = &files[i];
    if (d.file == NULL)
        return ctl_usage("\"%s\" cannot be downloaded; see rejectctl download --help", what);
    snprintf(d.resource, sizeof d.resource, "%s/%s", resource, d.file->path);
    const bool to_stdout = strcmp(target, "-") == 0;
    struct rejectd_error error;
    if (!to_stdout && split_target(&d, target) != CTL_OK)
        return CTL_USAGE;
    if (ctl_open_client(ctl, &d.client, &error) != REJECTD_OK)
        return ctl_failure(&error);
    code = to_stdout ? download_to_stdout(&d) : download_to_files(&d);
    rejectd_client_close(d.client);
    return code;
}

const struct ctl_command ctl_download = {
    .name = "download",
    .summary = "save a job's result, labels, reject log or cleaned epochs, or a model",
    .help = "usage: rejectctl download JOB|MODEL WHAT FILE|FOLDER\n\n"
            "WHAT is one of\n"
            "  result             JSON\n"
            "  labels             of a fit or apply, .npy\n"
            "  reject_log.npz     the same as autoreject's read_reject_log() reads it\n"
            "  cleaned            epochs that were repaired, .npy\n"
            "  cleaned-epo.fif    the same as MNE-Python reads it, of datasets that came as FIF;\n"
            "                     large recordings are several files beside each other\n"
            "  cleaned.set        the same as EEGLAB reads it\n"
            "  correlations.npy   of RANSAC, epochs x channels\n"
            "  model.h5           of a MODEL, as autoreject's read_auto_reject() reads it\n\n"
            "In a FOLDER, files have the names the server gives, and are listed. FILE - is\n"
            "standard output. Files appear under their names only when all are complete; until\n"
            "then they are NAME.part, which the same command goes on with.\n\n"
            "  --retry SECONDS    what breaks off goes on where it was, until nothing more came\n"
            "                     across for so long (120)\n"
            "  --no-resume        it doesn't, and what an earlier call left is not gone on with\n\n"
            "examples:\n"
            "  rejectctl download jb_abc cleaned-epo.fif sub-01\n"
            "  rejectctl download jb_abc reject_log.npz sub-01-reject_log.npz\n"
            "  rejectctl download jb_abc result - | jq .bad_epochs\n",
    .run = run_download,
};
