/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/http/mhd.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

srv_mhd_functions srv_mhd;

static const struct {
    const char *name;
    size_t offset;
} functions[] = {
#define FUNCTION_ROW(name) {"MHD_" #name, offsetof(srv_mhd_functions, name)},
    SRV_MHD_FUNCTIONS(FUNCTION_ROW)
#undef FUNCTION_ROW
};

static retort_status fail(retort_error *err, const char *what, const char *why) {
    err->status = RETORT_IO;
    snprintf(err->text, sizeof err->text, "serve: %s: %s (Debian's package is libmicrohttpd12)", what,
             why != NULL ? why : "not found");
    return RETORT_IO;
}

retort_status srv_mhd_load(retort_error *err) {
    static const char name[] = "libmicrohttpd.so.12";
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) return fail(err, name, dlerror());
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *symbol = dlsym(library, functions[i].name);
        if (symbol == NULL) return fail(err, functions[i].name, dlerror());
        /* ISO C has no conversion between object and function pointers; POSIX says that they have the same
         * form. */
        memcpy((char *)&srv_mhd + functions[i].offset, &symbol, sizeof symbol);
    }
    return RETORT_OK;
}
