/* A few threads for what would block the threads of HTTP: parsing, commits, fsync. */
#ifndef SERVER_EXECUTOR_H
#define SERVER_EXECUTOR_H

#include <rejectd/error.h>
#include <stddef.h>

/* Owned by who submits it; must stay until run() was called. */
struct executor_task {
    void (*run)(void *context);
    void *context;
    struct executor_task *next; /* the executor's */
};

struct executor;

/* *executor is owned by the caller: executor_close(). */
enum rejectd_status executor_open(size_t n_threads, struct executor **executor,
                                  struct rejectd_error *error);
/* Runs what was submitted, ends the threads and frees the executor. NULL is allowed. */
void executor_close(struct executor *executor);

/* Any thread. The task may be over before this returns. */
void executor_submit(struct executor *executor, struct executor_task *task);

#endif
