/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/base/state.h"

const char *const srv_state_names[SRV_STATE_COUNT] = {
#define STATE_ROW(id, name, what) name,
    SRV_STATES(STATE_ROW)
#undef STATE_ROW
};

/* Anything else changes nothing. */
static const struct {
    srv_state state;
    srv_event event;
    srv_step step;
} rows[] = {
    {SRV_STATE_STARTING, SRV_ON_HUP, {SRV_STATE_STARTING, SRV_DO_ASK}},
    {SRV_STATE_STARTING, SRV_ON_TERM, {SRV_STATE_STOPPED, SRV_DO_QUIT}},
    {SRV_STATE_STARTING, SRV_ON_LOADED, {SRV_STATE_SERVING, SRV_DO_READY}},
    {SRV_STATE_STARTING, SRV_ON_FAILED, {SRV_STATE_STOPPED, SRV_DO_NOTHING}},
    {SRV_STATE_SERVING, SRV_ON_HUP, {SRV_STATE_SERVING, SRV_DO_ASK}},
    {SRV_STATE_SERVING, SRV_ON_DUE, {SRV_STATE_RELOADING, SRV_DO_RELOAD}},
    {SRV_STATE_SERVING, SRV_ON_TERM, {SRV_STATE_DRAINING, SRV_DO_DRAIN}},
    {SRV_STATE_RELOADING, SRV_ON_HUP, {SRV_STATE_RELOADING, SRV_DO_ASK}},
    {SRV_STATE_RELOADING, SRV_ON_LOADED, {SRV_STATE_SERVING, SRV_DO_READY}},
    {SRV_STATE_RELOADING, SRV_ON_TERM, {SRV_STATE_DRAINING, SRV_DO_DRAIN}},
    {SRV_STATE_DRAINING, SRV_ON_DRAINED, {SRV_STATE_STOPPED, SRV_DO_NOTHING}},
    {SRV_STATE_DRAINING, SRV_ON_LATE, {SRV_STATE_CUTTING, SRV_DO_CUT}},
    {SRV_STATE_DRAINING, SRV_ON_TERM, {SRV_STATE_CUTTING, SRV_DO_CUT}},
    {SRV_STATE_CUTTING, SRV_ON_DRAINED, {SRV_STATE_STOPPED, SRV_DO_NOTHING}},
    {SRV_STATE_CUTTING, SRV_ON_LATE, {SRV_STATE_STOPPED, SRV_DO_NOTHING}},
    {SRV_STATE_CUTTING, SRV_ON_TERM, {SRV_STATE_STOPPED, SRV_DO_NOTHING}},
};

srv_step srv_step_from(srv_state state, srv_event event) {
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].state == state && rows[i].event == event) return rows[i].step;
    }
    return (srv_step){state, SRV_DO_NOTHING};
}
