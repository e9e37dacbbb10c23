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

bool rt_module_act_find(rt_module_act *out, const char *path) {
    const char *dot = path != NULL ? strrchr(path, '.') : NULL;
    if (dot == NULL || strncmp(path, "torch.nn.", 9) != 0) return false;
    for (int i = 0; i < NAMES; i++) {
        if (strcmp(dot + 1, names[i]) != 0) continue;
        *out = (rt_module_act)i;
        return true;
    }
    return false;
}

const char *rt_module_act_names(char *out, size_t size) {
    size_t n = 0;
    for (size_t i = 0; i < NAMES && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%s", i > 0 ? ", " : "", names[i]);
    return out;
}
