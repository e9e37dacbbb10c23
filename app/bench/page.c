/* SPDX-License-Identifier: Apache-2.0
 * What the parts of the HTML page share. */
#include "bench/page.h"
#include "retort.h"

#include <string.h>

static void write_entities(FILE *to, const char *text) {
    for (; *text != '\0'; text++) {
        if (*text == '<') {
            fputs("&lt;", to);
        } else if (*text == '>') {
            fputs("&gt;", to);
        } else if (*text == '&') {
            fputs("&amp;", to);
        } else {
            fputc(*text, to);
        }
    }
}

/* Escapes first: HTML has no control characters. */
void page_text(FILE *to, const char *text) {
    char safe[1024];
    retort_escape(safe, sizeof safe, text, strlen(text));
    write_entities(to, safe);
}

size_t page_colour(const bench_engine *it) {
    static const char *const known[] = {"native",   "onnxruntime",      "onnxruntime:openvino",
                                        "openvino", "onnxruntime:cuda", "onnxruntime:tensorrt",
                                        "torch"};
    size_t count = sizeof known / sizeof *known, index = 0;
    while (index + 1 < count && strcmp(known[index], it->provider) != 0) index++;
    return index;
}
