/* SPDX-License-Identifier: Apache-2.0
 * Untrusted text, as it is printed: escaped, and in columns of a table. */
#include "cli/text.h"
#include "retort.h"

#include <locale.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

static locale_t locale; /* created when a text first needs it */
static pthread_once_t locale_once = PTHREAD_ONCE_INIT;

static void free_locale(void) {
    freelocale(locale);
}

static void make_locale(void) {
    locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (locale != (locale_t)0) atexit(free_locale);
}

static bool is_ascii(const char *text) {
    while (*text != '\0' && ((unsigned char)*text & 0x80) == 0) text++;
    return *text == '\0';
}

/* Columns of well-formed text on a terminal: two for wide characters such as Hangul and Han, none for
 * combining marks. One per character if the C library has no UTF-8 locale. */
static int columns_of(const char *text) {
    if (is_ascii(text)) return (int)strlen(text);
    pthread_once(&locale_once, make_locale);
    locale_t before = locale != (locale_t)0 ? uselocale(locale) : (locale_t)0;
    mbstate_t state = {0};
    int columns = 0;
    for (size_t left = strlen(text), n; left > 0; text += n, left -= n) {
        wchar_t point = L'a';
        n = locale != (locale_t)0 ? mbrtowc(&point, text, left, &state) : 1;
        if (n == 0 || n > left) n = 1;
        if (locale == (locale_t)0 && (*text & 0xC0) == 0x80) continue;
        int width = locale != (locale_t)0 ? wcwidth(point) : 1;
        columns += width >= 0 ? width : 1;
    }
    if (locale != (locale_t)0) uselocale(before);
    return columns;
}

/* Bytes of the next part of a text, which ends between two characters. */
static size_t piece_of(const char *text, size_t length) {
    enum { MOST = 64 };
    if (length <= MOST) return length;
    size_t n = MOST;
    while (n > MOST - 3 && (text[n] & 0xC0) == 0x80) n--;
    return n;
}

/* Prints the text unless `to` is NULL; returns its columns. */
static int put(FILE *to, const char *text, size_t length) {
    char safe[8 * 64 + 1];
    int columns = 0;
    for (size_t n; length > 0; text += n, length -= n) {
        n = piece_of(text, length);
        retort_escape(safe, sizeof safe, text, n);
        if (to != NULL) fputs(safe, to);
        columns += columns_of(safe);
    }
    return columns;
}

void cli_put(FILE *to, const char *text, size_t length) {
    put(to, text, length);
}

void cli_put_line(FILE *to, const char *text) {
    put(to, text, strlen(text));
    fputc('\n', to);
}

int cli_columns(const char *text) {
    return put(NULL, text, strlen(text));
}

void cli_put_column(FILE *to, int width, const char *text) {
    int columns = put(to, text, strlen(text));
    if (columns < width) fprintf(to, "%*s", width - columns, "");
}
