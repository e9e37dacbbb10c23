/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/recipe.h"
#include "base/memory.h"

#include <string.h>

static const rt_recipe recipes[] = {
#define RECIPE_ROW(name, bits, table_bits, group, scaling, rounding, outliers, activations, important, help) \
    {name,                                                                                                   \
     bits,                                                                                                   \
     table_bits,                                                                                             \
     group,                                                                                                  \
     RT_SCALE_##scaling,                                                                                     \
     RT_ROUND_##rounding,                                                                                    \
     outliers,                                                                                               \
     RT_ACTIVATIONS_##activations,                                                                           \
     important,                                                                                              \
     help},
    RT_RECIPES(RECIPE_ROW)
#undef RECIPE_ROW
};
enum { RECIPE_COUNT = sizeof recipes / sizeof *recipes };

const char *retort_recipe(size_t index, const char **help) {
    if (index >= RECIPE_COUNT) return NULL;
    if (help != NULL) *help = recipes[index].help;
    return recipes[index].name;
}

const rt_recipe *rt_recipe_find(const char *name, retort_error *err) {
    if (name == NULL) return &recipes[0];
    for (size_t i = 0; i < RECIPE_COUNT; i++) {
        if (strcmp(recipes[i].name, name) == 0) return &recipes[i];
    }
    rt_buffer known = {0};
    for (size_t i = 0; i < RECIPE_COUNT; i++) rt_buffer_format(&known, " %s", recipes[i].name);
    rt_fail(err, RETORT_ARGUMENT, "quantize: no recipe '%.60s'; there is%s", name,
            known.failed ? "" : known.data);
    rt_buffer_free(&known);
    return NULL;
}
