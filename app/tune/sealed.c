/* SPDX-License-Identifier: Apache-2.0
 * "The loss is below the floor" is claimed of a few models, the safest first by its forecast: each claim is tested after those
 * before it have held. */
#include "tune/sealed.h"
#include "cli/model.h"
#include "cli/progress.h"
#include "tune/choose.h"
#include "tune/details.h"
#include "tune/judge.h"
#include "tune/live.h"
#include "tune/trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DRAWS = 10000 };

static bool is_tested(const tune *t, size_t trial) {
    for (size_t i = 0; i < t->claim_count; i++) {
        if (t->claims[i].trial == trial) return true;
    }
    return false;
}

static void claim(tune *t, const tune_trial *it) {
    if (it == NULL || t->claim_count == TUNE_MOST_CLAIMS) return;
    size_t index = (size_t)(it - t->trials);
    if (is_tested(t, index)) return;
    double unknown = (double)NAN;
    t->claims[t->claim_count++] = (tune_claim){index,   t->openings + 1, unknown, unknown, unknown, unknown,
                                               unknown, unknown,         unknown, unknown, unknown, false};
}

/* ---- One model on the sealed rows ---- */

typedef struct pair {
    retort_model *models[2];
    retort_session *sessions[2]; /* of the candidate, and of the floats */
    retort_dataset *data;
} pair;

static cli_code pair_open(pair *p, const tune *t, const cli_args *args, const char *file) {
    retort_error err;
    const char *files[2] = {file, t->base};
    retort_dataset_options options = cli_data_options(args);
    retort_session_options engine = RETORT_SESSION_OPTIONS;
    engine.threads = (int)t->settings->threads;
    engine.isa = t->settings->isa;
    for (size_t i = 0; i < 2; i++) {
        if (retort_model_load(&p->models[i], files[i], &err) != RETORT_OK ||
            retort_session_open(&p->sessions[i], p->models[i], &engine, &err) != RETORT_OK)
            return cli_fail(&err, true);
    }
    options.texts_only = !t->split.labelled;
    if (retort_dataset_open(&p->data, t->split.sealed, p->models[0], &options, &err) != RETORT_OK)
        return cli_fail(&err, true);
    return CLI_DONE;
}

static void pair_close(pair *p) {
    retort_dataset_free(p->data);
    for (size_t i = 0; i < 2; i++) {
        retort_session_close(p->sessions[i]);
        retort_model_free(p->models[i]);
    }
}

/* For the report, under the name of the trial. */
static void keep_details(tune *t, const tune_claim *c, json_t *details) {
    if (t->details == NULL || json_is_null(t->details)) {
        json_decref(t->details);
        t->details = json_object();
    }
    json_object_set_new(t->details, t->trials[c->trial].name, details);
}

static cli_code test_one(tune *t, const cli_args *args, tune_claim *c) {
    pair p = {0};
    retort_error err;
    retort_eval_options options = RETORT_EVAL_OPTIONS;
    retort_eval_result result = {.size = sizeof result};
    tune_details details = {0};
    cli_code code = pair_open(&p, t, args, t->trials[c->trial].file);
    options.reference = p.sessions[1];
    options.draws = DRAWS;
    options.floor = t->settings->floor / 100;
    options.each = tune_details_see;
    options.each_user = &details;
    if (code == CLI_DONE && retort_eval(p.sessions[0], p.data, &options, &result, &err) != RETORT_OK)
        code = cli_fail(&err, true);
    if (code == CLI_DONE) keep_details(t, c, tune_details_json(&details, p.models[0], p.data));
    tune_details_free(&details);
    pair_close(&p);
    if (code != CLI_DONE) return code;
    c->value = result.value;
    c->difference = result.difference;
    c->low = result.difference_low;
    c->high = result.difference_high;
    c->kl = result.kl;
    c->agreement = result.agreement;
    c->bound = result.bound;
    c->p = result.p;
    t->sealed_value = result.value - result.difference;
    return CLI_DONE;
}

/* ---- All claims ---- */

static bool is_ahead(const tune *t, const tune_claim *a, const tune_claim *b, tune_goal goal) {
    const tune_trial *x = &t->trials[a->trial], *y = &t->trials[b->trial];
    if (goal == TUNE_FASTEST) return x->speed.ratio > y->speed.ratio;
    return x->bytes < y->bytes;
}

static int best_claim(const tune *t, tune_goal goal) {
    int best = -1;
    if (t->settings->goal != TUNE_BOTH && t->settings->goal != goal) return -1;
    for (size_t i = 0; i < t->claim_count; i++) {
        if (!t->claims[i].proven || t->trials[t->claims[i].trial].status != TUNE_DONE) continue;
        if (best < 0 || is_ahead(t, &t->claims[i], &t->claims[best], goal)) best = (int)i;
    }
    return best;
}

static void claim_within(tune *t, double floor) {
    if (t->settings->goal != TUNE_SMALLEST) claim(t, tune_choose_within(t, TUNE_FASTEST, floor));
    if (t->settings->goal != TUNE_FASTEST) claim(t, tune_choose_within(t, TUNE_SMALLEST, floor));
}

/* Claims from…count by what the rows that select forecast. */
static void put_safest_first(tune *t, size_t from) {
    for (size_t i = from + 1; i < t->claim_count; i++) {
        tune_claim moved = t->claims[i];
        double forecast = tune_forecast(t, &t->trials[moved.trial]);
        size_t at = i;
        for (; at > from && tune_forecast(t, &t->trials[t->claims[at - 1].trial]) > forecast; at--)
            t->claims[at] = t->claims[at - 1];
        t->claims[at] = moved;
    }
}

cli_code tune_sealed_open(tune *t, const cli_args *args) {
    size_t before = t->claim_count;
    cli_code code = CLI_DONE;
    claim_within(t, t->settings->floor);
    /* The others are to fall back on. Claims in turn cost each other nothing. */
    claim_within(t, t->settings->floor / 2);
    for (size_t i = 1; i < tune_shape_count; i++) claim(t, tune_choose_of(t, &tune_shapes[i]));
    claim(t, tune_safest(t));
    put_safest_first(t, before);
    if (t->claim_count > before) t->openings++;
    for (size_t i = before; code == CLI_DONE && i < t->claim_count; i++) {
        tune_live_now(t->trials[t->claims[i].trial].name, "on the sealed rows");
        code = test_one(t, args, &t->claims[i]);
    }
    tune_adjust(t);
    t->fastest = best_claim(t, TUNE_FASTEST);
    t->smallest = best_claim(t, TUNE_SMALLEST);
    return code == CLI_DONE ? tune_state_write(t) : code;
}

const tune_claim *tune_nearest(const tune *t) {
    const tune_claim *best = NULL;
    for (size_t i = 0; i < t->claim_count; i++) {
        if (best == NULL || t->claims[i].bound > best->bound) best = &t->claims[i];
    }
    return best;
}
