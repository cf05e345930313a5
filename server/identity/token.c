#include "server/identity/token.h"

#include <sodium.h>
#include <string.h>

enum {
    SECRET_BYTES = 32,
    SECRET_CHARACTERS = 43, /* base64 without padding */
    ID_CHARACTERS = STORE_TOKEN_ID_SIZE - 1,
};

static const char prefix[] = "rjd_";
static const char id_alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";
static const char secret_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static const char *secret_of(const char *text)
{
    return text + sizeof prefix - 1 + ID_CHARACTERS + 1;
}

/* The secret has so many random bits that a fast hash without salt can't be searched. */
static void hash_secret(const char *secret, unsigned char hash[STORE_TOKEN_HASH_BYTES])
{
    crypto_generichash(hash, STORE_TOKEN_HASH_BYTES, (const unsigned char *)secret,
                       SECRET_CHARACTERS, NULL, 0);
}

void token_make(struct store_token *token, char text[TOKEN_TEXT_SIZE])
{
    unsigned char secret[SECRET_BYTES];
    char *out = text + sizeof prefix - 1;
    memcpy(text, prefix, sizeof prefix - 1);
    for (int i = 0; i < ID_CHARACTERS; i++) {
        out[i] = id_alphabet[randombytes_uniform(sizeof id_alphabet - 1)];
    }
    memcpy(token->id, out, ID_CHARACTERS);
    token->id[ID_CHARACTERS] = '\0';
    out[ID_CHARACTERS] = '_';
    randombytes_buf(secret, sizeof secret);
    sodium_bin2base64(out + ID_CHARACTERS + 1, SECRET_CHARACTERS + 1, secret, sizeof secret,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(secret, sizeof secret);
    hash_secret(secret_of(text), token->hash);
}

bool token_read_id(const char *text, char id[STORE_TOKEN_ID_SIZE])
{
    const char *rest = text + sizeof prefix - 1;
    if (strncmp(text, prefix, sizeof prefix - 1) != 0 ||
        strspn(rest, id_alphabet) != ID_CHARACTERS || rest[ID_CHARACTERS] != '_' ||
        strspn(rest + ID_CHARACTERS + 1, secret_alphabet) != SECRET_CHARACTERS ||
        rest[ID_CHARACTERS + 1 + SECRET_CHARACTERS] != '\0') {
        return false;
    }
    memcpy(id, rest, ID_CHARACTERS);
    id[ID_CHARACTERS] = '\0';
    return true;
}

bool token_fits(const struct store_token *token, const char *text)
{
    unsigned char hash[STORE_TOKEN_HASH_BYTES];
    hash_secret(secret_of(text), hash);
    return sodium_memcmp(hash, token->hash, sizeof hash) == 0;
}

bool token_is_valid(const struct store_token *token, int64_t now)
{
    return token->revoked_at == 0 && (token->expires_at == 0 || now < token->expires_at);
}
