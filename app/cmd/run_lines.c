/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/run_lines.h"
#include "cli/model.h"
#include "cli/progress.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- A part ---- */

static cli_code run_texts(run_state *run, const cli_part *part) {
    run->first = part->first;
    run->out = part->out;
    bool together = part->count == 1 || !(run->cells && run->alone);
    cli_code code = together ? run->runner(run, part->texts, part->count) : CLI_DONE;
    bool again = !together || run->one_by_one;
    run->one_by_one = false;
    if (again) code = CLI_DONE;
    for (size_t i = 0; again && code == CLI_DONE && i < part->count; i++, run->first++) {
        code = run->runner(run, &part->texts[i], 1);
        if (run->refused) code = CLI_DONE;
        run->refused = false;
    }
    if (run->refused) code = CLI_DONE;
    run->refused = false;
    return code;
}

/* What a stream runs its parts with. */
typedef struct line_stream {
    run_state run, *all;
} line_stream;

static void stream_close(void *worker) {
    line_stream *s = worker;
    if (s == NULL) return;
    s->all->cut_count += s->run.cut_count;
    retort_session_close(s->run.session);
    free(s->run.cut);
    free(s);
}

static cli_code stream_open(void *user, void **worker) {
    run_state *all = user;
    line_stream *s = malloc(sizeof *s);
    if (s == NULL) return cli_no_memory();
    *s = (line_stream){.run = *all, .all = all};
    s->run.session = NULL;
    s->run.cuts = s->run.cut_count = 0;
    s->run.cut = calloc(all->batch, sizeof *s->run.cut);
    cli_code code = s->run.cut != NULL ? CLI_DONE : cli_no_memory();
    if (code == CLI_DONE) code = cli_open_stream(&s->run.session, all->args, all->model);
    if (code == CLI_DONE) {
        *worker = s;
    } else {
        stream_close(s);
    }
    return code;
}

static cli_code stream_run(void *worker, const cli_part *part) {
    line_stream *s = worker;
    return run_texts(&s->run, part);
}

/* ---- The input ---- */

typedef struct lines {
    run_state *run;
    cli_input *input;
    run_give_fn give;
    void *user;
    retort_text *texts; /* [batch] */
    size_t threads;     /* streams to use; 1: none */
    size_t few;         /* texts that are not worth streams */
    size_t total;       /* 0: unknown */
    cli_stream_calls calls;
    cli_streams *streams; /* NULL: none so far */
} lines;

/* Splits texts at a tab for tasks that take pairs; the part ends before one that has none. */
static cli_code split_pairs(lines *l, cli_part *part) {
    bool answer = l->run->info.task == RETORT_TASK_ANSWER,
         classify = l->run->info.task == RETORT_TASK_CLASSIFY;
    for (size_t i = 0; (answer || classify) && i < part->count; i++) {
        cli_code code = cli_split_pair(l->input, l->run->args, &l->texts[i], part->first + i + 1, answer);
        if (code == CLI_DONE) continue;
        part->count = i;
        return code;
    }
    return CLI_DONE;
}

/* Begins a part with up to `most` texts; one without texts is the end of the input. */
static cli_code next_part(lines *l, cli_part *part, size_t most) {
    cli_code code = cli_input_take(l->input, l->texts, most, &part->count);
    if (code != CLI_DONE || part->count == 0) return code;
    part->texts = l->texts;
    part->first = l->input->taken - part->count;
    code = cli_part_begin(part);
    if (code == CLI_DONE) part->code = split_pairs(l, part);
    return code;
}

/* Results are flushed part by part: on a pipe they keep up with the input. */
static cli_code give_part(lines *l, const cli_part *part) {
    cli_code code = l->give(l->user, part);
    if (code == CLI_DONE) code = cli_flush();
    if (part->message_length > 0) {
        cli_progress_end();
        fwrite(part->message, 1, part->message_length, stderr);
    }
    if (l->total > 0 && !isatty(STDOUT_FILENO))
        cli_progress(NULL, "texts", part->first + part->count, l->total);
    return code == CLI_DONE ? part->code : code;
}

/* A part in the session of the run, all of whose threads share it. */
static cli_code run_here(lines *l, bool *more) {
    cli_part part = {0};
    cli_code code = next_part(l, &part, l->run->batch);
    *more = part.out != NULL;
    if (*more && code == CLI_DONE) {
        code = part.count > 0 ? run_texts(l->run, &part) : CLI_DONE;
        if (code != CLI_DONE) part.code = code;
        cli_part_end(&part);
        code = give_part(l, &part);
    }
    cli_part_clear(&part);
    return code;
}

static cli_code give_oldest(lines *l, bool wait) {
    const cli_part *part = cli_streams_oldest(l->streams, wait);
    if (part == NULL) return CLI_DONE;
    cli_code code = give_part(l, part);
    cli_streams_drop(l->streams);
    return code;
}

/* The input has failed: what was read before is answered first. */
static cli_code give_rest(lines *l, cli_code input_code) {
    cli_code code = CLI_DONE;
    while (code == CLI_DONE && cli_streams_count(l->streams) > 0) code = give_oldest(l, true);
    return code == CLI_DONE ? input_code : code;
}

/* Ever smaller parts towards the end, so that all streams end at about the same time. */
static cli_code put_part(lines *l, size_t here) {
    enum { FEWEST = 8 };
    size_t share = here / (2 * l->threads), least = l->few < FEWEST ? l->few : FEWEST;
    if (share < least) share = least;
    if (share > l->run->batch) share = l->run->batch;
    cli_code code = l->streams == NULL ? cli_streams_open(&l->streams, l->threads, &l->calls) : CLI_DONE;
    if (code == CLI_DONE) code = next_part(l, cli_streams_next(l->streams), share);
    if (code != CLI_DONE) return give_rest(l, code);
    cli_streams_put(l->streams);
    return give_oldest(l, false);
}

/* Waits for input only when nothing is under way: whatever could be read is answered first. */
static cli_code run_all(lines *l) {
    cli_code code = CLI_DONE;
    bool more = true;
    while (code == CLI_DONE && more) {
        size_t here = 0;
        bool under_way = cli_streams_count(l->streams) > 0;
        if (l->threads > 1) code = cli_input_look(l->input, 2 * l->threads * l->run->batch, &here);
        if (code != CLI_DONE) return give_rest(l, code);
        if (!under_way && here <= l->few) {
            code = run_here(l, &more);
        } else if (here == 0 || (l->streams != NULL && cli_streams_full(l->streams))) {
            code = give_oldest(l, true);
        } else {
            code = put_part(l, here);
        }
    }
    return code;
}

/* Whether the engine gives the same bits in every batch and with every number of threads: retort's own. */
static size_t stream_count(const run_state *run) {
    retort_session_info session = {.size = sizeof session};
    bool native = retort_session_describe(run->session, &session) == RETORT_OK &&
                  strcmp(session.provider, "native") == 0;
    return native ? (size_t)session.threads : 1;
}

cli_code run_lines(run_state *run, cli_input *input, run_give_fn give, void *user) {
    lines l = {.run = run, .input = input, .give = give, .user = user, .threads = stream_count(run)};
    l.total = retort_dataset_count(input->data);
    l.few = run->alone ? 1 : run->batch;
    l.calls = (cli_stream_calls){stream_open, stream_run, stream_close, run};
    l.texts = calloc(run->batch, sizeof *l.texts);
    cli_code code = l.texts != NULL ? run_all(&l) : cli_no_memory();
    cli_streams_close(l.streams);
    cli_progress_end();
    free(l.texts);
    return code;
}
