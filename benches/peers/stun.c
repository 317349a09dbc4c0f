/* Times a C library over one connectivity check (the file): reading it, finding its attributes and checking its integrity and
   fingerprint; and writing one like it. Prints "decode NANOSECONDS encode NANOSECONDS", the best of many rounds.
   Built once a peer: -DLIBRE (libre of Debian), -DLIBNICE. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef LIBRE
#include <re/re.h>
#endif
#ifdef LIBNICE
#include <stun/stunagent.h>
#endif
static uint8_t check[2000], copy[2000], out[2000];
static const char *user = "evtj:h6vY", *password = "VOkJxbRl1RmTxUk/WvJxBt";
static uint64_t sum;
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1e9 + t.tv_nsec; }
int main(int argc, char **argv) {
    FILE *in = fopen(argv[1], "rb");
    int length = fread(check, 1, sizeof check, in), rounds = atoi(argv[2]), r, i, n = 2000;
    double decode = 1e18, encode = 1e18, t;
#ifdef LIBRE
    struct mbuf *mb = mbuf_alloc(2000);
    uint32_t priority = 0x6e0001ff;
    uint64_t controlled = 0x932ff9b151263b36ull;
    uint8_t id[12] = { 0xb7, 0xe7, 0xa7, 1, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae };
    for (r = 0; r < rounds; r++) {
        t = now();
        for (i = 0; i < n; i++) {
            struct stun_msg *m = NULL;
            mb->pos = 0; mb->end = length; memcpy(mb->buf, check, length);
            if (stun_msg_decode(&m, mb, NULL)) return 1;
            if (stun_msg_chk_mi(m, (const uint8_t *)password, strlen(password)) || stun_msg_chk_fingerprint(m)) return 2;
            sum += stun_msg_attr(m, STUN_ATTR_PRIORITY)->v.uint32 + stun_msg_attr(m, STUN_ATTR_CONTROLLED)->v.uint64
                + strlen(stun_msg_attr(m, STUN_ATTR_USERNAME)->v.str);
            mem_deref(m);
        }
        if ((t = now() - t) < decode) decode = t;
        t = now();
        for (i = 0; i < n; i++) {
            mb->pos = mb->end = 0;
            if (stun_msg_encode(mb, STUN_METHOD_BINDING, STUN_CLASS_REQUEST, id, NULL, (const uint8_t *)password, strlen(password),
                    true, 0, 3, STUN_ATTR_USERNAME, user, STUN_ATTR_PRIORITY, &priority, STUN_ATTR_CONTROLLED, &controlled)) return 3;
            sum += mb->end;
        }
        if ((t = now() - t) < encode) encode = t;
    }
#endif
#ifdef LIBNICE
    static const uint16_t known[] = { STUN_ATTRIBUTE_USERNAME, STUN_ATTRIBUTE_MESSAGE_INTEGRITY, STUN_ATTRIBUTE_PRIORITY,
        STUN_ATTRIBUTE_USE_CANDIDATE, STUN_ATTRIBUTE_ICE_CONTROLLED, STUN_ATTRIBUTE_ICE_CONTROLLING, 0 };
    StunAgent agent; StunMessage m;
    StunDefaultValidaterData data[] = { { (uint8_t *)user, 9, (uint8_t *)password, 22 }, { NULL, 0, NULL, 0 } };
    stun_agent_init(&agent, known, STUN_COMPATIBILITY_RFC5389, STUN_AGENT_USAGE_SHORT_TERM_CREDENTIALS | STUN_AGENT_USAGE_USE_FINGERPRINT);
    for (r = 0; r < rounds; r++) {
        t = now();
        for (i = 0; i < n; i++) {
            uint32_t priority; uint64_t controlled; uint16_t l;
            memcpy(copy, check, length);
            if (stun_agent_validate(&agent, &m, copy, length, stun_agent_default_validater, data) != STUN_VALIDATION_SUCCESS) return 1;
            stun_message_find32(&m, STUN_ATTRIBUTE_PRIORITY, &priority);
            stun_message_find64(&m, STUN_ATTRIBUTE_ICE_CONTROLLED, &controlled);
            sum += priority + controlled + *(const uint8_t *)stun_message_find(&m, STUN_ATTRIBUTE_USERNAME, &l);
        }
        if ((t = now() - t) < decode) decode = t;
        t = now();
        for (i = 0; i < n; i++) {
            StunTransactionId id;
            if (!stun_agent_init_request(&agent, &m, out, sizeof out, STUN_BINDING)) return 2;
            stun_message_append_string(&m, STUN_ATTRIBUTE_USERNAME, user);
            stun_message_append32(&m, STUN_ATTRIBUTE_PRIORITY, 0x6e0001ff);
            stun_message_append64(&m, STUN_ATTRIBUTE_ICE_CONTROLLED, 0x932ff9b151263b36ull);
            sum += stun_agent_finish_message(&agent, &m, (const uint8_t *)password, 22);
            stun_message_id(&m, id);
            stun_agent_forget_transaction(&agent, id);
        }
        if ((t = now() - t) < encode) encode = t;
    }
#endif
    printf("decode %f encode %f\n", decode / n, encode / n);
    return sum == 1;
}
