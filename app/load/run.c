/* SPDX-License-Identifier: Apache-2.0
 * A run. Requests are due at times that do not depend on answers: if the server stalls, so do all requests
 * that come due meanwhile, which "coordinated omission" would hide. A request that finds no free connection
 * waits here, and its latency counts from when it was due. */
#include "load/run.h"
#include "cli/progress.h"
#include "load/answer.h"
#include "load/client.h"
#include "load/histogram.h"
#include "load/reason.h"
#include "load/target.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

typedef struct run {
    load_client client;
    const load_plan *plan;
    load_result *result;
    uint64_t start;
    double next; /* nanoseconds from the start until the next request is due */
    uint64_t number;
    uint64_t random; /* state of the generator */
    size_t text;
} run;

/* xorshift64* from Vigna, "An experimental exploration of Marsaglia's xorshift generators" (2016). In (0,
 * 1]. */
static double uniform(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (double)((*state * UINT64_C(0x2545f4914f6cdd1d) >> 11) + 1) * 0x1p-53;
}

static void advance(run *r) {
    r->number++;
    r->text = (r->text + 1) % r->plan->requests->count;
    if (r->plan->poisson) {
        r->next -= log(uniform(&r->random)) / r->plan->rate * 1e9;
    } else if (r->plan->rate > 0) {
        r->next = (double)r->number / r->plan->rate * 1e9;
    }
}

/* When the next request is due; in a closed loop, now. */
static uint64_t due_at(const run *r, uint64_t now) {
    return r->plan->rate > 0 ? r->start + (uint64_t)r->next : now;
}

static void send_due(run *r) {
    uint64_t now = load_now(), timeout = (uint64_t)(r->plan->timeout * 1e9), due;
    while ((due = due_at(r, now)) <= now && due < r->client.until) {
        bool counted = due >= r->client.from, waited = r->client.free_count == 0;
        if (waited && now - due <= timeout) return;
        r->result->requests += counted;
        if (waited) {
            r->result->losses[LOAD_UNSENT] += counted;
            if (counted) load_histogram_add(&r->result->latency, now - due);
        } else {
            load_client_send(&r->client, r->text, due, counted);
        }
        advance(r);
        now = load_now();
    }
}

static bool is_over(const run *r, uint64_t now) {
    return due_at(r, now) >= r->client.until && r->client.free_count == r->plan->connections;
}

static void show_progress(const run *r, uint64_t now) {
    char what[64];
    size_t done = (size_t)((now - r->start) / 1000000),
           total = (size_t)((r->client.until - r->start) / 1000000);
    snprintf(what, sizeof what, r->plan->rate > 0 ? "ms at %.0f requests/s" : "ms, closed loop",
             r->plan->rate);
    cli_progress(NULL, what, done < total ? done : total, total);
}

/* Requests that are due while connections are free are sent at once: any delay is on this side. */
static void note_lag(run *r, uint64_t now, bool was_free) {
    uint64_t due = due_at(r, now);
    if (was_free && r->plan->rate > 0 && due <= now && due >= r->client.from && due < r->client.until) {
        load_histogram_add(&r->result->lag, now - due);
    }
}

/* No more requests become due. */
static void end_early(run *r, uint64_t now) {
    if (*r->plan->stop == 0 || now >= r->client.until) return;
    r->client.until = now > r->client.from ? now : r->client.from;
    r->result->seconds = (double)(r->client.until - r->client.from) / 1e9;
}

static bool run_all(run *r) {
    enum { TICK = 10000000 }; /* 10 ms: the precision of timeouts */
    uint64_t now = load_now(), tick = now, timeout = (uint64_t)(r->plan->timeout * 1e9);
    while (!is_over(r, now)) {
        send_due(r);
        uint64_t due = due_at(r, now), wait = tick + TICK > now ? tick + TICK - now : 0;
        bool has_free = r->client.free_count > 0 && due < r->client.until;
        if (has_free && due < now + wait) wait = due > now ? due - now : 0;
        if (!load_client_wait(&r->client, wait)) return false;
        now = load_now();
        end_early(r, now);
        note_lag(r, now, has_free);
        if (now - tick < TICK) continue;
        if (now > timeout) load_client_expire(&r->client, now - timeout);
        show_progress(r, now);
        tick = now;
    }
    return true;
}

cli_code load_run(load_result *out, const load_plan *plan) {
    run r = {.plan = plan, .result = out, .random = UINT64_C(0x9e3779b97f4a7c15)};
    memset(out, 0, sizeof *out);
    out->rate = plan->rate;
    out->seconds = plan->duration;
    prctl(PR_SET_TIMERSLACK, 1UL); /* nanosecond; 50 µs is usual */
    cli_code code = load_client_open(&r.client, plan, out);
    if (code == CLI_DONE) {
        r.start = load_now();
        r.client.from = r.start + (uint64_t)(plan->warmup * 1e9);
        r.client.until = r.client.from + (uint64_t)(plan->duration * 1e9);
        if (!run_all(&r)) code = CLI_FAILED;
        cli_progress_end();
    }
    load_client_close(&r.client);
    return code;
}

/* Prints why a probe failed. */
static cli_code judge_probe(const load_plan *plan, const load_result *result, const load_answer *answer) {
    const load_target *target = plan->target;
    for (int i = 0; i < LOAD_LOSS_COUNT; i++) {
        if (result->losses[i] == 0) continue;
        cli_error("%s:%s: %s", target->host, target->port, load_losses[i].meaning);
        return CLI_FAILED;
    }
    if (answer->status < 300 || answer->status == 429 || answer->status == 503) return CLI_DONE;
    load_reason reason = {0};
    load_read_message(&reason, answer);
    cli_error("%s:%s%s answers %d: %s", target->host, target->port, target->path, answer->status,
              reason.text);
    return CLI_FAILED;
}

cli_code load_probe(const load_plan *plan) {
    load_result *result = calloc(1, sizeof *result);
    load_client client;
    load_plan one = *plan;
    one.connections = 1;
    if (result == NULL) return cli_no_memory();
    cli_code code = load_client_open(&client, &one, result);
    if (code == CLI_DONE) {
        uint64_t start = load_now(), timeout = (uint64_t)(plan->timeout * 1e9);
        load_client_send(&client, 0, start, true);
        while (client.free_count == 0 && *plan->stop == 0 && load_client_wait(&client, 10000000)) {
            uint64_t now = load_now();
            if (now - start > timeout) load_client_expire(&client, now - timeout);
        }
        code = judge_probe(plan, result, &client.connections[0].answer);
    }
    load_client_close(&client);
    free(result);
    return code;
}
