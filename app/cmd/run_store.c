/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/run_store.h"
#include "cli/file.h"
#include "cli/stats.h"
#include "cli/tables.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK_ROWS = 1024, BLOCK_BYTES = 1 << 20, VERSION = 1 };
static const double SAVE_SECONDS = 1;

static const char *name_of(const run_store *store) {
    return strcmp(store->path, "-") == 0 ? "standard output" : store->keeps ? store->part : store->path;
}

static cli_code fail_write(const char *path) {
    cli_error("%s: cannot write: %s", path, strerror(errno));
    return CLI_FAILED;
}

/* ---- The state ---- */

static json_t *state_json(const run_store *store) {
    const run_mark *mark = &store->mark;
    return json_pack("{s:i, s:s, s:{s:I, s:I, s:I}, s:I, s:I, s:I, s:I, s:I, s:b}", "version", VERSION,
                     "settings", store->settings, "input", "bytes", (json_int_t)mark->input.bytes, "lines",
                     (json_int_t)mark->input.lines, "check", (json_int_t)mark->input.check, "output",
                     (json_int_t)mark->output, "bad", (json_int_t)mark->bad, "rows", (json_int_t)mark->rows,
                     "bad_rows", (json_int_t)mark->bad_rows, "truncated", (json_int_t)mark->cut, "done",
                     store->done);
}

/* Makes the names in a folder lasting. */
static void sync_folder(const char *path) {
    char copy[4096];
    if (snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy) return;
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

static bool write_all(int fd, const char *data, size_t n) {
    while (n > 0) {
        ssize_t done = write(fd, data, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return false;
        data += done;
        n -= (size_t)done;
    }
    return true;
}

static bool write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return false;
    bool fine = write_all(fd, text, strlen(text)) && fsync(fd) == 0;
    return close(fd) == 0 && fine;
}

/* Rows first, then what says that they are there. */
static cli_code save(run_store *store) {
    if (!store->keeps) return CLI_DONE;
    json_t *json = state_json(store);
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (text == NULL) return cli_no_memory();
    bool fine = fsync(store->fd) == 0 &&
                (store->bad_fd < 0 || store->bad_device || fsync(store->bad_fd) == 0) &&
                write_file(store->next, text) && rename(store->next, store->state) == 0;
    free(text);
    store->saved = cli_now();
    return fine ? CLI_DONE : fail_write(store->state);
}

static cli_code read_state(run_store *store) {
    json_error_t problem;
    json_int_t version, n[8];
    const char *settings, *why = NULL; /* why: it is no state */
    int done;
    json_t *json = json_load_file(store->state, JSON_REJECT_DUPLICATES, &problem);
    if (json == NULL ||
        json_unpack_ex(json, &problem, 0, "{s:I, s:s, s:{s:I, s:I, s:I}, s:I, s:I, s:I, s:I, s:I, s:b}",
                       "version", &version, "settings", &settings, "input", "bytes", &n[0], "lines", &n[1],
                       "check", &n[2], "output", &n[3], "bad", &n[4], "rows", &n[5], "bad_rows", &n[6],
                       "truncated", &n[7], "done", &done) != 0)
        why = problem.text;
    for (size_t i = 0; why == NULL && i < sizeof n / sizeof *n; i++) {
        if (n[i] < 0) why = "a number is negative";
    }
    cli_code code = CLI_DONE;
    if (why != NULL) {
        cli_error("%s: this is no state of a run: %s", store->state, why);
        code = CLI_BAD_DATA;
    } else if (version != VERSION || strcmp(settings, store->settings) != 0) {
        cli_error("--resume: %s was begun with other options or another model, so its rows would not agree. "
                  "Then: %s. Now: %s",
                  store->part, settings, store->settings);
        code = CLI_USAGE;
    } else {
        store->mark = (run_mark){{(uint64_t)n[0], (uint64_t)n[1], (uint32_t)n[2]},
                                 (uint64_t)n[3],
                                 (uint64_t)n[4],
                                 (uint64_t)n[5],
                                 (uint64_t)n[6],
                                 (uint64_t)n[7]};
        store->done = done != 0;
    }
    json_decref(json);
    return code;
}

/* ---- Opening ---- */

static char *join(const char *path, const char *ending) {
    char *joined = malloc(strlen(path) + strlen(ending) + 1);
    if (joined != NULL) sprintf(joined, "%s%s", path, ending);
    return joined;
}

static cli_code open_file(const char *path, int flags, int *fd) {
    *fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | flags, 0666);
    if (*fd >= 0) return CLI_DONE;
    cli_error("%s: cannot create: %s", path, strerror(errno));
    return CLI_FAILED;
}

static cli_code open_memory(run_store *store) {
    store->block = open_memstream(&store->data, &store->length);
    store->bad_block = open_memstream(&store->bad_data, &store->bad_length);
    return store->block != NULL && store->bad_block != NULL ? CLI_DONE : cli_no_memory();
}

/* Cuts a file to the length that the state says. */
static cli_code cut_to(const run_store *store, const char *path, int fd, uint64_t length) {
    struct stat info;
    if (fstat(fd, &info) != 0 || (uint64_t)info.st_size < length) {
        cli_error("%s: it is shorter than at its last save: remove %s to begin anew", path, store->state);
        return CLI_BAD_DATA;
    }
    if (ftruncate(fd, (off_t)length) == 0 && lseek(fd, (off_t)length, SEEK_SET) >= 0) return CLI_DONE;
    return fail_write(path);
}

/* After the last row, an earlier run was killed before it had renamed its files. */
static cli_code finish_names(run_store *store) {
    bool renamed = access(store->part, F_OK) != 0;
    if (!renamed && rename(store->part, store->path) != 0) return fail_write(store->path);
    sync_folder(store->path);
    unlink(store->state);
    return CLI_DONE;
}

/* Bad rows that went to a device or a pipe stay there; a file is cut, or those of another run go. */
static cli_code open_bad(run_store *store) {
    struct stat info;
    if (store->bad_device) return open_file(store->bad_path, O_APPEND, &store->bad_fd);
    if (store->mark.bad == 0 && lstat(store->bad_path, &info) == 0 && S_ISLNK(info.st_mode))
        return CLI_DONE; /* to a new file */
    if (store->mark.bad == 0)
        return unlink(store->bad_path) == 0 || errno == ENOENT ? CLI_DONE : fail_write(store->bad_path);
    cli_code code = open_file(store->bad_path, 0, &store->bad_fd);
    return code == CLI_DONE ? cut_to(store, store->bad_path, store->bad_fd, store->mark.bad) : code;
}

static cli_code open_resumable(run_store *store, bool resume) {
    bool has_state = access(store->state, F_OK) == 0;
    if (has_state && !resume) {
        cli_error(
            "%s has the rows of a run that did not end: --resume goes on with it; to begin anew remove %s",
            store->part, store->state);
        return CLI_USAGE;
    }
    if (resume && !has_state) cli_say("there is no %s: beginning with the first row", store->state);
    cli_code code = has_state ? read_state(store) : CLI_DONE;
    if (code != CLI_DONE || store->done) return code == CLI_DONE ? finish_names(store) : code;
    code = open_file(store->part, 0, &store->fd);
    if (code == CLI_DONE && flock(store->fd, LOCK_EX | LOCK_NB) != 0) {
        cli_error("%s: another run is writing it", store->part);
        return CLI_FAILED;
    }
    if (code == CLI_DONE) code = cut_to(store, store->part, store->fd, store->mark.output);
    if (code == CLI_DONE) code = open_bad(store);
    sync_folder(store->part);
    store->resumed = has_state;
    return code;
}

/* Where a path leads: links are followed, and the file itself need not exist. From malloc; NULL: nowhere. */
static char *place_of(const char *path) {
    char folder[4096], name[4096], *place = realpath(path, NULL);
    if (place != NULL || snprintf(folder, sizeof folder, "%s", path) >= (int)sizeof folder) return place;
    snprintf(name, sizeof name, "/%s", path);
    char *parent = realpath(dirname(folder), NULL);
    if (parent == NULL) return NULL;
    snprintf(folder, sizeof folder, "/%s", basename(name));
    place = join(parent, folder);
    free(parent);
    return place;
}

static bool is_at(const char *place, const char *path) {
    char *other = place != NULL ? place_of(path) : NULL;
    bool same = other != NULL && strcmp(place, other) == 0;
    free(other);
    return same;
}

/* The input and the bad rows lie in no file that a run writes. */
static cli_code check_places(const run_store *store, const cli_args *args) {
    static const char kept[] = "the run keeps its rows there until it ends";
    const struct {
        const char *path, *why;
    } rows[] = {{store->part, kept},
                {store->state, kept},
                {store->next, kept},
                {store->path, "it is the output"},
                {store->bad_path, "bad rows go there: --bad-rows names another file"}};
    const char *const given[] = {cli_text(args, CLI_INPUT), store->bad_path};
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        char *place = place_of(given[i]);
        size_t row = 0, count = sizeof rows / sizeof *rows - i; /* the last row is the bad rows themselves */
        while (row < count && !is_at(place, rows[row].path)) row++;
        free(place);
        if (row == count) continue;
        cli_error("'%s' would be written over: %s", given[i], rows[row].why);
        return CLI_USAGE;
    }
    return CLI_DONE;
}

/* Before the first row: the state is saved after it. */
static cli_code check_lengths(const run_store *store) {
    struct stat info;
    const char *const longest[] = {store->next, store->bad_path};
    for (size_t i = 0; i < sizeof longest / sizeof *longest; i++) {
        if (longest[i] == NULL || lstat(longest[i], &info) == 0 || errno != ENAMETOOLONG) continue;
        cli_error("%s: %s: give a shorter one, as the run writes this file beside it", longest[i],
                  strerror(errno));
        return CLI_FAILED;
    }
    return CLI_DONE;
}

/* Before the first row: a run may be long. Devices and pipes are opened when there is something to write. */
static cli_code check_bad_rows(const run_store *store) {
    struct stat info;
    bool folder = stat(store->bad_path, &info) == 0 && S_ISDIR(info.st_mode);
    return store->bad_device && !folder ? CLI_DONE : cli_check_writable(store->bad_path);
}

/* What a link that leads nowhere stands for is not written, and the link is not replaced. */
static cli_code check_link(const char *path) {
    struct stat info;
    if (lstat(path, &info) != 0 || !S_ISLNK(info.st_mode) || stat(path, &info) == 0) return CLI_DONE;
    cli_error("%s: a dangling link: remove it, or name the file itself", path);
    return CLI_FAILED;
}

/* The path, or NULL. /dev/stderr is a device whatever is behind it. */
static char *name_bad_rows(run_store *store, const cli_args *args) {
    const char *given = cli_text(args, CLI_BAD_ROWS);
    if (given == NULL) return join(store->path, ".bad.jsonl");
    if (strcmp(given, "-") == 0) given = "/dev/stdout";
    store->bad_device = cli_is_device(given) || strncmp(given, "/dev/", 5) == 0;
    char *target = store->bad_device ? NULL : realpath(given, NULL); /* of a link */
    return target != NULL ? target : strdup(given);
}

cli_code run_store_open(run_store *store, const cli_args *args, char *settings) {
    struct stat info;
    size_t stem;
    const char *path = cli_has(args, CLI_RUN_OUTPUT) ? cli_text(args, CLI_RUN_OUTPUT) : "-";
    char *target = realpath(path, NULL); /* of a link */
    bool out = strcmp(path, "-") == 0, resume = cli_has(args, CLI_RUN_RESUME);
    *store = (run_store){.path = out || target == NULL ? strdup(path) : target,
                         .settings = settings,
                         .fd = -1,
                         .bad_fd = -1,
                         .saved = cli_now()};
    if (store->path != target) free(target);
    if (store->path == NULL) return cli_no_memory();
    path = store->path;
    store->ended = store->saved;
    store->codec = cli_codec_of(path, &stem);
    store->keeps = !out && (stat(path, &info) != 0 || S_ISREG(info.st_mode));
    store->part = join(path, ".part");
    store->state = join(path, ".state");
    store->next = join(path, ".state.next");
    bool aside = cli_has(args, CLI_BAD_ROWS) || store->keeps;
    if (aside) store->bad_path = name_bad_rows(store, args);
    bool named = store->settings != NULL && store->part != NULL && store->state != NULL &&
                 store->next != NULL && (!aside || store->bad_path != NULL);
    cli_code code = named ? check_link(path) : cli_no_memory();
    if (code == CLI_DONE && store->keeps) code = check_lengths(store);
    if (code == CLI_DONE && store->keeps) code = check_places(store, args);
    if (code == CLI_DONE && cli_has(args, CLI_BAD_ROWS)) code = check_bad_rows(store);
    if (code == CLI_DONE) code = cli_codec_check(store->codec, path);
    if (code == CLI_DONE) code = open_memory(store);
    if (code != CLI_DONE) return code;
    if (store->keeps) return open_resumable(store, resume);
    if (resume) {
        cli_error("--resume needs a regular file: %s is none", out ? "standard output" : path);
        return CLI_USAGE;
    }
    store->fd = out ? STDOUT_FILENO : -1;
    return out ? CLI_DONE : open_file(path, 0, &store->fd);
}

/* ---- Blocks ---- */

static cli_code write_block(run_store *store) {
    char *packed = NULL;
    const char *data = store->data;
    size_t length = store->length;
    cli_code code = CLI_DONE;
    if (store->codec != CLI_PLAIN && length > 0) {
        code = cli_compress(store->codec, store->data, store->length, &packed, &length);
        data = packed;
    }
    if (code == CLI_DONE && !write_all(store->fd, data, length)) code = fail_write(name_of(store));
    store->mark.output += length;
    free(packed);
    return code;
}

static cli_code write_bad(run_store *store) {
    cli_code code = CLI_DONE;
    if (store->bad_length == 0 || store->bad_path == NULL) return CLI_DONE;
    if (store->bad_fd < 0)
        code = open_file(store->bad_path, store->bad_device ? O_APPEND : O_TRUNC, &store->bad_fd);
    if (code == CLI_DONE && !write_all(store->bad_fd, store->bad_data, store->bad_length))
        code = fail_write(store->bad_path);
    store->mark.bad += store->bad_length;
    return code;
}

static void close_memory(run_store *store) {
    if (store->block != NULL) fclose(store->block);
    if (store->bad_block != NULL) fclose(store->bad_block);
    store->block = store->bad_block = NULL;
}

static void free_memory(run_store *store) {
    free(store->data);
    free(store->bad_data);
    store->data = store->bad_data = NULL;
}

static cli_code end_block(run_store *store) {
    bool failed = ferror(store->block) != 0 || ferror(store->bad_block) != 0;
    close_memory(store);
    cli_code code = failed ? cli_no_memory() : write_block(store);
    if (code == CLI_DONE) code = write_bad(store);
    free_memory(store);
    if (code == CLI_DONE) code = open_memory(store);
    store->block_rows = 0;
    store->failed = code != CLI_DONE;
    store->ended = cli_now();
    if (code != CLI_DONE || store->ended - store->saved < SAVE_SECONDS) return code;
    return save(store);
}

cli_code run_store_row(run_store *store, const retort_table_position *next, bool cut) {
    store->mark.input = *next;
    store->mark.rows++;
    store->mark.cut += cut;
    store->block_rows++;
    bool full = ftello(store->block) >= BLOCK_BYTES;
    if (store->codec == CLI_PLAIN)
        full = full || (store->block_rows % 32 == 0 && cli_now() - store->ended >= SAVE_SECONDS);
    else
        full = full || store->block_rows == BLOCK_ROWS;
    return full ? end_block(store) : CLI_DONE;
}

cli_code run_store_bad(run_store *store, const cli_row *row, const char *why) {
    enum { TOLD = 10 };
    store->mark.input = row->after;
    store->mark.bad_rows++;
    if (store->bad_path == NULL) {
        if (store->mark.bad_rows <= TOLD) cli_say("line %" PRIu64 ": %s", row->line, why);
        return CLI_DONE;
    }
    return cli_put_json(store->bad_block, json_pack("{s:I, s:o, s:o}", "line", (json_int_t)row->line,
                                                    "problem", cli_json_text(why, strlen(why)), "row",
                                                    cli_json_text(row->bytes, row->length)));
}

cli_code run_store_flush(run_store *store) {
    return store->keeps || store->codec != CLI_PLAIN ? CLI_DONE : end_block(store);
}

cli_code run_store_finish(run_store *store) {
    cli_code code = end_block(store);
    store->done = true;
    if (code == CLI_DONE) code = save(store);
    return code == CLI_DONE && store->keeps ? finish_names(store) : code;
}

void run_store_keep(run_store *store) {
    if (!store->failed && store->block != NULL && end_block(store) == CLI_DONE) save(store);
}

void run_store_close(run_store *store) {
    close_memory(store);
    free_memory(store);
    if (store->fd > STDOUT_FILENO) close(store->fd);
    if (store->bad_fd >= 0) close(store->bad_fd);
    free(store->path);
    free(store->part);
    free(store->state);
    free(store->next);
    free(store->bad_path);
    free(store->settings);
}
