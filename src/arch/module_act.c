/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/module_act.h"

#include <stdio.h>
#include <string.h>

static const char *const names[] = {
#define NAME(name, text, emit) text,
    RT_MODULE_ACTS(NAME)
#undef NAME
};
enum { NAMES = sizeof names / sizeof *names };

/* The class of "torch.nn.….Tanh"; NULL: another path. */
static const char *class_of(const char *path) {
    const char *dot = path != NULL ? strrchr(path, '.') : NULL;
    return dot != NULL && strncmp(path, "torch.nn.", 9) == 0 ? dot + 1 : NULL;
}

static bool find_name(rt_module_act *out, const char *name) {
    for (int i = 0; name != NULL && i < NAMES; i++) {
        if (strcmp(name, names[i]) != 0) continue;
        *out = (rt_module_act)i;
        return true;
    }
    return false;
}

bool rt_module_act_find(rt_module_act *out, const char *path) {
    return find_name(out, class_of(path));
}

static const char softmax[] = "Softmax";

bool rt_scoring_find(rt_scoring *out, const char *path) {
    bool whole = path != NULL && strchr(path, '.') != NULL;
    const char *name = whole ? class_of(path) : path;
    *out = (rt_scoring){.softmax = name != NULL && strcmp(name, softmax) == 0};
    out->stated = out->softmax || find_name(&out->act, name);
    return out->stated;
}

const char *rt_scoring_name(const rt_scoring *scoring) {
    return !scoring->stated ? NULL : scoring->softmax ? softmax : names[scoring->act];
}

const char *rt_module_act_names(char *out, size_t size) {
    size_t n = 0;
    for (size_t i = 0; i < NAMES && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%s", i > 0 ? ", " : "", names[i]);
    return out;
}
