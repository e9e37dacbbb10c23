/* SPDX-License-Identifier: Apache-2.0 */
#include "model/provenance.h"
#include "base/error.h"

#include <string.h>

/* Before the rewrites that were left out. */
static const char WITHOUT[] = " without=";

/* The buffer as a string of the arena; frees the buffer. NULL: out of memory. */
static const char *keep(rt_arena *arena, rt_buffer *text) {
    const char *kept = text->failed ? NULL : rt_arena_text(arena, text->data, text->length);
    rt_buffer_free(text);
    return kept;
}

static retort_status print(rt_provenance *p, rt_arena *arena, retort_error *err) {
    rt_buffer text = {0};
    rt_buffer_text(&text, p->recipe);
    if (p->left_out != NULL) rt_buffer_format(&text, "%s%s", WITHOUT, p->left_out);
    p->text = keep(arena, &text);
    return p->text != NULL ? RETORT_OK : rt_fail_nomem(err, strlen(p->recipe));
}

retort_status rt_provenance_set(rt_provenance *p, rt_arena *arena, retort_dtype weights, const char *recipe,
                                retort_error *err) {
    p->weights = weights;
    p->recipe = rt_arena_text(arena, recipe, strlen(recipe));
    return p->recipe != NULL ? print(p, arena, err) : rt_fail_nomem(err, strlen(recipe));
}

retort_status rt_provenance_leave_out(rt_provenance *p, rt_arena *arena, const char *const *names,
                                      size_t count, retort_error *err) {
    if (count == 0) return RETORT_OK;
    rt_buffer text = {0};
    if (p->left_out != NULL) rt_buffer_format(&text, "%s,", p->left_out);
    for (size_t i = 0; i < count; i++) rt_buffer_format(&text, "%s%s", i > 0 ? "," : "", names[i]);
    p->left_out = keep(arena, &text);
    return p->left_out != NULL ? print(p, arena, err) : rt_fail_nomem(err, 64);
}

static bool starts_with(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

retort_status rt_provenance_parse(rt_provenance *p, rt_arena *arena, const char *text, retort_error *err) {
    const char *without = strstr(text, WITHOUT);
    size_t length = without != NULL ? (size_t)(without - text) : strlen(text);
    p->weights = starts_with(text, "fp32") ? RETORT_F32 : starts_with(text, "bf16") ? RETORT_BF16 : RETORT_S8;
    p->recipe = rt_arena_text(arena, text, length);
    p->text = rt_arena_text(arena, text, strlen(text));
    p->left_out = without != NULL && p->text != NULL ? p->text + length + strlen(WITHOUT) : NULL;
    return p->recipe != NULL && p->text != NULL ? RETORT_OK : rt_fail_nomem(err, strlen(text));
}
