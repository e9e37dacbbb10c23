/* SPDX-License-Identifier: Apache-2.0
 * The URL of a server. */
#include "load/target.h"

#include <netdb.h>
#include <string.h>
#include <sys/un.h>

static cli_code wrong_url(const char *url, const char *why) {
    cli_error("'%s': %s; expected http://HOST[:PORT][/PATH]", url, why);
    return CLI_USAGE;
}

static bool copy_part(char *out, size_t size, const char *text, size_t length) {
    if (length >= size || memchr(text, '\r', length) != NULL || memchr(text, '\n', length) != NULL)
        return false;
    memcpy(out, text, length);
    out[length] = '\0';
    return true;
}

static cli_code split(load_target *out, const char *url) {
    const char *at = strstr(url, "://");
    if (at != NULL && strncmp(url, "http://", 7) != 0) {
        return wrong_url(url, "only plain HTTP can be measured (a proxy's TLS: measure behind it)");
    }
    at = at != NULL ? at + 3 : url;
    size_t all = strcspn(at, "/?#"), length;
    const char *port = "80", *rest = at + all;
    if (*at == '[') {
        const char *end = memchr(at, ']', all);
        if (end == NULL) return wrong_url(url, "no ']' after the address");
        length = (size_t)(++end - at);
    } else {
        length = strcspn(at, ":/?#");
    }
    size_t port_length = 2;
    if (length < all) {
        if (at[length] != ':') return wrong_url(url, "no port after the address");
        port = at + length + 1;
        port_length = all - length - 1;
        if (port_length == 0 || strspn(port, "0123456789") != port_length)
            return wrong_url(url, "the port is no number");
    }
    if (length == 0 || !copy_part(out->host, sizeof out->host, at, length))
        return wrong_url(url, "no usable host");
    if (!copy_part(out->port, sizeof out->port, port, port_length))
        return wrong_url(url, "the port is too large");
    if (strcspn(rest, " #") != strlen(rest) || !copy_part(out->path, sizeof out->path, rest, strlen(rest)) ||
        *rest == '?') {
        return wrong_url(url, "no usable path");
    }
    return CLI_DONE;
}

static cli_code find_socket(load_target *out, const char *path) {
    struct sockaddr_un *address = (struct sockaddr_un *)&out->address;
    if (strlen(path) >= sizeof address->sun_path) {
        cli_error("--unix: '%s' is longer than %zu bytes", path, sizeof address->sun_path - 1);
        return CLI_USAGE;
    }
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, strlen(path) + 1);
    out->length = sizeof *address;
    return CLI_DONE;
}

static cli_code find_host(load_target *out) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
    char name[sizeof out->host];
    size_t length = strlen(out->host);
    bool bracket = out->host[0] == '[';
    memcpy(name, out->host + bracket, length + 1 - bracket);
    if (bracket) name[length - 2] = '\0';
    int failed = getaddrinfo(name, out->port, &hints, &found);
    if (failed != 0 || found == NULL) {
        cli_error("%s: cannot find this host: %s", name, gai_strerror(failed));
        return CLI_FAILED;
    }
    memcpy(&out->address, found->ai_addr, found->ai_addrlen);
    out->length = found->ai_addrlen;
    freeaddrinfo(found);
    return CLI_DONE;
}

cli_code load_target_make(load_target *out, const char *url, const char *socket) {
    *out = (load_target){0};
    cli_code code = split(out, url);
    if (code != CLI_DONE) return code;
    return socket != NULL ? find_socket(out, socket) : find_host(out);
}
