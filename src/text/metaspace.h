/* SPDX-License-Identifier: Apache-2.0
 * What the pre-tokenizer and the decoder Metaspace share. */
#ifndef RT_TEXT_METASPACE_H
#define RT_TEXT_METASPACE_H

#include "text/component.h"

/* Which texts get a mark in front, if they do not begin with one. */
typedef enum rt_prepend { RT_PREPEND_ALWAYS, RT_PREPEND_FIRST, RT_PREPEND_NEVER } rt_prepend;

typedef struct rt_metaspace {
    uint32_t mark; /* in place of a space: U+2581 */
    rt_prepend prepend;
    bool split; /* before each mark */
} rt_metaspace;

/* `part` NULL: the defaults. `what` names the component in errors. NULL: *status says why. */
const rt_metaspace *rt_metaspace_read(const rt_component_reader *in, const json_t *part, const char *what,
                                      retort_status *status);
/* Whether a mark goes in front of a text that begins with this. */
bool rt_metaspace_prepends(const rt_metaspace *metaspace, const rt_point *first);

#endif
