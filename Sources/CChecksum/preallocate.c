#define _GNU_SOURCE
#include "preallocate.h"

#include <errno.h>
#include <fcntl.h>

int martlet_preallocate(int descriptor, int64_t position, int64_t count) {
#if defined(__linux__)
    return fallocate(descriptor, FALLOC_FL_KEEP_SIZE, position, count);
#else
    (void)descriptor, (void)position, (void)count;
    errno = EOPNOTSUPP;
    return -1;
#endif
}
