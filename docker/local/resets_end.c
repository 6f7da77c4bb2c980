/* A connection that its client reset is at its end, for whoever reads from it; what is written to it is gone, and it has
 * an address still.
 *
 * ClickHouse's server program catches what its connections throw. The library's program does not: one reset on the
 * native port ends the process ("Terminate called for uncaught exception"). A client resets its connection when it is
 * killed, or ends, with an answer unread. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

ssize_t recv(int socket, void *buffer, size_t size, int flags) {
    ssize_t got = syscall(SYS_recvfrom, socket, buffer, size, flags, NULL, NULL);
    return got < 0 && errno == ECONNRESET ? 0 : got;
}

ssize_t send(int socket, const void *buffer, size_t size, int flags) {
    ssize_t sent = syscall(SYS_sendto, socket, buffer, size, flags | MSG_NOSIGNAL, NULL, 0);
    return sent < 0 && (errno == ECONNRESET || errno == EPIPE) ? (ssize_t)size : sent;
}

int getpeername(int socket, struct sockaddr *address, socklen_t *size) {
    long failed = syscall(SYS_getpeername, socket, address, size);
    return failed && errno == ENOTCONN ? getsockname(socket, address, size) : (int)failed;
}
