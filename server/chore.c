#include "server/chore.h"

static void run(void *context)
{
    struct chore *chore = context;
    chore->run(chore->context);
    atomic_store(&chore->running, false);
}

void chore_tick(struct chore *chore, struct executor *executor, double now, double pause)
{
    if (now < chore->next || atomic_exchange(&chore->running, true)) {
        return;
    }
    chore->next = now + pause;
    chore->task = (struct executor_task){.run = run, .context = chore};
    executor_submit(executor, &chore->task);
}
