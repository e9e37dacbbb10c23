/* SPDX-License-Identifier: Apache-2.0
 * What glibc 2.28 has not got, for the wheel: functions that came later are system calls here, and a program
 * starts by the older of two versions. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's struct stat is glibc's on x86-64 and aarch64. Until 2.33 these were __xstat and its relatives. */
int stat64(const char *path, struct stat64 *out);
int lstat64(const char *path, struct stat64 *out);
int fstat64(int file, struct stat64 *out);

int stat64(const char *restrict path, struct stat64 *restrict out) {
    return (int)syscall(SYS_newfstatat, AT_FDCWD, path, out, 0);
}

int lstat64(const char *restrict path, struct stat64 *restrict out) {
    return (int)syscall(SYS_newfstatat, AT_FDCWD, path, out, AT_SYMLINK_NOFOLLOW);
}

int fstat64(int file, struct stat64 *out) {
    return (int)syscall(SYS_newfstatat, file, "", out, AT_EMPTY_PATH);
}

/* Since 2.35. */
int epoll_pwait2(int epoll, struct epoll_event *events, int most, const struct timespec *wait,
                 const sigset_t *mask) {
    return (int)syscall(SYS_epoll_pwait2, epoll, events, most, wait, mask, _NSIG / 8);
}

/* crt1.o asks for the version of 2.34, which runs constructors itself; the linker gives it this one. The wheel's program
 * has no constructors. */
int old_start(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void),
              void (*fini)(void), void (*end)(void), void *stack);
#ifdef __aarch64__
__asm__(".symver old_start,__libc_start_main@GLIBC_2.17");
#else
__asm__(".symver old_start,__libc_start_main@GLIBC_2.2.5");
#endif
int __wrap___libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void),
                             void (*fini)(void), void (*end)(void), void *stack);
int __wrap___libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void),
                             void (*fini)(void), void (*end)(void), void *stack) {
    return old_start(main, argc, argv, init, fini, end, stack);
}
