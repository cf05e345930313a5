/*
 * TLS: the certificate and its key, which may be replaced while connections go on.
 *
 * A connection keeps the identity it was greeted with until it is closed; the last one that lets
 * go of a superseded identity frees it. All functions may be called by several threads at once.
 */
#ifndef SERVER_HTTP_TLS_H
#define SERVER_HTTP_TLS_H

#include <gnutls/abstract.h>
#include <rejectd/error.h>

struct tls;
struct tls_identity; /* a certificate, its chain, and the key */

/* TLS 1.2 and 1.3, no others. */
extern const char tls_priorities[];

/*
 * Reads the PEM files: the certificate with the chain below it, and its key, which nobody but its
 * owner and group may be able to read. Errors name the setting, tls-certificate or tls-key.
 * *tls is owned by the caller: tls_close().
 */
enum rejectd_status tls_open(const char *certificate, const char *key, struct tls **tls,
                             struct rejectd_error *error);
void tls_close(struct tls *tls); /* when no connection is left; NULL is allowed */

/* Reads the files again. After an error the old identity goes on. */
enum rejectd_status tls_reload(struct tls *tls, struct rejectd_error *error);

/* When the present certificate ends: seconds since 1970. */
int64_t tls_expiry(struct tls *tls);

/* The present identity; to be given back. */
struct tls_identity *tls_take(struct tls *tls);
void tls_give(struct tls *tls, struct tls_identity *identity); /* NULL is allowed */

/* What GnuTLS wants of it; valid until it is given back. */
void tls_identity_show(struct tls_identity *identity, gnutls_pcert_st **chain, unsigned *length,
                       gnutls_privkey_t *key);

#endif
