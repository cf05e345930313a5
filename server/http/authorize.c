#include "server/http/authorize.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "server/clock.h"
#include "server/identity/token.h"

/* ---- this machine ---- */

static bool is_loopback4(uint32_t address)
{
    return ntohl(address) >> 24 == 127;
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)address;
        return is_loopback4(four->sin_addr.s_addr);
    }
    if (address->sa_family == AF_INET6) {
        const struct in6_addr *six =
            &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
        uint32_t mapped;
        memcpy(&mapped, &six->s6_addr[12], sizeof mapped);
        return IN6_IS_ADDR_LOOPBACK(six) || (IN6_IS_ADDR_V4MAPPED(six) && is_loopback4(mapped));
    }
    return address->sa_family == AF_UNIX;
}

/* "localhost", "127.0.0.1", "[::1]", with or without a port. */
static bool names_loopback(const char *host)
{
    char name[64];
    struct in_addr four;
    const bool bracketed = host[0] == '[';
    const size_t length = bracketed ? strcspn(host, "]") : strcspn(host, ":");
    if (length >= sizeof name) {
        return false;
    }
    memcpy(name, host, length);
    name[length] = '\0';
    if (bracketed) {
        return strcmp(name, "[::1") == 0;
    }
    return strcasecmp(name, "localhost") == 0 ||
           (inet_pton(AF_INET, name, &four) == 1 && is_loopback4(four.s_addr));
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
    return info != NULL && info->client_addr != NULL && is_loopback(info->client_addr) &&
           (host == NULL || names_loopback(host)) && !passed_on(request);
}

/* ---- who ---- */

static enum rejectd_status fail_unknown(struct rejectd_error *error)
{
    return REJECTD_FAIL(error, REJECTD_UNAUTHENTICATED, "Authorization",
                        "the token isn't valid; accepted: \"Bearer\" and a token that was made by "
                        "\"rejectd token add\" and has neither expired nor been revoked");
}

static enum rejectd_status identify(struct request *request, const char *text,
                                    struct rejectd_error *error)
{
    struct store *store = request->service->store;
    struct principal *principal = &request->principal;
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

static enum rejectd_status identify_local(struct request *request, struct rejectd_error *error)
{
    if (is_local(request)) {
        request->principal.known = true;
        request->principal.admin = true;
        return REJECTD_OK;
    }
    return REJECTD_FAIL(error, REJECTD_UNAUTHENTICATED, "Authorization",
                        "no token was made yet, so only this machine is served, under the name "
                        "localhost; \"rejectd token add --user NAME\" makes one");
}

static enum rejectd_status authenticate(struct request *request, struct rejectd_error *error)
{
    static const char scheme[] = "Bearer ";
    struct store *store = request->service->store;
    const char *header = request_header(request, "Authorization");
    enum rejectd_status status = REJECTD_UNAUTHENTICATED;
    /* A token that is good answers whether there are any, too: one look at the store for most. */
    if (header != NULL && strncasecmp(header, scheme, sizeof scheme - 1) == 0) {
        status = identify(request, header + sizeof scheme - 1, error);
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
        return identify_local(request, error);
    }
    if (header == NULL) {
        return REJECTD_FAIL(error, REJECTD_UNAUTHENTICATED, "Authorization",
                            "there is no token; send the header \"Authorization: Bearer TOKEN\"");
    }
    return fail_unknown(error);
}

/* ---- what ---- */

static enum rejectd_status look_up(const struct request *request, const char *id,
                                   struct ownership *ownership, struct rejectd_error *error)
{
    static const char *const kinds[][2] = {{"ds_", "dataset"}, {"jb_", "job"}, {"md_", "model"}};
    struct store *store = request->service->store;
    const enum rejectd_status status = store->functions->ownership_get(store, id, ownership, error);
    if (status != REJECTD_OK || principal_sees(&request->principal, ownership)) {
        return status;
    }
    const char *kind = "resource";
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        kind = strncmp(id, kinds[i][0], 3) == 0 ? kinds[i][1] : kind;
    }
    return REJECTD_FAIL(error, REJECTD_NOT_FOUND, "", "there is no %s %.40s", kind, id);
}

static enum rejectd_status check_resource(const struct request *request,
                                          struct rejectd_error *error)
{
    struct ownership ownership;
    const enum rejectd_status status = look_up(request, request->id, &ownership, error);
    if (status != REJECTD_OK || strcmp(request->route->method, "GET") == 0 ||
        principal_owns(&request->principal, &ownership)) {
        return status;
    }
    return REJECTD_FAIL(error, REJECTD_FORBIDDEN, "",
                        "%s belongs to another user, who lets you see it, not change it",
                        request->id);
}

enum rejectd_status authorize(struct request *request, struct rejectd_error *error)
{
    const struct route *route = request->route;
    if (route->access == ACCESS_OPEN || (route->access == ACCESS_LOCAL && is_local(request))) {
        return REJECTD_OK;
    }
    const bool for_admins = route->access == ACCESS_ADMIN || route->access == ACCESS_LOCAL;
    enum rejectd_status status = authenticate(request, error);
    if (status == REJECTD_OK && for_admins && !request->principal.admin) {
        status = REJECTD_FAIL(error, REJECTD_FORBIDDEN, "", "this is for administrators");
    }
    if (status == REJECTD_OK && request->id[0] != '\0') {
        status = check_resource(request, error);
    }
    return status;
}

enum rejectd_status authorize_use(const struct request *request, const char *id, const char *field,
                                  struct rejectd_error *error)
{
    struct ownership ownership;
    const enum rejectd_status status = look_up(request, id, &ownership, error);
    if (status == REJECTD_NOT_FOUND && error != NULL) {
        snprintf(error->field, sizeof error->field, "%s", field);
    }
    return status;
}
