#pragma once
#include <zlib.h>

// zlib's initializers are macros, which Swift cannot call.
static inline int martlet_deflate_init_gzip(z_stream *stream, int level) {
    return deflateInit2(stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
}

static inline int martlet_inflate_init_gzip(z_stream *stream) {
    return inflateInit2(stream, 15 + 16);
}
