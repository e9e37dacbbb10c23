/* SPDX-License-Identifier: Apache-2.0
 * The opcodes (CPython, Lib/pickletools.py) that pickle protocol 2 writes for a state dict, and newer ones for estimators. */
#include "format/pickle_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_GLOBAL = 128 };

static size_t floor_of(const rt_unpickler *u) {
    return u->mark_count > 0 ? u->marks[u->mark_count - 1] : 0;
}

static rt_py *top(rt_unpickler *u) {
    if (u->depth > floor_of(u)) return u->stack[u->depth - 1];
    rt_unpickle_fail(u, RETORT_FORMAT, "its stack is empty");
    return &u->nothing;
}

static rt_py *pop(rt_unpickler *u) {
    rt_py *value = top(u);
    if (value != &u->nothing) u->depth--;
    return value;
}

/* Closes the last MARK and returns the number of values since; *items points to them on the stack. */
static size_t close_mark(rt_unpickler *u, rt_py ***items) {
    *items = NULL;
    if (u->mark_count == 0) {
        rt_unpickle_fail(u, RETORT_FORMAT, "no MARK is open");
        return 0;
    }
    size_t from = u->marks[--u->mark_count], count = u->depth - from;
    if (count > 0) *items = u->stack + from;
    return count;
}

/* Appends to a list, tuple or dict. Outgrown arrays stay in the arena: at most twice the size. */
static void extend(rt_unpickler *u, rt_py *list, rt_py *const *items, size_t count) {
    size_t need = list->as.list.count + count;
    if (count == 0 || u->status != RETORT_OK) return;
    if (need > list->as.list.capacity) {
        size_t capacity = rt_max(need, 2 * list->as.list.capacity);
        rt_py **grown = rt_unpickle_calloc(u, capacity, sizeof(rt_py *));
        if (grown == NULL) return;
        if (list->as.list.count > 0)
            memcpy(grown, list->as.list.items, list->as.list.count * sizeof(rt_py *));
        list->as.list.items = grown;
        list->as.list.capacity = capacity;
    }
    memcpy(list->as.list.items + list->as.list.count, items, count * sizeof(rt_py *));
    list->as.list.count = need;
}

static void push_list(rt_unpickler *u, rt_py_kind kind, rt_py *const *items, size_t count) {
    rt_py *value = rt_unpickle_new(u, kind);
    if (value == NULL) return;
    extend(u, value, items, count);
    rt_unpickle_push(u, value);
}

static void push_integer(rt_unpickler *u, rt_py_kind kind, int64_t integer) {
    rt_py *value = rt_unpickle_new(u, kind);
    if (value != NULL) value->as.integer = integer;
    rt_unpickle_push(u, value);
}

/* The next `n` bytes of the operand; NULL: the fault is recorded. */
static const uint8_t *operand(rt_unpickler *u, size_t n) {
    const uint8_t *bytes = rt_take(&u->cursor, n);
    if (bytes == NULL) rt_unpickle_fail(u, RETORT_FORMAT, "cut short: an opcode needs %zu bytes more", n);
    return bytes;
}

/* A little-endian number of n ≤ 8 bytes. */
static uint64_t unsigned_operand(rt_unpickler *u, size_t n) {
    const uint8_t *bytes = operand(u, n);
    uint64_t value = 0;
    for (size_t i = 0; bytes != NULL && i < n; i++) value |= (uint64_t)bytes[i] << 8 * i;
    return value;
}

static int64_t sign_extended(uint64_t value, size_t bytes) {
    if (bytes == 0 || bytes >= 8) return (int64_t)value;
    uint64_t sign = 1ULL << (8 * bytes - 1);
    return (int64_t)((value ^ sign) - sign);
}

/* ---- Opcodes ---- */

static void op_proto(rt_unpickler *u) {
    uint64_t version = unsigned_operand(u, 1);
    if (version <= u->dialect->protocol) return;
    rt_unpickle_fail(u, RETORT_UNSUPPORTED, "protocol %" PRIu64 " is not supported; a %s has %" PRIu64,
                     version, u->dialect->what, u->dialect->protocol);
}
static void op_stop(rt_unpickler *u) {
    u->stopped = true;
}
static void op_mark(rt_unpickler *u) {
    if (!rt_unpickle_grow(u, &u->marks, &u->mark_capacity, u->mark_count, sizeof *u->marks)) return;
    u->marks[u->mark_count++] = u->depth;
}
static void op_none(rt_unpickler *u) {
    rt_unpickle_push(u, rt_unpickle_new(u, RT_PY_NONE));
}
static void op_true(rt_unpickler *u) {
    push_integer(u, RT_PY_BOOL, 1);
}
static void op_false(rt_unpickler *u) {
    push_integer(u, RT_PY_BOOL, 0);
}
static void op_binint(rt_unpickler *u) {
    push_integer(u, RT_PY_INT, sign_extended(unsigned_operand(u, 4), 4));
}
static void op_binint1(rt_unpickler *u) {
    push_integer(u, RT_PY_INT, (int64_t)unsigned_operand(u, 1));
}
static void op_binint2(rt_unpickler *u) {
    push_integer(u, RT_PY_INT, (int64_t)unsigned_operand(u, 2));
}
static void op_long1(rt_unpickler *u) {
    size_t n = (size_t)unsigned_operand(u, 1);
    if (n > 8) rt_unpickle_fail(u, RETORT_LIMIT, "an integer of %zu bytes", n);
    if (n <= 8) push_integer(u, RT_PY_INT, sign_extended(unsigned_operand(u, n), n));
}
static void op_binfloat(rt_unpickler *u) { /* no tensor needs its value */
    operand(u, 8);
    rt_unpickle_push(u, rt_unpickle_new(u, RT_PY_FLOAT));
}

static void push_text(rt_unpickler *u, uint64_t length) {
    if (length > rt_cursor_left(&u->cursor)) {
        rt_unpickle_fail(u, RETORT_FORMAT, "cut short: text of %" PRIu64 " bytes", length);
        return;
    }
    const uint8_t *bytes = operand(u, (size_t)length);
    rt_py *value = rt_unpickle_new(u, RT_PY_TEXT);
    if (value == NULL) return;
    value->as.text.length = (size_t)length;
    value->as.text.bytes = rt_arena_text(u->arena, (const char *)bytes, (size_t)length);
    if (value->as.text.bytes == NULL) u->status = rt_fail_nomem(u->err, (size_t)length);
    rt_unpickle_push(u, value);
}
static void op_binunicode(rt_unpickler *u) {
    push_text(u, unsigned_operand(u, 4));
}
static void op_short_binstring(rt_unpickler *u) {
    push_text(u, unsigned_operand(u, 1));
}
static void op_binunicode8(rt_unpickler *u) {
    push_text(u, unsigned_operand(u, 8));
}

static void push_bytes(rt_unpickler *u, uint64_t length) {
    if (length > rt_cursor_left(&u->cursor)) {
        rt_unpickle_fail(u, RETORT_FORMAT, "cut short: %" PRIu64 " bytes", length);
        return;
    }
    const uint8_t *bytes = operand(u, (size_t)length);
    rt_py *value = rt_unpickle_new(u, RT_PY_BYTES);
    if (value == NULL) return;
    value->as.text.bytes = (const char *)bytes;
    value->as.text.length = (size_t)length;
    rt_unpickle_push(u, value);
}
static void op_binbytes(rt_unpickler *u) {
    push_bytes(u, unsigned_operand(u, 4));
}
static void op_short_binbytes(rt_unpickler *u) {
    push_bytes(u, unsigned_operand(u, 1));
}
static void op_binbytes8(rt_unpickler *u) {
    push_bytes(u, unsigned_operand(u, 8));
}
/* A frame only says how much is read at once. */
static void op_frame(rt_unpickler *u) {
    unsigned_operand(u, 8);
}

static void op_empty_tuple(rt_unpickler *u) {
    push_list(u, RT_PY_TUPLE, NULL, 0);
}
static void op_empty_list(rt_unpickler *u) {
    push_list(u, RT_PY_LIST, NULL, 0);
}
static void op_empty_dict(rt_unpickler *u) {
    push_list(u, RT_PY_DICT, NULL, 0);
}
static void op_tuple(rt_unpickler *u) {
    rt_py **items;
    size_t count = close_mark(u, &items);
    rt_py *value = rt_unpickle_new(u, RT_PY_TUPLE);
    if (value == NULL) return;
    extend(u, value, items, count);
    u->depth -= count;
    rt_unpickle_push(u, value);
}
static void push_tuple(rt_unpickler *u, size_t count) {
    rt_py *items[3];
    for (size_t i = count; i-- > 0;) items[i] = pop(u);
    push_list(u, RT_PY_TUPLE, items, count);
}
static void op_tuple1(rt_unpickler *u) {
    push_tuple(u, 1);
}
static void op_tuple2(rt_unpickler *u) {
    push_tuple(u, 2);
}
static void op_tuple3(rt_unpickler *u) {
    push_tuple(u, 3);
}

static rt_py *expect(rt_unpickler *u, rt_py *value, rt_py_kind kind, const char *what) {
    if (value->kind != kind) rt_unpickle_fail(u, RETORT_FORMAT, "%s on something else", what);
    return value;
}
/* SETITEMS and APPENDS: moves the values above the mark into the container below it. */
static void extend_marked(rt_unpickler *u, rt_py_kind kind, size_t unit, const char *what) {
    rt_py **items;
    size_t count = close_mark(u, &items);
    u->depth -= count; /* `items` stay where they are until the next push */
    rt_py *container = expect(u, top(u), kind, what);
    if (count % unit != 0) rt_unpickle_fail(u, RETORT_FORMAT, "%s with a key without value", what);
    extend(u, container, items, count);
}
static void op_setitems(rt_unpickler *u) {
    extend_marked(u, RT_PY_DICT, 2, "SETITEMS");
}
static void op_appends(rt_unpickler *u) {
    extend_marked(u, RT_PY_LIST, 1, "APPENDS");
}
static void op_setitem(rt_unpickler *u) {
    rt_py *value = pop(u), *key = pop(u);
    extend(u, expect(u, top(u), RT_PY_DICT, "SETITEM"), (rt_py *[]){key, value}, 2);
}
static void op_append(rt_unpickler *u) {
    rt_py *value = pop(u);
    extend(u, expect(u, top(u), RT_PY_LIST, "APPEND"), &value, 1);
}

/* Pickle numbers its memo in order (Python 2 from 1). A larger number is a fault, so the memo stays small. */
static void put(rt_unpickler *u, uint64_t index) {
    rt_py *value = top(u);
    if (index > u->memo_count + 1) {
        rt_unpickle_fail(u, RETORT_FORMAT, "memo %" PRIu64 " after %zu", index, u->memo_count);
    }
    if (!rt_unpickle_grow(u, &u->memo, &u->memo_capacity, u->memo_count + 1, sizeof *u->memo)) return;
    while (u->memo_count <= index) u->memo[u->memo_count++] = NULL;
    u->memo[index] = value;
}
static void get(rt_unpickler *u, uint64_t index) {
    if (index >= u->memo_count || u->memo[index] == NULL) {
        rt_unpickle_fail(u, RETORT_FORMAT, "memo %" PRIu64 " of %zu", index, u->memo_count);
        return;
    }
    rt_unpickle_push(u, u->memo[index]);
}
static void op_binput(rt_unpickler *u) {
    put(u, unsigned_operand(u, 1));
}
static void op_long_binput(rt_unpickler *u) {
    put(u, unsigned_operand(u, 4));
}
static void op_memoize(rt_unpickler *u) {
    put(u, u->memo_count);
}
static void op_binget(rt_unpickler *u) {
    get(u, unsigned_operand(u, 1));
}
static void op_long_binget(rt_unpickler *u) {
    get(u, unsigned_operand(u, 4));
}

/* The operand up to a line break; returns its length. *line is NULL if a fault is recorded. */
static int line_operand(rt_unpickler *u, const char **line) {
    size_t limit = rt_min(rt_cursor_left(&u->cursor), MAX_GLOBAL);
    const uint8_t *end = limit > 0 ? memchr(u->cursor.at, '\n', limit) : NULL;
    *line = NULL;
    if (end == NULL) {
        rt_unpickle_fail(u, RETORT_FORMAT, "a global's name has no end within %d bytes", MAX_GLOBAL);
        return 0;
    }
    int length = (int)(end - u->cursor.at);
    *line = (const char *)operand(u, (size_t)length + 1);
    return length;
}
static bool same(const char *text, const char *bytes, size_t length) {
    return strlen(text) == length && memcmp(text, bytes, length) == 0;
}

/* Pushes the global of that name, if it is one of the dialect's. */
static void push_global(rt_unpickler *u, const char *module, size_t module_length, const char *name,
                        size_t length) {
    const rt_py_dialect *dialect = u->dialect;
    size_t i = 0;
    while (i < dialect->global_count && !(same(dialect->globals[i].module, module, module_length) &&
                                          same(dialect->globals[i].name, name, length)))
        i++;
    if (i == dialect->global_count) {
        rt_unpickle_fail(u, RETORT_UNSUPPORTED, "asks for '%.*s.%.*s', which no %s needs; nothing was run",
                         (int)rt_min(module_length, MAX_GLOBAL), module, (int)rt_min(length, MAX_GLOBAL),
                         name, dialect->what);
    }
    rt_py *value = rt_unpickle_new(u, RT_PY_GLOBAL);
    if (value == NULL) return;
    value->as.global = &dialect->globals[i];
    rt_unpickle_push(u, value);
}
static void op_global(rt_unpickler *u) {
    const char *module, *name;
    int module_length = line_operand(u, &module), length = line_operand(u, &name);
    if (module != NULL && name != NULL) push_global(u, module, (size_t)module_length, name, (size_t)length);
}
static void op_stack_global(rt_unpickler *u) {
    rt_py *name = expect(u, pop(u), RT_PY_TEXT, "STACK_GLOBAL"),
          *module = expect(u, pop(u), RT_PY_TEXT, "STACK_GLOBAL");
    if (u->status != RETORT_OK) return;
    push_global(u, module->as.text.bytes, module->as.text.length, name->as.text.bytes, name->as.text.length);
}
static void op_reduce(rt_unpickler *u) {
    rt_py *arguments = pop(u), *function = pop(u);
    if (function->kind == RT_PY_GLOBAL && arguments->kind == RT_PY_TUPLE)
        u->dialect->reduce(u, function, arguments);
    else
        rt_unpickle_fail(u, RETORT_FORMAT, "REDUCE of something that is no function with arguments");
}
static void op_newobj(rt_unpickler *u) {
    rt_py *arguments = pop(u), *class = pop(u);
    bool fits = class->kind == RT_PY_GLOBAL && arguments->kind == RT_PY_TUPLE &&
                arguments->as.list.count == 0 &&
                (class->as.global->kind == RT_PY_CLASS || class->as.global->kind == RT_PY_ARRAY_WRAPPER);
    if (!fits) rt_unpickle_fail(u, RETORT_FORMAT, "NEWOBJ of something that is no class without arguments");
    rt_py *value = rt_unpickle_new(u, RT_PY_OBJECT);
    if (value == NULL) return;
    value->as.object.class = class->as.global;
    rt_unpickle_push(u, value);
}
static void op_build(rt_unpickler *u) {
    rt_py *state = pop(u);
    u->dialect->build(u, top(u), state);
}
static void op_binpersid(rt_unpickler *u) {
    rt_py_persistent(u, pop(u));
}

/* Rows without a function are known and refused by name, like those of a newer protocol than a dialect has. */
static const struct {
    const char *name;
    void (*run)(rt_unpickler *u);
} opcodes[256] = {
    [0x80] = {"PROTO", op_proto},
    ['.'] = {"STOP", op_stop},
    ['('] = {"MARK", op_mark},
    ['N'] = {"NONE", op_none},
    [0x88] = {"NEWTRUE", op_true},
    [0x89] = {"NEWFALSE", op_false},
    ['J'] = {"BININT", op_binint},
    ['K'] = {"BININT1", op_binint1},
    ['M'] = {"BININT2", op_binint2},
    [0x8a] = {"LONG1", op_long1},
    ['G'] = {"BINFLOAT", op_binfloat},
    ['X'] = {"BINUNICODE", op_binunicode},
    ['U'] = {"SHORT_BINSTRING", op_short_binstring},
    [')'] = {"EMPTY_TUPLE", op_empty_tuple},
    [']'] = {"EMPTY_LIST", op_empty_list},
    ['}'] = {"EMPTY_DICT", op_empty_dict},
    ['t'] = {"TUPLE", op_tuple},
    [0x85] = {"TUPLE1", op_tuple1},
    [0x86] = {"TUPLE2", op_tuple2},
    [0x87] = {"TUPLE3", op_tuple3},
    ['s'] = {"SETITEM", op_setitem},
    ['u'] = {"SETITEMS", op_setitems},
    ['a'] = {"APPEND", op_append},
    ['e'] = {"APPENDS", op_appends},
    ['q'] = {"BINPUT", op_binput},
    ['r'] = {"LONG_BINPUT", op_long_binput},
    ['h'] = {"BINGET", op_binget},
    ['j'] = {"LONG_BINGET", op_long_binget},
    ['c'] = {"GLOBAL", op_global},
    ['R'] = {"REDUCE", op_reduce},
    ['b'] = {"BUILD", op_build},
    ['Q'] = {"BINPERSID", op_binpersid},
    ['0'] = {"POP", NULL},
    ['1'] = {"POP_MARK", NULL},
    ['2'] = {"DUP", NULL},
    ['F'] = {"FLOAT", NULL},
    ['I'] = {"INT", NULL},
    ['L'] = {"LONG", NULL},
    ['S'] = {"STRING", NULL},
    ['T'] = {"BINSTRING", NULL},
    ['V'] = {"UNICODE", NULL},
    ['B'] = {"BINBYTES", op_binbytes},
    ['C'] = {"SHORT_BINBYTES", op_short_binbytes},
    ['P'] = {"PERSID", NULL},
    ['d'] = {"DICT", NULL},
    ['l'] = {"LIST", NULL},
    ['g'] = {"GET", NULL},
    ['p'] = {"PUT", NULL},
    ['i'] = {"INST", NULL},
    ['o'] = {"OBJ", NULL},
    [0x81] = {"NEWOBJ", op_newobj},
    [0x82] = {"EXT1", NULL},
    [0x83] = {"EXT2", NULL},
    [0x84] = {"EXT4", NULL},
    [0x8b] = {"LONG4", NULL},
    [0x8c] = {"SHORT_BINUNICODE", op_short_binstring},
    [0x8d] = {"BINUNICODE8", op_binunicode8},
    [0x8e] = {"BINBYTES8", op_binbytes8},
    [0x8f] = {"EMPTY_SET", NULL},
    [0x90] = {"ADDITEMS", NULL},
    [0x91] = {"FROZENSET", NULL},
    [0x92] = {"NEWOBJ_EX", NULL},
    [0x93] = {"STACK_GLOBAL", op_stack_global},
    [0x94] = {"MEMOIZE", op_memoize},
    [0x95] = {"FRAME", op_frame},
    [0x96] = {"BYTEARRAY8", op_binbytes8},
    [0x97] = {"NEXT_BUFFER", NULL},
    [0x98] = {"READONLY_BUFFER", NULL},
};

/* The protocols that opcodes came with, from 3 on. */
static const uint8_t since[256] = {
    ['B'] = 3,  ['C'] = 3,  [0x81] = 3, [0x8c] = 4, [0x8d] = 4,
    [0x8e] = 4, [0x93] = 4, [0x94] = 4, [0x95] = 4, [0x96] = 5,
};

static void step(rt_unpickler *u) {
    uint8_t code = 0;
    if (!rt_take_u8(&u->cursor, &code)) {
        rt_unpickle_fail(u, RETORT_FORMAT, "cut short: no STOP");
    } else if (opcodes[code].run == NULL || since[code] > u->dialect->protocol) {
        rt_unpickle_fail(u, RETORT_UNSUPPORTED, "opcode %s (0x%02x), which no %s needs; nothing was run",
                         opcodes[code].name != NULL ? opcodes[code].name : "unknown", code, u->dialect->what);
    } else {
        opcodes[code].run(u);
    }
}

static retort_status read_as(const rt_py_dialect *dialect, rt_pickle *out, rt_arena *arena, const char *name,
                             rt_cursor *cursor, retort_error *err) {
    rt_unpickler u = {
        .dialect = dialect, .arena = arena, .name = name, .start = cursor->at, .cursor = *cursor, .err = err};
    while (u.status == RETORT_OK && !u.stopped) step(&u);
    rt_py *root = pop(&u);
    free(u.stack);
    free(u.marks);
    free(u.memo);
    if (u.status != RETORT_OK) return u.status;
    *out = (rt_pickle){root, u.storages};
    *cursor = u.cursor;
    return RETORT_OK;
}

retort_status rt_pickle_read(rt_pickle *out, rt_arena *arena, const char *name, rt_cursor *cursor,
                             retort_error *err) {
    return read_as(&rt_py_state_dict, out, arena, name, cursor, err);
}

retort_status rt_pickle_read_estimator(rt_pickle *out, rt_arena *arena, const char *name, rt_cursor *cursor,
                                       retort_error *err) {
    return read_as(&rt_py_estimator, out, arena, name, cursor, err);
}
