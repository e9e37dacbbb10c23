/* SPDX-License-Identifier: Apache-2.0 */
#include "cascade/build.h"

#include "base/binomial.h"
#include "base/random.h"
#include "cascade/fit.h"
#include "cascade/thresholds.h"
#include "cascade/verdicts.h"
#include "model/cascade.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Parts of the texts, in this order in the feed. What one decides, another measures. */
typedef enum part_id { TRAIN, ORDER, CALIBRATE, TEST, PARTS } part_id;

/* Percent of the data: with or without a part that trains, with or without a test set of its own. */
static const size_t shares[2][2][PARTS] = {{{0, 20, 50, 30}, {0, 25, 75, 0}},
                                           {{40, 10, 30, 20}, {40, 15, 45, 0}}};

typedef struct builder {
    const retort_cascade_options *options;
    retort_model *full;
    double epsilon, confidence;
    size_t labels, stages; /* before the full model */
    rt_cascade *cascade;   /* with all of them */
    rt_feed feed;
    size_t ends[PARTS];  /* one past the last text of each part */
    float *targets;      /* [train, labels] */
    int32_t *full_label; /* [texts] from ORDER on */
    double *sure;        /* [stages, texts] likewise */
    int32_t *label;      /* [stages, texts] */
    double cost[RT_MOST_STAGES + 1];
    rt_watch watch;
} builder;

static void builder_free(builder *b) {
    rt_feed_free(&b->feed);
    free(b->targets);
    free(b->full_label);
    free(b->sure);
    free(b->label);
    rt_cascade_free(b->cascade);
}

static size_t start_of(const builder *b, part_id part) {
    return part == TRAIN ? 0 : b->ends[part - 1];
}
static size_t size_of(const builder *b, part_id part) {
    return b->ends[part] - start_of(b, part);
}
/* Texts that stages are compared on. */
static size_t judged(const builder *b) {
    return b->ends[TEST] - b->ends[TRAIN];
}

static void warn(const builder *b, const char *text) {
    if (b->options->warning != NULL) b->options->warning(b->options->user, text);
}

/* ---- Texts ---- */

static retort_status shuffle(uint32_t **out, size_t n, uint64_t seed, retort_error *err) {
    uint32_t *order = rt_calloc(n, sizeof *order);
    if (order == NULL) return rt_fail_nomem(err, n * sizeof *order);
    for (size_t i = 0; i < n; i++) order[i] = (uint32_t)i;
    for (size_t i = n; i > 1; i--) {
        size_t k = (size_t)((rt_random(&seed) >> 32) * i >> 32);
        uint32_t kept = order[i - 1];
        order[i - 1] = order[k];
        order[k] = kept;
    }
    *out = order;
    return RETORT_OK;
}

static retort_status check_counts(const builder *b, const size_t counts[PARTS], retort_error *err) {
    size_t fewest = (size_t)rt_binomial_fewest(b->epsilon, b->confidence), n = b->options->data->count,
           needed = counts[CALIBRATE] > 0 ? (fewest * n + counts[CALIBRATE] - 1) / counts[CALIBRATE] : 0;
    if (counts[CALIBRATE] >= fewest && counts[ORDER] > 0) return RETORT_OK;
    if (needed == 0) needed = fewest * 4;
    return rt_fail(
        err, RETORT_ARGUMENT,
        "%.200s: %zu texts, of which %zu calibrate: to prove that at most %g %% of the answers differ, "
        "with a confidence of %g %%, takes %zu without one that differs. Give about %zu texts or more, or "
        "a larger epsilon",
        b->options->data->name, n, counts[CALIBRATE], 100 * b->epsilon, 100 * b->confidence, fewest, needed);
}

/* Fills the feed, part by part. */
static retort_status feed_texts(builder *b, retort_session *session, retort_error *err) {
    const retort_cascade_options *o = b->options;
    const retort_dataset *data = o->data;
    bool trains = o->linear && o->linear_data == NULL;
    const size_t *percent = shares[trains][o->test != NULL];
    size_t counts[PARTS], left = data->count;
    for (int i = 0; i < PARTS; i++) {
        counts[i] = data->count * percent[i] / 100;
        left -= counts[i];
    }
    counts[CALIBRATE] += left;
    retort_status status = check_counts(b, counts, err);
    uint32_t *order = NULL;
    if (status == RETORT_OK) status = shuffle(&order, data->count, o->seed, err);
    size_t at = 0;
    for (int i = 0; status == RETORT_OK && i < PARTS; i++) {
        const retort_dataset *own = i == TRAIN && o->linear ? o->linear_data : i == TEST ? o->test : NULL;
        status = own != NULL ? rt_texts_add(&b->feed, session, own, NULL, own->count, err)
                             : rt_texts_add(&b->feed, session, data, order + at, counts[i], err);
        at += counts[i];
        b->ends[i] = b->feed.n;
    }
    free(order);
    return status;
}

/* Texts of the later parts whose ids also train or, in TEST, take part in anything before. */
typedef struct seen {
    uint64_t hash;
    size_t text;
} seen;

static int compare_seen(const void *left, const void *right) {
    const seen *a = left, *b = right;
    if (a->hash != b->hash) return a->hash < b->hash ? -1 : 1;
    return (a->text > b->text) - (a->text < b->text);
}

static uint64_t hash_text(const rt_feed *feed, size_t i) {
    uint64_t hash = 0;
    for (int32_t at = feed->offsets[i]; at < feed->offsets[i + 1]; at++) {
        uint64_t state = hash ^ (uint32_t)feed->ids[at];
        hash = rt_random(&state);
    }
    return hash;
}

/* Counts the texts of files of their own that are also in the data: such files were meant to be other texts. */
static retort_status warn_of_overlap(const builder *b, retort_error *err) {
    const retort_cascade_options *o = b->options;
    bool trains = o->linear && o->linear_data != NULL;
    if (!trains && o->test == NULL) return RETORT_OK;
    seen *all = rt_calloc(b->feed.n, sizeof *all);
    if (all == NULL) return rt_fail_nomem(err, b->feed.n * sizeof *all);
    for (size_t i = 0; i < b->feed.n; i++) all[i] = (seen){hash_text(&b->feed, i), i};
    qsort(all, b->feed.n, sizeof *all, compare_seen);
    size_t trained = 0, tested = 0;
    for (size_t from = 0, to; from < b->feed.n; from = to) {
        size_t counts[PARTS] = {0};
        for (to = from; to < b->feed.n && all[to].hash == all[from].hash; to++) {
            part_id part = TRAIN;
            while (all[to].text >= b->ends[part]) part++;
            counts[part]++;
        }
        size_t middle = counts[ORDER] + counts[CALIBRATE];
        if (trains && counts[TRAIN] > 0) trained += middle + counts[TEST];
        if (o->test != NULL && middle + counts[TRAIN] > 0) tested += counts[TEST];
    }
    free(all);
    char text[256];
    if (trained > 0) {
        snprintf(
            text, sizeof text,
            "%zu texts that calibrate or report are also among those that train the linear stage: it looks "
            "better on them than it is",
            trained);
        warn(b, text);
    }
    if (tested > 0) {
        snprintf(text, sizeof text, "%zu of the %zu test texts are also among those that made the cascade",
                 tested, size_of(b, TEST));
        warn(b, text);
    }
    return RETORT_OK;
}

/* ---- Answers ---- */

static retort_status open_session(retort_session **out, const builder *b, retort_model *model,
                                  retort_error *err) {
    retort_session_options options = RETORT_SESSION_OPTIONS;
    options.threads = b->options->threads;
    options.isa = b->options->isa;
    return retort_session_open(out, model, &options, err);
}

static retort_status allocate(builder *b, retort_error *err) {
    size_t n = judged(b), floats, cells;
    if (!rt_mul(rt_max(size_of(b, TRAIN), 1), b->labels, &floats) || !rt_mul(rt_max(n, 1), b->stages, &cells))
        return rt_fail(err, RETORT_LIMIT, "cascade: %zu texts are too many", b->feed.n);
    b->targets = rt_calloc(floats, sizeof *b->targets);
    b->full_label = rt_calloc(n, sizeof *b->full_label);
    b->sure = rt_calloc(cells, sizeof *b->sure);
    b->label = rt_calloc(cells, sizeof *b->label);
    bool made = b->targets != NULL && b->full_label != NULL && b->sure != NULL && b->label != NULL;
    b->watch.total = b->feed.n + n * b->options->student_count;
    return made ? RETORT_OK : rt_fail_nomem(err, cells * sizeof *b->sure);
}

/* The full model is the yardstick: its answers to all texts, and its probabilities for those that train. */
static retort_status ask_full(builder *b, retort_session *session, retort_error *err) {
    const rt_verdict_out train = {.probabilities = b->targets}, rest = {.label = b->full_label};
    retort_status status = rt_texts_run(&b->feed, 0, b->ends[TRAIN], session, &train, &b->watch, err);
    if (status == RETORT_OK)
        status = rt_texts_run(&b->feed, b->ends[TRAIN], b->feed.n, session, &rest, &b->watch, err);
    if (status != RETORT_OK) return status;
    for (size_t i = 1; i < judged(b); i++) {
        if (b->full_label[i] != b->full_label[0]) return RETORT_OK;
    }
    char text[256];
    const char **names = b->full->config.label_names;
    snprintf(
        text, sizeof text,
        "the full model gives all texts the label '%.80s': a cascade cannot be told from a constant here",
        names != NULL ? names[b->full_label[0]] : "");
    warn(b, text);
    return RETORT_OK;
}

static retort_status ask_linear(builder *b, rt_stage *stage, const rt_verdict_out *out, retort_error *err) {
    const rt_fit fit = {.ids = b->feed.ids,
                        .offsets = b->feed.offsets,
                        .n = b->ends[TRAIN],
                        .labels = b->labels,
                        .targets = b->targets,
                        .seed = b->options->seed,
                        .progress = b->options->progress,
                        .user = b->options->user};
    retort_status status = rt_fit_ngrams(&stage->ngrams, &b->cascade->arena, &fit, err);
    return status == RETORT_OK
               ? rt_texts_run_ngrams(&b->feed, b->ends[TRAIN], b->feed.n, &stage->ngrams, out, err)
               : status;
}

static retort_status ask_student(builder *b, rt_stage *stage, const rt_verdict_out *out, retort_error *err) {
    retort_session *session = NULL;
    retort_status status = open_session(&session, b, stage->model, err);
    if (status == RETORT_OK)
        status = rt_texts_run(&b->feed, b->ends[TRAIN], b->feed.n, session, out, &b->watch, err);
    retort_session_close(session);
    return status;
}

static retort_status ask_stages(builder *b, retort_error *err) {
    retort_status status = RETORT_OK;
    for (size_t i = 0; status == RETORT_OK && i < b->stages; i++) {
        rt_stage *stage = &b->cascade->stages[i];
        const rt_verdict_out out = {.sure = b->sure + i * judged(b), .label = b->label + i * judged(b)};
        status = stage->model != NULL ? ask_student(b, stage, &out, err) : ask_linear(b, stage, &out, err);
    }
    return status;
}

static retort_status ask_all(builder *b, retort_error *err) {
    retort_session *session = NULL;
    retort_status status = open_session(&session, b, b->full, err);
    if (status == RETORT_OK) status = feed_texts(b, session, err);
    if (status == RETORT_OK) status = warn_of_overlap(b, err);
    if (status == RETORT_OK) status = allocate(b, err);
    if (status == RETORT_OK) status = ask_full(b, session, err);
    retort_session_close(session);
    return status == RETORT_OK ? ask_stages(b, err) : status;
}

static rt_verdicts verdicts_of(const builder *b, part_id part) {
    size_t skip = start_of(b, part) - b->ends[TRAIN];
    rt_verdicts v = {.rows = size_of(b, part), .stages = b->stages, .full = b->full_label + skip};
    for (size_t i = 0; i < b->stages; i++) {
        v.sure[i] = b->sure + i * judged(b) + skip;
        v.label[i] = b->label + i * judged(b) + skip;
    }
    return v;
}

/* ---- Thresholds ---- */

/* Multiplications per token of a text of 16 tokens, in the Linears: rows per text count a sixteenth. */
static double cost_of(const retort_model *model) {
    double cost = 0;
    for (size_t i = 0; i < model->graph.node_count; i++) {
        const rt_node *node = &model->graph.nodes[i];
        if (node->op != RT_OP_LINEAR) continue;
        const rt_value *weight = &model->graph.values[node->inputs[LINEAR_WEIGHT]],
                       *y = &model->graph.values[node->outputs[0]];
        double work = (double)weight->dims[0] * (double)weight->dims[1];
        cost += y->rank == 2 && y->dims[0] == RT_DIM_BATCH ? work / 16 : work;
    }
    return cost;
}

/* The path of the set of stages with which the texts that order cost least: bit i of *used is stage i. */
static retort_status choose_path(const builder *b, rt_path *path, unsigned *used, retort_error *err) {
    rt_verdicts v = verdicts_of(b, ORDER);
    double least = INFINITY;
    retort_status status = RETORT_OK;
    *path = (rt_path){0};
    *used = 0;
    for (unsigned set = 1; status == RETORT_OK && set < 1U << b->stages; set++) {
        rt_path other;
        double cost;
        status = rt_path_lay(&other, &v, b->cost, set, b->epsilon, &cost, err);
        if (status != RETORT_OK) break;
        bool better = cost < least; /* the first of equals has the fewest and cheapest stages */
        rt_path_free(better ? path : &other);
        if (better) *path = other, *used = set, least = cost;
    }
    if (status != RETORT_OK) rt_path_free(path);
    return status;
}

static const char *describe(char *out, size_t size, const builder *b, size_t stage) {
    const retort_model *model = b->cascade->stages[stage].model;
    if (model == NULL) {
        snprintf(out, size, "the linear stage");
    } else {
        snprintf(out, size, "student %zu (%" PRId64 " layers)", stage + 1 - b->options->linear,
                 model->config.layers);
    }
    return out;
}

/* Removes the stages that never answer: answers stay the same. */
static void drop_stages(builder *b, rt_thresholds *thresholds, unsigned used) {
    rt_cascade *c = b->cascade;
    size_t kept = 0;
    char text[256], name[64];
    for (size_t i = 0; i < b->stages; i++) {
        if (thresholds->of[i] >= RT_NEVER) {
            snprintf(text, sizeof text, "%s is dropped: %s", describe(name, sizeof name, b, i),
                     (used >> i & 1) != 0 ? "it is not sure enough of any text"
                                          : "the cascade is faster without it");
            warn(b, text);
            retort_model_free(c->stages[i].model);
            c->stages[i].model = NULL;
            continue;
        }
        c->stages[i].threshold = thresholds->of[i];
        c->stages[kept++] = c->stages[i];
    }
    for (size_t i = kept; i < b->stages; i++) c->stages[i] = (rt_stage){0};
    c->count = kept;
}

static double share(size_t count, size_t n) {
    return n > 0 ? (double)count / (double)n : 0;
}

static void set_report(builder *b, const rt_thresholds *thresholds) {
    rt_verdicts calibrate = verdicts_of(b, CALIBRATE), test = verdicts_of(b, TEST);
    rt_outcome first = rt_cascade_outcome(&calibrate, thresholds),
               second = rt_cascade_outcome(&test, thresholds);
    rt_cascade *c = b->cascade;
    for (size_t i = 0; i < b->stages; i++) {
        c->stages[i].share = share(first.answered[i], calibrate.rows);
        c->stages[i].test_share = share(second.answered[i], test.rows);
    }
    c->share = share(first.answered[b->stages], calibrate.rows);
    c->test_share = share(second.answered[b->stages], test.rows);
    c->info = (retort_cascade_info){.size = sizeof c->info,
                                    .epsilon = b->epsilon,
                                    .confidence = b->confidence,
                                    .trained = size_of(b, TRAIN),
                                    .ordered = size_of(b, ORDER),
                                    .calibrated = calibrate.rows,
                                    .calibrated_differ = first.differ,
                                    .tested = test.rows,
                                    .tested_differ = second.differ};
}

/* Calibration holds for texts like those it was made with: others show it. */
static void warn_of_others(const builder *b) {
    const retort_cascade_info *info = &b->cascade->info;
    if (info->tested == 0) return;
    double least = rt_binomial_lower(info->tested_differ, info->tested, b->confidence);
    char text[256];
    if (least <= b->epsilon) return;
    snprintf(text, sizeof text,
             "%" PRIu64 " of %" PRIu64
             " test texts differ, at least %.2f %%: they are not like the data, and "
             "epsilon does not hold for them. Calibrate with texts like those to come",
             info->tested_differ, info->tested, 100 * least);
    warn(b, text);
}

static retort_status calibrate(builder *b, retort_error *err) {
    rt_path path;
    unsigned used;
    retort_status status = choose_path(b, &path, &used, err);
    if (status != RETORT_OK) return status;
    rt_verdicts v = verdicts_of(b, CALIBRATE);
    rt_thresholds thresholds = rt_path_test(&path, &v, b->epsilon, b->confidence);
    rt_path_free(&path);
    set_report(b, &thresholds);
    drop_stages(b, &thresholds, used);
    if (b->cascade->count > 0) {
        warn_of_others(b);
        return RETORT_OK;
    }
    return rt_fail(
        err, RETORT_LIMIT,
        "cascade: no stage is sure enough of any text for at most %g %% of the answers to differ, with a "
        "confidence of %g %%: train better students, or give more texts or a larger epsilon",
        100 * b->epsilon, 100 * b->confidence);
}

/* ---- All of it ---- */

static retort_status take_stages(builder *b, retort_error *err) {
    const retort_cascade_options *o = b->options;
    retort_status status = rt_cascade_check(b->full, NULL, "the full model", err);
    if (status != RETORT_OK) return status;
    if (o->student_count + o->linear > RT_MOST_STAGES || o->student_count + o->linear == 0)
        return rt_fail(err, RETORT_ARGUMENT,
                       "cascade: %zu stages before the full model: expected 1 to %d (a linear one, students)",
                       o->student_count + o->linear, RT_MOST_STAGES);
    b->labels = (size_t)b->full->config.labels;
    b->cascade = rt_calloc(1, sizeof *b->cascade);
    if (b->cascade == NULL) return rt_fail_nomem(err, sizeof *b->cascade);
    b->stages = b->cascade->count = o->student_count + o->linear;
    b->cost[b->stages] = cost_of(b->full);
    for (size_t i = 0; i < o->student_count; i++) {
        char what[32];
        snprintf(what, sizeof what, "student %zu", i + 1);
        status = rt_cascade_check(o->students[i], b->full, what, err);
        if (status != RETORT_OK) return status;
        b->cascade->stages[i + o->linear].model = retort_model_retain(o->students[i]);
        b->cost[i + o->linear] = cost_of(o->students[i]);
    }
    return RETORT_OK;
}

retort_status rt_cascade_build(retort_model **out, retort_model *full, const retort_cascade_options *options,
                               retort_error *err) {
    builder b = {.options = options, .full = full, .watch = {options->progress, options->user, 0, 0}};
    b.epsilon = options->epsilon > 0 ? options->epsilon : 0.01;
    b.confidence = options->confidence > 0 ? options->confidence : 0.95;
    retort_status status = take_stages(&b, err);
    if (status == RETORT_OK) status = ask_all(&b, err);
    if (status == RETORT_OK) status = calibrate(&b, err);
    if (status == RETORT_OK) {
        rt_cascade *cascade = b.cascade;
        b.cascade = NULL; /* the model takes it */
        status = rt_cascade_model(out, full, cascade, err);
    }
    builder_free(&b);
    return status;
}
