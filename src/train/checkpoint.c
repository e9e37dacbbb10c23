/* SPDX-License-Identifier: Apache-2.0 */
#include "train/checkpoint.h"
#include "format/seal.h"
#include "graph/ops.h"
#include "train/belongs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char VERSION[] = "2";
enum { KIND, TRAINING };
static const char *const keys[] = {[KIND] = "retort.checkpoint", [TRAINING] = "retort.training"};
enum { UNIT = 64 }; /* bytes that every tensor is a multiple of */

/* What a parameter has in the file. */
enum { WEIGHTS, FIRST, SECOND, SLOT, SEEN, PARTS };
static const char *const prefixes[PARTS] = {
    [WEIGHTS] = "w.", [FIRST] = "m.", [SECOND] = "v.", [SLOT] = "slot.", [SEEN] = "seen."};

/* The memory of a part and its elements, of four bytes each. A table without slots has no moments; other parameters have no
 * slots. */
static void *part_of(const rt_optimizer *o, size_t item, int part, size_t *count) {
    const rt_parameter *p = &o->parameters->items[item];
    const rt_moment *moment = &o->moments[item];
    bool table = p->kind == RT_PARAMETER_TABLE;
    void *all[PARTS] = {p->data, moment->first, moment->second, moment->slot, moment->seen};
    const size_t counts[PARTS] = {p->count, table ? moment->slots * p->n : p->count,
                                  table ? moment->slots * p->n : p->count, table ? p->rows : 0,
                                  table ? p->rows : 0};
    *count = counts[part];
    return all[part];
}

static retort_dtype dtype_of(int part) {
    return part < SLOT ? RETORT_F32 : RETORT_I32;
}

/* What a training through integers keeps beside the parameters; NULL: beyond the last. */
static void *state_of(const rt_checkpoint *checkpoint, size_t index, size_t *bytes) {
    rt_qat_state state = {0};
    if (checkpoint->trainee != NULL && checkpoint->trainee->qat != NULL)
        state = rt_qat_state_at(checkpoint->trainee, index);
    *bytes = state.bytes;
    return state.data;
}

static void name_state(char out[24], size_t index) {
    snprintf(out, 24, "q.%zu", index);
}

/* ---- Writing ---- */

typedef struct package {
    rt_arena arena; /* of names and padded copies */
    rt_tensor *tensors;
    size_t count;
} package;

/* Those that are no whole lines are copied with their padding: small ones, as a rule. */
static bool add(package *p, const char *prefix, const char *name, retort_dtype dtype, const void *data,
                size_t count) {
    size_t size = rt_dtype_size(dtype), all = rt_round_up(count, UNIT / size);
    char full[RT_NAME_MAX + 16];
    int length = snprintf(full, sizeof full, "%s%s", prefix, name);
    const char *kept = rt_arena_text(&p->arena, full, (size_t)length);
    void *whole = NULL;
    if (all != count) {
        whole = rt_arena_calloc(&p->arena, all, size);
        if (whole != NULL) memcpy(whole, data, count * size);
        data = whole;
    }
    if (kept == NULL || data == NULL) return false;
    rt_tensor *tensor = &p->tensors[p->count++];
    *tensor = (rt_tensor){.name = kept, .data = data, .dtype = dtype, .rank = 1};
    tensor->shape[0] = (int64_t)all;
    return true;
}

static bool gather(package *p, const rt_checkpoint *checkpoint) {
    const rt_optimizer *o = checkpoint->optimizer;
    size_t states = 0, bytes;
    while (state_of(checkpoint, states, &bytes) != NULL) states++;
    p->tensors = rt_calloc(o->parameters->count * PARTS + states + 1, sizeof *p->tensors);
    if (p->tensors == NULL) return false;
    p->tensors[p->count] =
        (rt_tensor){.name = "state", .data = checkpoint->words, .dtype = RETORT_I64, .rank = 1};
    p->tensors[p->count++].shape[0] = RT_CHECKPOINT_WORDS;
    for (size_t i = 0; i < o->parameters->count; i++) {
        for (int part = 0; part < PARTS; part++) {
            size_t count;
            const void *data = part_of(o, i, part, &count);
            if (count > 0 &&
                !add(p, prefixes[part], o->parameters->items[i].name, dtype_of(part), data, count))
                return false;
        }
    }
    for (size_t i = 0; i < states; i++) {
        char name[24];
        const void *data = state_of(checkpoint, i, &bytes);
        name_state(name, i);
        if (!add(p, "", name, RETORT_U8, data, bytes)) return false;
    }
    return true;
}

retort_status rt_checkpoint_write(const char *path, const rt_checkpoint *checkpoint, retort_error *err) {
    package p = {0};
    const char *values[] = {VERSION, checkpoint->belongs};
    retort_status status = gather(&p, checkpoint) ? RETORT_OK : rt_fail_nomem(err, UNIT);
    if (status == RETORT_OK) status = rt_seal_write(path, p.tensors, p.count, keys, values, 2, err);
    free(p.tensors);
    rt_arena_free(&p.arena);
    return status;
}

/* ---- Reading ---- */

/* The tensor, of `count` elements with its padding; RETORT_FORMAT: there is none such. */
static retort_status find(const rt_tensor **out, const char *path, const rt_tensors *tensors,
                          const char *prefix, const char *name, retort_dtype dtype, size_t count,
                          retort_error *err) {
    char full[RT_NAME_MAX + 16];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    *out = rt_tensors_find(tensors, full);
    bool fits = *out != NULL && (*out)->dtype == dtype && (*out)->rank == 1 &&
                (*out)->shape[0] == (int64_t)rt_round_up(count, UNIT / rt_dtype_size(dtype));
    if (fits) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT, "%.200s: %s%.150s: expected %s [%zu]", path, prefix, name,
                   retort_dtype_name(dtype), rt_round_up(count, UNIT / rt_dtype_size(dtype)));
}

/* How many rows of a table have moments: slots are -1, or each of 0, 1, … once. False: they are not. */
static bool count_slots(const int32_t *slots, size_t rows, size_t *count, bool *found) {
    *count = 0;
    for (size_t i = 0; i < rows; i++) {
        int32_t slot = slots[i];
        if (slot == -1) continue;
        if (slot < 0 || (size_t)slot >= rows || found[slot]) return false;
        found[slot] = true;
        (*count)++;
    }
    for (size_t i = 0; i < *count; i++) {
        if (!found[i]) return false;
    }
    return true;
}

static retort_status check_table(const char *path, const rt_tensors *tensors, const rt_parameter *p,
                                 size_t step, size_t *slots, retort_error *err) {
    const rt_tensor *slot, *seen;
    retort_status status = find(&slot, path, tensors, prefixes[SLOT], p->name, RETORT_I32, p->rows, err);
    if (status == RETORT_OK)
        status = find(&seen, path, tensors, prefixes[SEEN], p->name, RETORT_I32, p->rows, err);
    if (status != RETORT_OK) return status;
    bool *found = rt_calloc(p->rows, sizeof *found);
    int32_t *copy = rt_calloc(p->rows, sizeof *copy); /* the file may be unaligned */
    bool made = found != NULL && copy != NULL, good = false;
    if (made) {
        memcpy(copy, slot->data, p->rows * sizeof *copy);
        good = count_slots(copy, p->rows, slots, found);
        memcpy(copy, seen->data, p->rows * sizeof *copy);
        for (size_t i = 0; i < p->rows; i++) good = good && copy[i] >= 0 && (size_t)copy[i] <= step;
    }
    free(found);
    free(copy);
    if (!made) return rt_fail_nomem(err, p->rows * sizeof *copy);
    return good ? RETORT_OK
                : rt_fail(err, RETORT_FORMAT, "%.200s: %.150s: its rows are not as a training leaves them",
                          path, p->name);
}

/* Everything is there, and nothing else; *slots of each table. */
static retort_status check(const char *path, const rt_tensors *tensors, const rt_checkpoint *checkpoint,
                           size_t step, size_t *slots, retort_error *err) {
    const rt_optimizer *o = checkpoint->optimizer;
    size_t expected = 1;
    for (size_t i = 0; i < o->parameters->count; i++) {
        const rt_parameter *p = &o->parameters->items[i];
        bool table = p->kind == RT_PARAMETER_TABLE;
        retort_status status = table ? check_table(path, tensors, p, step, &slots[i], err) : RETORT_OK;
        size_t moments = table ? slots[i] * p->n : p->count;
        const size_t counts[] = {[WEIGHTS] = p->count, [FIRST] = moments, [SECOND] = moments};
        for (int part = WEIGHTS; status == RETORT_OK && part <= SECOND; part++) {
            const rt_tensor *tensor;
            if (counts[part] == 0) continue;
            status = find(&tensor, path, tensors, prefixes[part], p->name, RETORT_F32, counts[part], err);
            expected++;
        }
        if (status != RETORT_OK) return status;
        expected += table ? 2 : 0;
    }
    size_t bytes;
    for (size_t i = 0; state_of(checkpoint, i, &bytes) != NULL; i++, expected++) {
        const rt_tensor *tensor;
        char name[24];
        name_state(name, i);
        retort_status status = find(&tensor, path, tensors, "", name, RETORT_U8, bytes, err);
        if (status != RETORT_OK) return status;
    }
    if (expected == tensors->count) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT, "%.200s: %zu tensors, expected %zu", path, tensors->count, expected);
}

static retort_status check_version(const char *path, const rt_tensors *tensors, retort_error *err) {
    const char *version = rt_tensors_metadata(tensors, keys[KIND]);
    if (version == NULL)
        return rt_fail(err, RETORT_FORMAT, "%.200s: not a checkpoint of a training: no %s in its metadata",
                       path, keys[KIND]);
    if (strcmp(version, VERSION) == 0) return RETORT_OK;
    return rt_fail(err, RETORT_UNSUPPORTED, "%.200s: %s %.40s, expected %s", path, keys[KIND], version,
                   VERSION);
}

/* Of a file that has been checked. */
static void copy_all(const rt_tensors *tensors, const rt_checkpoint *checkpoint) {
    const rt_optimizer *o = checkpoint->optimizer;
    const rt_tensor *tensor;
    size_t bytes;
    void *state;
    for (size_t i = 0; (state = state_of(checkpoint, i, &bytes)) != NULL; i++) {
        char name[24];
        name_state(name, i);
        if (find(&tensor, "", tensors, "", name, RETORT_U8, bytes, NULL) == RETORT_OK)
            memcpy(state, tensor->data, bytes);
    }
    for (size_t i = 0; i < o->parameters->count; i++) {
        for (int part = 0; part < PARTS; part++) {
            size_t count;
            void *data = part_of(o, i, part, &count);
            if (count > 0 && find(&tensor, "", tensors, prefixes[part], o->parameters->items[i].name,
                                  dtype_of(part), count, NULL) == RETORT_OK)
                memcpy(data, tensor->data, count * sizeof(float));
        }
    }
}

retort_status rt_checkpoint_take(const char *path, const rt_tensors *tensors, rt_checkpoint *checkpoint,
                                 retort_error *err) {
    rt_optimizer *o = checkpoint->optimizer;
    const rt_tensor *words = rt_tensors_find(tensors, "state");
    retort_status status = check_version(path, tensors, err);
    if (status == RETORT_OK)
        status =
            rt_belongs_check(path, rt_tensors_metadata(tensors, keys[TRAINING]), checkpoint->belongs, err);
    if (status != RETORT_OK) return status;
    if (words == NULL || words->dtype != RETORT_I64 || words->rank != 1 ||
        words->shape[0] != RT_CHECKPOINT_WORDS)
        return rt_fail(err, RETORT_FORMAT, "%.200s: state: expected i64 [%d]", path, RT_CHECKPOINT_WORDS);
    int64_t step;
    memcpy(&step, words->data, sizeof step);
    if (step < 0 || (size_t)step > o->options.plan.steps)
        return rt_fail(err, RETORT_FORMAT, "%.200s: step %lld of %zu", path, (long long)step,
                       o->options.plan.steps);
    size_t *slots = rt_calloc(o->parameters->count, sizeof *slots);
    if (slots == NULL) return rt_fail_nomem(err, o->parameters->count * sizeof *slots);
    status = check(path, tensors, checkpoint, (size_t)step, slots, err);
    for (size_t i = 0; status == RETORT_OK && i < o->parameters->count; i++) {
        bool table = o->parameters->items[i].kind == RT_PARAMETER_TABLE;
        if (table && !rt_optimizer_reserve(o, i, slots[i])) status = rt_fail_nomem(err, slots[i]);
    }
    free(slots);
    if (status != RETORT_OK) return status;
    copy_all(tensors, checkpoint);
    if (checkpoint->trainee != NULL) rt_trainee_touch(checkpoint->trainee, 0, NULL, 0);
    memcpy(checkpoint->words, words->data, sizeof checkpoint->words);
    o->step = (size_t)step;
    return RETORT_OK;
}

retort_status rt_checkpoint_read(const char *path, rt_checkpoint *checkpoint, retort_error *err) {
    rt_tensors tensors;
    retort_status status = rt_tensors_open(&tensors, path, err);
    if (status != RETORT_OK) return status;
    status = check_version(path, &tensors, err);
    if (status == RETORT_OK) status = rt_seal_check(path, &tensors, err);
    if (status == RETORT_OK) status = rt_checkpoint_take(path, &tensors, checkpoint, err);
    rt_tensors_close(&tensors);
    return status;
}
