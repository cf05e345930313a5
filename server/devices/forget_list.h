/*
 * Which samples a device is to forget, until its process has been told.
 *
 * There is room for as many as are likely to come in a moment. Beyond that the device is to forget
 * everything: that costs time, and nothing stays that has been deleted. All functions may be called
 * by several threads at once.
 */
#ifndef SERVER_DEVICES_FORGET_LIST_H
#define SERVER_DEVICES_FORGET_LIST_H

#include <pthread.h>
#include <stdbool.h>

#include "protocol/resource_json.h"

enum { FORGET_MOST = 256 };

struct forget_list {
    pthread_mutex_t lock;
    size_t n;
    bool everything;
    char sha256[FORGET_MOST][RESOURCE_SHA256_SIZE];
};

/* Of a list that is all zero. */
void forget_list_init(struct forget_list *list);
void forget_list_destroy(struct forget_list *list);

void forget_list_add(struct forget_list *list, const char *sha256);

/* Takes all there is, and leaves the list empty. False when it was. *n 0: everything. */
bool forget_list_take(struct forget_list *list, char sha256[FORGET_MOST][RESOURCE_SHA256_SIZE],
                      size_t *n);

#endif
