#pragma once

#include <stdint.h>

// Reserves space in a file without a change of its size, where the system can. 0, or -1 with errno.
int martlet_preallocate(int descriptor, int64_t position, int64_t count);
