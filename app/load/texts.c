/* SPDX-License-Identifier: Apache-2.0
 * The texts that requests send: from a file, or built in. */
#include "load/texts.h"
#include "cli/model.h"

#include <stdio.h>
#include <stdlib.h>

/* Built-in texts combine one item of each list. All are different, since equal texts in flight may be
 * computed once. */
static const char *const openings[] = {
    "The delivery",           "My new card",         "This film",
    "The second season",      "Our hotel room",      "The last update",
    "Customer service",       "The battery",         "Her first novel",
    "The soup of the day",    "The whole orchestra", "This cheap little kettle",
    "The train to the coast", "His cooking",         "The instruction booklet",
    "Nobody's luggage",
};
static const char *const middles[] = {
    "arrived late",
    "worked right away",
    "was better than I had hoped",
    "left me cold",
    "made the evening worthwhile, from the first minute to the last",
    "fell apart within a week",
    "is still not what was promised",
    "surprised all of us",
    "needs a good deal of patience",
    "could have been half as long",
    "got lost somewhere between the counter and the car",
    "did what it should",
    "has never looked so good, though the colours may be a matter of taste",
    "was a waste of money",
    "costs twice as much as last year",
    "is worth every penny",
};
static const char *const endings[] = {
    ".",
    ", sadly.",
    ", and I would do it again.",
    ", which is more than can be said of the rest.",
    "!",
    ", but nobody answered when I called.",
    " and I am still waiting for an explanation from the people in charge.",
    ", so we went home early.",
    " in the end.",
    ", as everyone had warned me.",
    ", to be fair.",
    ", although the beginning had been promising and the reviews were full of praise.",
    ", again.",
    " and that is all I ask for.",
    ", or so it seemed at the time.",
    ", thank you very much.",
};
#define COUNT(list) (sizeof(list) / sizeof *(list))

static cli_code make_texts(load_texts *out) {
    enum { MOST_LENGTH = 256 };
    size_t n = COUNT(openings) * COUNT(middles) * COUNT(endings);
    out->items = calloc(n, sizeof *out->items);
    out->buffer = malloc(n * MOST_LENGTH);
    if (out->items == NULL || out->buffer == NULL) return cli_no_memory();
    for (size_t i = 0; i < n; i++) {
        size_t k = i * 1597 % n; /* 1597 and n have no common factor: every text, in mixed order */
        char *text = out->buffer + i * MOST_LENGTH;
        int length = snprintf(text, MOST_LENGTH, "%s %s%s", openings[k % COUNT(openings)],
                              middles[k / COUNT(openings) % COUNT(middles)],
                              endings[k / COUNT(openings) / COUNT(middles)]);
        out->items[out->count++] = (retort_text){.text = text, .length = (size_t)length};
    }
    return CLI_DONE;
}

cli_code load_texts_read(load_texts *out, const cli_args *args) {
    *out = (load_texts){0};
    if (!cli_has(args, CLI_DATA)) return make_texts(out);
    cli_code code = cli_open_data(&out->data, args, NULL, true);
    size_t n = retort_dataset_count(out->data);
    out->items = code == CLI_DONE ? calloc(n, sizeof *out->items) : NULL;
    if (code == CLI_DONE && out->items == NULL) code = cli_no_memory();
    for (size_t i = 0; code == CLI_DONE && i < n; i++) {
        retort_text text;
        retort_dataset_text(out->data, i, &text);
        if (text.length > 0) out->items[out->count++] = text;
    }
    if (code == CLI_DONE && out->count == 0) {
        cli_error("%s: contains no text", cli_text(args, CLI_DATA));
        code = CLI_BAD_DATA;
    }
    return code;
}

void load_texts_free(load_texts *texts) {
    free(texts->items);
    free(texts->buffer);
    retort_dataset_free(texts->data);
    *texts = (load_texts){0};
}
