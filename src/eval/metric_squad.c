/* SPDX-License-Identifier: Apache-2.0
 * Exact match and F1 as in the evaluation script of SQuAD, on ASCII text. */
#include "eval/metric.h"

#include <stdlib.h>
#include <string.h>

typedef struct words {
    char *text; /* normalised, words ended by NUL */
    size_t count, length;
} words;

static bool is_article(const char *word) {
    return strcmp(word, "a") == 0 || strcmp(word, "an") == 0 || strcmp(word, "the") == 0;
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_punctuation(char c) {
    return c != '\0' && strchr("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", c) != NULL;
}

static void end_word(words *out, size_t *start) {
    if (out->length == *start) return;
    out->text[out->length++] = '\0';
    if (is_article(out->text + *start)) {
        out->length = *start;
    } else {
        out->count++;
        *start = out->length;
    }
}

static bool normalise(words *out, const retort_text *text) {
    *out = (words){.text = text->length > SIZE_MAX - 1 ? NULL : rt_calloc(text->length + 1, 1)};
    if (out->text == NULL) return false;
    size_t start = 0;
    for (size_t i = 0; i < text->length; i++) {
        char c = text->text[i];
        if (is_space(c)) {
            end_word(out, &start);
        } else if (!is_punctuation(c) && c != '\0') {
            out->text[out->length++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
        }
    }
    end_word(out, &start);
    return true;
}

/* Number of common words, as a multiset intersection. */
static size_t shared_words(const words *a, const words *b, bool *used) {
    size_t shared = 0;
    for (const char *word = a->text; word < a->text + a->length; word += strlen(word) + 1) {
        const char *other = b->text;
        for (size_t i = 0; i < b->count; i++, other += strlen(other) + 1) {
            if (used[i] || strcmp(word, other) != 0) continue;
            used[i] = true;
            shared++;
            break;
        }
    }
    return shared;
}

retort_status rt_squad_compare(const retort_text *predicted, const retort_text *gold, double *exact,
                               double *f1, retort_error *err) {
    words a = {0}, b = {0};
    bool *used = NULL;
    bool done = normalise(&a, predicted) && normalise(&b, gold);
    if (done) used = rt_calloc(b.count, sizeof *used);
    if (used != NULL) {
        *exact = a.length == b.length && memcmp(a.text, b.text, a.length) == 0;
        size_t both = a.count + b.count;
        *f1 = both > 0 ? 2 * (double)shared_words(&a, &b, used) / (double)both : 1;
    }
    done = used != NULL;
    free(used);
    free(a.text);
    free(b.text);
    return done ? RETORT_OK : rt_fail_nomem(err, predicted->length + gold->length);
}
