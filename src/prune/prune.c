/* SPDX-License-Identifier: Apache-2.0 */
#include "prune/prune.h"
#include "base/cpu.h"
#include "grad/tape.h"
#include "prune/pruner.h"
#include "prune/repair.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_SAMPLES = 1024, DEFAULT_ROUNDS = 4 };

/* ---- What can be pruned ---- */

static retort_status check_model(const retort_model *model, retort_error *err) {
    const rt_graph *graph = &model->graph;
    if (model->provenance.weights != RETORT_F32)
        return rt_fail(
            err, RETORT_ARGUMENT,
            "prune: the model is %.80s: expected float32 weights; prune the float model, then quantize",
            model->provenance.text);
    if (graph->level < 3)
        return rt_fail(err, RETORT_ARGUMENT, "prune: the graph is of level %d: optimize it to level 3 first",
                       graph->level);
    if (model->config.groups > 0)
        return rt_fail(err, RETORT_UNSUPPORTED,
                       "prune: the layers of %s share their weights: what one loses, all would lose",
                       model->config.arch->type);
    return RETORT_OK;
}

static retort_status check_request(const rt_pruner *p, retort_error *err) {
    const retort_prune_options *o = p->options;
    size_t layers = rt_prune_layer_count(&p->dense->graph);
    size_t heads = rt_pruner_units(p, RT_PRUNE_HEADS), ffn = rt_pruner_units(p, RT_PRUNE_FFN);
    if (o->layers > layers)
        return rt_fail(err, RETORT_ARGUMENT, "prune: %zu layers cannot be kept: the model has %zu", o->layers,
                       layers);
    if ((o->heads > 0 && heads == 0) || (o->ffn > 0 && ffn == 0) || (o->time > 0 && heads + ffn == 0))
        return rt_fail(err, RETORT_UNSUPPORTED,
                       "prune: no %s can be removed: expected encoder layers of a plain checkpoint",
                       o->heads > 0 && heads == 0 ? "head" : "column of a feed-forward network");
    if (o->heads > 0 && o->heads * (double)layers > (double)heads)
        return rt_fail(err, RETORT_ARGUMENT, "prune: %g heads a layer cannot be kept: the model has %g",
                       o->heads, (double)heads / (double)layers);
    return RETORT_OK;
}

/* ---- Layers ---- */

/* A model without one of its layers. */
static retort_status without_layer(retort_model **out, const retort_model *model, size_t layer,
                                   retort_error *err) {
    retort_status status = rt_model_derive(out, model, err);
    if (status == RETORT_OK) status = rt_prune_layer(&(*out)->graph, layer, err);
    return status;
}

/* Removes the layer whose loss costs least. */
static retort_status drop_layer(rt_pruner *p, retort_error *err) {
    retort_model *best = NULL;
    double least = INFINITY;
    size_t layers = rt_prune_layer_count(&p->now->graph);
    for (size_t i = 0; i < layers; i++) {
        retort_model *next = NULL;
        double loss = INFINITY;
        if (!rt_prune_layer_fits(&p->now->graph, i)) continue;
        retort_status status = without_layer(&next, p->now, i, err);
        if (status == RETORT_OK) status = rt_probe_loss(&p->probe, next, RT_PROBE_TEMPERATURE, &loss, err);
        if (status != RETORT_OK) {
            retort_model_free(next);
            retort_model_free(best);
            return status;
        }
        bool better = best == NULL || loss < least;
        retort_model_free(better ? best : next);
        if (better) {
            best = next;
            least = loss;
        }
    }
    if (best == NULL)
        return rt_fail(err, RETORT_UNSUPPORTED, "prune: no other layer can be removed: %zu are left", layers);
    retort_model_free(p->now);
    p->now = best;
    return RETORT_OK;
}

static retort_status drop_layers(rt_pruner *p, retort_error *err) {
    size_t layers = rt_prune_layer_count(&p->now->graph), kept = p->options->layers;
    if (kept == 0 || kept == layers) return RETORT_OK;
    retort_status status = RETORT_OK;
    for (size_t i = layers; status == RETORT_OK && i > kept; i--) {
        status = rt_pruner_report(p, "layers", layers - i, layers - kept, err);
        if (status == RETORT_OK) status = drop_layer(p, err);
    }
    if (status == RETORT_OK) status = rt_pruner_report(p, "repair", 0, 1, err);
    return status == RETORT_OK ? rt_prune_repair(&p->probe, p->now, p->dense, err) : status;
}

/* ---- The result ---- */

/* "fp32 pruned", once however often it was. */
static retort_status note(retort_model *model, const rt_provenance *from, retort_error *err) {
    static const char mark[] = " pruned";
    rt_buffer text = {0};
    rt_buffer_text(&text, from->recipe);
    if (strstr(from->recipe, mark) == NULL) rt_buffer_text(&text, mark);
    retort_status status =
        text.failed ? rt_fail_nomem(err, text.capacity)
                    : rt_provenance_set(&model->provenance, &model->arena, from->weights, text.data, err);
    rt_buffer_free(&text);
    return status;
}

/* What info says of a model: its layers, and the widest of each. */
static retort_status describe(retort_model *model, retort_error *err) {
    rt_prune_modules modules;
    retort_status status = rt_prune_modules_find(&modules, &model->graph, err);
    if (status != RETORT_OK) return status;
    int64_t heads = 0, ffn = 0;
    for (size_t i = 0; i < modules.count; i++) {
        int64_t units = (int64_t)modules.items[i].units;
        int64_t *most = modules.items[i].kind == RT_PRUNE_HEADS ? &heads : &ffn;
        *most = units > *most ? units : *most;
    }
    model->config.layers = (int64_t)rt_prune_layer_count(&model->graph);
    if (heads > 0) model->config.heads = heads;
    if (ffn > 0) model->config.ffn = ffn;
    rt_prune_modules_free(&modules);
    return RETORT_OK;
}

/* The better of p->now and the same repaired; *loss: what its answers lose, at a temperature of 1. */
static retort_status repair(rt_pruner *p, double *loss, retort_error *err) {
    retort_model *repaired = NULL;
    double after = INFINITY;
    retort_status status = rt_pruner_report(p, "repair", 0, 1, err);
    if (status == RETORT_OK) status = rt_model_derive(&repaired, p->now, err);
    if (status == RETORT_OK) status = rt_prune_repair(&p->probe, repaired, p->dense, err);
    if (status == RETORT_OK) status = rt_probe_loss(&p->probe, p->now, RT_PROBE_TEMPERATURE, loss, err);
    if (status == RETORT_OK) status = rt_probe_loss(&p->probe, repaired, RT_PROBE_TEMPERATURE, &after, err);
    bool better = status == RETORT_OK && after < *loss;
    retort_model_free(better ? p->now : repaired);
    if (better) p->now = repaired;
    return status == RETORT_OK ? rt_probe_loss(&p->probe, p->now, 1, loss, err) : status;
}

static retort_status finish(rt_pruner *p, retort_model **out, retort_error *err) {
    retort_model *next = NULL;
    retort_status status = rt_model_derive(&next, p->now, err);
    if (status == RETORT_OK) status = rt_prune_number_layers(&next->graph, err);
    if (status == RETORT_OK) status = describe(next, err);
    if (status == RETORT_OK) status = note(next, &p->dense->provenance, err);
    if (status == RETORT_OK) {
        *out = next;
    } else {
        retort_model_free(next);
    }
    return status;
}

static retort_status prune(rt_pruner *p, retort_model **out, retort_prune_result *result, retort_error *err) {
    const retort_prune_options *o = p->options;
    double loss = 0;
    size_t rounds = o->rounds > 0 ? o->rounds : DEFAULT_ROUNDS;
    retort_status status = drop_layers(p, err);
    if (status == RETORT_OK) status = rt_pruner_plan(p, err);
    for (size_t i = 0; status == RETORT_OK && p->budget_count > 0 && i < rounds; i++)
        status = rt_pruner_round(p, i, rounds, err);
    if (status == RETORT_OK) status = repair(p, &loss, err);
    if (status == RETORT_OK) status = finish(p, out, err);
    if (status == RETORT_OK && result != NULL) {
        result->layers = rt_prune_layer_count(&p->now->graph);
        result->loss = loss;
        result->time = p->time_left;
        result->texts = p->probe.few;
    }
    return status;
}

retort_status rt_prune(retort_model **out, const retort_model *model, const retort_prune_options *options,
                       retort_prune_result *result, retort_error *err) {
    rt_pruner p = {.options = options, .time_left = NAN};
    int threads = options->threads > 0 ? options->threads : rt_cpu_threads();
    retort_status status = check_model(model, err);
    if (status != RETORT_OK) return status;
    p.dense = retort_model_retain((retort_model *)(uintptr_t)model); /* counting owners is no change */
    p.now = retort_model_retain(p.dense);
    if (options->data->count == 0)
        status = rt_fail(err, RETORT_ARGUMENT, "prune: %.200s: there are no texts", options->data->name);
    if (status == RETORT_OK) status = check_request(&p, err);
    if (status == RETORT_OK)
        status = rt_probe_open(&p.probe, model, options->data,
                               options->samples > 0 ? options->samples : DEFAULT_SAMPLES, options->seed,
                               threads, err);
    if (status == RETORT_OK) {
        p.probe.pause = rt_pruner_pause;
        p.probe.pause_user = &p;
        status = rt_pruner_weigh(&p, err);
        if (status == RETORT_OK) status = prune(&p, out, result, err);
    }
    rt_pruner_free(&p);
    return status;
}
