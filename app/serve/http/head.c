/* SPDX-License-Identifier: Apache-2.0
 * Checks a request's head. A proxy and this server must agree on where a request ends and what it asks for,
 * so anything ambiguous is refused. libmicrohttpd 0.9 accepts most of it. */
#include "serve/http/head.h"
#include "serve/http/mhd.h"
#include "serve/wire/call.h"
#include "serve/wire/errors.h"

#include <string.h>
#include <strings.h>

typedef struct head {
    srv_request *request;
    const char *read; /* the head was checked up to here */
    unsigned hosts, lengths, codings;
    const char *length, *coding;
} head;

static bool malformed(srv_request *request, const char *what) {
    return srv_call_fail(&request->call, SRV_ERROR_MALFORMED, "%s", what);
}

/* ---- The request's target ---- */

void srv_head_target(srv_request *request, const char *target) {
    if (target == NULL) target = "";
    size_t path = strcspn(target, "?");
    request->target = target;
    request->target_end = target + strlen(target);
    request->odd_target = strchr(target, ' ') != NULL || memmem(target, path, "%00", 3) != NULL;
}

const char *srv_head_path(const char *path) {
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < 2; i++) {
        size_t length = strlen(schemes[i]);
        if (strncasecmp(path, schemes[i], length) != 0) continue;
        const char *slash = strchr(path + length, '/');
        return slash != NULL ? slash : "/";
    }
    return path;
}

/* ---- NUL bytes and continued lines ---- */

/* libmicrohttpd parses the head in place and puts a NUL after each part. Anything else between two parts
 * follows a NUL that the client has sent. It moves a header that continues on a second line, so that its
 * value no longer follows its name. */
static bool follows(const char *end, const char *next) {
    enum { LONGEST = 1 << 16 };
    uintptr_t gap = (uintptr_t)next - (uintptr_t)end;
    if (end == NULL || gap > LONGEST) return false;
    for (; end < next; end++) {
        if (*end != '\0' && strchr(" \t\r\n", *end) == NULL) return false;
    }
    return true;
}

static bool read_part(head *h, const char *part) {
    if (!follows(h->read, part))
        return malformed(h->request,
                         "the head contains a NUL byte, or a header that continues on a second line");
    h->read = part + strlen(part);
    return true;
}

/* ---- Headers ---- */

/* RFC 9110, 5.6.2. Without strspn, which builds a table of the characters for each name: 1,700
 * instructions per request. */
static bool is_token(const char *name) {
    const char *at = name;
    for (; *at != '\0'; at++) {
        char low = (char)(*at | 0x20);
        bool plain = (low >= 'a' && low <= 'z') || (*at >= '0' && *at <= '9') || *at == '-';
        if (!plain && strchr("!#$%&'*+.^_`|~", *at) == NULL) return false;
    }
    return at > name;
}

static bool take_host(head *h, const char *value) {
    (void)value;
    return ++h->hosts == 1 || malformed(h->request, "host: given more than once");
}

static bool take_length(head *h, const char *value) {
    if (*value == '\0' || value[strspn(value, "0123456789")] != '\0')
        return malformed(h->request, "content-length: expected digits");
    if (h->lengths++ > 0 && strcmp(h->length, value) != 0)
        return malformed(h->request, "content-length: two different values");
    h->length = value;
    return true;
}

static bool take_coding(head *h, const char *value) {
    if (h->codings++ > 0) return malformed(h->request, "transfer-encoding: given more than once");
    h->coding = value;
    return true;
}

static const struct {
    const char *name;
    bool (*take)(head *h, const char *value);
} headers[] = {
    {"host", take_host},
    {"content-length", take_length},
    {"transfer-encoding", take_coding},
};

static enum MHD_Result take_header(void *user, enum MHD_ValueKind kind, const char *name, const char *value) {
    head *h = user;
    (void)kind;
    if (!is_token(name)) {
        malformed(h->request,
                  "a header name contains characters other than letters, digits and !#$%&'*+-.^_`|~");
        return MHD_NO;
    }
    if (value == NULL || !read_part(h, name) || !read_part(h, value)) return MHD_NO;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        if (strcasecmp(name, headers[i].name) == 0 && !headers[i].take(h, value)) return MHD_NO;
    }
    return MHD_YES;
}

static bool check_framing(head *h, const char *version) {
    bool old = strcmp(version, "HTTP/1.0") == 0;
    if (h->hosts == 0 && !old) return malformed(h->request, "host: required by HTTP/1.1");
    if (h->coding == NULL) return true;
    if (h->lengths > 0)
        return malformed(h->request, "content-length and transfer-encoding exclude each other");
    if (old) return malformed(h->request, "transfer-encoding: not allowed in HTTP/1.0");
    if (strcasecmp(h->coding, "chunked") == 0) return true;
    return srv_call_fail(&h->request->call, SRV_ERROR_NO_CODING,
                         "transfer-encoding: expected 'chunked', found '%.100s'", h->coding);
}

bool srv_head_check(srv_request *request, const char *method, const char *version) {
    head h = {.request = request, .read = method + strlen(method)};
    const union MHD_ConnectionInfo *info =
        srv_mhd.get_connection_info(request->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    if (request->odd_target || !follows(h.read, request->target) || !follows(request->target_end, version))
        return malformed(request, "the first line contains a NUL byte, or a space in its path");
    h.read = version + strlen(version);
    srv_mhd.get_connection_values(request->connection, MHD_HEADER_KIND, take_header, &h);
    if (request->call.failed || !check_framing(&h, version)) return false;
    return info == NULL || read_part(&h, method + info->header_size - 1);
}

bool srv_head_check_encoding(srv_request *request) {
    const char *encoding = srv_header(request, "content-encoding");
    if (encoding == NULL || *encoding == '\0' || strcasecmp(encoding, "identity") == 0) return true;
    return srv_call_fail(&request->call, SRV_ERROR_ENCODED,
                         "content-encoding: '%.100s' is not supported: send the body uncompressed", encoding);
}
