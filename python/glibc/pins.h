/* SPDX-License-Identifier: Apache-2.0
 * Included before every file of the wheel: binds functions whose default version is newer than glibc 2.28 to an
 * older one. Old systems have them in libpthread and libdl, which the wheel's files name for that. python/check_wheel.py
 * tells what is missing here. */
#ifdef __aarch64__ /* begins with 2.17 */
#define PIN(function, version) __asm__(".symver " #function "," #function "@GLIBC_2.17")
#else
#define PIN(function, version) __asm__(".symver " #function "," #function "@GLIBC_" version)
#endif
PIN(dlerror, "2.2.5");
PIN(dlinfo, "2.3.3");
PIN(dlopen, "2.2.5");
PIN(dlsym, "2.2.5");
PIN(exp, "2.2.5");
PIN(hypot, "2.2.5");
PIN(log, "2.2.5");
PIN(pow, "2.2.5");
PIN(pthread_condattr_setclock, "2.3.3");
PIN(pthread_create, "2.2.5");
PIN(pthread_join, "2.2.5");
PIN(pthread_mutex_trylock, "2.2.5");
PIN(pthread_once, "2.2.5");
PIN(pthread_sigmask, "2.2.5");
#undef PIN
