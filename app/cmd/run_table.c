/* SPDX-License-Identifier: Apache-2.0
 * The bytes of a row stay as they are; the answers are put behind them. */
#include "cmd/run_table.h"
#include "cli/codec.h"
#include "cli/file.h"
#include "cli/progress.h"
#include "cli/rows.h"
#include "cli/stats.h"
#include "cli/tables.h"
#include "cli/text.h"
#include "cli/utf8.h"
#include "cmd/run_lines.h"
#include "cmd/run_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_COLUMNS = 3 };

typedef struct column {
    const char *name; /* without --prefix */
    bool json;        /* a number, a list or an object of JSON */
} column;

typedef struct table_run {
    run_state *run;
    cli_source *source;
    retort_table *table;
    retort_table_format format;
    const column *columns; /* [column_count] that each row gets */
    size_t column_count;
    char *names[MOST_COLUMNS]; /* [column_count] with --prefix */
    retort_row header;
    cli_rows rows;
    run_store store;
    uint64_t before; /* rows of the earlier run */
    double start;
} table_run;

/* ---- Columns ---- */

static void choose_columns(table_run *t) {
    static const column labels[] = {{"label", false}, {"score", true}, {"scores", true}},
                        answers[] = {{"answer", false}, {"score", true}, {"answers", true}},
                        entities[] = {{"entities", true}}, fill[] = {{"fill", true}},
                        embedding[] = {{"embedding", true}}, sparse[] = {{"sparse", true}};
    static const struct {
        const column *columns;
        size_t count;
    } rows[] = {[RETORT_TASK_CLASSIFY] = {labels, 2},
                [RETORT_TASK_TAG] = {entities, 1},
                [RETORT_TASK_ANSWER] = {answers, 2},
                [RETORT_TASK_FILL] = {fill, 1},
                [RETORT_TASK_EMBED] = {embedding, 1}};
    retort_task task = t->run->info.task;
    bool more = cli_has(t->run->args, CLI_SCORES) || cli_has(t->run->args, CLI_TOP);
    t->columns = t->run->info.sparse ? sparse : rows[task].columns;
    t->column_count = rows[task].count + (more && rows[task].count > 1);
}

static cli_code name_columns(table_run *t) {
    const char *prefix = cli_has(t->run->args, CLI_PREFIX) ? cli_text(t->run->args, CLI_PREFIX) : "";
    for (size_t i = 0; i < t->column_count; i++) {
        size_t size = strlen(prefix) + strlen(t->columns[i].name) + 1;
        t->names[i] = malloc(size);
        if (t->names[i] == NULL) return cli_no_memory();
        snprintf(t->names[i], size, "%s%s", prefix, t->columns[i].name);
    }
    return CLI_DONE;
}

/* ---- A row ---- */

static void put_quoted(FILE *to, const char *text, size_t length) {
    putc('"', to);
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '"') putc('"', to);
        putc(text[i], to);
    }
    putc('"', to);
}

/* One more field. */
static void put_field(FILE *to, retort_table_format format, const char *text) {
    putc(format == RETORT_TABLE_CSV ? ',' : '\t', to);
    if (format == RETORT_TABLE_CSV && strpbrk(text, ",\"\r\n") != NULL) {
        put_quoted(to, text, strlen(text));
    } else if (format == RETORT_TABLE_CSV) {
        fputs(text, to);
    } else {
        cli_put(to, text, strlen(text)); /* TSV has no quotes */
    }
}

/* One more member of an object. */
static cli_code put_member(FILE *to, const char *name, const char *value, bool json) {
    json_t *key = cli_json_text(name, strlen(name)),
           *text = json ? NULL : cli_json_text(value, strlen(value));
    bool fine = key != NULL && (json || text != NULL);
    fputs(", ", to);
    fine = fine && json_dumpf(key, to, JSON_ENCODE_ANY) == 0;
    fputs(": ", to);
    if (json)
        fputs(value, to);
    else
        fine = fine && json_dumpf(text, to, JSON_ENCODE_ANY) == 0;
    json_decref(key);
    json_decref(text);
    return fine ? CLI_DONE : cli_no_memory();
}

/* Up to the brace that ends the object. */
static size_t open_object(const cli_row *row) {
    size_t length = row->length;
    while (length > 0 && row->bytes[length - 1] != '}') length--;
    return length > 0 ? length - 1 : 0;
}

/* The last line may lack its end. */
static const char *ending_of(const table_run *t, const char *ending) {
    if (*ending != '\0') return ending;
    bool header = t->header.record != NULL && *t->header.ending != '\0';
    return header ? t->header.ending : "\n";
}

static cli_code put_row(table_run *t, const cli_row *row, const char *cells) {
    bool json = t->format == RETORT_TABLE_JSONL;
    size_t length = json ? open_object(row) : row->length;
    FILE *to = t->store.block;
    cli_code code = CLI_DONE;
    fwrite(row->bytes, 1, length, to);
    for (size_t i = 0; code == CLI_DONE && i < t->column_count; i++, cells += strlen(cells) + 1) {
        if (json)
            code = put_member(to, t->names[i], cells, t->columns[i].json);
        else
            put_field(to, t->format, cells);
    }
    fwrite(row->bytes + length, 1, row->length - length, to);
    fputs(ending_of(t, row->ending), to);
    return code;
}

static void put_header(table_run *t) {
    if (t->header.record == NULL) return;
    fwrite(t->header.record, 1, t->header.length, t->store.block);
    for (size_t i = 0; i < t->column_count; i++) put_field(t->store.block, t->format, t->names[i]);
    fputs(ending_of(t, t->header.ending), t->store.block);
}

/* ---- Rows ---- */

static cli_code refuse_rows(void *user) {
    table_run *t = user;
    cli_code code = CLI_DONE;
    for (const cli_row *row; code == CLI_DONE && (row = cli_rows_oldest(&t->rows)) != NULL;) {
        if (row->problem == NULL) return CLI_DONE;
        code = run_store_bad(&t->store, row, row->problem);
        cli_rows_drop(&t->rows);
    }
    return code;
}

static void show_progress(const table_run *t) {
    char what[96];
    double seconds = cli_now() - t->start;
    uint64_t rows = t->store.mark.rows;
    if (!isatty(STDERR_FILENO) || (strcmp(t->store.path, "-") == 0 && isatty(STDOUT_FILENO))) return;
    snprintf(what, sizeof what, "%" PRIu64 " rows, %.0f/s", rows,
             (double)(rows - t->before) / (seconds + 1e-9));
    if (cli_source_total(t->source) > 0)
        cli_progress(NULL, what, (size_t)cli_source_done(t->source), (size_t)cli_source_total(t->source));
    else
        cli_progress_count(what);
}

/* A run_give_fn. */
static cli_code give_rows(void *user, const cli_part *part) {
    table_run *t = user;
    cli_code code = CLI_DONE;
    const char *at = part->output, *end = at + part->output_length;
    while (code == CLI_DONE && at < end) {
        const char *cells = at + 1;
        char kind = *at;
        size_t count = kind == RUN_REFUSED ? 1 : t->column_count;
        for (at = cells; count > 0; count--) at += strlen(at) + 1;
        code = refuse_rows(t);
        const cli_row *row = cli_rows_oldest(&t->rows);
        if (code != CLI_DONE || row == NULL) break;
        if (kind == RUN_REFUSED) {
            code = run_store_bad(&t->store, row, cells);
        } else {
            code = put_row(t, row, cells);
            if (code == CLI_DONE) code = run_store_row(&t->store, &row->after, kind == RUN_CUT);
        }
        cli_rows_drop(&t->rows);
    }
    if (code == CLI_DONE) code = run_store_flush(&t->store);
    show_progress(t);
    return code;
}

/* ---- Before and after ---- */

/* The names of columns are text, as the table is. */
static cli_code check_prefix(const cli_args *args) {
    const char *prefix = cli_has(args, CLI_PREFIX) ? cli_text(args, CLI_PREFIX) : "";
    size_t left = strlen(prefix), step;
    for (; left > 0; prefix += step, left -= step) {
        step = utf8_length((const unsigned char *)prefix, left);
        if (step > 0) continue;
        cli_error("--prefix: this is not UTF-8");
        return CLI_USAGE;
    }
    return CLI_DONE;
}

cli_code run_table_check(const cli_args *args, int words) {
    const char *input = cli_text(args, CLI_INPUT), *output = cli_text(args, CLI_RUN_OUTPUT),
               *bad = cli_text(args, CLI_BAD_ROWS);
    const char *const written[] = {output, bad};
    retort_table_format in = RETORT_TABLE_TSV, out;
    bool files = output != NULL && strcmp(output, "-") != 0;
    if (args->word_count > words) {
        cli_error("give texts or --input, not both");
        return CLI_USAGE;
    }
    cli_code code = check_prefix(args);
    if (code == CLI_DONE) code = cli_table_check(input);
    if (code == CLI_DONE && output != NULL) code = cli_table_check(output);
    if (code != CLI_DONE) return code;
    for (size_t i = 0; i < 2; i++) {
        if (written[i] == NULL || strcmp(written[i], "-") == 0 || cli_is_device(written[i])) continue;
        bool over = cli_is_same_file(written[i], input) ||
                    (words > 0 && cli_is_same_file(written[i], args->words[0])) ||
                    (i == 1 && files && cli_is_same_file(bad, output));
        if (!over && *written[i] != '\0') continue;
        if (over)
            cli_error("'%s' would be written over: it is the input, the model, or another output",
                      written[i]);
        else
            cli_error("%s: the name of the file is empty", i == 0 ? "-o" : "--bad-rows");
        return CLI_USAGE;
    }
    if (bad != NULL && strcmp(bad, "-") == 0 && (!files || cli_has(args, CLI_JSON))) {
        cli_error("--bad-rows -: the %s to standard output", files ? "summary of --json goes" : "rows go");
        return CLI_USAGE;
    }
    if (!cli_has(args, CLI_FORMAT) && !cli_table_of(input, &in)) {
        cli_error("'%s': the name does not say what it is: give --format tsv, csv or jsonl", input);
        return CLI_USAGE;
    }
    if (files && cli_table_of(output, &out) && !cli_has(args, CLI_FORMAT) && out != in) {
        cli_error("'%s': rows are written as they are read: as %s", output, cli_table_names[in]);
        return CLI_USAGE;
    }
    if (!cli_has(args, CLI_JSON) || files) return CLI_DONE;
    cli_error(
        "with --input, --json prints a summary of the run, which needs -o FILE: the rows go to standard "
        "output");
    return CLI_USAGE;
}

static retort_table_format format_of(const cli_args *args) {
    const char *name = cli_text(args, CLI_FORMAT);
    retort_table_format format = RETORT_TABLE_TSV;
    if (name == NULL) {
        cli_table_of(cli_text(args, CLI_INPUT), &format);
        return format;
    }
    while (strcmp(cli_table_names[format], name) != 0) format++;
    return format;
}

/* What the answers depend on: the model, the table and the options, without those that change only the speed. */
static char *settings_of(const table_run *t) {
    static const cli_option_id others[] = {CLI_INPUT, CLI_RUN_OUTPUT, CLI_RUN_RESUME, CLI_BAD_ROWS,
                                           CLI_ROWS,  CLI_BATCH,      CLI_MEMORY,     CLI_THREADS,
                                           CLI_ISA,   CLI_UNPACK,     CLI_JSON};
    const cli_args *args = t->run->args;
    struct stat info = {0};
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    if (to == NULL) return NULL;
    stat(t->run->name, &info);
    fprintf(to, "model of %" PRIu64 " bytes and %" PRIu64 " parameters, changed %lld.%09ld, format %s",
            t->run->info.file_bytes, t->run->info.parameters, (long long)info.st_mtim.tv_sec,
            info.st_mtim.tv_nsec, cli_table_names[t->format]);
    for (int id = 0; id < CLI_OPTION_COUNT; id++) {
        bool matters = args->values[id] != NULL && id != CLI_FORMAT;
        for (size_t i = 0; i < sizeof others / sizeof *others; i++) matters = matters && id != (int)others[i];
        if (matters) fprintf(to, ", --%s %s", cli_options[id].name, args->values[id]);
    }
    if (fclose(to) == 0) return text;
    free(text);
    return NULL;
}

static cli_code open_table(table_run *t) {
    const cli_args *args = t->run->args;
    retort_table_options options = RETORT_TABLE_OPTIONS;
    retort_error err;
    options.name = strcmp(cli_text(args, CLI_INPUT), "-") == 0 ? "standard input" : cli_text(args, CLI_INPUT);
    options.format = t->format;
    options.text_column = cli_text(args, CLI_TEXT_COLUMN);
    options.pair_column = cli_text(args, CLI_TEXT_PAIR_COLUMN);
    options.added = (const char *const *)t->names;
    options.added_count = t->column_count;
    cli_code code = cli_source_open(&t->source, cli_text(args, CLI_INPUT));
    if (code != CLI_DONE) return code;
    if (retort_table_open(&t->table, &options, cli_source_read, t->source, &err) != RETORT_OK) {
        code = cli_fail(&err, err.status != RETORT_ARGUMENT);
        if (err.status == RETORT_ARGUMENT)
            cli_say("--prefix predicted_ names the columns that are added predicted_%s, …",
                    t->columns[0].name);
        return code;
    }
    retort_table_header(t->table, &t->header);
    bool pairs = retort_table_pairs(t->table), answers = t->run->info.task == RETORT_TASK_ANSWER;
    if (answers == pairs || (pairs && t->run->labels.count == 0 && !answers)) return CLI_DONE;
    cli_error(answers ? "%s: a question needs a context: name its column with --text-pair-column"
                      : "%s: --labels takes no pairs: the hypothesis is the second text",
              options.name);
    return CLI_BAD_DATA;
}

static cli_code open_store(table_run *t) {
    retort_error err;
    cli_code code = run_store_open(&t->store, t->run->args, settings_of(t));
    t->before = t->store.mark.rows;
    if (code != CLI_DONE || t->store.done) return code;
    if (t->store.resumed) {
        uint64_t had = t->store.mark.rows + t->store.mark.bad_rows;
        if (cli_has(t->run->args, CLI_ROWS) && had > (uint64_t)cli_int(t->run->args, CLI_ROWS, 0)) {
            cli_error("--rows: %" PRIu64 " rows were read before the run was killed", had);
            return CLI_USAGE;
        }
        if (retort_table_skip(t->table, &t->store.mark.input, &err) != RETORT_OK) return cli_fail(&err, true);
    } else {
        put_header(t);
    }
    return CLI_DONE;
}

static uint64_t rows_left(const table_run *t) {
    if (!cli_has(t->run->args, CLI_ROWS)) return UINT64_MAX;
    uint64_t most = (uint64_t)cli_int(t->run->args, CLI_ROWS, 0),
             had = t->store.mark.rows + t->store.mark.bad_rows;
    return most > had ? most - had : 0;
}

/* Told whenever something is to be known, or when the rows went to a file. */
static cli_code summarise(const table_run *t) {
    const run_mark *mark = &t->store.mark;
    double seconds = cli_now() - t->start;
    double rate = (double)(mark->rows - t->before) / (seconds + 1e-9);
    bool aside = t->store.bad_path != NULL;
    if (cli_has(t->run->args, CLI_JSON)) {
        cli_code code = cli_print_json(
            json_pack("{s:I, s:I, s:I, s:I, s:f, s:f, s:s*}", "rows", (json_int_t)mark->rows, "bad_rows",
                      (json_int_t)mark->bad_rows, "truncated", (json_int_t)mark->cut, "resumed_after",
                      (json_int_t)t->before, "seconds", seconds, "rows_per_second", rate, "bad_rows_in",
                      mark->bad_rows > 0 ? t->store.bad_path : NULL));
        if (code == CLI_DONE) code = cli_flush();
        if (code != CLI_DONE) return code;
    } else if (strcmp(t->store.path, "-") != 0) {
        cli_say("%" PRIu64 " rows in %.1f s (%.0f rows/s)", mark->rows - t->before, seconds, rate);
    }
    if (mark->bad_rows > 0)
        cli_say("%" PRIu64 " of %" PRIu64 " rows are bad and were left out%s%s", mark->bad_rows,
                mark->rows + mark->bad_rows, aside ? ": see " : "; --bad-rows FILE keeps them",
                aside ? t->store.bad_path : "");
    if (mark->cut > 0)
        cli_say("%" PRIu64 " of %" PRIu64 " texts were truncated: the model reads at most %lld tokens",
                mark->cut, mark->rows, (long long)t->run->info.max_length);
    if (mark->rows > 0 || mark->bad_rows == 0) return CLI_DONE;
    cli_error("no row has an answer");
    return CLI_BAD_DATA;
}

static cli_code run_rows(table_run *t) {
    cli_input input = {.rows = &t->rows};
    t->start = cli_now();
    cli_rows_open(&t->rows, t->table, rows_left(t), refuse_rows, t);
    cli_code code = t->store.done ? CLI_DONE : run_lines(t->run, &input, give_rows, t);
    if (!t->store.failed && refuse_rows(t) != CLI_DONE) code = CLI_FAILED;
    if (code != CLI_DONE) run_store_keep(&t->store);
    if (code == CLI_DONE && !t->store.done) code = run_store_finish(&t->store);
    cli_rows_close(&t->rows);
    cli_progress_end();
    return code == CLI_DONE ? summarise(t) : code;
}

cli_code run_table(run_state *run) {
    table_run t = {.run = run, .format = format_of(run->args), .store = {.fd = -1, .bad_fd = -1}};
    choose_columns(&t);
    cli_code code = name_columns(&t);
    if (code == CLI_DONE) code = open_table(&t);
    if (code == CLI_DONE) code = open_store(&t);
    if (code == CLI_DONE) code = run_rows(&t);
    run_store_close(&t.store);
    retort_table_close(t.table);
    cli_source_close(t.source);
    for (size_t i = 0; i < t.column_count; i++) free(t.names[i]);
    return code;
}
