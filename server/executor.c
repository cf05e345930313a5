#include "server/executor.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct executor {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct executor_task *first;
    struct executor_task **end;
    bool closing;
    size_t n_threads;
    pthread_t threads[];
};

static void *executor_main(void *argument)
{
    struct executor *executor = argument;
    pthread_mutex_lock(&executor->lock);
    for (;;) {
        while (executor->first == NULL && !executor->closing) {
            pthread_cond_wait(&executor->changed, &executor->lock);
        }
        struct executor_task *task = executor->first;
        if (task == NULL) {
            break;
        }
        executor->first = task->next;
        if (executor->first == NULL) {
            executor->end = &executor->first;
        }
        pthread_mutex_unlock(&executor->lock);
        task->run(task->context);
        pthread_mutex_lock(&executor->lock);
    }
    pthread_mutex_unlock(&executor->lock);
    return NULL;
}

enum rejectd_status executor_open(size_t n_threads, struct executor **executor,
                                  struct rejectd_error *error)
{
    const size_t bytes = sizeof(struct executor) + n_threads * sizeof(pthread_t);
    struct executor *made = calloc(1, bytes);
    *executor = NULL;
    if (made == NULL) {
        return REJECTD_FAIL_MEMORY(error, bytes);
    }
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->changed, NULL);
    made->end = &made->first;
    for (size_t i = 0; i < n_threads; i++) {
        const int failed = pthread_create(&made->threads[i], NULL, executor_main, made);
        if (failed != 0) {
            executor_close(made);
            return REJECTD_FAIL(error, REJECTD_UNAVAILABLE, "", "no thread can be started: %s",
                                strerror(failed));
        }
        made->n_threads++;
    }
    *executor = made;
    return REJECTD_OK;
}

void executor_close(struct executor *executor)
{
    if (executor == NULL) {
        return;
    }
    pthread_mutex_lock(&executor->lock);
    executor->closing = true;
    pthread_cond_broadcast(&executor->changed);
    pthread_mutex_unlock(&executor->lock);
    for (size_t i = 0; i < executor->n_threads; i++) {
        pthread_join(executor->threads[i], NULL);
    }
    pthread_cond_destroy(&executor->changed);
    pthread_mutex_destroy(&executor->lock);
    free(executor);
}

void executor_submit(struct executor *executor, struct executor_task *task)
{
    task->next = NULL;
    pthread_mutex_lock(&executor->lock);
    *executor->end = task;
    executor->end = &task->next;
    pthread_cond_signal(&executor->changed);
    pthread_mutex_unlock(&executor->lock);
}
