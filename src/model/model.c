/* SPDX-License-Identifier: Apache-2.0
 * The model object: its owners, its constants, models derived from it. */
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

/* ---- Owners ---- */

retort_model *rt_model_new(void) {
    retort_model *model = rt_calloc(1, sizeof *model);
    if (model == NULL) return NULL;
    atomic_init(&model->owners, 1);
    atomic_init(&model->constants, NULL);
    pthread_mutex_init(&model->unpacked_lock, NULL); /* cannot fail in glibc and musl */
    model->graph.output = -1;
    return model;
}

retort_model *retort_model_retain(retort_model *model) {
    if (model != NULL) atomic_fetch_add_explicit(&model->owners, 1, memory_order_relaxed);
    return model;
}

void retort_model_free(retort_model *model) {
    while (model != NULL && atomic_fetch_sub_explicit(&model->owners, 1, memory_order_acq_rel) == 1) {
        retort_model *base = model->shared_with;
        rt_cascade_free(model->cascade);
        if (base == NULL) rt_tokenizer_free(model->tokenizer); /* else it is the base's */
        rt_graph_free(&model->graph);
        rt_tensors_close(&model->file);
        rt_arena_free(&model->arena);
        free(model->vocab);
        free(model->table);
        free(atomic_load_explicit(&model->constants, memory_order_relaxed));
        pthread_mutex_destroy(&model->unpacked_lock);
        free(model);
        model = base;
    }
}

void rt_cascade_free(rt_cascade *cascade) {
    if (cascade == NULL) return;
    for (size_t i = 0; i < cascade->count; i++) retort_model_free(cascade->stages[i].model);
    rt_arena_free(&cascade->arena);
    free(cascade);
}

void rt_model_drop_graph(retort_model *model) {
    rt_graph_free(&model->graph);
    model->graph = (rt_graph){.output = -1};
}

/* ---- Constants ---- */

static rt_constants *list_constants(const rt_graph *graph) {
    rt_use *uses = rt_calloc(graph->value_count, sizeof *uses);
    rt_constants *list =
        uses != NULL ? malloc(sizeof *list + graph->value_count * sizeof *list->items) : NULL;
    if (list != NULL) {
        list->count = 0;
        rt_graph_uses(graph, uses);
        for (size_t i = 0; i < graph->value_count; i++) {
            if (graph->values[i].data == NULL) continue;
            list->items[list->count++] = (struct rt_constant){(int)i, uses[i]};
        }
    }
    free(uses);
    return list;
}

const rt_constants *rt_model_constants(const retort_model *model) {
    _Atomic(rt_constants *) *place = &((retort_model *)(uintptr_t)model)->constants; /* a note, no change */
    rt_constants *list = atomic_load_explicit(place, memory_order_acquire), *other = NULL;
    if (list != NULL) return list;
    list = list_constants(&model->graph);
    if (list == NULL || atomic_compare_exchange_strong(place, &other, list)) return list;
    free(list); /* another thread was faster */
    return other;
}

/* ---- Int8 panels ---- */

/* Whose panels a model uses. They are notes beside it, no change. */
static retort_model *unpacked_owner(const retort_model *model) {
    while (model->same_weights) model = model->shared_with;
    return (retort_model *)(uintptr_t)model;
}

retort_status rt_model_unpacked_begin(const rt_unpacked_set **out, const retort_model *model,
                                      retort_error *err) {
    retort_model *owner = unpacked_owner(model);
    retort_status status = RETORT_OK;
    pthread_mutex_lock(&owner->unpacked_lock);
    if (owner->unpacked_users == 0) status = rt_unpacked_open(&owner->unpacked, &owner->graph, err);
    if (status == RETORT_OK) owner->unpacked_users++;
    *out = status == RETORT_OK ? owner->unpacked : NULL;
    pthread_mutex_unlock(&owner->unpacked_lock);
    return status;
}

void rt_model_unpacked_end(const retort_model *model) {
    retort_model *owner = unpacked_owner(model);
    pthread_mutex_lock(&owner->unpacked_lock);
    if (--owner->unpacked_users == 0) {
        rt_unpacked_close(owner->unpacked);
        owner->unpacked = NULL;
    }
    pthread_mutex_unlock(&owner->unpacked_lock);
}

/* ---- Derived models ---- */

retort_status rt_model_derive(retort_model **out, const retort_model *model, retort_error *err) {
    retort_model *next = rt_model_new();
    if (next == NULL) return rt_fail_nomem(err, sizeof *next);
    next->config = model->config;
    next->tokenizer = model->tokenizer;
    next->source = model->source;
    next->provenance = model->provenance;
    memcpy(next->warnings, model->warnings, sizeof next->warnings);
    next->warning_count = model->warning_count;
    next->restriction = model->restriction;
    next->source_nodes = model->source_nodes;
    next->shared_with =
        retort_model_retain((retort_model *)(uintptr_t)model); /* counting owners is no change */
    retort_status status = rt_graph_copy(&next->graph, &model->graph, err);
    if (status == RETORT_OK) {
        *out = next;
    } else {
        retort_model_free(next);
    }
    return status;
}
