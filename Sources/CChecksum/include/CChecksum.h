#pragma once

#include <stddef.h>
#include <stdint.h>

#include "preallocate.h"

// CRC-32C (Castagnoli), reflected, as RFC 3720 and Kafka use it.
//
// `crc` is the finished checksum of the bytes before `data`, 0 for none, so that
// martlet_crc32c(martlet_crc32c(0, a), b) is the checksum of a followed by b.
uint32_t martlet_crc32c(uint32_t crc, const void *data, size_t length);

// Every version that this processor can run, for the tests: the portable table first, the one in use last.
// `index` must be below the count.
size_t martlet_crc32c_variant_count(void);
const char *martlet_crc32c_variant_name(size_t index);
uint32_t martlet_crc32c_variant(size_t index, uint32_t crc, const void *data, size_t length);
