#include "server/commands/token.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/clock.h"
#include "server/config.h"
#include "server/data_dir.h"
#include "server/identity/token.h"

static const char usage[] =
    "usage: rejectd token add --user NAME [--role user|admin] [--days N]\n"
    "       rejectd token list\n"
    "       rejectd token revoke ID\n"
    "       rejectd token rotate ID\n"
    "\n"
    "Tokens are what clients send as \"Authorization: Bearer TOKEN\". A new one is printed once, "
    "on\n"
    "stdout, and cannot be shown again. Before the first one is made, the daemon serves only this\n"
    "machine, and without asking who it is; from then on everybody needs one.\n"
    "\n"
    "  --user NAME   whose it is: 1 to 64 of a-z, 0-9, and . _ @ -\n"
    "  --role ROLE   user (the default): sees what is theirs or the lab's; admin: everything\n"
    "  --days N      how long it is valid; forever without\n"
    "  rotate        makes another token for the same user, and revokes the old one\n"
    "\n"
    "--data-dir, --config and $REJECTD_DATA_DIR say which daemon's tokens, as for rejectd.\n";

/* What the command line says; the settings' flags are left for config_load(). */
struct wish {
    const char *action;
    const char *id;
    const char *user;
    const char *role;
    const char *days;
    char **rest; /* [n_rest], as an argv; owned */
    int n_rest;
};

/* The value of "--name=value" or "--name value", advancing *index; NULL when it's another one. */
static const char *flag_value(int argc, char **argv, int *index, const char *name)
{
    const size_t length = strlen(name);
    if (strncmp(argv[*index], name, length) != 0) {
        return NULL;
    }
    if (argv[*index][length] == '=') {
        return argv[*index] + length + 1;
    }
    return argv[*index][length] == '\0' && *index + 1 < argc ? argv[++*index] : NULL;
}

static bool take_flag(int argc, char **argv, int *index, struct wish *wish)
{
    const struct {
        const char *name;
        const char **value;
    } flags[] = {{"--user", &wish->user}, {"--role", &wish->role}, {"--days", &wish->days}};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        const char *value = flag_value(argc, argv, index, flags[i].name);
        if (value != NULL) {
            *flags[i].value = value;
            return true;
        }
    }
    return false;
}

static void read_wish(int argc, char **argv, struct wish *wish)
{
    wish->rest[wish->n_rest++] = argv[0];
    for (int i = 1; i < argc; i++) {
        if (take_flag(argc, argv, &i, wish)) {
            continue;
        }
        if (argv[i][0] != '-' && wish->action == NULL) {
            wish->action = argv[i];
        } else if (argv[i][0] != '-' && wish->id == NULL) {
            wish->id = argv[i];
        } else {
            wish->rest[wish->n_rest++] = argv[i];
            const bool separate = argv[i][0] == '-' && strchr(argv[i], '=') == NULL &&
                                  strcmp(argv[i], "--help") != 0 && i + 1 < argc;
            if (separate) {
                wish->rest[wish->n_rest++] = argv[++i];
            }
        }
    }
    wish->rest[wish->n_rest] = NULL;
}

static enum rejectd_status open_store(const struct config *config, struct store **store,
                                      struct rejectd_error *error)
{
    enum rejectd_status status = data_dir_make(config->data_dir, error);
    if (status == REJECTD_OK) {
        status = data_dir_become_owner(config->data_dir, error);
    }
    return status == REJECTD_OK ? data_dir_open_store(config->data_dir, store, error) : status;
}

/* ---- actions ---- */

static enum rejectd_status insert(struct store *store, struct store_token *token,
                                  struct rejectd_error *error)
{
    char text[TOKEN_TEXT_SIZE];
    token_make(token, text);
    token->created_at = clock_milliseconds();
    const enum rejectd_status status = store->functions->token_insert(store, token, error);
    if (status == REJECTD_OK) {
        puts(text);
        fprintf(stderr, "token %s for %s (%s); it cannot be shown again\n", token->id, token->user,
                token->admin ? "admin" : "user");
    }
    sodium_memzero(text, sizeof text);
    return status;
}

static enum rejectd_status add(struct store *store, const struct wish *wish,
                               struct rejectd_error *error)
{
    static const int64_t day = INT64_C(24) * 60 * 60 * 1000;
    enum { MOST_DAYS = 36500 };
    struct store_token token = {0};
    const char *role = wish->role == NULL ? "user" : wish->role;
    if (wish->user == NULL || !user_name_is_valid(wish->user)) {
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "user",
                            "--user is %s%.64s; accepted: " USER_NAME_ACCEPTED,
                            wish->user == NULL ? "missing" : "",
                            wish->user == NULL ? "" : wish->user);
    }
    token.admin = strcmp(role, "admin") == 0;
    if (!token.admin && strcmp(role, "user") != 0) {
        return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "role",
                            "--role is \"%.64s\"; accepted: user|admin", role);
    }
    if (wish->days != NULL) {
        char *end = NULL;
        errno = 0;
        const long days = strtol(wish->days, &end, 10);
        if (end == wish->days || *end != '\0' || errno != 0 || days < 1 || days > MOST_DAYS) {
            return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "days",
                                "--days is \"%.40s\"; accepted: an integer from 1 to %d",
                                wish->days, MOST_DAYS);
        }
        token.expires_at = clock_milliseconds() + days * day;
    }
    memcpy(token.user, wish->user, strlen(wish->user) + 1);
    return insert(store, &token, error);
}

static void show_day(int64_t time, char out[CLOCK_TEXT_SIZE])
{
    enum { DATE = 10 };
    clock_text(time, out);
    out[time == 0 ? 0 : DATE] = '\0';
}

static enum rejectd_status list(struct store *store, struct rejectd_error *error)
{
    struct store_token *tokens = NULL;
    size_t n_tokens = 0;
    const int64_t now = clock_milliseconds();
    const enum rejectd_status status =
        store->functions->token_list(store, &tokens, &n_tokens, error);
    printf("%-18s %-24s %-6s %-11s %-11s %s\n", "id", "user", "role", "created", "expires",
           "state");
    for (size_t i = 0; i < n_tokens; i++) {
        const struct store_token *token = &tokens[i];
        char created[CLOCK_TEXT_SIZE];
        char expires[CLOCK_TEXT_SIZE];
        show_day(token->created_at, created);
        show_day(token->expires_at, expires);
        const char *state = token->revoked_at != 0 ? "revoked" : "expired";
        printf("%-18s %-24s %-6s %-11s %-11s %s\n", token->id, token->user,
               token->admin ? "admin" : "user", created, expires,
               token_is_valid(token, now) ? "valid" : state);
    }
    free(tokens);
    return status;
}

static enum rejectd_status rotate(struct store *store, const char *id, struct rejectd_error *error)
{
    struct store_token token;
    const int64_t now = clock_milliseconds();
    enum rejectd_status status = store->functions->token_get(store, id, &token, error);
    if (status == REJECTD_OK && !token_is_valid(&token, now)) {
        status = REJECTD_FAIL(error, REJECTD_CONFLICT, "", "token %.20s isn't valid any more", id);
    }
    if (status == REJECTD_OK) {
        status = insert(store, &token, error);
    }
    return status == REJECTD_OK ? store->functions->token_revoke(store, id, now, error) : status;
}

static enum rejectd_status act(struct store *store, const struct wish *wish,
                               struct rejectd_error *error)
{
    if (strcmp(wish->action, "add") == 0) {
        return add(store, wish, error);
    }
    if (strcmp(wish->action, "list") == 0) {
        return list(store, error);
    }
    return strcmp(wish->action, "revoke") == 0
               ? store->functions->token_revoke(store, wish->id, clock_milliseconds(), error)
               : rotate(store, wish->id, error);
}

static bool is_complete(const struct wish *wish)
{
    static const char *const with_id[] = {"revoke", "rotate"};
    for (size_t i = 0; wish->action != NULL && i < 2; i++) {
        if (strcmp(wish->action, with_id[i]) == 0) {
            return wish->id != NULL;
        }
    }
    return wish->action != NULL && wish->id == NULL &&
           (strcmp(wish->action, "add") == 0 || strcmp(wish->action, "list") == 0);
}

enum rejectd_status token_command(int argc, char **argv, char *const *environment,
                                  struct rejectd_error *error)
{
    struct wish wish = {.rest = calloc((size_t)argc + 1, sizeof(char *))};
    struct config config;
    struct store *store = NULL;
    enum config_action action = CONFIG_RUN;
    if (wish.rest == NULL) {
        return REJECTD_FAIL_MEMORY(error, (size_t)argc * sizeof(char *));
    }
    read_wish(argc, argv, &wish);
    enum rejectd_status status =
        config_load(wish.n_rest, wish.rest, environment, &config, &action, error);
    if (status == REJECTD_OK && action == CONFIG_HELP) {
        fputs(usage, stdout);
        goto cleanup;
    }
    if (status == REJECTD_OK && !is_complete(&wish)) {
        fputs(usage, stderr);
        status = REJECTD_FAIL(error, REJECTD_INVALID_VALUE, "", "no such token command");
    }
    if (status == REJECTD_OK) {
        status = open_store(&config, &store, error);
    }
    if (status == REJECTD_OK) {
        status = act(store, &wish, error);
    }
cleanup:
    if (store != NULL) {
        store->functions->close(store);
    }
    free(wish.rest);
    return status;
}
