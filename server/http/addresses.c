#include "server/http/addresses.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

struct address address_of(const struct sockaddr *socket_address)
{
    struct address address = {{0}};
    if (socket_address->sa_family == AF_INET6) {
        struct sockaddr_in6 six;
        memcpy(&six, socket_address, sizeof six);
        memcpy(address.bytes, &six.sin6_addr, sizeof address.bytes);
    } else if (socket_address->sa_family == AF_INET) {
        struct sockaddr_in four;
        memcpy(&four, socket_address, sizeof four);
        memcpy(address.bytes, mapped, sizeof mapped);
        memcpy(address.bytes + sizeof mapped, &four.sin_addr, 4);
    }
    return address;
}

struct address address_site(const struct address *address)
{
    struct address site = *address;
    if (memcmp(address->bytes, mapped, sizeof mapped) != 0) {
        memset(site.bytes + 8, 0, 8);
    }
    return site;
}

bool address_is_loopback(const struct address *address)
{
    static const unsigned char six[16] = {[15] = 1};
    return memcmp(address->bytes, six, sizeof six) == 0 ||
           (memcmp(address->bytes, mapped, sizeof mapped) == 0 &&
            address->bytes[sizeof mapped] == 127);
}

/* "10.0.0.0/8" in `text`, without blanks around it. */
static bool read_network(char *text, struct address *address, int *bits)
{
    char *slash = strchr(text, '/');
    int most = 128;
    if (slash != NULL) {
        *slash = '\0';
    }
    if (inet_pton(AF_INET, text, address->bytes + sizeof mapped) == 1) {
        memcpy(address->bytes, mapped, sizeof mapped);
        most = 32;
    } else if (inet_pton(AF_INET6, text, address->bytes) != 1) {
        return false;
    }
    long length = most;
    if (slash != NULL) {
        char *end;
        length = strtol(slash + 1, &end, 10);
        if (slash[1] < '0' || slash[1] > '9' || *end != '\0' || length > most) {
            return false;
        }
    }
    *bits = (int)length + 128 - most;
    return true;
}

enum rejectd_status address_list_read(const char *text, const char *setting,
                                      struct address_list *list, struct rejectd_error *error)
{
    static const char separators[] = ", \t";
    *list = (struct address_list){0};
    for (const char *at = text + strspn(text, separators); *at != '\0';) {
        char word[64];
        const size_t length = strcspn(at, separators);
        bool valid = length < sizeof word && list->n < ADDRESS_LIST_MOST;
        if (valid) {
            memcpy(word, at, length);
            word[length] = '\0';
            valid =
                read_network(word, &list->networks[list->n].address, &list->networks[list->n].bits);
        }
        if (!valid) {
            return REJECTD_FAIL(error, REJECTD_INVALID_VALUE, setting,
                                "%s has \"%.*s\"; accepted are at most %d addresses, as "
                                "10.0.0.7, 172.16.0.0/12 or ::1",
                                setting, (int)(length < 64 ? length : 64), at, ADDRESS_LIST_MOST);
        }
        list->n++;
        at += length;
        at += strspn(at, separators);
    }
    return REJECTD_OK;
}

static bool begins_alike(const unsigned char *a, const unsigned char *b, int bits)
{
    const size_t whole = (size_t)bits / 8;
    const unsigned char mask = (unsigned char)(0xff00 >> (bits % 8));
    return memcmp(a, b, whole) == 0 && (mask == 0 || ((a[whole] ^ b[whole]) & mask) == 0);
}

bool address_list_has(const struct address_list *list, const struct address *address)
{
    for (size_t i = 0; i < list->n; i++) {
        if (begins_alike(list->networks[i].address.bytes, address->bytes, list->networks[i].bits)) {
            return true;
        }
    }
    return false;
}
