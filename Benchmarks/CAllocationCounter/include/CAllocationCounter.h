#pragma once

#include <stdint.h>

// How often the process has asked for heap memory so far. Linking this target replaces malloc and its relatives with
// versions that count and pass on to glibc.
uint64_t martlet_allocation_count(void);
