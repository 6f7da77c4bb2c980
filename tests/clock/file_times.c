/* The times of files that were written during the run, as the moved clock would have dated them.

   The kernel dates by its own clock. Older files keep their dates: they are from before, on any clock. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <utime.h>

static time_t offset, since;

__attribute__((constructor)) static void read_settings(void)
{
    const char *by = getenv("CLOCK_OFFSET_S"), *from = getenv("CLOCK_MOVED_AT_S");
    offset = by && from ? atoll(by) : 0;
    since = from ? atoll(from) : 0;
}

#define REAL(name, parameters)                                                                           \
    static int(*real) parameters;                                                                        \
    if (!real)                                                                                           \
        *(void **)&real = dlsym(RTLD_NEXT, #name);

#define SHOWN(seconds) ((seconds) += (seconds) >= since ? offset : 0)

#define READS(name, parameters, arguments)                                                         \
    int name parameters                                                                                  \
    {                                                                                                    \
        REAL(name, parameters)                                                                           \
        int answer = real arguments;                                                                     \
        if (answer == 0) {                                                                               \
            SHOWN(into->st_atim.tv_sec);                                                                 \
            SHOWN(into->st_mtim.tv_sec);                                                                 \
            SHOWN(into->st_ctim.tv_sec);                                                                 \
        }                                                                                                \
        return answer;                                                                                   \
    }

#define FAMILY(kind, stat_, lstat_, fstat_, fstatat_, xstat_, lxstat_, fxstat_, fxstatat_)               \
    READS(stat_, (const char *restrict path, struct kind *restrict into), (path, into))            \
    READS(lstat_, (const char *restrict path, struct kind *restrict into), (path, into))           \
    READS(fstat_, (int file, struct kind *into), (file, into))                                     \
    READS(fstatat_, (int at, const char *restrict path, struct kind *restrict into, int flags),    \
          (at, path, into, flags))                                                                       \
    READS(xstat_, (int v, const char *path, struct kind *into), (v, path, into))                   \
    READS(lxstat_, (int v, const char *path, struct kind *into), (v, path, into))                  \
    READS(fxstat_, (int v, int file, struct kind *into), (v, file, into))                          \
    READS(fxstatat_, (int v, int at, const char *path, struct kind *into, int flags),              \
          (v, at, path, into, flags))

FAMILY(stat, stat, lstat, fstat, fstatat, __xstat, __lxstat, __fxstat, __fxstatat)
FAMILY(stat64, stat64, lstat64, fstat64, fstatat64, __xstat64, __lxstat64, __fxstat64, __fxstatat64)

int statx(int at, const char *restrict path, int flags, unsigned int mask, struct statx *restrict into)
{
    REAL(statx, (int, const char *, int, unsigned int, struct statx *))
    int answer = real(at, path, flags, mask, into);
    if (answer == 0) {
        SHOWN(into->stx_atime.tv_sec);
        SHOWN(into->stx_mtime.tv_sec);
        SHOWN(into->stx_ctime.tv_sec);
        SHOWN(into->stx_btime.tv_sec);
    }
    return answer;
}

/* And back, for those that set a file's times. No date stands for the days that the clock passed over: the last before. */

static time_t kept(time_t seconds)
{
    if (seconds >= since + offset)
        return seconds - offset;
    return seconds >= since ? since - 1 : seconds;
}

int utimensat(int at, const char *path, const struct timespec times[2], int flags)
{
    REAL(utimensat, (int, const char *, const struct timespec *, int))
    if (!times)
        return real(at, path, times, flags);
    struct timespec own[2] = {{kept(times[0].tv_sec), times[0].tv_nsec}, {kept(times[1].tv_sec), times[1].tv_nsec}};
    return real(at, path, own, flags);
}

int futimens(int file, const struct timespec times[2])
{
    REAL(futimens, (int, const struct timespec *))
    if (!times)
        return real(file, times);
    struct timespec own[2] = {{kept(times[0].tv_sec), times[0].tv_nsec}, {kept(times[1].tv_sec), times[1].tv_nsec}};
    return real(file, own);
}

int utimes(const char *path, const struct timeval times[2])
{
    REAL(utimes, (const char *, const struct timeval *))
    if (!times)
        return real(path, times);
    struct timeval own[2] = {{kept(times[0].tv_sec), times[0].tv_usec}, {kept(times[1].tv_sec), times[1].tv_usec}};
    return real(path, own);
}

int utime(const char *path, const struct utimbuf *times)
{
    REAL(utime, (const char *, const struct utimbuf *))
    if (!times)
        return real(path, times);
    struct utimbuf own = {kept(times->actime), kept(times->modtime)};
    return real(path, &own);
}
