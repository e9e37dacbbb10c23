/* SPDX-License-Identifier: Apache-2.0
 * Speed of the tokenizer on one core.
 *
 *     tokenizer_bench TOKENIZER.json TEXTS [SECONDS]
 *
 * TEXTS has one text a line. Prints one line of JSON: tokens of a pass, and tokens a second of the best pass
 * with offsets and without, with a warm cache, a cache that is new for each pass, and no cache. Also the time
 * that loading takes. bench/tokenizer_bench.py runs it in turns with Hugging Face. */
#include "base/map.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_IDS = 1 << 20 };

typedef struct text_list {
    rt_map map;
    retort_text *items;
    size_t count;
} text_list;

/* CPU time, so that what else runs on the machine counts less. */
static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static bool load_texts(text_list *out, const char *path, retort_error *err) {
    if (rt_map_open(&out->map, path, err) != RETORT_OK) return false;
    out->items = calloc(out->map.size + 1, sizeof *out->items);
    const char *at = (const char *)out->map.data, *end = at + out->map.size;
    while (out->items != NULL && at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (stop == NULL) stop = end;
        out->items[out->count++] = (retort_text){.text = at, .length = (size_t)(stop - at)};
        at = stop + 1;
    }
    return out->items != NULL;
}

/* One pass over the texts; returns the number of tokens. */
static size_t pass(const rt_tokenizer *tokenizer, const text_list *texts, rt_word_cache *cache,
                   bool offsets) {
    static int32_t ids[MAX_IDS];
    static rt_encoding encoding;
    rt_encode_options options = {.cache = cache};
    size_t total = 0;
    for (size_t i = 0; i < texts->count; i++) {
        size_t count = 0;
        if (offsets) {
            rt_encode(tokenizer, &texts->items[i], &options, &encoding, NULL);
            count = encoding.count;
        } else {
            rt_encode_ids(tokenizer, &texts->items[i], &options, ids, MAX_IDS, &count, NULL);
        }
        total += count;
    }
    return total;
}

typedef enum cache_use { WARM, FRESH, NONE } cache_use;

/* Tokens a second of the best pass. */
static double measure(const rt_tokenizer *tokenizer, const text_list *texts, cache_use use, bool offsets,
                      double seconds) {
    rt_word_cache *cache = use == NONE ? NULL : rt_word_cache_new(tokenizer, 0);
    double best = 0, begin = now();
    if (use == WARM) pass(tokenizer, texts, cache, offsets);
    do {
        if (use == FRESH) {
            rt_word_cache_free(cache);
            cache = rt_word_cache_new(tokenizer, 0);
        }
        double start = now();
        size_t tokens = pass(tokenizer, texts, cache, offsets);
        double rate = (double)tokens / (now() - start);
        if (rate > best) best = rate;
    } while (now() - begin < seconds);
    rt_word_cache_free(cache);
    return best;
}

/* Milliseconds of the best of several loads of a packed tokenizer. */
static double measure_load(const rt_tokenizer *tokenizer) {
    rt_packed_tokenizer packed;
    double best = 1e9;
    if (rt_tokenizer_pack(tokenizer, &packed, NULL) != RETORT_OK) return -1;
    for (int i = 0; i < 20; i++) {
        rt_tokenizer *copy = NULL;
        double start = now();
        if (rt_tokenizer_unpack(&copy, "bench", &packed, NULL) != RETORT_OK) return -1;
        double taken = 1e3 * (now() - start);
        if (taken < best) best = taken;
        rt_tokenizer_free(copy);
    }
    rt_packed_tokenizer_free(&packed);
    return best;
}

int main(int argc, char **argv) {
    rt_map map;
    rt_tokenizer *tokenizer;
    text_list texts = {0};
    retort_error err = {0};
    double seconds = argc > 3 ? strtod(argv[3], NULL) : 0.5;
    if (argc < 3 || rt_map_open(&map, argv[1], &err) != RETORT_OK ||
        rt_tokenizer_from_json(&tokenizer, argv[1], map.data, map.size, NULL, 0, &err) != RETORT_OK ||
        !load_texts(&texts, argv[2], &err)) {
        fprintf(stderr, "tokenizer_bench: %s\n",
                argc >= 3 ? err.text : "usage: tokenizer_bench TOKENIZER.json TEXTS");
        return 2;
    }
    printf("{\"texts\": %zu, \"bytes\": %zu, \"tokens\": %zu, \"load_ms\": %.3f", texts.count, texts.map.size,
           pass(tokenizer, &texts, NULL, false), measure_load(tokenizer));
    static const char *const names[] = {"warm", "fresh", "none"};
    for (cache_use use = WARM; use <= NONE; use++) {
        printf(", \"ids_%s\": %.0f", names[use], measure(tokenizer, &texts, use, false, seconds));
        printf(", \"offsets_%s\": %.0f", names[use], measure(tokenizer, &texts, use, true, seconds));
    }
    puts("}");
    free(texts.items);
    rt_map_close(&texts.map);
    rt_map_close(&map);
    rt_tokenizer_free(tokenizer);
    return 0;
}
