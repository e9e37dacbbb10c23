/* SPDX-License-Identifier: Apache-2.0 */
#include "text/languages.h"

#include "base/size.h"

#include <stdio.h>
#include <string.h>

/* Scripts in which texts of today are usually written, as Unicode's CLDR lists them. */
static const struct language {
    const char *code, *scripts[3];
} languages[] = {
    {"af", {"Latn"}},         {"am", {"Ethi"}}, {"ar", {"Arab"}},
    {"as", {"Beng"}},         {"az", {"Latn"}}, {"be", {"Cyrl"}},
    {"bg", {"Cyrl"}},         {"bn", {"Beng"}}, {"bo", {"Tibt"}},
    {"bs", {"Latn"}},         {"ca", {"Latn"}}, {"cs", {"Latn"}},
    {"cy", {"Latn"}},         {"da", {"Latn"}}, {"de", {"Latn"}},
    {"dv", {"Thaa"}},         {"dz", {"Tibt"}}, {"el", {"Grek"}},
    {"en", {"Latn"}},         {"eo", {"Latn"}}, {"es", {"Latn"}},
    {"et", {"Latn"}},         {"eu", {"Latn"}}, {"fa", {"Arab"}},
    {"fi", {"Latn"}},         {"fo", {"Latn"}}, {"fr", {"Latn"}},
    {"fy", {"Latn"}},         {"ga", {"Latn"}}, {"gd", {"Latn"}},
    {"gl", {"Latn"}},         {"gn", {"Latn"}}, {"gu", {"Gujr"}},
    {"ha", {"Latn"}},         {"he", {"Hebr"}}, {"hi", {"Deva"}},
    {"hr", {"Latn"}},         {"ht", {"Latn"}}, {"hu", {"Latn"}},
    {"hy", {"Armn"}},         {"id", {"Latn"}}, {"ig", {"Latn"}},
    {"is", {"Latn"}},         {"it", {"Latn"}}, {"ja", {"Hira", "Kana", "Hani"}},
    {"jv", {"Latn"}},         {"ka", {"Geor"}}, {"kk", {"Cyrl"}},
    {"km", {"Khmr"}},         {"kn", {"Knda"}}, {"ko", {"Hang"}},
    {"ku", {"Latn", "Arab"}}, {"ky", {"Cyrl"}}, {"la", {"Latn"}},
    {"lb", {"Latn"}},         {"lo", {"Laoo"}}, {"lt", {"Latn"}},
    {"lv", {"Latn"}},         {"mg", {"Latn"}}, {"mi", {"Latn"}},
    {"mk", {"Cyrl"}},         {"ml", {"Mlym"}}, {"mn", {"Cyrl"}},
    {"mr", {"Deva"}},         {"ms", {"Latn"}}, {"mt", {"Latn"}},
    {"my", {"Mymr"}},         {"nb", {"Latn"}}, {"ne", {"Deva"}},
    {"nl", {"Latn"}},         {"nn", {"Latn"}}, {"no", {"Latn"}},
    {"oc", {"Latn"}},         {"om", {"Latn"}}, {"or", {"Orya"}},
    {"pa", {"Guru"}},         {"pl", {"Latn"}}, {"ps", {"Arab"}},
    {"pt", {"Latn"}},         {"qu", {"Latn"}}, {"rm", {"Latn"}},
    {"ro", {"Latn"}},         {"ru", {"Cyrl"}}, {"rw", {"Latn"}},
    {"sa", {"Deva"}},         {"sd", {"Arab"}}, {"si", {"Sinh"}},
    {"sk", {"Latn"}},         {"sl", {"Latn"}}, {"sn", {"Latn"}},
    {"so", {"Latn"}},         {"sq", {"Latn"}}, {"sr", {"Cyrl", "Latn"}},
    {"st", {"Latn"}},         {"su", {"Latn"}}, {"sv", {"Latn"}},
    {"sw", {"Latn"}},         {"ta", {"Taml"}}, {"te", {"Telu"}},
    {"tg", {"Cyrl"}},         {"th", {"Thai"}}, {"ti", {"Ethi"}},
    {"tk", {"Latn"}},         {"tl", {"Latn"}}, {"tn", {"Latn"}},
    {"tr", {"Latn"}},         {"tt", {"Cyrl"}}, {"ug", {"Arab"}},
    {"uk", {"Cyrl"}},         {"ur", {"Arab"}}, {"uz", {"Latn", "Cyrl"}},
    {"vi", {"Latn"}},         {"wo", {"Latn"}}, {"xh", {"Latn"}},
    {"yi", {"Hebr"}},         {"yo", {"Latn"}}, {"zh", {"Hani", "Bopo"}},
    {"zu", {"Latn"}},
};
enum {
    LANGUAGES = sizeof languages / sizeof *languages,
    SCRIPTS = sizeof languages->scripts / sizeof *languages->scripts
};

static retort_status refuse(const char *code, size_t length, retort_error *err) {
    char known[3 * LANGUAGES + 1];
    for (size_t i = 0; i < LANGUAGES; i++) snprintf(known + 3 * i, 4, "%s ", languages[i].code);
    return rt_fail(err, RETORT_ARGUMENT, "language '%.*s' is not known; known are %.*s",
                   (int)rt_min(length, 16), code, 3 * LANGUAGES - 1, known);
}

static retort_status declare(bool declared[LANGUAGES], const char *list, retort_error *err) {
    for (const char *at = list, *end; at != NULL; at = *end == ',' ? end + 1 : NULL) {
        size_t length = strcspn(at, ","), i = 0;
        end = at + length;
        while (i < LANGUAGES && (length != 2 || memcmp(languages[i].code, at, 2) != 0)) i++;
        if (i == LANGUAGES) return refuse(at, length, err);
        declared[i] = true;
    }
    return RETORT_OK;
}

static uint8_t script_of(const char *code) {
    uint8_t script = 1;
    while (strcmp(rt_script_codes[script], code) != 0) script++; /* the tables have all that languages name */
    return script;
}

retort_status rt_languages_read(rt_languages *out, const char *list, retort_error *err) {
    bool declared[LANGUAGES] = {false};
    *out = (rt_languages){{false}, {false}};
    if (list == NULL) {
        memset(out, true, sizeof *out);
        return RETORT_OK;
    }
    retort_status status = declare(declared, list, err);
    for (size_t i = 0; status == RETORT_OK && i < LANGUAGES; i++) {
        for (size_t k = 0; k < SCRIPTS && languages[i].scripts[k] != NULL; k++) {
            uint8_t script = script_of(languages[i].scripts[k]);
            *(declared[i] ? &out->written[script] : &out->shared[script]) = true;
        }
    }
    return status;
}
