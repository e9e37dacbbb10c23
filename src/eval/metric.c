/* SPDX-License-Identifier: Apache-2.0 */
#include "eval/metric.h"
#include "task/scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double rt_divergence(const float *reference, const float *logits, size_t n, size_t stride) {
    double p_sum = rt_score_log_sum(reference, n, stride), q_sum = rt_score_log_sum(logits, n, stride),
           total = 0;
    for (size_t i = 0; i < n; i++) {
        double log_p = reference[i * stride] - p_sum, log_q = logits[i * stride] - q_sum;
        total += exp(log_p) * (log_p - log_q);
    }
    return fmax(total, 0); /* rounding may leave it slightly below 0 */
}

/* ln of the sigmoid, without overflow */
static double log_yes(double x) {
    return x < 0 ? x - log1p(exp(x)) : -log1p(exp(-x));
}

double rt_divergence_yes_no(const float *reference, const float *logits, size_t n) {
    double total = 0;
    for (size_t i = 0; i < n; i++) {
        double yes = log_yes(reference[i]), no = log_yes(-(double)reference[i]);
        total += exp(yes) * (yes - log_yes(logits[i])) + exp(no) * (no - log_yes(-(double)logits[i]));
    }
    return fmax(total, 0);
}

enum { NO_TYPE = -1 };
static const rt_tag_label outside = {'O', NO_TYPE};

static bool is_one_of(char mark, const char *marks) {
    return mark != '\0' && strchr(marks, mark) != NULL;
}

/* A prefix alone has no type. */
static bool is_bare(const char *name) {
    return is_one_of(name[0], "BIESO") && (name[1] == '\0' || (name[1] == '-' && name[2] == '\0'));
}

static const char *entity_type(const char *name) {
    return name[0] != '\0' && name[1] == '-' ? name + 2 : name;
}

rt_tag_label *rt_entity_labels_new(const rt_config *config) {
    rt_tag_label *labels = rt_calloc((size_t)config->labels, sizeof *labels);
    for (int64_t i = 0; labels != NULL && i < config->labels; i++) {
        const char *name = config->label_names[i], *type = entity_type(name);
        bool bare = is_bare(name), marked = bare || type != name;
        int64_t first = 0;
        while (first < i && (is_bare(config->label_names[first]) ||
                             strcmp(entity_type(config->label_names[first]), type) != 0))
            first++;
        labels[i] = (rt_tag_label){marked ? name[0] : 'I', bare ? NO_TYPE : first};
    }
    return labels;
}

typedef struct entity {
    int64_t type;
    size_t start, end;
} entity;

/* Whether an entity ends before `tag`, or one starts with it. */
static bool ends(rt_tag_label before, rt_tag_label tag) {
    return is_one_of(before.mark, "ES") || (is_one_of(before.mark, "BI") && is_one_of(tag.mark, "BSO")) ||
           (before.mark != 'O' && before.type != tag.type);
}

static bool starts(rt_tag_label before, rt_tag_label tag) {
    return is_one_of(tag.mark, "BS") || (is_one_of(before.mark, "ESO") && is_one_of(tag.mark, "EI")) ||
           (tag.mark != 'O' && before.type != tag.type);
}

/* Iterates over the tags of a sentence, followed by one O. */
typedef struct walk {
    const rt_tag_label *labels;
    const int32_t *tags;
    size_t n, at, start;
    rt_tag_label before;
} walk;

/* The next entity by its end; false if there is none. */
static bool next_entity(walk *w, entity *out) {
    while (w->at <= w->n) {
        size_t i = w->at++;
        bool tagged = i < w->n && w->tags[i] != RT_NO_TAG;
        rt_tag_label tag = tagged ? w->labels[w->tags[i]] : outside, before = w->before;
        *out = (entity){before.type, w->start, i};
        if (starts(before, tag)) w->start = i;
        w->before = tag;
        if (ends(before, tag)) return true;
    }
    return false;
}

/* Where an entity is counted: all together, or by its type. */
static rt_decisions *place_of(const entity *it, size_t untyped, bool by_type, rt_decisions *counts) {
    return by_type ? &counts[it->type == NO_TYPE ? (int64_t)untyped : it->type] : counts;
}

static void count(const rt_tag_label *labels, const int32_t *gold, const int32_t *predicted, size_t n,
                  size_t untyped, bool by_type, rt_decisions *counts) {
    walk gold_walk = {labels, gold, n, 0, 0, outside}, found_walk = {labels, predicted, n, 0, 0, outside};
    entity wanted, found;
    bool more_gold = next_entity(&gold_walk, &wanted), more = next_entity(&found_walk, &found);
    while (more_gold || more) { /* ends are unique within a list, and both lists are sorted by end */
        bool take_gold = more_gold && (!more || wanted.end <= found.end);
        bool take = more && (!more_gold || found.end <= wanted.end);
        if (take_gold && take && wanted.start == found.start && wanted.type == found.type)
            place_of(&wanted, untyped, by_type, counts)->correct++;
        if (take_gold) {
            place_of(&wanted, untyped, by_type, counts)->gold++;
            more_gold = next_entity(&gold_walk, &wanted);
        }
        if (take) {
            place_of(&found, untyped, by_type, counts)->predicted++;
            more = next_entity(&found_walk, &found);
        }
    }
}

void rt_count_entities(const rt_tag_label *labels, const int32_t *gold, const int32_t *predicted, size_t n,
                       rt_decisions *counts) {
    count(labels, gold, predicted, n, 0, false, counts);
}

void rt_count_entity_types(const rt_tag_label *labels, size_t untyped, const int32_t *gold,
                           const int32_t *predicted, size_t n, rt_decisions *types) {
    count(labels, gold, predicted, n, untyped, true, types);
}

size_t rt_untyped_label(const rt_tag_label *labels, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (labels[i].type == NO_TYPE && labels[i].mark != 'O') return i;
    }
    return 0;
}

double rt_f1(const rt_decisions *decisions) {
    size_t both = decisions->gold + decisions->predicted;
    return both > 0 ? 2 * (double)decisions->correct / (double)both : 0;
}

double rt_f1_macro(const rt_decisions *labels, size_t n, bool absent) {
    double sum = 0;
    size_t counted = 0;
    for (size_t i = 0; i < n; i++) {
        sum += rt_f1(&labels[i]);
        counted += absent || labels[i].gold + labels[i].predicted > 0;
    }
    return counted > 0 ? sum / (double)counted : 0;
}
