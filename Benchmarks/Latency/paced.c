/* paced - sends one prebuilt frame again and again at a fixed rate over several connections, and prints the percentiles
 * of the time from when each was due to its reply. Due times do not wait for late replies, so that a stall counts for
 * every request that it holds up.
 *
 *   paced PORT FRAME_FILE RATE SECONDS CONNECTIONS
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_CONNECTIONS = 256, RING = 4096 };

struct connection {
    int fd;
    uint64_t due[RING];         /* of the requests without a reply, in order */
    unsigned first, count;
    uint8_t head[4];            /* of the reply that is coming in */
    size_t head_length, body_left;
};

static struct connection connections[MOST_CONNECTIONS];
static uint8_t frame[1 << 20];
static uint64_t *latencies, latency_count, latency_room;

static void fail(const char *what)
{
    fprintf(stderr, "paced: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void finish(struct connection *c)
{
    if (c->count == 0 || latency_count == latency_room)
        fail("more replies than requests");
    latencies[latency_count++] = now() - c->due[c->first];
    c->first = (c->first + 1) % RING;
    c->count--;
}

static void receive(struct connection *c)
{
    uint8_t buffer[65536];
    ssize_t n;
    while ((n = recv(c->fd, buffer, sizeof buffer, MSG_DONTWAIT)) > 0) {
        for (ssize_t i = 0; i < n;) {
            if (c->body_left > 0) {
                size_t step = (size_t)(n - i) < c->body_left ? (size_t)(n - i) : c->body_left;
                i += (ssize_t)step;
                if ((c->body_left -= step) == 0)
                    finish(c);
                continue;
            }
            c->head[c->head_length++] = buffer[i++];
            if (c->head_length == 4) {
                uint32_t length;
                memcpy(&length, c->head, 4);
                c->body_left = ntohl(length);
                c->head_length = 0;
            }
        }
    }
    if (n == 0)
        fail("the broker closed a connection");
    if (n < 0 && errno != EAGAIN)
        fail("recv");
}

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    if (argc != 6)
        return fprintf(stderr, "usage: paced PORT FRAME_FILE RATE SECONDS CONNECTIONS\n"), 64;
    FILE *file = fopen(argv[2], "rb");
    if (!file)
        fail(argv[2]);
    size_t length = fread(frame, 1, sizeof frame, file);
    double rate = atof(argv[3]), seconds = atof(argv[4]);
    int count = atoi(argv[5]), epoll = epoll_create1(0);
    uint64_t total = (uint64_t)(rate * seconds);
    if (count < 1 || count > MOST_CONNECTIONS || total == 0)
        return 64;
    latencies = malloc((latency_room = total) * sizeof *latencies);
    for (int i = 0; i < count; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int one = 1;
        connections[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(connections[i].fd, (struct sockaddr *)&address, sizeof address) != 0)
            fail("connect");
        setsockopt(connections[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[i]};
        epoll_ctl(epoll, EPOLL_CTL_ADD, connections[i].fd, &event);
    }
    uint64_t start = now(), sent = 0;
    while (latency_count < total) {
        uint64_t time = now();
        while (sent < total && start + (uint64_t)((double)sent * 1e9 / rate) <= time) {
            struct connection *c = &connections[sent % (uint64_t)count];
            if (c->count == RING)
                break;
            c->due[(c->first + c->count++) % RING] = start + (uint64_t)((double)sent * 1e9 / rate);
            if (send(c->fd, frame, length, MSG_NOSIGNAL) != (ssize_t)length)
                fail("send");
            sent++;
        }
        struct epoll_event events[64];
        int ready = epoll_wait(epoll, events, 64, 0);
        for (int i = 0; i < ready; i++)
            receive(events[i].data.ptr);
        if (time - start > (uint64_t)((seconds + 20) * 1e9))
            fail("replies are missing");
    }
    qsort(latencies, total, sizeof *latencies, ascending);
    printf("rate=%.0f p50_us=%.1f p99_us=%.1f p99.9_us=%.1f max_us=%.1f\n", rate, (double)latencies[total / 2] / 1e3,
           (double)latencies[total * 99 / 100] / 1e3, (double)latencies[total * 999 / 1000] / 1e3,
           (double)latencies[total - 1] / 1e3);
}
