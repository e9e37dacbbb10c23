/* SPDX-License-Identifier: Apache-2.0 */
#include "format/hub.h"
#include "base/map.h"
#include "format/format.h"
#include "format/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The revision of the branch "main": a hash in a file of its own. */
static bool read_revision(char *out, size_t size, const char *folder) {
    char path[RT_PATH_SIZE];
    if (!rt_path_join(path, sizeof path, folder, "refs/main") || !rt_is_file(path)) return false;
    FILE *file = fopen(path, "rb");
    if (file == NULL) return false;
    size_t n = fread(out, 1, size - 1, file);
    fclose(file);
    out[n] = '\0';
    out[strcspn(out, "\r\n \t")] = '\0';
    return rt_plain_name(out);
}

/* `folder` is a model's of the cache. */
static bool find_snapshot(char *out, const char *folder) {
    char revision[128], snapshots[RT_PATH_SIZE];
    return read_revision(revision, sizeof revision, folder) &&
           rt_path_join(snapshots, sizeof snapshots, folder, "snapshots") &&
           rt_path_join(out, RT_PATH_SIZE, snapshots, revision) && rt_is_folder(out);
}

static bool cache_folder(char *out) {
    static const struct {
        const char *variable, *below;
    } rows[] = {{"HF_HUB_CACHE", ""},
                {"HF_HOME", "/hub"},
                {"XDG_CACHE_HOME", "/huggingface/hub"},
                {"HOME", "/.cache/huggingface/hub"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *value = getenv(rows[i].variable);
        if (value == NULL || value[0] == '\0') continue;
        return snprintf(out, RT_PATH_SIZE, "%s%s", value, rows[i].below) < RT_PATH_SIZE;
    }
    return false;
}

/* "owner/name" or "name", of letters, digits, dots, dashes and underscores. */
static bool is_id(const char *name) {
    const char *slash = strchr(name, '/');
    size_t plain = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/");
    bool one = slash == NULL || strchr(slash + 1, '/') == NULL;
    return name[plain] == '\0' && one && name[0] != '.' && name[0] != '/' && name[0] != '\0' &&
           (slash == NULL || (slash[1] != '\0' && slash[1] != '.'));
}

static bool find_cached(char *out, const char *id) {
    char cache[RT_PATH_SIZE], model[RT_PATH_SIZE], name[512];
    const char *slash = strchr(id, '/');
    int owner = slash != NULL ? (int)(slash - id) : 0;
    int n = snprintf(name, sizeof name, "models--%.*s%s%s", owner, id, slash != NULL ? "--" : "",
                     slash != NULL ? slash + 1 : id);
    return n < (int)sizeof name && cache_folder(cache) && rt_path_join(model, sizeof model, cache, name) &&
           find_snapshot(out, model);
}

bool rt_hub_find(char *out, const char *name) {
    if (!rt_is_folder(name)) return is_id(name) && find_cached(out, name);
    return find_snapshot(out, name) || snprintf(out, RT_PATH_SIZE, "%s", name) < RT_PATH_SIZE;
}
