/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/doctor_serving.h"
#include "cli/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Advice ---- */

/* Times whose ratio is below this are taken as equal: then the smaller file decides. */
static double near(const doctor_forms *f) {
    static const double idle = 1.1, busy = 1.25;
    return bench_busy_advice(&f->run.busy) != NULL ? busy : idle;
}

static bool is_measured(const doctor_form *it) {
    return it->model != NULL && it->alone.count > 0 && it->batches.count > 0;
}

/* Geometric mean of a text alone and a text in a batch, ms. */
static double cost_of(const doctor_form *it) {
    return sqrt(it->alone.p50 * 1e3 / it->texts_per_s);
}

/* Of those as fast as the fastest the one with the smallest file, and of equal files the one with the least memory. */
static const doctor_form *best_of(const doctor_forms *f) {
    const doctor_form *best = NULL;
    double least = INFINITY;
    for (size_t i = 0; i < f->count; i++) {
        if (is_measured(&f->items[i])) least = fmin(least, cost_of(&f->items[i]));
    }
    for (size_t i = 0; i < f->count; i++) {
        const doctor_form *it = &f->items[i];
        if (!is_measured(it) || cost_of(it) > near(f) * least) continue;
        bool smaller = best == NULL || it->bytes < best->bytes ||
                       (it->bytes == best->bytes && it->memory_mb < best->memory_mb);
        if (smaller) best = it;
    }
    return best;
}

/* A word of a command, as a shell reads it. */
static void put_word(FILE *to, const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-+=:,@%";
    if (*word != '\0' && word[strspn(word, plain)] == '\0') {
        fprintf(to, " %s", word);
        return;
    }
    fputs(" '", to);
    for (; *word != '\0'; word++) {
        if (*word == '\'') {
            fputs("'\\''", to);
        } else {
            fputc(*word, to);
        }
    }
    fputc('\'', to);
}

static void put_option(FILE *to, const cli_args *args, cli_option_id id) {
    if (!cli_has(args, id)) return;
    fprintf(to, " --%s", cli_options[id].name);
    put_word(to, cli_text(args, id));
}

/* "sst2" of "models/sst2.retort" and of "models/sst2/". */
static void base_name(char *out, size_t size, const char *path) {
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    size_t from = end;
    while (from > 0 && path[from - 1] != '/') from--;
    const char *dot = NULL;
    for (size_t i = from + 1; i < end; i++) {
        if (path[i] == '.') dot = path + i;
    }
    bool known = dot != NULL && (strncmp(dot, ".retort", 7) == 0 || strncmp(dot, ".onnx", 5) == 0);
    snprintf(out, size, "%.*s", (int)((known ? (size_t)(dot - path) : end) - from), path + from);
}

typedef struct names {
    const char *source; /* what the user gave */
    char made[300], floats[300];
} names;

static names names_of(const doctor_forms *f, const doctor_form *it) {
    static const char *const suffixes[DOCTOR_FORM_COUNT] = {
        [DOCTOR_FLOAT] = "", [DOCTOR_BF16] = "-bf16", [DOCTOR_INT8] = "-int8", [DOCTOR_INT4] = "-int4"};
    names n = {.source = cli_text(f->run.args, CLI_MODEL)};
    char base[256];
    doctor_form_id id = it->id == DOCTOR_INT4_CODES ? DOCTOR_INT4 : it->id;
    base_name(base, sizeof base, n.source);
    snprintf(n.made, sizeof n.made, "%s%s.retort", base, suffixes[id] != NULL ? suffixes[id] : "");
    snprintf(n.floats, sizeof n.floats, "%s-float.retort", base);
    return n;
}

static void put_quantize(FILE *to, const doctor_forms *f, const names *n, const char *from, bool four) {
    fputs("retort quantize", to);
    put_word(to, from);
    fprintf(to, " --recipe %s", four ? "ptq+owq" : "int8");
    if (four) {
        put_option(to, f->run.args, CLI_DATA);
        put_option(to, f->run.args, CLI_TEXT_COLUMN);
        put_option(to, f->run.args, CLI_TEXT_PAIR_COLUMN);
    }
    fputs(" -o", to);
    put_word(to, n->made);
    fputs(" && ", to);
}

static void put_bf16(FILE *to, const names *n, bool checkpoint) {
    if (!checkpoint) {
        fputs("retort export", to);
        put_word(to, n->source);
        fputs(" -o", to);
        put_word(to, "float.onnx");
        fputs(" && ", to);
    }
    fputs("retort import", to);
    put_word(to, checkpoint ? n->source : "float.onnx");
    fputs(" --dtype bf16 -o", to);
    put_word(to, n->made);
    fputs(" && ", to);
}

/* What makes the form of the user's model, followed by " && "; nothing if it is the model itself. */
static void put_making(FILE *to, const doctor_forms *f, const doctor_form *it, const names *n) {
    retort_info info = {.size = sizeof info};
    retort_model_info(f->input, &info);
    bool checkpoint = info.file_bytes == 0, floats = strcmp(info.dtype, "float32") == 0;
    const char *from = floats ? n->source : n->floats;
    if (it->id == DOCTOR_AS_IT_IS || it->id == DOCTOR_AS_CODES) return;
    if (!floats) {
        const char *to_floats = it->id == DOCTOR_FLOAT ? n->made : n->floats;
        fputs("retort dequantize", to);
        put_word(to, n->source);
        fputs(" -o", to);
        put_word(to, to_floats);
        fputs(" && ", to);
    }
    if (it->id == DOCTOR_FLOAT && floats && checkpoint) {
        fputs("retort import", to);
        put_word(to, n->source);
        fputs(" -o", to);
        put_word(to, n->made);
        fputs(" && ", to);
    } else if (it->id == DOCTOR_BF16) {
        names of = *n;
        of.source = from;
        put_bf16(to, &of, checkpoint && floats);
    } else if (it->id != DOCTOR_FLOAT) {
        put_quantize(to, f, n, from, it->id != DOCTOR_INT8);
    }
}

static bool wants_one_thread(const doctor_forms *f, const doctor_form *it) {
    return f->run.threads > 1 && it->alone_single.count > 0 && it->alone_single.p50 < near(f) * it->alone.p50;
}

/* The whole command line. */
static void put_command(FILE *to, const doctor_forms *f, const doctor_form *it) {
    retort_info info = {.size = sizeof info};
    names n = names_of(f, it);
    retort_model_info(f->input, &info);
    put_making(to, f, it, &n);
    bool itself = it->id == DOCTOR_AS_IT_IS || it->id == DOCTOR_AS_CODES ||
                  (it->id == DOCTOR_FLOAT && info.file_bytes > 0 && strcmp(info.dtype, "float32") == 0);
    fputs("retort serve", to);
    put_word(to, itself ? n.source : n.made);
    if (it->unpack == RETORT_UNPACK_NEVER) fputs(" --unpack never", to);
    if (wants_one_thread(f, it)) fputs(" --threads 1", to);
}

/* "Serve int4: 0.9 ms for a text alone and 730 texts/s in batches of 32, …" */
static void put_reason(FILE *to, const doctor_forms *f, const doctor_form *it) {
    const doctor_form *first = &f->items[0];
    fprintf(to, "Serve %s: %.3g ms for a text alone and %.0f texts/s in batches of %zu", it->name,
            it->alone.p50, it->texts_per_s, f->batch);
    if (it == first || !is_measured(first)) return;
    if (it->bytes == first->bytes) {
        fprintf(to, ", with %.1f MB of memory instead of %.1f", it->memory_mb, first->memory_mb);
        return;
    }
    fprintf(to, ", %.1f and %.1f times as fast as %s, and %.1f MB instead of %.1f",
            first->alone.p50 / it->alone.p50, it->texts_per_s / first->texts_per_s, first->name,
            (double)it->bytes * 1e-6, (double)first->bytes * 1e-6);
}

typedef void (*put_fn)(FILE *to, const doctor_forms *f, const doctor_form *it);

/* What `put` writes, for JSON. */
static json_t *text_of(put_fn put, const doctor_forms *f, const doctor_form *it) {
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    if (to == NULL) return NULL;
    put(to, f, it);
    fclose(to);
    json_t *json = cli_json_text(text, size);
    free(text);
    return json;
}

/* ---- Output ---- */

static void print_form(const doctor_forms *f, const doctor_form *it) {
    if (it->model == NULL) {
        printf("%-11s -  (", it->name);
        cli_put(stdout, it->reason, strlen(it->reason));
        puts(")");
        return;
    }
    printf("%-11s %9.1f %9.1f %9.1f %9.2f %9.2f", it->name, (double)it->bytes * 1e-6, it->memory_mb,
           it->load_ms, it->alone.p50, it->alone.p99);
    if (f->run.threads > 1) printf(" %9.2f", it->alone_single.p50);
    printf(" %9.0f\n", it->texts_per_s);
}

void doctor_print_serving(const doctor_forms *f) {
    const doctor_form *best = best_of(f);
    printf("\n%zu of %zu texts, %.0f tokens in the median, %d thread%s, batches of %zu texts\n",
           f->corpus.count, retort_dataset_count(f->corpus.data), f->tokens_p50, f->run.threads,
           f->run.threads == 1 ? "" : "s", f->batch);
    printf("%-11s %9s %9s %9s %9s %9s", "form", "file MB", "memory MB", "load ms", "alone ms", "p99");
    if (f->run.threads > 1) printf(" %9s", "1 thread");
    printf(" %9s\n", "texts/s");
    for (size_t i = 0; i < f->count; i++) print_form(f, &f->items[i]);
    bench_print_busy(&f->run.busy);
    if (best == NULL) return;
    printf("\nadvice      ");
    put_reason(stdout, f, best);
    printf(":\n            ");
    put_command(stdout, f, best);
    printf("\naccuracy    is not measured here: 'retort tune' finds the fastest form above a floor\n");
}

static json_t *form_json(const doctor_form *it) {
    bool measured = is_measured(it);
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "form", it->name, "file_bytes",
                     measured ? json_integer((json_int_t)it->bytes) : json_null(), "memory_mb",
                     cli_json_real(measured ? it->memory_mb : NAN), "load_ms",
                     cli_json_real(measured ? it->load_ms : NAN), "ms_p50",
                     cli_json_real(measured ? it->alone.p50 : NAN), "ms_p99",
                     cli_json_real(measured ? it->alone.p99 : NAN), "ms_p50_one_thread",
                     cli_json_real(it->alone_single.count > 0 ? it->alone_single.p50 : NAN), "texts_per_s",
                     cli_json_real(measured ? it->texts_per_s : NAN), "reason",
                     measured ? json_null() : cli_json_text(it->reason, strlen(it->reason)));
}

json_t *doctor_serving_json(const doctor_forms *f) {
    const char *path = cli_text(f->run.args, CLI_MODEL);
    const doctor_form *best = best_of(f);
    json_t *forms = json_array();
    for (size_t i = 0; i < f->count; i++) json_array_append_new(forms, form_json(&f->items[i]));
    json_t *json = json_pack("{s:o, s:I, s:I, s:f, s:f, s:i, s:I, s:f, s:o}", "model",
                             cli_json_text(path, strlen(path)), "texts", (json_int_t)f->corpus.count, "of",
                             (json_int_t)retort_dataset_count(f->corpus.data), "tokens_p50", f->tokens_p50,
                             "tokens_most", f->tokens_most, "threads", f->run.threads, "batch",
                             (json_int_t)f->batch, "seconds", f->seconds, "forms", forms);
    if (json == NULL) return NULL;
    bench_set_busy(json, &f->run.busy);
    json_object_set_new(json, "advice",
                        best == NULL ? json_null()
                                     : json_pack("{s:s, s:o, s:o}", "form", best->name, "reason",
                                                 text_of(put_reason, f, best), "command",
                                                 text_of(put_command, f, best)));
    return json;
}
