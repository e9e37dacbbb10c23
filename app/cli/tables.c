/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/tables.h"

#include <string.h>
#include <strings.h>

const char *const cli_table_names[] = {
    [RETORT_TABLE_TSV] = "tsv", [RETORT_TABLE_CSV] = "csv", [RETORT_TABLE_JSONL] = "jsonl"};

static bool ends_with(const char *name, size_t length, const char *ending) {
    size_t n = strlen(ending);
    return length > n && strncasecmp(name + length - n, ending, n) == 0;
}

bool cli_table_of(const char *path, retort_table_format *format) {
    static const struct {
        const char *ending;
        retort_table_format format;
    } rows[] = {{".tsv", RETORT_TABLE_TSV},
                {".csv", RETORT_TABLE_CSV},
                {".jsonl", RETORT_TABLE_JSONL},
                {".ndjson", RETORT_TABLE_JSONL}};
    size_t stem;
    cli_codec_of(path, &stem);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!ends_with(path, stem, rows[i].ending)) continue;
        *format = rows[i].format;
        return true;
    }
    return false;
}

cli_code cli_table_check(const char *path) {
    static const char by_python[] =
        "the Python package answers it: pip install retort-cpu pyarrow && python3 -m retort_cpu run MODEL "
        "--input IN.parquet -o OUT.parquet";
    static const struct {
        const char *ending, *name, *advice;
    } rows[] = {
        {".parquet", "Parquet", by_python},
        {".pq", "Parquet", by_python},
        {".arrow", "Arrow", by_python},
        {".feather", "Arrow", by_python},
        {".orc", "ORC",
         "convert it: python3 -c \"import pyarrow.orc as o, pyarrow.csv as c; "
         "c.write_csv(o.read_table('IN'), "
         "'OUT.csv')\""},
        {".xlsx", "Excel", "convert it: save it as CSV (UTF-8)"},
        {".xls", "Excel", "convert it: save it as CSV (UTF-8)"},
        {".bz2", "bzip2", "convert it: bzcat IN | retort run MODEL --input - --format csv"},
        {".xz", "xz", "convert it: xzcat IN | retort run MODEL --input - --format csv"},
        {".zip", "zip", "convert it: unzip -p IN | retort run MODEL --input - --format csv"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!ends_with(path, strlen(path), rows[i].ending)) continue;
        cli_error("%s: %s is neither read nor written, only TSV, CSV and JSON lines, plain, gzip or zstd: "
                  "%s",
                  path, rows[i].name, rows[i].advice);
        return CLI_BAD_DATA;
    }
    return CLI_DONE;
}
