/* SPDX-License-Identifier: Apache-2.0
 * An engine's peak memory and load time, measured in a new process of this program that does nothing else. */
#include "bench/memory.h"
#include "bench/process.h"
#include "cli/options.h"
#include "cli/progress.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cli_code measure(const bench_run *c, bench_engine *it, const bench_cell *cell) {
    char threads[16], batch[24], seq[24];
    process_arguments a = {.count = 0};
    snprintf(threads, sizeof threads, "%d", c->threads);
    snprintf(batch, sizeof batch, "%ld", cell->batch);
    snprintf(seq, sizeof seq, "%ld", cell->seq);
    process_argument(&a, "retort", "bench");
    process_argument(&a, it->path, NULL);
    process_argument(&a, "--provider", it->provider);
    process_argument(&a, "--threads", threads);
    process_argument(&a, "--batch", batch);
    if (cell->seq > 0) process_argument(&a, "--seq", seq);
    if (cell->seq == 0) {
        process_argument(&a, "--data", cli_text(c->args, CLI_DATA));
        if (cli_has(c->args, CLI_TEXT_COLUMN))
            process_argument(&a, "--text-column", cli_text(c->args, CLI_TEXT_COLUMN));
        if (cli_has(c->args, CLI_TEXT_PAIR_COLUMN))
            process_argument(&a, "--text-pair-column", cli_text(c->args, CLI_TEXT_PAIR_COLUMN));
    }
    if (strcmp(it->path, it->file) != 0) process_argument(&a, "--onnx", it->file);
    if (it->graph_level != NULL) process_argument(&a, "--graph-level", it->graph_level);
    if (strcmp(it->provider, "native") == 0 && cli_has(c->args, CLI_ISA))
        process_argument(&a, "--isa", cli_text(c->args, CLI_ISA));
    if (strcmp(it->provider, "native") == 0 && cli_has(c->args, CLI_UNPACK))
        process_argument(&a, "--unpack", cli_text(c->args, CLI_UNPACK));
    process_argument(&a, "--seconds", "0");
    process_argument(&a, "--json", NULL);
    char *text = process_output("/proc/self/exe", &a);
    json_t *line = text != NULL ? json_loads(text, 0, NULL) : NULL;
    free(text);
    it->load_ms = json_number_value(json_object_get(line, "load_ms"));
    it->peak_mb = json_number_value(json_object_get(line, "peak_mb"));
    bool fits = it->peak_mb > 0;
    json_decref(line);
    if (fits) return CLI_DONE;
    cli_error("%s, %s: cannot measure its memory", it->name, it->provider);
    return CLI_FAILED;
}

cli_code bench_measure_memory(bench_run *c, const bench_cell *cell) {
    cli_code code = CLI_DONE;
    for (size_t i = 0; code == CLI_DONE && i < c->count; i++) {
        cli_progress(NULL, "memory", i, c->count);
        if (c->items[i].session != NULL) code = measure(c, &c->items[i], cell);
    }
    cli_progress_end();
    return code;
}
