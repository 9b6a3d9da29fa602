/* MLLP senders in a closed loop: every connection waits for its answer before it sends again.
 *
 * mllp_load PORT CONNECTIONS SECONDS TEMPLATE
 *
 * In the template @ID@ becomes a fresh 12-digit number, @PT@ one of 2,000 six-digit patient numbers, @V3@ a
 * changing three-digit value. The first half second warms up and is not counted. Prints one JSON object; only
 * answers with MSA|AA or MSA|CA are counted as good.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 1 << 20, MARKS = 512, BUCKETS = 2000000, PATIENTS = 2000 };
struct mark { int at; char kind; };
struct sender { int fd; double since; char tail[2]; int answer_good; };

static char frame[ROOM];
static int frame_size;
static struct mark marks[MARKS];
static int mark_count;
static long next_id;
static int histogram[BUCKETS];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void load_template(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) fail(path);
    int c, last = 0;
    frame[frame_size++] = 0x0b;
    while ((c = fgetc(file)) != EOF && frame_size < ROOM - 64) {
        if (c == '\r') continue;
        frame[frame_size++] = c == '\n' ? '\r' : c;
        last = frame_size;
        if (c != '@' || frame_size < 5) continue;
        char *mark = frame + frame_size - 4;
        int wide = !memcmp(mark, "@ID@", 4) ? 12 : !memcmp(mark, "@PT@", 4) ? 6 : !memcmp(mark, "@V3@", 4) ? 3 : 0;
        if (!wide || mark_count == MARKS) continue;
        marks[mark_count].kind = mark[1];
        marks[mark_count++].at = frame_size - 4;
        frame_size = last = frame_size - 4 + wide;
    }
    fclose(file);
    frame_size = last;
    if (frame[frame_size - 1] != '\r') frame[frame_size++] = '\r';
    frame[frame_size++] = 0x1c;
    frame[frame_size++] = '\r';
}

static void stamp(void) {
    char text[24];
    for (int i = 0; i < mark_count; i++) {
        int wide = marks[i].kind == 'I' ? 12 : marks[i].kind == 'P' ? 6 : 3;
        long value = marks[i].kind == 'I' ? next_id : marks[i].kind == 'P' ? next_id % PATIENTS : 100 + (next_id * 7 + i * 131L) % 900;
        snprintf(text, sizeof text, "%0*ld", wide, value);
        memcpy(frame + marks[i].at, text, wide);
    }
    next_id++;
}

static void send_next(struct sender *s) {
    stamp();
    s->since = now();
    s->answer_good = 0;
    for (int done = 0; done < frame_size;) {
        ssize_t wrote = write(s->fd, frame + done, frame_size - done);
        if (wrote < 0) fail("write");
        done += wrote;
    }
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: mllp_load PORT CONNECTIONS SECONDS TEMPLATE\n");
        return 2;
    }
    int count = atoi(argv[2]);
    double seconds = atof(argv[3]);
    load_template(argv[4]);
    next_id = (long)(time(NULL) % 100000000L) * 10000L;
    int poll = epoll_create1(0), one = 1;
    struct sender *senders = calloc(count, sizeof *senders);
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < count; i++) {
        senders[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(senders[i].fd, (void *)&where, sizeof where)) fail("connect");
        setsockopt(senders[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &senders[i]};
        epoll_ctl(poll, EPOLL_CTL_ADD, senders[i].fd, &event);
    }
    double begin = now() + 0.5;
    long good = 0, bad = 0;
    int counting = 0;
    for (int i = 0; i < count; i++) send_next(&senders[i]);
    while (now() < begin + seconds) {
        struct epoll_event ready[256];
        char data[65536];
        int n = epoll_wait(poll, ready, 256, 100);
        if (!counting && now() >= begin) {
            counting = 1;
            good = bad = 0;
            memset(histogram, 0, sizeof histogram);
        }
        for (int i = 0; i < n; i++) {
            struct sender *s = ready[i].data.ptr;
            ssize_t got = read(s->fd, data, sizeof data);
            if (got <= 0) fail("the hub closed a connection");
            s->answer_good |= memmem(data, got, "MSA|AA", 6) || memmem(data, got, "MSA|CA", 6);
            for (ssize_t k = got > 2 ? got - 2 : 0; k < got; k++) {
                s->tail[0] = s->tail[1];
                s->tail[1] = data[k];
            }
            if (s->tail[0] != 0x1c || s->tail[1] != '\r') continue;
            long took = (now() - s->since) * 1e6;
            histogram[took < BUCKETS ? took : BUCKETS - 1]++;
            s->answer_good ? good++ : bad++;
            send_next(s);
        }
    }
    long all = good + bad, seen = 0;
    int p50 = -1, p99 = -1;
    for (int i = 0; i < BUCKETS && p99 < 0; i++) {
        seen += histogram[i];
        if (p50 < 0 && seen * 2 >= all) p50 = i;
        if (seen * 100 >= all * 99) p99 = i;
    }
    printf("{\"per_second\": %.1f, \"bad\": %ld, \"p50_ms\": %.3f, \"p99_ms\": %.3f}\n", good / (now() - begin), bad, p50 / 1e3, p99 / 1e3);
    return 0;
}
