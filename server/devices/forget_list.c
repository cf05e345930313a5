#include "server/devices/forget_list.h"

#include <stdio.h>
#include <string.h>

void forget_list_init(struct forget_list *list)
{
    pthread_mutex_init(&list->lock, NULL);
}

void forget_list_destroy(struct forget_list *list)
{
    pthread_mutex_destroy(&list->lock);
}

void forget_list_add(struct forget_list *list, const char *sha256)
{
    pthread_mutex_lock(&list->lock);
    if (list->n == FORGET_MOST) {
        list->everything = true;
        list->n = 0;
    }
    if (!list->everything) {
        snprintf(list->sha256[list->n++], RESOURCE_SHA256_SIZE, "%s", sha256);
    }
    pthread_mutex_unlock(&list->lock);
}

bool forget_list_take(struct forget_list *list, char sha256[FORGET_MOST][RESOURCE_SHA256_SIZE],
                      size_t *n)
{
    pthread_mutex_lock(&list->lock);
    const bool any = list->everything || list->n > 0;
    *n = list->n;
    memcpy(sha256, list->sha256, list->n * sizeof list->sha256[0]);
    list->n = 0;
    list->everything = false;
    pthread_mutex_unlock(&list->lock);
    return any;
}
