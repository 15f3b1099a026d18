#include "CChecksum.h"

#include <string.h>

// Polynomials over GF(2) are kept bit-reflected: in a 32-bit word the top bit is the coefficient of x^0.
#define POLYNOMIAL 0x82F63B78u

// Multiplies by x.
static uint32_t times_x(uint32_t a) {
    return (a >> 1) ^ ((a & 1) ? POLYNOMIAL : 0);
}

static uint32_t multiply(uint32_t a, uint32_t b) {
    uint32_t product = 0;
    for (uint32_t bit = 0x80000000u; bit != 0; bit >>= 1) {
        if (a & bit) {
            product ^= b;
        }
        b = times_x(b);
    }
    return product;
}

// x^n modulo the polynomial.
static uint32_t power_of_x(uint64_t n) {
    uint32_t result = 0x80000000u;
    uint32_t square = 0x40000000u;
    for (; n != 0; n >>= 1) {
        if (n & 1) {
            result = multiply(result, square);
        }
        square = multiply(square, square);
    }
    return result;
}

// Slicing by eight.
static uint32_t tables[8][256];

static void make_tables(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t value = byte;
        for (int bit = 0; bit < 8; bit++) {
            value = times_x(value);
        }
        tables[0][byte] = value;
    }
    for (uint32_t byte = 0; byte < 256; byte++) {
        for (int slice = 1; slice < 8; slice++) {
            uint32_t before = tables[slice - 1][byte];
            tables[slice][byte] = (before >> 8) ^ tables[0][before & 0xFF];
        }
    }
}

static uint32_t update_table(uint32_t state, const uint8_t *data, size_t length) {
    while (length >= 8) {
        uint32_t low = state
            ^ ((uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24);
        state = tables[7][low & 0xFF] ^ tables[6][(low >> 8) & 0xFF] ^ tables[5][(low >> 16) & 0xFF]
            ^ tables[4][low >> 24] ^ tables[3][data[4]] ^ tables[2][data[5]] ^ tables[1][data[6]]
            ^ tables[0][data[7]];
        data += 8;
        length -= 8;
    }
    while (length-- > 0) {
        state = (state >> 8) ^ tables[0][(state ^ *data++) & 0xFF];
    }
    return state;
}

typedef uint32_t (*update_function)(uint32_t state, const uint8_t *data, size_t length);

typedef struct {
    const char *name;
    update_function update;
} variant;

// What this processor can run, the slowest first. The last one is used.
static variant variants[3] = {{"table", update_table}};
static size_t variant_count = 1;
static update_function chosen = update_table;

__attribute__((unused)) static void offer(const char *name, update_function update) {
    variants[variant_count++] = (variant){name, update};
    chosen = update;
}

static uint64_t load64(const uint8_t *data) {
    uint64_t value;
    memcpy(&value, data, sizeof value);
    return value;
}

// Lengths of one of the three interleaved streams. The crc32 instruction takes three cycles and one can start
// each cycle, so three independent streams keep it busy.
#define LONG_STREAM 2048
#define SHORT_STREAM 256

#if defined(__x86_64__)
#include <immintrin.h>

// For moving a checksum past n bytes: x^(8n - 33), where 33 pays for the reflected carry-less product (1) and
// for the crc32 instruction that reduces it (32).
static uint32_t past_long[2], past_short[2];

// For folding 128-bit lanes forward over 256 and 64 and 16 bytes: x^(d + 63) and x^(d - 1), as 64-bit words.
static uint64_t fold256[2], fold64[2], fold48[2], fold32[2], fold16[2];

static void make_fold(uint64_t pair[2], uint64_t bytes) {
    pair[0] = (uint64_t)power_of_x(8 * bytes + 63) << 32;
    pair[1] = (uint64_t)power_of_x(8 * bytes - 1) << 32;
}

__attribute__((target("sse4.2,pclmul"))) static inline uint64_t move_past(uint64_t crc, uint32_t constant) {
    __m128i product = _mm_clmulepi64_si128(
        _mm_cvtsi64_si128((long long)crc), _mm_cvtsi32_si128((int)constant), 0x00);
    return _mm_crc32_u64(0, (unsigned long long)_mm_cvtsi128_si64(product));
}

__attribute__((target("sse4.2,pclmul"))) static inline uint64_t three_streams(
    uint64_t state, const uint8_t *data, size_t stream, const uint32_t past[2]
) {
    uint64_t first = state, second = 0, third = 0;
    for (size_t at = 0; at < stream; at += 8) {
        first = _mm_crc32_u64(first, load64(data + at));
        second = _mm_crc32_u64(second, load64(data + stream + at));
        third = _mm_crc32_u64(third, load64(data + 2 * stream + at));
    }
    return move_past(first, past[1]) ^ move_past(second, past[0]) ^ third;
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t update_sse42(
    uint32_t initial, const uint8_t *data, size_t length
) {
    uint64_t state = initial;
    while (length >= 3 * LONG_STREAM) {
        state = three_streams(state, data, LONG_STREAM, past_long);
        data += 3 * LONG_STREAM;
        length -= 3 * LONG_STREAM;
    }
    while (length >= 3 * SHORT_STREAM) {
        state = three_streams(state, data, SHORT_STREAM, past_short);
        data += 3 * SHORT_STREAM;
        length -= 3 * SHORT_STREAM;
    }
    while (length >= 8) {
        state = _mm_crc32_u64(state, load64(data));
        data += 8;
        length -= 8;
    }
    while (length-- > 0) {
        state = _mm_crc32_u8((uint32_t)state, *data++);
    }
    return (uint32_t)state;
}

#define FOLDING "avx512f,avx512vl,avx512dq,vpclmulqdq,sse4.2,pclmul"

__attribute__((target(FOLDING))) static inline __m512i fold(__m512i lanes, __m512i constants, __m512i next) {
    return _mm512_ternarylogic_epi64(
        _mm512_clmulepi64_epi128(lanes, constants, 0x00), _mm512_clmulepi64_epi128(lanes, constants, 0x11), next,
        0x96);
}

__attribute__((target(FOLDING))) static inline __m128i fold_lane(__m128i lane, const uint64_t pair[2]) {
    __m128i constants = _mm_set_epi64x((long long)pair[1], (long long)pair[0]);
    return _mm_xor_si128(
        _mm_clmulepi64_si128(lane, constants, 0x00), _mm_clmulepi64_si128(lane, constants, 0x11));
}

// Four 512-bit accumulators folded forward by 256 bytes at a time; the last 16 bytes, congruent to the whole
// message, go through the crc32 instruction.
__attribute__((target(FOLDING))) static uint32_t update_avx512(uint32_t state, const uint8_t *data, size_t length) {
    if (length < 512) {
        return update_sse42(state, data, length);
    }
    __m512i constants = _mm512_broadcast_i64x2(_mm_set_epi64x((long long)fold256[1], (long long)fold256[0]));
    __m512i a = _mm512_xor_si512(
        _mm512_loadu_si512(data), _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)state)));
    __m512i b = _mm512_loadu_si512(data + 64);
    __m512i c = _mm512_loadu_si512(data + 128);
    __m512i d = _mm512_loadu_si512(data + 192);
    data += 256;
    length -= 256;
    while (length >= 256) {
        a = fold(a, constants, _mm512_loadu_si512(data));
        b = fold(b, constants, _mm512_loadu_si512(data + 64));
        c = fold(c, constants, _mm512_loadu_si512(data + 128));
        d = fold(d, constants, _mm512_loadu_si512(data + 192));
        data += 256;
        length -= 256;
    }
    constants = _mm512_broadcast_i64x2(_mm_set_epi64x((long long)fold64[1], (long long)fold64[0]));
    b = fold(a, constants, b);
    c = fold(b, constants, c);
    d = fold(c, constants, d);
    while (length >= 64) {
        d = fold(d, constants, _mm512_loadu_si512(data));
        data += 64;
        length -= 64;
    }
    __m128i last = _mm_xor_si128(
        _mm_xor_si128(
            fold_lane(_mm512_extracti64x2_epi64(d, 0), fold48), fold_lane(_mm512_extracti64x2_epi64(d, 1), fold32)),
        _mm_xor_si128(fold_lane(_mm512_extracti64x2_epi64(d, 2), fold16), _mm512_extracti64x2_epi64(d, 3)));
    uint64_t reduced = _mm_crc32_u64(0, (unsigned long long)_mm_cvtsi128_si64(last));
    reduced = _mm_crc32_u64(reduced, (unsigned long long)_mm_extract_epi64(last, 1));
    return update_sse42((uint32_t)reduced, data, length);
}

static void choose(void) {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("pclmul")) {
        return;
    }
    past_long[0] = power_of_x(8ull * LONG_STREAM - 33);
    past_long[1] = power_of_x(16ull * LONG_STREAM - 33);
    past_short[0] = power_of_x(8ull * SHORT_STREAM - 33);
    past_short[1] = power_of_x(16ull * SHORT_STREAM - 33);
    offer("sse4.2", update_sse42);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("vpclmulqdq")) {
        make_fold(fold256, 256);
        make_fold(fold64, 64);
        make_fold(fold48, 48);
        make_fold(fold32, 32);
        make_fold(fold16, 16);
        offer("avx512", update_avx512);
    }
}

#elif defined(__aarch64__) && defined(__linux__)
#include <arm_acle.h>
#include <sys/auxv.h>

#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif

// For moving a checksum past n bytes: x^(8n), applied by shift and add once for each long run.
static uint32_t past_long[2], past_short[2];

__attribute__((target("+crc"))) static uint32_t three_streams(
    uint32_t state, const uint8_t *data, size_t stream, const uint32_t past[2]
) {
    uint32_t first = state, second = 0, third = 0;
    for (size_t at = 0; at < stream; at += 8) {
        first = __crc32cd(first, load64(data + at));
        second = __crc32cd(second, load64(data + stream + at));
        third = __crc32cd(third, load64(data + 2 * stream + at));
    }
    return multiply(first, past[1]) ^ multiply(second, past[0]) ^ third;
}

__attribute__((target("+crc"))) static uint32_t update_arm64(uint32_t state, const uint8_t *data, size_t length) {
    while (length >= 3 * LONG_STREAM) {
        state = three_streams(state, data, LONG_STREAM, past_long);
        data += 3 * LONG_STREAM;
        length -= 3 * LONG_STREAM;
    }
    while (length >= 8) {
        state = __crc32cd(state, load64(data));
        data += 8;
        length -= 8;
    }
    while (length-- > 0) {
        state = __crc32cb(state, *data++);
    }
    return state;
}

static void choose(void) {
    if (!(getauxval(AT_HWCAP) & HWCAP_CRC32)) {
        return;
    }
    past_long[0] = power_of_x(8ull * LONG_STREAM);
    past_long[1] = power_of_x(16ull * LONG_STREAM);
    offer("arm64", update_arm64);
}

#else

static void choose(void) {}

#endif

// Runs before main, so that the first call on any thread finds the choice made.
__attribute__((constructor)) static void prepare(void) {
    make_tables();
    choose();
}

uint32_t martlet_crc32c(uint32_t crc, const void *data, size_t length) {
    return ~chosen(~crc, data, length);
}

size_t martlet_crc32c_variant_count(void) {
    return variant_count;
}

const char *martlet_crc32c_variant_name(size_t index) {
    return variants[index].name;
}

uint32_t martlet_crc32c_variant(size_t index, uint32_t crc, const void *data, size_t length) {
    return ~variants[index].update(~crc, data, length);
}
