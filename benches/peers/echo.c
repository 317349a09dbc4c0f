/* The least that answering datagrams can cost, and the load for it.
   `echo`: returns each datagram to its sender, 32 a call at most; prints its port, and at the datagram "stop" the processor
   time that it needed in nanoseconds and how many it answered.
   `load PORT MILLISECONDS FILE`: keeps 256 datagrams with the content of FILE under way and prints how many came back.
   A third argument of `echo`, a fifth of `load`: the processor to run on. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 32, WINDOW = 256, ROOM = 2048 };

static char bytes[BATCH][ROOM];
static struct iovec parts[BATCH];
static struct sockaddr_in peers[BATCH];
static struct mmsghdr messages[BATCH];

static long long clock_of(clockid_t which)
{
    struct timespec at;
    clock_gettime(which, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static int open_socket(void)
{
    int size = 4 << 20, fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in own = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof own))
        exit(1);
    return fd;
}

static void prepare(void)
{
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){ bytes[i], ROOM };
        messages[i].msg_hdr = (struct msghdr){ .msg_name = &peers[i], .msg_namelen = sizeof peers[i],
                                               .msg_iov = &parts[i], .msg_iovlen = 1 };
    }
}

static int echo(void)
{
    int fd = open_socket();
    struct sockaddr_in own;
    socklen_t length = sizeof own;
    long long answered = 0, began = 0;
    getsockname(fd, (struct sockaddr *)&own, &length);
    printf("%d\n", ntohs(own.sin_port));
    fflush(stdout);
    for (;;) {
        prepare();
        int count = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
        if (count <= 0)
            return 1;
        if (!began)
            began = clock_of(CLOCK_THREAD_CPUTIME_ID);
        for (int i = 0; i < count; i++) {
            if (messages[i].msg_len == 4 && !memcmp(bytes[i], "stop", 4)) {
                printf("%lld %lld\n", clock_of(CLOCK_THREAD_CPUTIME_ID) - began, answered);
                return 0;
            }
            parts[i].iov_len = messages[i].msg_len;
        }
        for (int sent = 0; sent < count;) {
            int more = sendmmsg(fd, messages + sent, count - sent, 0);
            if (more <= 0)
                break;
            sent += more;
        }
        answered += count;
    }
}

static int load(int port, int milliseconds, const char *path)
{
    FILE *file = fopen(path, "rb");
    static char payload[ROOM];
    size_t size = file ? fread(payload, 1, sizeof payload, file) : 0;
    int fd = open_socket();
    struct sockaddr_in peer = { .sin_family = AF_INET, .sin_port = htons(port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    long long end = clock_of(CLOCK_MONOTONIC) + milliseconds * 1000000LL, back = 0;
    int under_way = 0;
    connect(fd, (struct sockaddr *)&peer, sizeof peer);
    while (clock_of(CLOCK_MONOTONIC) < end) {
        if (under_way + BATCH <= WINDOW) {
            for (int i = 0; i < BATCH; i++) {
                parts[i] = (struct iovec){ payload, size };
                messages[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i], .msg_iovlen = 1 };
            }
            int sent = sendmmsg(fd, messages, BATCH, 0);
            under_way += sent > 0 ? sent : 0;
        }
        for (int i = 0; i < BATCH; i++) {
            parts[i] = (struct iovec){ bytes[i], ROOM };
            messages[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i], .msg_iovlen = 1 };
        }
        int count = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
        if (count > 0) {
            back += count;
            under_way -= count;
        } else if (under_way + BATCH > WINDOW) {
            struct pollfd wait = { fd, POLLIN, 0 };
            /* What did not come back by now was lost. */
            if (poll(&wait, 1, 20) == 0)
                under_way = 0;
        }
    }
    printf("%lld\n", back);
    return 0;
}

int main(int count, char **arguments)
{
    int is_echo = count > 1 && !strcmp(arguments[1], "echo"), at = is_echo ? 2 : 5;
    if (count > at) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(atoi(arguments[at]), &set);
        sched_setaffinity(0, sizeof set, &set);
    }
    if (is_echo)
        return echo();
    return count > 4 ? load(atoi(arguments[2]), atoi(arguments[3]), arguments[4]) : 2;
}
