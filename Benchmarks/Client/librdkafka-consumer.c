// The peer of Consume.swift: the same records through librdkafka.
//
//   librdkafka-consumer consume|end-to-end SERVERS TOPIC RECORDS
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

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

enum { BATCH = 10000 };
static rd_kafka_message_t *messages[BATCH];

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    int is_latency = !strcmp(argv[1], "end-to-end");
    long count = atol(argv[4]);
    char error[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", argv[2]);
    set(conf, "group.id", "benchmark");
    set(conf, "enable.auto.commit", "false");
    set(conf, "check.crcs", "true");
    set(conf, "fetch.error.backoff.ms", "10");
    rd_kafka_t *consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
    rd_kafka_poll_set_consumer(consumer);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(consumer);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(4);
    for (int i = 0; i < (is_latency ? 1 : 4); i++) {
        rd_kafka_topic_partition_list_add(list, argv[3], i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    }
    double start = seconds(), cpu = cpu_seconds();
    rd_kafka_assign(consumer, list);
    if (!is_latency) {
        long records = 0, bytes = 0;
        while (records < count) {
            long got = rd_kafka_consume_batch_queue(queue, 100, messages, BATCH);
            for (long i = 0; i < got; i++) {
                if (!messages[i]->err) {
                    records++;
                    bytes += messages[i]->len;
                }
                rd_kafka_message_destroy(messages[i]);
            }
        }
        double wall = seconds() - start;
        cpu = cpu_seconds() - cpu;
        if (bytes != 100 * records) return 1;
        printf("librdkafka consume records=%ld wall_s=%.3f cpu_s=%.3f cpu_ns_per_record=%.1f\n", records, wall, cpu,
               cpu / records * 1e9);
    } else {
        rd_kafka_conf_t *producer_conf = rd_kafka_conf_new();
        set(producer_conf, "bootstrap.servers", argv[2]);
        set(producer_conf, "enable.idempotence", "true");
        set(producer_conf, "acks", "all");
        set(producer_conf, "linger.ms", "0");
        rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, producer_conf, error, sizeof error);
        rd_kafka_topic_t *topic = rd_kafka_topic_new(producer, argv[3], NULL);
        char value[100];
        memset(value, 'x', sizeof value);
        double *latencies = malloc(sizeof *latencies * (count + 1));
        for (long i = 0; i < count + 100; i++) {
            if (i == 100) cpu = cpu_seconds();
            double sent = seconds();
            rd_kafka_produce(topic, 0, RD_KAFKA_MSG_F_COPY, value, sizeof value, NULL, 0, NULL);
            long got = 0;
            while (got == 0) {
                got = rd_kafka_consume_batch_queue(queue, 1000, messages, 1);
                if (got == 1 && messages[0]->err) {
                    rd_kafka_message_destroy(messages[0]);
                    got = 0;
                }
            }
            if (got != 1) return 1;
            rd_kafka_message_destroy(messages[0]);
            if (i >= 100) latencies[i - 100] = seconds() - sent;
            rd_kafka_poll(producer, 0);
        }
        cpu = cpu_seconds() - cpu;
        qsort(latencies, count, sizeof *latencies, compare);
        printf("librdkafka end-to-end records=%ld cpu_ns_per_record=%.0f median_us=%.1f p99_us=%.1f\n", count,
               cpu / count * 1e9, latencies[count / 2] * 1e6, latencies[count * 99 / 100] * 1e6);
        rd_kafka_topic_destroy(topic);
        rd_kafka_destroy(producer);
    }
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(consumer);
    return 0;
}
