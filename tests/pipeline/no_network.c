/* Preloaded by the offline test: records every attempt to reach another machine.
 * Loopback and local sockets are nobody else's business. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void record(const char *call, const char *where) {
  const char *path = getenv("NO_NETWORK_LOG");
  int log = path ? open(path, O_WRONLY | O_CREAT | O_APPEND, 0644) : -1;
  if (log < 0) return;
  dprintf(log, "%d %s %s\n", getpid(), call, where);
  close(log);
}

static void check(const char *call, const struct sockaddr *to) {
  char name[INET6_ADDRSTRLEN] = "";
  if (!to) return;
  if (to->sa_family == AF_INET) {
    const struct in_addr *ip = &((const struct sockaddr_in *)to)->sin_addr;
    if ((ntohl(ip->s_addr) >> 24) == 127) return;
    inet_ntop(AF_INET, ip, name, sizeof name);
  } else if (to->sa_family == AF_INET6) {
    const struct in6_addr *ip = &((const struct sockaddr_in6 *)to)->sin6_addr;
    if (IN6_IS_ADDR_LOOPBACK(ip)) return;
    inet_ntop(AF_INET6, ip, name, sizeof name);
  } else {
    return;
  }
  record(call, name);
}

int connect(int fd, const struct sockaddr *to, socklen_t size) {
  static int (*real)(int, const struct sockaddr *, socklen_t);
  if (!real) real = dlsym(RTLD_NEXT, "connect");
  check("connect", to);
  return real(fd, to, size);
}

ssize_t sendto(int fd, const void *data, size_t count, int flags, const struct sockaddr *to,
               socklen_t size) {
  static ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
  if (!real) real = dlsym(RTLD_NEXT, "sendto");
  check("sendto", to);
  return real(fd, data, count, flags, to, size);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
  static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
  if (!real) real = dlsym(RTLD_NEXT, "getaddrinfo");
  if (node && strcmp(node, "localhost") && strncmp(node, "127.", 4)) record("getaddrinfo", node);
  return real(node, service, hints, found);
}
