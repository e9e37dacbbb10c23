/* SPDX-License-Identifier: Apache-2.0 */
#include "train/qat_start.h"
#include "quant/quantize.h"
#include "quant/recipe.h"

/* Groups at 2 bits: their scales are a larger part of the file there. */
enum { GROUP_OF_TWO_BITS = 64 };

/* 0 of its work before it begins, all of it when it is done. */
static int report(void *user, const char *what, size_t done, size_t total) {
    const retort_train_options *options = user;
    (void)what;
    if (options->progress == NULL) return 0;
    retort_train_progress progress = {
        .size = sizeof progress, .what = "recipe", .step = done, .steps = total};
    return options->progress(options->user, &progress);
}

static void warn(void *user, const char *text) {
    const retort_train_options *options = user;
    if (options->warning != NULL) options->warning(options->user, text);
}

static retort_status quantize(retort_model **out, const retort_model *model,
                              const retort_train_options *options, retort_error *err) {
    retort_quantize_options how = RETORT_QUANTIZE_OPTIONS;
    const rt_recipe *recipe = rt_recipe_find(options->recipe, err);
    if (recipe == NULL) return RETORT_ARGUMENT;
    how.recipe = options->recipe;
    how.bits = options->bits;
    how.embeddings = options->embeddings;
    how.group = options->group == 0 && options->bits == 2 ? GROUP_OF_TWO_BITS : options->group;
    how.data =
        rt_recipe_calibrates(recipe) || recipe->activations == RT_ACTIVATIONS_STATIC ? options->data : NULL;
    how.seed = options->seed;
    how.progress = report;
    how.warning = warn;
    how.user = (void *)(uintptr_t)options; /* the functions above only read it */
    if (report(how.user, "recipe", 0, 1) != 0) return rt_fail(err, RETORT_CANCELLED, "recipe: cancelled");
    retort_status status = rt_quantize(out, model, &how, err);
    if (status == RETORT_OK && report(how.user, "recipe", 1, 1) != 0)
        status = rt_fail(err, RETORT_CANCELLED, "recipe: cancelled");
    return status;
}

retort_status rt_qat_start(rt_trainee *out, const retort_model *model, const retort_train_options *options,
                           const rt_qat_options *how, retort_error *err) {
    const retort_optimize_options whole = RETORT_OPTIMIZE_OPTIONS;
    retort_model *floats = NULL, *integer = NULL;
    retort_status status = model->graph.level < 3 ? rt_model_optimize(&floats, model, &whole, err)
                                                  : rt_model_derive(&floats, model, err);
    if (status == RETORT_OK) status = rt_trainee_check(floats, err);
    if (status == RETORT_OK) status = quantize(&integer, floats, options, err);
    if (status == RETORT_OK) status = rt_qat_open(out, integer, floats, how, err);
    retort_model_free(integer); /* the trainee has its own share */
    retort_model_free(floats);
    return status;
}
