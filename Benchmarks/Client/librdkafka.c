// The peer of ClientBenchmarks: the same records through librdkafka.
//
//   librdkafka throughput SERVERS TOPIC RECORDS
//   librdkafka latency SERVERS TOPIC RECORDS
//   librdkafka consume SERVERS TOPIC RECORDS       reads what is in the topic, in batches
//   librdkafka end-to-end SERVERS TOPIC RECORDS    one record at a time, from produce to the consumer
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

static rd_kafka_t *make_consumer(const char *servers, const char *topic, const char *offset) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", servers);
    set(conf, "group.id", "unused");
    set(conf, "enable.auto.commit", "false");
    set(conf, "auto.offset.reset", offset);
    // What the other client has as well.
    set(conf, "check.crcs", "true");
    set(conf, "queued.max.messages.kbytes", "65536");
    set(conf, "fetch.message.max.bytes", "1048576");
    char error[512];
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
    if (!client) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
    rd_kafka_poll_set_consumer(client);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(4);
    for (int partition = 0; partition < 4; partition++)
        rd_kafka_topic_partition_list_add(list, topic, partition)->offset =
            !strcmp(offset, "earliest") ? RD_KAFKA_OFFSET_BEGINNING : RD_KAFKA_OFFSET_END;
    rd_kafka_assign(client, list);
    rd_kafka_topic_partition_list_destroy(list);
    return client;
}

static int consume(const char *servers, const char *topic, long count) {
    enum { batch = 10000 };
    static rd_kafka_message_t *messages[batch];
    rd_kafka_t *client = make_consumer(servers, topic, "earliest");
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(client);
    long read = 0, bytes = 0;
    // The first records wait for the connection; they are not measured.
    double start = 0, cpu = 0;
    long before = 0;
    while (read < count) {
        ssize_t got = rd_kafka_consume_batch_queue(queue, 1000, messages, batch);
        for (ssize_t i = 0; i < got; i++) {
            if (messages[i]->err) {
                fprintf(stderr, "%s\n", rd_kafka_message_errstr(messages[i]));
                return 1;
            }
            bytes += messages[i]->len;
            read++;
            rd_kafka_message_destroy(messages[i]);
        }
        if (!start && got > 0) {
            start = seconds();
            cpu = cpu_seconds();
            before = read;
        }
    }
    double wall = seconds() - start;
    cpu = cpu_seconds() - cpu;
    printf("librdkafka consume records=%ld bytes=%ld wall_s=%.3f cpu_s=%.3f cpu_ns_per_record=%.0f\n", read, bytes,
           wall, cpu, cpu / (read - before) * 1e9);
    rd_kafka_queue_destroy(queue);
    rd_kafka_consumer_close(client);
    rd_kafka_destroy(client);
    return 0;
}

static int end_to_end(const char *servers, const char *topic_name, long count) {
    rd_kafka_t *consumer = make_consumer(servers, topic_name, "latest");
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", servers);
    set(conf, "enable.idempotence", "true");
    set(conf, "acks", "all");
    set(conf, "linger.ms", "0");
    char error[512];
    rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(producer, topic_name, NULL);
    char value[100];
    memset(value, 'x', sizeof value);
    double *latencies = malloc(sizeof *latencies * (count + 1));
    // The first ones wait until the consumer has found the end of the partitions.
    for (int warm = 0; warm < 100;) {
        rd_kafka_produce(topic, warm & 3, RD_KAFKA_MSG_F_COPY, value, sizeof value, NULL, 0, NULL);
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 100);
        if (message) {
            warm++;
            rd_kafka_message_destroy(message);
        }
    }
    for (rd_kafka_message_t *message; (message = rd_kafka_consumer_poll(consumer, 200));) rd_kafka_message_destroy(message);
    double start = seconds(), cpu = cpu_seconds();
    for (long i = 0; i < count; i++) {
        double sent = seconds();
        memcpy(value, &i, sizeof i);
        rd_kafka_produce(topic, i & 3, RD_KAFKA_MSG_F_COPY, value, sizeof value, NULL, 0, NULL);
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 10000);
        latencies[i] = seconds() - sent;
        if (!message || message->err || memcmp(message->payload, &i, sizeof i)) {
            fprintf(stderr, "record %ld did not come\n", i);
            return 1;
        }
        rd_kafka_message_destroy(message);
        rd_kafka_poll(producer, 0);
    }
    double wall = seconds() - start;
    cpu = cpu_seconds() - cpu;
    qsort(latencies, count, sizeof *latencies, compare);
    printf("librdkafka end-to-end records=%ld wall_s=%.3f cpu_s=%.3f cpu_ns_per_record=%.0f median_us=%.1f p99_us=%.1f\n",
           count, wall, cpu, cpu / count * 1e9, latencies[count / 2] * 1e6, latencies[count * 99 / 100] * 1e6);
    rd_kafka_flush(producer, 1000);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(producer);
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    if (!strcmp(argv[1], "consume")) return consume(argv[2], argv[3], atol(argv[4]));
    if (!strcmp(argv[1], "end-to-end")) return end_to_end(argv[2], argv[3], atol(argv[4]));
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
