/* Network addresses: who is connected, and lists of addresses in settings. */
#ifndef SERVER_HTTP_ADDRESSES_H
#define SERVER_HTTP_ADDRESSES_H

#include <rejectd/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* IPv6, or IPv4 as ::ffff:a.b.c.d; all zero for a socket that has no address. */
struct address {
    unsigned char bytes[16];
};

struct address address_of(const struct sockaddr *socket_address);

/* One household or machine: all of an IPv4 address, the first 64 bits of an IPv6 one. */
struct address address_site(const struct address *address);

bool address_is_loopback(const struct address *address);

enum { ADDRESS_LIST_MOST = 64 };

struct address_list {
    size_t n;
    struct {
        struct address address;
        int bits; /* of the address that count */
    } networks[ADDRESS_LIST_MOST];
};

/* Reads "10.0.0.7, 172.16.0.0/12, ::1"; "" is an empty list. Errors name the setting. */
enum rejectd_status address_list_read(const char *text, const char *setting,
                                      struct address_list *list, struct rejectd_error *error);

bool address_list_has(const struct address_list *list, const struct address *address);

#endif
