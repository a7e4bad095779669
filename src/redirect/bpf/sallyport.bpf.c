// SPDX-License-Identifier: Apache-2.0
/*
 * The redirect. Three programs see every packet between an endpoint and anybody else:
 *
 *     endpoint ──► from_interface ──► routing ─────────────────► to_endpoint ──► other endpoint
 *     uplink   ──►   │  judged: allowed → marked, passes            │ not marked: from the host, or by a
 *                    │         denied  → RST                        │ way that we do not watch: judged here
 *                    │  L7 rules: recorded, marked for the proxy
 *                    ▼
 *                  local delivery (ip rule on the mark) ──► proxy_lookup ──► listener of a worker
 *
 * Which endpoint a packet is from is told by the interface, never by the packet. What was decided at the
 * SYN is in `records` (for the proxy) or in `flows` (for what passes without it). Nothing here is looked
 * up by a name that a packet brings along, and what is not found is refused.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "layout.h"
#include "maps.h"

#include "packet.h"

#include "policy.h"

#include "reset.h"

#define TCP_STATE_LISTEN 10
#define TCP_STATE_TIME_WAIT 6

/* New redirected connections of one interface: so many at once, and as many a second. */
#define RATE_TOKENS 20000ULL
#define SECOND_NS 1000000000ULL

static __always_inline int refused(struct __sk_buff *skb, const struct packet *packet,
				   const struct sides *sides, __u32 counter)
{
	count(counter);
	note_refusal(&packet->tuple, sides, counter);
	return reset(skb, packet, 0);
}

static __always_inline int passed(struct __sk_buff *skb, const struct sides *sides)
{
	skb->mark = identity_mark(MARK_JUDGED, sides->source.identity);
	count(COUNTER_PASSED);
	return TC_ACT_OK;
}

static __always_inline int to_proxy(struct __sk_buff *skb, const struct sides *sides, __u32 counter)
{
	skb->mark = identity_mark(MARK_TO_PROXY, sides->source.identity);
	count(counter);
	return TC_ACT_OK;
}

/* --- connections that the proxy has */

/*
 * True when a socket of this node has the packet's connection. A listener does not count, and neither
 * does what is left of a connection (TIME_WAIT) when a new one begins.
 */
static __noinline int has_owner(struct __sk_buff *skb, const struct packet *packet)
{
	struct bpf_sock_tuple key = {};
	const struct tuple *tuple;
	struct bpf_sock *sk;
	__u32 size;
	__u32 state;

	if (!packet)
		return 0;
	tuple = &packet->tuple;
	if (tuple->family == FAMILY_IP4) {
		__builtin_memcpy(&key.ipv4.saddr, tuple->source.bytes, 4);
		__builtin_memcpy(&key.ipv4.daddr, tuple->destination.bytes, 4);
		key.ipv4.sport = tuple->source_port;
		key.ipv4.dport = tuple->destination_port;
		size = sizeof(key.ipv4);
	} else {
		__builtin_memcpy(key.ipv6.saddr, tuple->source.bytes, 16);
		__builtin_memcpy(key.ipv6.daddr, tuple->destination.bytes, 16);
		key.ipv6.sport = tuple->source_port;
		key.ipv6.dport = tuple->destination_port;
		size = sizeof(key.ipv6);
	}
	sk = bpf_skc_lookup_tcp(skb, &key, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	state = sk->state;
	bpf_sk_release(sk);
	if (state == TCP_STATE_LISTEN)
		return 0;
	return !(state == TCP_STATE_TIME_WAIT && is_first(packet));
}

static __always_inline int has_listener(__u8 family)
{
	__u32 first = family == FAMILY_IP4 ? 0 : LISTENER_SLOTS;

	for (__u32 i = 0; i < LISTENER_SLOTS; i++) {
		__u32 slot = first + i;
		struct bpf_sock *sk = bpf_map_lookup_elem(&listeners, &slot);

		if (sk) {
			bpf_sk_release(sk);
			return 1;
		}
	}
	return 0;
}

/* A flood of one endpoint must not push the records of others out. */
static __always_inline int is_within_rate(__u32 ifindex)
{
	struct rate *rate = bpf_map_lookup_elem(&rates, &ifindex);
	__u64 now = bpf_ktime_get_ns();
	__u64 elapsed;

	if (!rate) {
		struct rate full = { .refilled_ns = now, .tokens = RATE_TOKENS - 1 };

		bpf_map_update_elem(&rates, &ifindex, &full, BPF_ANY);
		return 1;
	}
	elapsed = now - rate->refilled_ns;
	if (elapsed > SECOND_NS / 100) {
		__u64 tokens = rate->tokens +
			       (elapsed > SECOND_NS ? SECOND_NS : elapsed) * RATE_TOKENS / SECOND_NS;

		rate->tokens = tokens > RATE_TOKENS ? RATE_TOKENS : tokens;
		rate->refilled_ns = now;
	}
	if (rate->tokens == 0)
		return 0;
	/* Two processors may take one token together: the bound is a bound on the order. */
	rate->tokens -= 1;
	return 1;
}

/* A redirected connection begins: what it is, is written down before anybody answers it. */
static __noinline int begin_redirect(struct __sk_buff *skb, const struct packet *packet,
				     const struct sides *sides, __u32 halves)
{
	struct settings *force = in_force();
	struct record record = {};

	if (!packet || !sides || !force)
		return TC_ACT_SHOT;
	if (!has_listener(packet->tuple.family))
		return refused(skb, packet, sides, COUNTER_NO_LISTENER);
	if (!is_within_rate(skb->ifindex)) {
		count(COUNTER_RATE_LIMITED);
		note_refusal(&packet->tuple, sides, COUNTER_RATE_LIMITED);
		return TC_ACT_SHOT;
	}
	record.time_ns = bpf_ktime_get_ns();
	record.source_identity = sides->source.identity;
	record.source_check = sides->source.check;
	record.source_endpoint = sides->source.endpoint;
	record.destination_identity = sides->destination.identity;
	record.destination_check = sides->destination.check;
	record.destination_endpoint = sides->destination.endpoint;
	record.generation = force->generation;
	record.halves = halves;
	record.ifindex = skb->ifindex;
	if (bpf_map_update_elem(&records, &packet->tuple, &record, BPF_ANY) < 0)
		return TC_ACT_SHOT;
	return to_proxy(skb, sides, COUNTER_REDIRECTED);
}

/* --- connections that pass without it */

/* Begun by the node itself: the rules do not ask about it unless SETTING_HOST_JUDGED says so. */
#define FLOW_OF_HOST 0xffffffff

static __always_inline int is_host_free(void)
{
	struct settings *force = in_force();

	return force && !(force->flags & SETTING_HOST_JUDGED);
}

/*
 * `tuple` in the orientation of who began. Judged again when another policy is in force than the one
 * that let it in, or when the address has another owner.
 */
static __always_inline int judge_flow(__u32 generation, const struct tuple *tuple,
				      struct sides *sides, struct flow *flow)
{
	struct judgement judgement;

	if (flow->generation == generation) {
		flow->time_ns = bpf_ktime_get_ns();
		return VERDICT_ALLOW;
	}
	if (flow->source_endpoint == FLOW_OF_HOST && is_host_free()) {
		flow->generation = generation;
		flow->time_ns = bpf_ktime_get_ns();
		return VERDICT_ALLOW;
	}
	if (judge(generation, tuple, sides, &judgement) < 0)
		return VERDICT_DENY;
	if (judgement.verdict == VERDICT_ALLOW &&
	    (flow->source_endpoint == sides->source.endpoint ||
	     flow->source_endpoint == FLOW_OF_HOST)) {
		flow->generation = generation;
		flow->time_ns = bpf_ktime_get_ns();
		return VERDICT_ALLOW;
	}
	bpf_map_delete_elem(&flows, tuple);
	return VERDICT_DENY;
}

static __always_inline void begin_flow(__u32 generation, const struct tuple *tuple,
				       __u32 source_endpoint)
{
	struct flow flow = {
		.time_ns = bpf_ktime_get_ns(),
		.generation = generation,
		.source_endpoint = source_endpoint,
	};

	bpf_map_update_elem(&flows, tuple, &flow, BPF_ANY);
}

static __always_inline void turn(const struct sides *sides, struct sides *turned)
{
	turned->source = sides->destination;
	turned->destination = sides->source;
}

enum known {
	KNOWN_NOT,
	KNOWN_ALLOWED,
	KNOWN_DENIED,
};

/* What a flow that we know, in either orientation, says of the packet. */
static __noinline int known_flow(__u32 generation, const struct tuple *tuple,
				 const struct sides *sides)
{
	struct sides own;
	struct tuple reversed;
	struct flow *flow;

	if (!tuple || !sides)
		return KNOWN_DENIED;
	flow = bpf_map_lookup_elem(&flows, tuple);
	if (flow) {
		own = *sides;
		return judge_flow(generation, tuple, &own, flow) == VERDICT_ALLOW ? KNOWN_ALLOWED :
										    KNOWN_DENIED;
	}
	reverse(tuple, &reversed);
	flow = bpf_map_lookup_elem(&flows, &reversed);
	if (!flow)
		return KNOWN_NOT;
	turn(sides, &own);
	return judge_flow(generation, &reversed, &own, flow) == VERDICT_ALLOW ? KNOWN_ALLOWED :
										KNOWN_DENIED;
}

/*
 * A TCP connection in the middle, of which we know nothing: it is older than we are, or its flow was
 * pushed out. It goes on if either side may have begun it without the proxy.
 */
static __noinline int pick_up(__u32 generation, const struct tuple *tuple, const struct sides *sides)
{
	struct judgement judgement;
	struct sides own;
	struct tuple reversed;

	if (!tuple || !sides)
		return VERDICT_DENY;
	if (judge(generation, tuple, sides, &judgement) < 0)
		return VERDICT_DENY;
	if (judgement.verdict == VERDICT_ALLOW) {
		begin_flow(generation, tuple, sides->source.endpoint);
		return VERDICT_ALLOW;
	}
	reverse(tuple, &reversed);
	turn(sides, &own);
	if (own.source.identity == IDENTITY_HOST && is_host_free()) {
		begin_flow(generation, &reversed, FLOW_OF_HOST);
		return VERDICT_ALLOW;
	}
	if (judge(generation, &reversed, &own, &judgement) < 0)
		return VERDICT_DENY;
	if (judgement.verdict != VERDICT_ALLOW)
		return VERDICT_DENY;
	begin_flow(generation, &reversed, own.source.endpoint);
	return VERDICT_ALLOW;
}

/* --- packets of endpoints and of uplinks */

/* 0: the packet may be from this interface; else the counter that says why not. */
static __always_inline __u32 wrong_source(const struct packet *packet, __u32 generation,
					  const struct interface_value *interface,
					  const struct sides *sides)
{
	struct address_value sender;

	if (interface->kind == INTERFACE_UPLINK) {
		/* An address of ours cannot come from outside. */
		side_of(generation, packet->tuple.family, &packet->sender, &sender);
		return sender.endpoint || sides->source.endpoint ? COUNTER_FOREIGN_SOURCE : 0;
	}
	if (sides->source.endpoint != interface->endpoint)
		return COUNTER_FOREIGN_SOURCE;
	if (packet->icmp_error) {
		side_of(generation, packet->tuple.family, &packet->sender, &sender);
		if (sender.endpoint != interface->endpoint)
			return COUNTER_FOREIGN_SOURCE;
	}
	return 0;
}

static __always_inline int judge_tcp(struct __sk_buff *skb, const struct packet *packet,
				     const struct sides *sides, __u32 generation)
{
	struct record *record = bpf_map_lookup_elem(&records, &packet->tuple);
	int is_ours = !record || record->ifindex == skb->ifindex;
	struct judgement judgement;
	int known;

	if (has_owner(skb, packet)) {
		/* Whoever now has the address is not who began the connection. */
		if (!is_ours)
			return refused(skb, packet, sides, COUNTER_STALE);
		return to_proxy(skb, sides, COUNTER_OWNED);
	}
	if (packet->icmp_error) {
		if (known_flow(generation, &packet->tuple, sides) == KNOWN_ALLOWED)
			return passed(skb, sides);
		return refused(skb, packet, sides, COUNTER_STALE);
	}
	if (is_first(packet)) {
		if (judge(generation, &packet->tuple, sides, &judgement) < 0)
			return TC_ACT_SHOT;
		if (judgement.verdict == VERDICT_REDIRECT)
			return begin_redirect(skb, packet, sides, judgement.halves);
		if (record)
			bpf_map_delete_elem(&records, &packet->tuple);
		if (judgement.verdict != VERDICT_ALLOW)
			return refused(skb, packet, sides, judgement.denier);
		begin_flow(generation, &packet->tuple, sides->source.endpoint);
		return passed(skb, sides);
	}
	/* The ACK that answers a SYN cookie: no socket has it yet, and the record is all there is. */
	if (record && is_ours)
		return to_proxy(skb, sides, COUNTER_OWNED);
	known = known_flow(generation, &packet->tuple, sides);
	if (known == KNOWN_NOT && pick_up(generation, &packet->tuple, sides) == VERDICT_ALLOW)
		known = KNOWN_ALLOWED;
	if (known != KNOWN_ALLOWED)
		return refused(skb, packet, sides, COUNTER_STALE);
	return passed(skb, sides);
}

static __always_inline int judge_other(struct __sk_buff *skb, const struct packet *packet,
				       const struct sides *sides, __u32 generation)
{
	int known = known_flow(generation, &packet->tuple, sides);
	struct judgement judgement;

	if (known == KNOWN_ALLOWED)
		return passed(skb, sides);
	/* An answer to nothing, or a complaint about nothing. */
	if (packet->icmp_error || packet->icmp_reply)
		return refused(skb, packet, sides, COUNTER_STALE);
	if (judge(generation, &packet->tuple, sides, &judgement) < 0)
		return TC_ACT_SHOT;
	if (judgement.verdict == VERDICT_REDIRECT)
		return refused(skb, packet, sides, COUNTER_UNREDIRECTABLE);
	if (judgement.verdict != VERDICT_ALLOW)
		return refused(skb, packet, sides, judgement.denier);
	begin_flow(generation, &packet->tuple, sides->source.endpoint);
	return passed(skb, sides);
}

SEC("tc")
int from_interface(struct __sk_buff *skb)
{
	struct settings *force = in_force();
	struct interface_key key = { .ifindex = skb->ifindex };
	struct interface_value *interface;
	struct sides sides = {};
	struct packet packet;
	__u32 wrong;

	/* Whatever it was marked with elsewhere, here it is nobody's. */
	skb->mark = 0;
	if (read_packet(skb, &packet) < 0)
		return TC_ACT_SHOT;
	if (packet.kind == PACKET_PASSED)
		return TC_ACT_OK;
	if (!force) {
		count(COUNTER_NO_GENERATION);
		return TC_ACT_SHOT;
	}
	if (packet.kind == PACKET_REFUSED) {
		count(packet.counter);
		note_refusal(&packet.tuple, &sides, packet.counter);
		return TC_ACT_SHOT;
	}
	key.generation = force->generation;
	interface = bpf_map_lookup_elem(&interfaces, &key);
	if (!interface) {
		count(COUNTER_UNKNOWN_INTERFACE);
		note_refusal(&packet.tuple, &sides, COUNTER_UNKNOWN_INTERFACE);
		return TC_ACT_SHOT;
	}
	side_of(key.generation, packet.tuple.family, &packet.tuple.source, &sides.source);
	side_of(key.generation, packet.tuple.family, &packet.tuple.destination, &sides.destination);
	wrong = wrong_source(&packet, key.generation, interface, &sides);
	if (wrong) {
		count(wrong);
		note_refusal(&packet.tuple, &sides, wrong);
		return TC_ACT_SHOT;
	}
	if (packet.tuple.protocol == PROTOCOL_TCP)
		return judge_tcp(skb, &packet, &sides, key.generation);
	return judge_other(skb, &packet, &sides, key.generation);
}

/* --- packets to endpoints */

/* What the node itself sends to its pods: let in as Cilium does, or by the pod's ingress rules. */
static __always_inline int from_host(struct __sk_buff *skb, const struct packet *packet,
				     struct sides *sides, const struct settings *force)
{
	struct judgement judgement;
	int known = known_flow(force->generation, &packet->tuple, sides);

	if (known == KNOWN_ALLOWED || !(force->flags & SETTING_HOST_JUDGED)) {
		if (known == KNOWN_NOT)
			begin_flow(force->generation, &packet->tuple, FLOW_OF_HOST);
		count(COUNTER_FROM_HOST);
		return TC_ACT_OK;
	}
	if (judge(force->generation, &packet->tuple, sides, &judgement) < 0)
		return TC_ACT_SHOT;
	if (judgement.verdict == VERDICT_ALLOW) {
		begin_flow(force->generation, &packet->tuple, FLOW_OF_HOST);
		count(COUNTER_FROM_HOST);
		return TC_ACT_OK;
	}
	if (judgement.verdict == VERDICT_REDIRECT)
		judgement.denier = COUNTER_UNREDIRECTABLE;
	count(judgement.denier);
	note_refusal(&packet->tuple, sides, judgement.denier);
	return reset(skb, packet, 1);
}

SEC("tc")
int to_endpoint(struct __sk_buff *skb)
{
	__u32 magic = skb->mark & MARK_MAGIC_MASK;
	struct settings *force;
	struct judgement judgement;
	struct sides sides = {};
	struct packet packet;
	int known;

	if (magic == MARK_JUDGED)
		return TC_ACT_OK;
	if (magic == MARK_PROXY_INGRESS || magic == MARK_PROXY_EGRESS) {
		count(COUNTER_FROM_PROXY);
		return TC_ACT_OK;
	}
	if (read_packet(skb, &packet) < 0)
		return TC_ACT_SHOT;
	if (packet.kind == PACKET_PASSED)
		return TC_ACT_OK;
	force = in_force();
	if (!force) {
		count(COUNTER_NO_GENERATION);
		return TC_ACT_SHOT;
	}
	if (packet.kind == PACKET_REFUSED) {
		count(packet.counter);
		note_refusal(&packet.tuple, &sides, packet.counter);
		return TC_ACT_SHOT;
	}
	side_of(force->generation, packet.tuple.family, &packet.tuple.source, &sides.source);
	side_of(force->generation, packet.tuple.family, &packet.tuple.destination,
		&sides.destination);
	if (skb->ingress_ifindex == 0) {
		sides.source.identity = IDENTITY_HOST;
		sides.source.endpoint = 0;
		return from_host(skb, &packet, &sides, force);
	}
	/* Forwarded from an interface that we do not watch: no redirect from here. */
	known = known_flow(force->generation, &packet.tuple, &sides);
	if (known == KNOWN_ALLOWED)
		return TC_ACT_OK;
	if (judge(force->generation, &packet.tuple, &sides, &judgement) < 0)
		return TC_ACT_SHOT;
	if (judgement.verdict == VERDICT_ALLOW && known == KNOWN_NOT &&
	    !(packet.icmp_error || packet.icmp_reply)) {
		begin_flow(force->generation, &packet.tuple, sides.source.endpoint);
		return TC_ACT_OK;
	}
	if (judgement.verdict == VERDICT_REDIRECT)
		judgement.denier = COUNTER_UNREDIRECTABLE;
	count(judgement.denier);
	note_refusal(&packet.tuple, &sides, judgement.denier);
	return TC_ACT_SHOT;
}

/* --- the listener of a redirected connection */

static __always_inline __u32 spread(const struct tuple *tuple)
{
	const __u32 *words = (const __u32 *)tuple;
	__u32 hash = 0x811c9dc5;

	for (int i = 0; i < 9; i++)
		hash = (hash ^ words[i]) * 0x01000193;
	return hash ^ hash >> 15;
}

SEC("sk_lookup")
int proxy_lookup(struct bpf_sk_lookup *ctx)
{
	struct tuple tuple = {};
	struct record *record;
	__u32 first;
	__u32 start;

	if (ctx->protocol != PROTOCOL_TCP)
		return SK_PASS;
	if (ctx->family == 2) {
		__be32 remote = ctx->remote_ip4;
		__be32 local = ctx->local_ip4;

		__builtin_memcpy(tuple.source.bytes, &remote, 4);
		__builtin_memcpy(tuple.destination.bytes, &local, 4);
		tuple.family = FAMILY_IP4;
	} else {
		__be32 *source = (__be32 *)tuple.source.bytes;
		__be32 *destination = (__be32 *)tuple.destination.bytes;

		source[0] = ctx->remote_ip6[0];
		source[1] = ctx->remote_ip6[1];
		source[2] = ctx->remote_ip6[2];
		source[3] = ctx->remote_ip6[3];
		destination[0] = ctx->local_ip6[0];
		destination[1] = ctx->local_ip6[1];
		destination[2] = ctx->local_ip6[2];
		destination[3] = ctx->local_ip6[3];
		tuple.family = FAMILY_IP6;
	}
	tuple.protocol = PROTOCOL_TCP;
	tuple.source_port = ctx->remote_port;
	tuple.destination_port = bpf_htons(ctx->local_port);
	record = bpf_map_lookup_elem(&records, &tuple);
	if (!record)
		return SK_PASS;
	first = tuple.family == FAMILY_IP4 ? 0 : LISTENER_SLOTS;
	start = spread(&tuple);
	for (__u32 i = 0; i < LISTENER_SLOTS; i++) {
		__u32 slot = first + (start + i) % LISTENER_SLOTS;
		struct bpf_sock *sk = bpf_map_lookup_elem(&listeners, &slot);
		long failed;

		if (!sk)
			continue;
		failed = bpf_sk_assign(ctx, sk, BPF_SK_LOOKUP_F_NO_REUSEPORT);
		bpf_sk_release(sk);
		if (!failed) {
			count(COUNTER_ASSIGNED);
			return SK_PASS;
		}
	}
	count(COUNTER_RECORD_LOST);
	return SK_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
