/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vocabulary.h"
#include "cli/output.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cli_code open_file(cli_vocabulary *out, const char *path, const retort_dataset_options *options) {
    retort_error err;
    if (*path == '\0') {
        cli_error("--texts: a file's name is empty: expected FILE[,FILE]");
        return CLI_USAGE;
    }
    if (strcmp(path, "-") == 0) path = "/dev/stdin";
    retort_dataset **data = &out->files[out->file_count];
    if (retort_dataset_open(data, path, NULL, options, &err) != RETORT_OK) return cli_fail(&err, true);
    out->file_count++;
    out->count += retort_dataset_count(*data);
    return CLI_DONE;
}

static void collect(cli_vocabulary *out) {
    size_t at = 0;
    for (size_t i = 0; i < out->file_count; i++) {
        size_t count = retort_dataset_count(out->files[i]);
        for (size_t k = 0; k < count; k++) retort_dataset_text(out->files[i], k, &out->texts[at++]);
    }
}

cli_code cli_open_vocabulary(cli_vocabulary *out, const cli_args *args, retort_dataset_options options) {
    cli_names names;
    *out = (cli_vocabulary){0};
    options.texts_only = true;
    cli_code code = cli_split_names(&names, args, CLI_TEXTS);
    if (code != CLI_DONE || names.count == 0) return code;
    out->files = calloc(names.count, sizeof *out->files);
    if (out->files == NULL) code = cli_no_memory();
    for (size_t i = 0; code == CLI_DONE && i < names.count; i++)
        code = open_file(out, names.items[i], &options);
    if (code == CLI_DONE) out->texts = calloc(out->count, sizeof *out->texts);
    if (code == CLI_DONE && out->texts == NULL) code = cli_no_memory();
    if (code == CLI_DONE) collect(out);
    cli_names_free(&names);
    if (code != CLI_DONE) cli_close_vocabulary(out);
    return code;
}

void cli_close_vocabulary(cli_vocabulary *vocabulary) {
    for (size_t i = 0; i < vocabulary->file_count; i++) retort_dataset_free(vocabulary->files[i]);
    free(vocabulary->files);
    free(vocabulary->texts);
    *vocabulary = (cli_vocabulary){0};
}

static double share_of(uint64_t part, uint64_t all) {
    return all > 0 ? (double)part / (double)all : 0;
}

/* Rounded down: 100 are all of them. */
static double percent_of(uint64_t part, uint64_t all) {
    return floor(share_of(part, all) * 1e4) / 100;
}

void cli_print_restriction(const retort_model *model) {
    retort_restriction found = {.size = sizeof found};
    if (retort_model_restriction(model, &found, NULL) != RETORT_OK) return;
    printf("vocabulary  %lld of %lld pieces", (long long)found.pieces, (long long)found.pieces_before);
    if (found.languages != NULL) printf(", languages %s", found.languages);
    printf("\n");
    if (found.texts == 0) return;
    printf(
        "            tokenised identically: %.2f %% of these %llu texts; %.2f %% of unseen ones, each left "
        "out in turn\n",
        percent_of(found.identical, found.texts), (unsigned long long)found.texts,
        percent_of(found.identical_unseen, found.texts));
}

void cli_say_restriction(const retort_model *model) {
    retort_restriction left = {.size = sizeof left};
    if (retort_model_restriction(model, &left, NULL) != RETORT_OK) return;
    if (left.texts == 0) {
        cli_say("vocabulary: %lld of %lld pieces stay", (long long)left.pieces,
                (long long)left.pieces_before);
        return;
    }
    cli_say("vocabulary: %lld of %lld pieces stay; of %llu texts %.2f %% are tokenized as before, and %.2f "
            "%% of unseen ones",
            (long long)left.pieces, (long long)left.pieces_before, (unsigned long long)left.texts,
            percent_of(left.identical, left.texts), percent_of(left.identical_unseen, left.texts));
}

json_t *cli_restriction_json(const retort_model *model) {
    retort_restriction found = {.size = sizeof found};
    if (retort_model_restriction(model, &found, NULL) != RETORT_OK) return NULL;
    json_t *json = json_pack("{s:I, s:I, s:s*, s:I}", "pieces", (json_int_t)found.pieces, "pieces_before",
                             (json_int_t)found.pieces_before, "languages", found.languages, "texts",
                             (json_int_t)found.texts);
    if (json == NULL || found.texts == 0) return json;
    json_object_set_new(json, "identical", json_real(share_of(found.identical, found.texts)));
    json_object_set_new(json, "identical_unseen", json_real(share_of(found.identical_unseen, found.texts)));
    return json;
}
