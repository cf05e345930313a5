#include "server/http/authorize.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "server/clock.h"
#include "server/http/addresses.h"
#include "server/identity/token.h"

/* ---- this machine ---- */

/* "localhost", "127.0.0.1", "[::1]", with or without a port. */
static bool names_loopback(const char *host)
{
    char name[64];
    struct in_addr four;
    const bool bracketed = host[0] == '[';
    const size_t length = bracketed ? strcspn(host, "]") : strcspn(host, ":");
    const char *port = host + length + (bracketed && host[length] == ']' ? 1 : 0);
    const bool is_port = port[0] == ':' && port[1 + strspn(port + 1, "0123456789")] == '\0';
    if (length >= sizeof name || (port[0] != '\0' && !is_port)) {
        return false;
    }
    memcpy(name, host, length);
    name[length] = '\0';
    if (bracketed) {
        return strcmp(name, "[::1") == 0 && host[length] == ']';
    }
    return strcasecmp(name, "localhost") == 0 ||
           (inet_pton(AF_INET, name, &four) == 1 && ntohl(four.s_addr) >> 24 == 127);
}

static bool passed_on(const struct request *request)
{
    static const char *const marks[] = {"X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        if (request_header(request, marks[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static bool is_local(const struct request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const char *host = request_header(request, "Host");
    if (info == NULL || info->client_addr == NULL) {
        return false;
    }
    const struct address client = address_of(info->client_addr);
    return address_is_loopback(&client) && (host == NULL || names_loopback(host)) &&
           !passed_on(request);
}

/* ---- who ---- */

static enum rejectd_status fail_unknown(struct rejectd_error *error)
{
    return REJECTD_FAIL(error, REJECTD_UNAUTHENTICATED, "Authorization",
                        "the token isn't valid; accepted: \"Bearer\" and a token that was made by "
                        "\"rejectd token add\" and has neither expired nor been revoked");
}

static enum rejectd_status identify(struct store *store, const char *text,
                                    struct principal *principal, struct rejectd_error *error)
{
    struct store_token token;
    char id[STORE_TOKEN_ID_SIZE];
    if (!token_read_id(text, id)) {
        return fail_unknown(error);
    }
    const enum rejectd_status status = store->functions->token_get(store, id, &token, error);
    if (status == REJECTD_NOT_FOUND) {
        return fail_unknown(error);
    }
    if (status != REJECTD_OK) {
        return status;
    }
    if (!token_fits(&token, text) || !token_is_valid(&token, clock_milliseconds())) {
        return fail_unknown(error);
    }
    principal->known = true;
    principal->admin = token.admin;
    memcpy(principal->user, token.user, sizeof principal->user);
    return REJECTD_OK;
}

static enum rejectd_status identify_local(const struct request *request,
                                          struct principal *principal, struct rejectd_error *error)
{
    if (is_local(request)) {
        principal->known = true;
        principal->admin = true;
        return REJECTD_OK;
    }
    return REJECTD_FAIL(error, REJECTD_UNAUTHENTICATED, "Authorization",
                        "no token was made yet, so only this machine is served, under the name "
                        "localhost; \"rejectd token add --user NAME\" makes one");
}

static enum rejectd_status authenticate(const struct request *request, struct principal *principal,
                                        struct rejectd_error *error)
{
    static const char scheme[] = "Bearer ";
    struct store *store = request->service->store;
    const char *header = request_header(request, "Authorization");
    enum rejectd_status status = REJECTD_UNAUTHENTICATED;
    /* A token that is good answers whether there are any, too: one look at the store for most. */
    if (header != NULL && strncasecmp(header, scheme, sizeof scheme - 1) == 0) {
        status = identify(store, header + sizeof scheme - 1, principal, error);
    }
    if (status != REJECTD_UNAUTHENTICATED) {
        return status;
    }
    bool any = true;
    status = store->functions->token_any(store, &any, error);
    if (status != REJECTD_OK) {
        return status;
    }
    if (!any) {
        return identify_local(request, principal, error);
    }
    if (header == NULL) {
        return REJECTD_FAIL(error, REJECTD_UNAUTHENTICATED, "Authorization",
                            "there is no token; send the header \"Authorization: Bearer TOKEN\"");
    }
    return fail_unknown(error);
}

/* ---- what ---- */

static enum rejectd_status look_up(struct store *store, const struct principal *principal,
                                   const char *id, struct ownership *ownership,
                                   struct rejectd_error *error)
{
    struct store_viewer viewer;
    return store->functions->ownership_get(store, principal_viewer(principal, &viewer), id,
                                           ownership, error);
}

static bool only_looks(const struct request *request)
{
    return strcmp(request->route->method, "GET") == 0 ||
           strcmp(request->route->method, "HEAD") == 0;
}

static enum rejectd_status check_resource(const struct request *request,
                                          const struct principal *principal,
                                          struct rejectd_error *error)
{
    struct ownership ownership;
    const enum rejectd_status status =
        look_up(request->service->store, principal, request->id, &ownership, error);
    if (status != REJECTD_OK || only_looks(request) || principal_owns(principal, &ownership)) {
        return status;
    }
    return REJECTD_FAIL(error, REJECTD_FORBIDDEN, "",
                        "%s belongs to another user, who lets you see it, not change it",
                        request->id);
}

static enum rejectd_status let_in(const struct request *request, struct principal *principal,
                                  struct rejectd_error *error)
{
    const struct route *route = request->route;
    if (route->access == ACCESS_OPEN || (route->access == ACCESS_LOCAL && is_local(request))) {
        return REJECTD_OK;
    }
    const bool for_admins = route->access == ACCESS_ADMIN || route->access == ACCESS_LOCAL;
    enum rejectd_status status = authenticate(request, principal, error);
    if (status == REJECTD_OK && for_admins && !principal->admin) {
        status = REJECTD_FAIL(error, REJECTD_FORBIDDEN, "", "this is for administrators");
    }
    if (status == REJECTD_OK && request->id[0] != '\0') {
        status = check_resource(request, principal, error);
    }
    return status;
}

enum rejectd_status authorize(struct request *request, struct rejectd_error *error)
{
    return let_in(request, &request->principal, error);
}

enum rejectd_status authorize_again(const struct request *request, struct rejectd_error *error)
{
    struct principal principal = {0};
    return let_in(request, &principal, error);
}

enum rejectd_status authorize_use(const struct request *request, const char *id, const char *field,
                                  struct rejectd_error *error)
{
    struct ownership ownership;
    const enum rejectd_status status =
        look_up(request->service->store, &request->principal, id, &ownership, error);
    if (status == REJECTD_NOT_FOUND && error != NULL) {
        snprintf(error->field, sizeof error->field, "%s", field);
    }
    return status;
}
