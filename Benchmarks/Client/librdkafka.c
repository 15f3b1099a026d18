// The peer of ClientBenchmarks: the same records through librdkafka.
//
//   librdkafka throughput SERVERS TOPIC RECORDS
//   librdkafka latency SERVERS TOPIC RECORDS
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static long acknowledged, failed;

static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque) {
    if (message->err) failed++; else acknowledged++;
}

static double seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
    char error[512];
    if (rd_kafka_conf_set(conf, name, value, error, sizeof error) != RD_KAFKA_CONF_OK) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    int is_latency = !strcmp(argv[1], "latency");
    long count = atol(argv[4]);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", argv[2]);
    set(conf, "enable.idempotence", "true");
    set(conf, "acks", "all");
    set(conf, "linger.ms", is_latency ? "0" : "5");
    // The same size of batches and memory as the other client has.
    set(conf, "batch.size", "262144");
    set(conf, "queue.buffering.max.kbytes", "32768");
    set(conf, "queue.buffering.max.messages", "1000000");
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    char error[512];
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, argv[3], NULL);
    char value[100];
    memset(value, 'x', sizeof value);
    double *latencies = malloc(sizeof *latencies * (count + 1));

    // The first record waits for the connection; it is not measured.
    rd_kafka_produce(topic, 0, RD_KAFKA_MSG_F_COPY, value, sizeof value, NULL, 0, NULL);
    rd_kafka_flush(client, 10000);
    double start = seconds(), cpu = cpu_seconds();
    for (long i = 0; i < count; i++) {
        double sent = is_latency ? seconds() : 0;
        while (rd_kafka_produce(topic, i & 3, RD_KAFKA_MSG_F_COPY, value, sizeof value, NULL, 0, NULL) == -1)
            rd_kafka_poll(client, 10);
        if (is_latency) {
            while (acknowledged + failed < i + 2) rd_kafka_poll(client, 100);
            latencies[i] = seconds() - sent;
        } else if ((i & 1023) == 0) {
            rd_kafka_poll(client, 0);
        }
    }
    while (rd_kafka_flush(client, 1000) == RD_KAFKA_RESP_ERR__TIMED_OUT) {}
    double wall = seconds() - start;
    cpu = cpu_seconds() - cpu;
    if (failed || acknowledged != count + 1) {
        fprintf(stderr, "%ld acknowledged, %ld failed\n", acknowledged, failed);
        return 1;
    }
    printf("librdkafka %s records=%ld wall_s=%.3f cpu_s=%.3f cpu_ns_per_record=%.0f", argv[1], count, wall, cpu,
           cpu / count * 1e9);
    if (is_latency) {
        qsort(latencies, count, sizeof *latencies, compare);
        printf(" median_us=%.1f p99_us=%.1f", latencies[count / 2] * 1e6, latencies[count * 99 / 100] * 1e6);
    }
    printf("\n");
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(client);
    return 0;
}
