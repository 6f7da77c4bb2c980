/* The wall clock moved by CLOCK_OFFSET_S seconds; preloaded into every process of a run with another date.

   Programs read the clock through the vDSO, the code the kernel maps into each process; its entries are replaced before
   the program starts. So libraries that bring a C library of their own read the moved clock as well, as do Go programs
   that are linked dynamically. Deadlines given to the C library are moved back: the kernel waits by its own clock. One is
   of the wall clock if it is later than 2001: no machine is up for so long. The monotonic clock, and with it every
   measured or waited span, stays the kernel's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define EARLIEST_WALL_S 1000000000

/* The newest of a function's versions: without one named, dlsym may find a condition variable's oldest. */
#define REAL(name)                                                                                       \
    static __typeof__(&name) real;                                                                       \
    if (!real) {                                                                                         \
        __typeof__(&name) found = (__typeof__(&name))dlvsym(RTLD_NEXT, #name, "GLIBC_2.3.2");            \
        real = found ? found : (__typeof__(&name))dlsym(RTLD_NEXT, #name);                               \
    }

static time_t offset;

/* The kernel's moment for one of the moved clock; spans and the monotonic clock's moments as they are. */
static const struct timespec *unmoved(const struct timespec *moment, struct timespec *room)
{
    if (!moment || moment->tv_sec < EARLIEST_WALL_S)
        return moment;
    *room = *moment;
    room->tv_sec -= offset;
    return room;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left)
{
    REAL(clock_nanosleep)
    struct timespec room;
    return real(clock, flags, (flags & TIMER_ABSTIME) ? unmoved(until, &room) : until, left);
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until)
{
    REAL(pthread_cond_timedwait)
    struct timespec room;
    return real(condition, mutex, unmoved(until, &room));
}

int pthread_cond_clockwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, clockid_t clock,
                           const struct timespec *restrict until)
{
    REAL(pthread_cond_clockwait)
    struct timespec room;
    return real(condition, mutex, clock, unmoved(until, &room));
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until)
{
    REAL(cnd_timedwait)
    struct timespec room;
    return real(condition, mutex, unmoved(until, &room));
}

int mtx_timedlock(mtx_t *restrict mutex, const struct timespec *restrict until)
{
    REAL(mtx_timedlock)
    struct timespec room;
    return real(mutex, unmoved(until, &room));
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex, const struct timespec *restrict until)
{
    REAL(pthread_mutex_timedlock)
    struct timespec room;
    return real(mutex, unmoved(until, &room));
}

int pthread_rwlock_timedrdlock(pthread_rwlock_t *restrict lock, const struct timespec *restrict until)
{
    REAL(pthread_rwlock_timedrdlock)
    struct timespec room;
    return real(lock, unmoved(until, &room));
}

int pthread_rwlock_timedwrlock(pthread_rwlock_t *restrict lock, const struct timespec *restrict until)
{
    REAL(pthread_rwlock_timedwrlock)
    struct timespec room;
    return real(lock, unmoved(until, &room));
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict until)
{
    REAL(sem_timedwait)
    struct timespec room;
    return real(semaphore, unmoved(until, &room));
}

int sem_clockwait(sem_t *restrict semaphore, clockid_t clock, const struct timespec *restrict until)
{
    REAL(sem_clockwait)
    struct timespec room;
    return real(semaphore, clock, unmoved(until, &room));
}

int timerfd_settime(int timer, int flags, const struct itimerspec *set, struct itimerspec *old)
{
    REAL(timerfd_settime)
    struct itimerspec moved = *set;
    struct timespec room;
    if (flags & TFD_TIMER_ABSTIME)
        moved.it_value = *unmoved(&set->it_value, &room);
    return real(timer, flags, &moved, old);
}

/* What stands in for the vDSO's entries. They may run on any stack and in a signal: the system call and nothing else. */

static long kernel(long number, long first, void *second)
{
    long answer;
    __asm__ volatile("syscall" : "=a"(answer) : "a"(number), "D"(first), "S"(second) : "rcx", "r11", "memory");
    return answer;
}

static int shifted_clock_gettime(clockid_t clock, struct timespec *now)
{
    long answer = kernel(SYS_clock_gettime, clock, now);
    if (answer == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI))
        now->tv_sec += offset;
    return (int)answer;
}

static int shifted_gettimeofday(struct timeval *now, void *zone)
{
    long answer = kernel(SYS_gettimeofday, (long)now, zone);
    if (answer == 0 && now)
        now->tv_sec += offset;
    return (int)answer;
}

static time_t shifted_time(time_t *into)
{
    time_t now = kernel(SYS_time, 0, NULL) + offset;
    if (into)
        *into = now;
    return now;
}

static const struct {
    const char *name;
    void *instead;
} ENTRIES[] = {
    {"__vdso_clock_gettime", (void *)shifted_clock_gettime},
    {"__vdso_gettimeofday", (void *)shifted_gettimeofday},
    {"__vdso_time", (void *)shifted_time},
};

static void fail(const char *what)
{
    fprintf(stderr, "error: the clock cannot be moved: %s\n", what);
    _exit(97);
}

/* A jump to `instead` where `entry` begins: movabs rax, instead; jmp rax. */
static void redirect(char *entry, void *instead)
{
    unsigned char jump[12] = {0x48, 0xb8, [10] = 0xff, [11] = 0xe0};
    memcpy(jump + 2, &instead, sizeof instead);
    memcpy(entry, jump, sizeof jump);
}

static void redirect_entries(char *vdso)
{
    const ElfW(Ehdr) *header = (const void *)vdso;
    const ElfW(Phdr) *segment = (const void *)(vdso + header->e_phoff);
    const ElfW(Dyn) *dynamic = NULL;
    uintptr_t moved_by = 0, size = 0;
    for (int i = 0; i < header->e_phnum; i++) {
        if (segment[i].p_type == PT_LOAD) {
            moved_by = (uintptr_t)vdso + segment[i].p_offset - segment[i].p_vaddr;
            size = segment[i].p_memsz;
        } else if (segment[i].p_type == PT_DYNAMIC)
            dynamic = (const void *)(vdso + segment[i].p_offset);
    }
    const ElfW(Sym) *symbols = NULL;
    const char *names = NULL;
    const uint32_t *hash = NULL;
    for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
        const void *there = (const void *)(moved_by + dynamic->d_un.d_ptr);
        if (dynamic->d_tag == DT_SYMTAB)
            symbols = there;
        else if (dynamic->d_tag == DT_STRTAB)
            names = there;
        else if (dynamic->d_tag == DT_HASH)
            hash = there;
    }
    if (!symbols || !names || !hash)
        fail("the vDSO has no table of its symbols");
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t whole = (size + page - 1) / page * page;
    if (mprotect(vdso, whole, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
        fail("the vDSO cannot be written to");
    size_t left = sizeof ENTRIES / sizeof *ENTRIES;
    for (uint32_t i = 0; i < hash[1]; i++)
        for (size_t entry = 0; entry < sizeof ENTRIES / sizeof *ENTRIES; entry++)
            if (strcmp(names + symbols[i].st_name, ENTRIES[entry].name) == 0) {
                redirect((char *)(moved_by + symbols[i].st_value), ENTRIES[entry].instead);
                left--;
            }
    if (left != 0)
        fail("the vDSO lacks an entry");
    mprotect(vdso, whole, PROT_READ | PROT_EXEC);
}

__attribute__((constructor)) static void move_the_clock(void)
{
    const char *text = getenv("CLOCK_OFFSET_S");
    char *vdso = (char *)getauxval(AT_SYSINFO_EHDR);
    if (!text)
        fail("no CLOCK_OFFSET_S");
    if (!vdso)
        fail("there is no vDSO");
    offset = atoll(text);
    redirect_entries(vdso);
}
