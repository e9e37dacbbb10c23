/* SPDX-License-Identifier: Apache-2.0
 * The first pipeline stage: the checkpoint in PyTorch. This is not a provider: the user's Python runs it in a
 * separate process, without turns. */
#include "bench/torch.h"
#include "bench/process.h"
#include "cli/file.h"
#include "cli/options.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

/* Pads the same batches as the other engines get, and times passes over all of them. */
static const char script[] =
    "import json, sys, time\n"
    "checkpoint, batches, threads, seconds = sys.argv[1:]\n"
    "start = time.perf_counter()\n"
    "import torch, transformers\n"
    "transformers.logging.set_verbosity_error()\n"
    "transformers.logging.disable_progress_bar()\n"
    "torch.set_num_threads(int(threads))\n"
    "config = transformers.AutoConfig.from_pretrained(checkpoint)\n"
    "kind = getattr(transformers, (config.architectures or ['AutoModel'])[0])\n"
    "model = kind.from_pretrained(checkpoint).float().eval()\n"
    "load = time.perf_counter() - start\n"
    "inputs = []\n"
    "for batch in json.load(open(batches)):\n"
    "    n = max(map(len, batch))\n"
    "    inputs.append((torch.tensor([ids + [0] * (n - len(ids)) for ids in batch]),\n"
    "                   torch.tensor([[1] * len(ids) + [0] * (n - len(ids)) for ids in batch])))\n"
    "def once():\n"
    "    start = time.perf_counter()\n"
    "    with torch.inference_mode():\n"
    "        for ids, mask in inputs:\n"
    "            model(input_ids=ids, attention_mask=mask)\n"
    "    return (time.perf_counter() - start) * 1e3\n"
    "once()\n"
    "ms = [once()]\n"
    "while sum(ms) < float(seconds) * 1e3 or len(ms) < 3:\n"
    "    ms.append(once())\n"
    "peak = next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
    "print(json.dumps({'version': torch.__version__, 'load_ms': load * 1e3, 'peak_mb': peak * 1024 / 1e6, "
    "'ms': ms}))\n";

static json_t *batch_json(const bench_work *work, size_t from, size_t to) {
    json_t *batch = json_array();
    const int32_t *ids = work->texts ? work->corpus.ids : work->random.ids;
    const int32_t *starts = work->texts ? work->corpus.starts : work->random.offsets;
    for (size_t i = from; i < to; i++) {
        json_t *text = json_array();
        for (int32_t at = starts[i]; at < starts[i + 1]; at++)
            json_array_append_new(text, json_integer(ids[at]));
        json_array_append_new(batch, text);
    }
    return batch;
}

static cli_code write_batches(const bench_work *work, const char *path) {
    json_t *batches = json_array();
    size_t count = work->texts ? work->corpus.count : work->batch;
    for (size_t from = 0; from < count; from += work->batch) {
        size_t to = count - from > work->batch ? from + work->batch : count;
        json_array_append_new(batches, batch_json(work, from, to));
    }
    int failed = json_dump_file(batches, path, JSON_COMPACT);
    json_decref(batches);
    if (failed == 0) return CLI_DONE;
    cli_error("%s: cannot write", path);
    return CLI_FAILED;
}

static cli_code read_figures(bench_engine *it, json_t *line) {
    const json_t *ms = json_object_get(line, "ms");
    const char *version = json_string_value(json_object_get(line, "version"));
    it->times.count = 0;
    for (size_t i = 0; i < json_array_size(ms); i++) {
        if (!bench_add_time(&it->times, json_number_value(json_array_get(ms, i)))) return cli_no_memory();
    }
    snprintf(it->version, sizeof it->version, "%s", version != NULL ? version : "");
    it->load_ms = json_number_value(json_object_get(line, "load_ms"));
    it->peak_mb = json_number_value(json_object_get(line, "peak_mb"));
    it->missing = it->times.count == 0;
    return CLI_DONE;
}

static cli_code run_python(bench_run *c, bench_engine *it, const char *batches, const char *checkpoint) {
    char threads[16], seconds[32];
    process_arguments a = {.count = 0};
    const char *python = cli_text(c->args, CLI_PYTHON);
    snprintf(threads, sizeof threads, "%d", c->threads);
    snprintf(seconds, sizeof seconds, "%g", c->seconds);
    process_argument(&a, python, "-c");
    process_argument(&a, script, checkpoint);
    process_argument(&a, batches, threads);
    process_argument(&a, seconds, NULL);
    char *text = process_output(python, &a);
    json_t *line = text != NULL ? json_loads(text, 0, NULL) : NULL;
    free(text);
    cli_code code = line != NULL ? read_figures(it, line) : CLI_FAILED;
    if (line == NULL) cli_error("%s: cannot measure PyTorch", python);
    json_decref(line);
    return code;
}

cli_code bench_torch(bench_run *c, bench_engine *it, const bench_cell *cell, const char *checkpoint) {
    char path[BENCH_PATH];
    bench_work work;
    snprintf(path, sizeof path, "%.400s/batches.json", c->folder);
    cli_remove_at_signal(path);
    cli_code code = bench_work_open(&work, c, cell);
    if (code == CLI_DONE) code = write_batches(&work, path);
    if (code == CLI_DONE) code = run_python(c, it, path, checkpoint);
    it->bytes = bench_file_bytes(it->path);
    if (code == CLI_DONE) bench_summarise(&work, it, cell);
    bench_work_close(&work);
    return code;
}
