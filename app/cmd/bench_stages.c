/* SPDX-License-Identifier: Apache-2.0
 * bench --stages CHECKPOINT: what each pipeline stage gains, from a float checkpoint to integers. */
#include "cmd/bench_stages.h"
#include "bench/accuracy.h"
#include "bench/engines.h"
#include "bench/memory.h"
#include "bench/report.h"
#include "bench/torch.h"
#include "cli/model.h"
#include "cli/progress.h"
#include "retort.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The forms of the checkpoint that stages start from. */
typedef enum form { PLAIN, FLOAT, INT8, INT4, FORMS } form;
static const char *const form_names[] = {"plain", "float", "int8", "int4"};

/* One row per stage: what it is, the engine and its graph level, the form, whether ONNX Runtime's fused
 * operators are exported, and the stage that it is compared with. */
typedef struct stage {
    const char *name, *provider, *graph_level;
    form form;
    bool fused;
    int before; /* -1: none */
} stage;
static const stage stages[] = {
    {"PyTorch", "torch", NULL, PLAIN, false, -1},
    {"ONNX as exported", "onnxruntime", "none", PLAIN, false, 0},
    {"+ basic level", "onnxruntime", "basic", PLAIN, false, 1},
    {"+ all levels", "onnxruntime", "all", PLAIN, false, 2},
    {"fused by retort", "onnxruntime", "all", FLOAT, true, 3},
    {"OpenVINO inside", "onnxruntime:openvino", NULL, PLAIN, false, 4},
    {"OpenVINO itself", "openvino", NULL, PLAIN, false, 5},
    {"INT8", "onnxruntime", "all", INT8, true, 4},
    {"INT8, OpenVINO", "openvino", NULL, INT8, false, 6},
    {"INT4", "onnxruntime", "all", INT4, true, 7},
    {"INT4, OpenVINO", "openvino", NULL, INT4, false, 8},
    {"retort", "native", NULL, FLOAT, false, 6},
    {"retort INT8", "native", NULL, INT8, false, 11},
    {"retort INT4", "native", NULL, INT4, false, 12},
};
enum { STAGES = sizeof stages / sizeof *stages, TORCH = 0, OWN = 11 /* retort in float */ };

typedef struct stages_run {
    bench_run run;
    retort_model *forms[FORMS]; /* owned by `run` */
    char files[FORMS][BENCH_PATH];
} stages_run;

static cli_code keep(stages_run *r, form as, retort_model *model) {
    r->forms[as] = model;
    cli_code code = bench_keep(&r->run, model);
    return code == CLI_DONE ? bench_file(&r->run, model, NULL, form_names[as], r->files[as]) : code;
}

static cli_code make_forms(stages_run *r, const cli_args *args) {
    retort_error err;
    retort_model *model = NULL;
    for (int i = PLAIN; i <= FLOAT; i++) {
        retort_import_options options = RETORT_IMPORT_OPTIONS;
        options.level = i == PLAIN ? 0 : 3;
        if (retort_model_import(&model, args->words[0], &options, &err) != RETORT_OK)
            return cli_fail(&err, true);
        cli_code code = keep(r, (form)i, model);
        if (code != CLI_DONE) return code;
    }
    for (int i = INT8; i <= INT4; i++) {
        retort_quantize_options options = RETORT_QUANTIZE_OPTIONS;
        options.recipe = form_names[i];
        options.progress = cli_progress;
        retort_status status = retort_model_quantize(&model, r->forms[FLOAT], &options, &err);
        cli_progress_end();
        if (status != RETORT_OK) return cli_fail(&err, true);
        cli_code code = keep(r, (form)i, model);
        if (code != CLI_DONE) return code;
    }
    return CLI_DONE;
}

/* NULL, or why the provider cannot be used. */
static const char *reason_against(retort_provider_info *info, const char *provider) {
    *info = (retort_provider_info){.size = sizeof *info};
    for (size_t i = 0; retort_provider(i, info) == RETORT_OK; i++) {
        if (strcmp(info->name, provider) == 0) return info->found ? NULL : info->reason;
    }
    return "--python names no Python that has it";
}

static cli_code enter(stages_run *r, const stage *s) {
    retort_provider_info info;
    bench_engine *it = bench_add(&r->run, s->name, s->provider, r->forms[s->form], r->files[s->form]);
    if (it == NULL) return CLI_FAILED;
    it->graph_level = s->graph_level;
    const char *reason = reason_against(&info, s->provider);
    it->missing = reason != NULL;
    if (s == &stages[TORCH]) return CLI_DONE;
    if (reason != NULL) cli_error("%s: skipped: %s", s->name, reason);
    if (reason != NULL || bench_enter(&r->run, it, s->fused) == CLI_DONE) return CLI_DONE;
    cli_error("%s in %s: skipped", s->name, s->provider); /* an engine that cannot run this form */
    it->missing = true;
    return s->form == FLOAT && strcmp(s->provider, "native") == 0 ? CLI_FAILED : CLI_DONE;
}

/* The metric of every stage, and the divergence of its logits from those of retort in float. */
static cli_code evaluate(bench_run *c) {
    retort_error err;
    if (!cli_has(c->args, CLI_DATA)) return CLI_DONE;
    retort_status status = bench_evaluate(c, &c->items[OWN], &err);
    return status == RETORT_OK ? CLI_DONE : cli_fail(&err, true);
}

/* ---- What is printed ---- */

/* The speedup over the stage before it, or the nearest earlier one that was not skipped; NaN: none. */
static double gain_of(const bench_run *c, size_t index, int *before) {
    *before = stages[index].before;
    while (*before >= 0 && c->items[*before].missing) *before = stages[*before].before;
    return *before < 0 ? NAN : c->items[*before].times.p50 / c->items[index].times.p50;
}

static void print_real(int width, const char *format, double value) {
    char text[48] = "-";
    if (isfinite(value)) snprintf(text, sizeof text, format, value);
    printf(" %*s", width, text);
}

static void print_row(const bench_run *c, size_t index) {
    const bench_engine *it = &c->items[index];
    char over[24] = "-";
    int before;
    double gain = gain_of(c, index, &before);
    if (before >= 0) snprintf(over, sizeof over, "%d", before + 1);
    printf("%2zu %-18s %-21s %9.3f", index + 1, it->name, it->provider, it->times.p50);
    print_real(7, "%.2f", gain);
    printf(" %5s", over);
    print_real(8, "%.1f", (double)it->bytes * 1e-6);
    print_real(8, "%.1f", it->peak_mb);
    print_real(8, "%.0f", it->load_ms);
    print_real(9, "%.4f", it->value);
    print_real(9, "%.1e", it->kl);
    printf("\n");
}

static cli_code print_line(const bench_run *c, const bench_cell *cell, size_t index) {
    const bench_engine *it = &c->items[index];
    int before;
    double gain = gain_of(c, index, &before);
    json_t *line = json_pack(
        "{s:I, s:s, s:s, s:s, s:I, s:I, s:i, s:f, s:f, s:f, s:o, s:o, s:I, s:f, s:f, s:o, s:o}", "row",
        (json_int_t)index + 1, "step", it->name, "provider", it->provider, "version", it->version, "batch",
        (json_int_t)cell->batch, "seq", (json_int_t)cell->seq, "threads", c->threads, "ms_p50", it->times.p50,
        "ms_p90", it->times.p90, "ms_p99", it->times.p99, "gain", cli_json_real(gain), "gain_over",
        before < 0 ? json_null() : json_integer(before + 1), "file_bytes", (json_int_t)it->bytes, "peak_mb",
        it->peak_mb, "load_ms", it->load_ms, "value", cli_json_real(it->value), "kl", cli_json_real(it->kl));
    bench_set_busy(line, &c->busy);
    return cli_print_json(line);
}

static cli_code print_stages(const bench_run *c, const bench_cell *cell) {
    bool json = cli_has(c->args, CLI_JSON);
    if (!json) {
        printf("%s, %s, %d thread%s; ", c->machine.cpu, c->machine.isa, c->threads,
               c->threads == 1 ? "" : "s");
        if (cell->seq > 0) printf("%ld x %ld tokens\n", cell->batch, cell->seq);
        if (cell->seq == 0) printf("%zu texts, batches of %ld\n", c->texts, cell->batch);
        printf("   %-18s %-21s %9s %7s %5s %8s %8s %8s %9s %9s\n", "stage", "engine", "ms p50", "gain",
               "over", "file MB", "peak MB", "load ms", "metric", "KL");
    }
    for (size_t i = 0; i < STAGES; i++) {
        if (c->items[i].missing) continue;
        if (!json) print_row(c, i);
        cli_code code = json ? print_line(c, cell, i) : CLI_DONE;
        if (code != CLI_DONE) return code;
    }
    if (!json) bench_print_busy(&c->busy);
    return cli_flush();
}

static cli_code run_stages(stages_run *r, const cli_args *args) {
    bench_run *c = &r->run;
    bool texts = cli_has(args, CLI_DATA) && !cli_has(args, CLI_SEQ);
    bench_cell cell = {cli_int(args, CLI_BATCH, texts ? 32 : 1), texts ? 0 : cli_int(args, CLI_SEQ, 128)};
    cli_code code = make_forms(r, args);
    for (size_t i = 0; code == CLI_DONE && i < STAGES; i++) code = enter(r, &stages[i]);
    if (code == CLI_DONE) code = bench_measure_memory(c, &cell);
    if (code == CLI_DONE && cli_has(args, CLI_PYTHON))
        code = bench_torch(c, &c->items[TORCH], &cell, args->words[0]);
    if (code == CLI_DONE) code = bench_measure(c, &cell);
    if (code == CLI_DONE) code = evaluate(c);
    if (code == CLI_DONE) code = print_stages(c, &cell);
    const char *html = cli_text(args, CLI_HTML);
    return code == CLI_DONE && html != NULL ? bench_report(c, "Pipeline stages of a checkpoint", html) : code;
}

cli_code cmd_bench_stages(const cli_args *args) {
    static const int alien[] = {CLI_PROVIDER, CLI_ONNX, CLI_GRAPH_LEVEL, CLI_GRID,
                                CLI_PROFILE,  CLI_PEAK, CLI_PAD};
    stages_run r = {0};
    for (size_t i = 0; i < sizeof alien / sizeof *alien; i++) {
        if (!cli_has(args, (cli_option_id)alien[i])) continue;
        cli_error("--stages does not take --%s: it makes its own choice", cli_options[alien[i]].name);
        return CLI_USAGE;
    }
    if (args->word_count != 1) {
        cli_error("--stages takes one checkpoint folder");
        return CLI_USAGE;
    }
    cli_code code = bench_open(&r.run, args);
    if (code == CLI_DONE) code = run_stages(&r, args);
    bench_close(&r.run);
    return code;
}
