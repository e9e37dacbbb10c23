/* SPDX-License-Identifier: Apache-2.0 */
#include "run/library.h"
#include "base/map.h"

#include <dirent.h>
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FOLDER_MAX = 256 };

/* The last folder that is searched, into which tools/providers installs. */
static bool default_folder(char *out, size_t size) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache != NULL && *cache != '\0') return rt_path_join(out, size, cache, "retort/providers");
    return home != NULL && *home != '\0' && rt_path_join(out, size, home, ".cache/retort/providers");
}

/* The folder at this index of the search path; false beyond the last. */
static bool search_folder(char *out, size_t size, size_t index) {
    const char *list = getenv("RETORT_PROVIDERS");
    while (list != NULL && *list != '\0') {
        size_t length = strcspn(list, ":");
        if (length > 0 && index-- == 0) {
            snprintf(out, size, "%.*s", (int)length, list);
            return length < size;
        }
        list += length + (list[length] == ':');
    }
    return index == 0 && default_folder(out, size);
}

/* Whether the name is "libx.so", or that followed by a version of digits and dots. */
static bool is_named(const char *file, const char *name) {
    size_t length = strlen(name);
    if (strncmp(file, name, length) != 0) return false;
    const char *rest = file + length;
    return *rest == '\0' || (*rest == '.' && rest[strspn(rest, ".0123456789")] == '\0');
}

static bool has_beside(const char *folder, const rt_library_query *query) {
    char other[FOLDER_MAX];
    return query->beside == NULL ||
           (rt_path_join(other, sizeof other, folder, query->beside) && rt_is_file(other));
}

/* Finds the file of that name with the highest version in a folder. */
static bool find_in(char *out, size_t size, const char *folder, const rt_library_query *query) {
    struct dirent **files = NULL;
    bool found = false;
    int count = scandir(folder, &files, NULL, versionsort);
    for (int i = count - 1; i >= 0; i--) {
        found = found || (is_named(files[i]->d_name, query->name) &&
                          rt_path_join(out, size, folder, files[i]->d_name));
        free(files[i]);
    }
    free(files);
    return found && has_beside(folder, query);
}

/* Searches a folder of packages, Python's site-packages, or the folder itself. */
static bool find_below(char *out, size_t size, const char *folder, const rt_library_query *query) {
    char inner[FOLDER_MAX], packages[FOLDER_MAX];
    for (size_t i = 0; i < sizeof query->wheels / sizeof *query->wheels; i++) {
        const rt_wheel *wheel = &query->wheels[i];
        if (wheel->package == NULL) continue;
        if (rt_path_join(packages, sizeof packages, folder, wheel->package) &&
            rt_path_join(inner, sizeof inner, packages, wheel->folder) && find_in(out, size, inner, query))
            return true;
        if (rt_path_join(inner, sizeof inner, folder, wheel->folder) && find_in(out, size, inner, query))
            return true;
    }
    return find_in(out, size, folder, query);
}

const char *rt_library_advice(char *out, size_t size, const rt_library_query *query) {
    char folder[FOLDER_MAX];
    const char *package = query->wheels[0].package;
    if (!search_folder(folder, sizeof folder, 0)) snprintf(folder, sizeof folder, "$RETORT_PROVIDERS");
    snprintf(out, size, "to install it: python3 -m pip install --no-deps --target %s/%s %s", folder, package,
             package);
    return out;
}

/* Whether the library that the loader found has its companion next to it. */
static bool check_place(rt_library *out, const rt_library_query *query) {
    struct link_map *map = NULL;
    char folder[FOLDER_MAX];
    bool known = dlinfo(out->handle, RTLD_DI_LINKMAP, &map) == 0 && map != NULL;
    snprintf(out->path, sizeof out->path, "%s", known ? map->l_name : query->name);
    snprintf(folder, sizeof folder, "%s", out->path);
    char *slash = strrchr(folder, '/');
    if (slash != NULL) *slash = '\0';
    return has_beside(slash != NULL ? folder : ".", query);
}

/* Asks the loader of the system. */
static bool open_system(rt_library *out, const rt_library_query *query, char *fault, size_t size) {
    const char *const names[] = {query->name, query->soname};
    for (size_t i = 0; i < 2 && out->handle == NULL && names[i] != NULL; i++) {
        out->handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        const char *text = out->handle == NULL ? dlerror() : NULL;
        if (text != NULL && strstr(text, "No such file") == NULL) snprintf(fault, size, "%s", text);
    }
    return out->handle != NULL && check_place(out, query);
}

rt_function rt_library_symbol(const rt_library *library, const char *name) {
    void *symbol = dlsym(library->handle, name);
    rt_function function = NULL;
    /* ISO C does not convert object pointers to function pointers; POSIX guarantees it. */
    memcpy(&function, &symbol, sizeof function);
    return function;
}

static retort_status check(rt_library *out, const rt_library_query *query, retort_error *err) {
    if (rt_library_symbol(out, query->symbol) != NULL) return RETORT_OK;
    return rt_fail(err, RETORT_PROVIDER, "%s: this is not %s: it has no %s", out->path, query->what,
                   query->symbol);
}

retort_status rt_library_open(rt_library *out, const rt_library_query *query, retort_error *err) {
    char folder[FOLDER_MAX], advice[384], fault[384] = "";
    *out = (rt_library){0};
    for (size_t i = 0; search_folder(folder, sizeof folder, i); i++) {
        if (!find_below(out->path, sizeof out->path, folder, query)) continue;
        out->handle = dlopen(out->path, RTLD_NOW | RTLD_LOCAL);
        if (out->handle != NULL) return check(out, query, err);
        const char *text = dlerror();
        return rt_fail(err, RETORT_PROVIDER, "%s: cannot be loaded: %s", out->path,
                       text != NULL ? text : "the loader does not say why");
    }
    if (open_system(out, query, fault, sizeof fault)) return check(out, query, err);
    if (*fault != '\0') return rt_fail(err, RETORT_PROVIDER, "%s: cannot be loaded: %s", query->name, fault);
    return rt_fail(err, RETORT_PROVIDER, "%s is not installed (no %s); %s", query->what,
                   query->beside != NULL ? query->beside : query->name,
                   rt_library_advice(advice, sizeof advice, query));
}
