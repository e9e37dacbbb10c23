/* SPDX-License-Identifier: Apache-2.0
 * The server's states, and what a signal or the end of a piece of work does in each. docs/serving.md has the
 * same table for readers. */
#ifndef SERVE_STATE_H
#define SERVE_STATE_H

/* id, name in /metrics, meaning */
#define SRV_STATES(X)                                                                                        \
    X(STARTING, "starting", "keys, socket and models are being opened")                                      \
    X(SERVING, "serving", "requests are taken")                                                              \
    X(RELOADING, "reloading",                                                                                \
      "requests are taken; keys and models are being loaded anew beside the old ones")                       \
    X(DRAINING, "draining", "SIGTERM has come: what is in flight is finished")                               \
    X(CUTTING, "cutting", "what waits is refused; what is being sent has a last second")                     \
    X(STOPPED, "stopped", "no request is looked at any more; the process ends")
typedef enum srv_state {
#define SRV_STATE_ID(id, ...) SRV_STATE_##id,
    SRV_STATES(SRV_STATE_ID)
#undef SRV_STATE_ID
        SRV_STATE_COUNT
} srv_state;
extern const char *const srv_state_names[SRV_STATE_COUNT];

typedef enum srv_event {
    SRV_ON_HUP,     /* SIGHUP */
    SRV_ON_TERM,    /* SIGTERM, SIGINT */
    SRV_ON_DUE,     /* a reload was asked for, and no other work is under way */
    SRV_ON_LOADED,  /* keys and models are loaded */
    SRV_ON_FAILED,  /* the start has failed */
    SRV_ON_DRAINED, /* nothing is in flight */
    SRV_ON_LATE,    /* the time of the state is up */
    SRV_EVENT_COUNT
} srv_event;

typedef enum srv_action {
    SRV_DO_NOTHING,
    SRV_DO_ASK,    /* note that a reload is due */
    SRV_DO_RELOAD, /* begin it */
    SRV_DO_READY,  /* announce that requests are accepted */
    SRV_DO_DRAIN,  /* begin to */
    SRV_DO_CUT,    /* refuse waiting requests */
    SRV_DO_QUIT    /* end the process: nothing was served */
} srv_action;

typedef struct srv_step {
    srv_state next;
    srv_action action;
} srv_step;

srv_step srv_step_from(srv_state state, srv_event event);

#endif
