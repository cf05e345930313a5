#include "server/http/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MOST_FILE_BYTES = 1 << 20,
    MOST_CHAIN = 16,
    MOST_KEY_ID = 64,
};

const char tls_priorities[] = "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%SERVER_PRECEDENCE";

static const char certificate_setting[] = "tls-certificate";
static const char key_setting[] = "tls-key";

struct tls_identity {
    size_t n_users; /* under the lock of its tls */
    gnutls_pcert_st chain[MOST_CHAIN];
    unsigned length;
    gnutls_privkey_t key;
    int64_t expiry;
};

struct tls {
    char *certificate_path;
    char *key_path;
    pthread_mutex_t lock;
    struct tls_identity *present; /* of which this is a user */
};

static void identity_free(struct tls_identity *identity)
{
    if (identity == NULL) {
        return;
    }
    for (unsigned i = 0; i < identity->length; i++) {
        gnutls_pcert_deinit(&identity->chain[i]);
    }
    if (identity->key != NULL) {
        gnutls_privkey_deinit(identity->key);
    }
    free(identity);
}

/* ---- files ---- */

static enum rejectd_status fail_file(const char *setting, const char *path, const char *why,
                                     struct rejectd_error *error)
{
    return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, setting, "%s: %.200s %s", setting, path, why);
}

static enum rejectd_status check_file(const char *setting, const char *path,
                                      const struct stat *about, struct rejectd_error *error)
{
    if (!S_ISREG(about->st_mode) || about->st_size > MOST_FILE_BYTES) {
        return fail_file(setting, path, "is no PEM file", error);
    }
    if (setting == key_setting && (about->st_mode & 037) != 0) {
        return fail_file(setting, path,
                         "can be read or changed by others; accepted are the modes 0600, 0640 "
                         "and 0400",
                         error);
    }
    return REJECTD_OK;
}

/* The whole of a file; data->data is to be freed. */
static enum rejectd_status read_pem(const char *setting, const char *path, gnutls_datum_t *data,
                                    struct rejectd_error *error)
{
    struct stat about;
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *data = (gnutls_datum_t){0};
    if (file < 0 || fstat(file, &about) != 0) {
        const int number = errno;
        if (file >= 0) {
            close(file);
        }
        return fail_file(setting, path, strerror(number), error);
    }
    enum rejectd_status status = check_file(setting, path, &about, error);
    if (status == REJECTD_OK) {
        data->data = malloc((size_t)about.st_size + 1);
        if (data->data == NULL) {
            status = REJECTD_FAIL_MEMORY(error, (size_t)about.st_size);
        }
    }
    if (status == REJECTD_OK) {
        const ssize_t n = read(file, data->data, (size_t)about.st_size);
        data->size = n > 0 ? (unsigned)n : 0;
        if (n <= 0) {
            status = fail_file(setting, path, n == 0 ? "is empty" : strerror(errno), error);
        }
    }
    close(file);
    return status;
}

/* Keys don't stay in freed memory. */
static void forget(gnutls_datum_t *data)
{
    if (data->data != NULL) {
        gnutls_memset(data->data, 0, data->size);
        free(data->data);
    }
}

/* ---- identities ---- */

static enum rejectd_status read_chain(const char *path, struct tls_identity *identity,
                                      struct rejectd_error *error)
{
    gnutls_datum_t pem;
    enum rejectd_status status = read_pem(certificate_setting, path, &pem, error);
    if (status == REJECTD_OK) {
        unsigned length = MOST_CHAIN;
        const int failed =
            gnutls_pcert_list_import_x509_raw(identity->chain, &length, &pem, GNUTLS_X509_FMT_PEM,
                                              GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED);
        if (failed == 0) {
            identity->length = length;
        } else {
            status = fail_file(certificate_setting, path, gnutls_strerror(failed), error);
        }
    }
    forget(&pem);
    gnutls_x509_crt_t first;
    if (status == REJECTD_OK && gnutls_x509_crt_init(&first) == 0) {
        if (gnutls_x509_crt_import(first, &identity->chain[0].cert, GNUTLS_X509_FMT_DER) == 0) {
            identity->expiry = (int64_t)gnutls_x509_crt_get_expiration_time(first);
        }
        gnutls_x509_crt_deinit(first);
    }
    return status;
}

static enum rejectd_status read_key(const char *path, struct tls_identity *identity,
                                    struct rejectd_error *error)
{
    gnutls_datum_t pem;
    enum rejectd_status status = read_pem(key_setting, path, &pem, error);
    if (status == REJECTD_OK) {
        int failed = gnutls_privkey_init(&identity->key);
        if (failed == 0) {
            failed =
                gnutls_privkey_import_x509_raw(identity->key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
        }
        if (failed != 0) {
            status = fail_file(key_setting, path, gnutls_strerror(failed), error);
        }
    }
    forget(&pem);
    return status;
}

/* The key belongs to the certificate. */
static bool belong_together(const struct tls_identity *identity)
{
    unsigned char of_certificate[MOST_KEY_ID];
    unsigned char of_key[MOST_KEY_ID];
    size_t n_certificate = sizeof of_certificate;
    size_t n_key = sizeof of_key;
    gnutls_pubkey_t public;
    if (gnutls_pubkey_init(&public) != 0) {
        return false;
    }
    const bool same =
        gnutls_pubkey_import_privkey(public, identity->key, 0, 0) == 0 &&
        gnutls_pubkey_get_key_id(public, GNUTLS_KEYID_USE_SHA256, of_key, &n_key) == 0 &&
        gnutls_pubkey_get_key_id(identity->chain[0].pubkey, GNUTLS_KEYID_USE_SHA256, of_certificate,
                                 &n_certificate) == 0 &&
        n_key == n_certificate && memcmp(of_key, of_certificate, n_key) == 0;
    gnutls_pubkey_deinit(public);
    return same;
}

static enum rejectd_status identity_read(const struct tls *tls, struct tls_identity **identity,
                                         struct rejectd_error *error)
{
    *identity = NULL;
    struct tls_identity *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    made->n_users = 1;
    enum rejectd_status status = read_chain(tls->certificate_path, made, error);
    if (status == REJECTD_OK) {
        status = read_key(tls->key_path, made, error);
    }
    if (status == REJECTD_OK && !belong_together(made)) {
        status = fail_file(key_setting, tls->key_path,
                           "is not the key of the certificate in tls-certificate", error);
    }
    if (status != REJECTD_OK) {
        identity_free(made);
        return status;
    }
    *identity = made;
    return REJECTD_OK;
}

/* ---- all of it ---- */

enum rejectd_status tls_open(const char *certificate, const char *key, struct tls **tls,
                             struct rejectd_error *error)
{
    *tls = NULL;
    struct tls *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, sizeof *made);
    }
    pthread_mutex_init(&made->lock, NULL);
    made->certificate_path = strdup(certificate);
    made->key_path = strdup(key);
    enum rejectd_status status = REJECTD_OK;
    if (made->certificate_path == NULL || made->key_path == NULL) {
        status = REJECTD_FAIL_MEMORY(error, strlen(certificate) + strlen(key));
    }
    if (status == REJECTD_OK) {
        status = identity_read(made, &made->present, error);
    }
    if (status != REJECTD_OK) {
        tls_close(made);
        return status;
    }
    *tls = made;
    return REJECTD_OK;
}

void tls_close(struct tls *tls)
{
    if (tls == NULL) {
        return;
    }
    identity_free(tls->present);
    pthread_mutex_destroy(&tls->lock);
    free(tls->certificate_path);
    free(tls->key_path);
    free(tls);
}

enum rejectd_status tls_reload(struct tls *tls, struct rejectd_error *error)
{
    struct tls_identity *read = NULL;
    const enum rejectd_status status = identity_read(tls, &read, error);
    if (status == REJECTD_OK) {
        pthread_mutex_lock(&tls->lock);
        struct tls_identity *before = tls->present;
        tls->present = read;
        pthread_mutex_unlock(&tls->lock);
        tls_give(tls, before);
    }
    return status;
}

int64_t tls_expiry(struct tls *tls)
{
    pthread_mutex_lock(&tls->lock);
    const int64_t expiry = tls->present->expiry;
    pthread_mutex_unlock(&tls->lock);
    return expiry;
}

struct tls_identity *tls_take(struct tls *tls)
{
    pthread_mutex_lock(&tls->lock);
    struct tls_identity *identity = tls->present;
    identity->n_users++;
    pthread_mutex_unlock(&tls->lock);
    return identity;
}

void tls_give(struct tls *tls, struct tls_identity *identity)
{
    if (identity == NULL) {
        return;
    }
    pthread_mutex_lock(&tls->lock);
    const bool last = --identity->n_users == 0;
    pthread_mutex_unlock(&tls->lock);
    if (last) {
        identity_free(identity);
    }
}

void tls_identity_show(struct tls_identity *identity, gnutls_pcert_st **chain, unsigned *length,
                       gnutls_privkey_t *key)
{
    *chain = identity->chain;
    *length = identity->length;
    *key = identity->key;
}
