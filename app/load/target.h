/* SPDX-License-Identifier: Apache-2.0
 * Where requests go. */
#ifndef LOAD_TARGET_H
#define LOAD_TARGET_H

#include "cli/output.h"

#include <sys/socket.h>

/* http://HOST[:PORT][/PATH], or a UNIX socket. */
typedef struct load_target {
    char host[256], port[8], path[512]; /* path "": the form's */
    struct sockaddr_storage address;
    socklen_t length;
} load_target;
/* `socket`: path of a UNIX socket to connect to instead of the host, or NULL. Errors are printed. */
cli_code load_target_make(load_target *out, const char *url, const char *socket);

#endif
