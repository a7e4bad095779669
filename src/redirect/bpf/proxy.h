/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes to the proxy: the mark that the node's `ip rule` delivers locally, the record of the SYN or of
 * the datagram, and the choice of a listener.
 *
 * A client may ask several servers from one socket (as musl does), so a datagram's record is under both of
 * its ends; the proxy is told both by the kernel (IP_RECVORIGDSTADDR), and finds it.
 */
#ifndef SALLYPORT_PROXY_H
#define SALLYPORT_PROXY_H

#include <linux/pkt_cls.h>

#include "flow.h"
#include "refuse.h"
#include "shares.h"

#define FAMILY_INET 2
#define FAMILY_INET6 10

enum owner {
	OWNER_NONE = 0, /* no socket, or one that waits for connections */
	OWNER_DOWNSTREAM, /* a connection that the proxy has accepted */
	OWNER_UPSTREAM, /* a connection that the proxy has made */
	OWNER_HANDSHAKE, /* a SYN was answered: the proxy's or the node's own */
	OWNER_CLOSED, /* whoever had it hears nothing more: TIME_WAIT, or both have sent their FIN */
	OWNER_LEAVING, /* the proxy has sent its FIN, and hears on until the other side's */
	OWNER_HOST, /* a program of the node */
};

static __always_inline __u32 first_slot(const struct tuple *tuple)
{
	const __u32 *words = (const __u32 *)tuple;
	__u32 hash = 0x811c9dc5;

	/* FNV-1a over words: source, destination, ports. */
	for (int i = 0; i < 9; i++) hash = (hash ^ words[i]) * 0x01000193;
	hash ^= hash >> 15;
	return hash % LISTENER_SLOTS;
}

static __always_inline __u32 slot_at(const struct tuple *tuple, __u32 start, __u32 step)
{
	return (start + step) % LISTENER_SLOTS + (tuple->family == FAMILY_IP6 ? LISTENER_SLOTS : 0) +
	       (tuple->protocol == PROTOCOL_UDP ? 2 * LISTENER_SLOTS : 0);
}

static __noinline bool has_listener(const struct packet *p)
{
	__u32 start = first_slot(&p->tuple);

	for (__u32 step = 0; step < LISTENER_SLOTS; step++) {
		__u32 slot = slot_at(&p->tuple, start, step);
		struct bpf_sock *listener = bpf_map_lookup_elem(&listeners, &slot);
		bool is_live;

		if (!listener) continue;
		/* One for datagrams is there as long as it is open. */
		is_live = p->tuple.protocol == PROTOCOL_UDP || listener->state == BPF_TCP_LISTEN;
		bpf_sk_release(listener);
		if (is_live) return true;
	}
	return false;
}

/* Note that this lookup runs `proxy_lookup`, too, when there is no connection. */
static __noinline struct bpf_sock *find_socket(struct __sk_buff *skb, const struct tuple *tuple)
{
	struct bpf_sock_tuple key;

	if (tuple->family == FAMILY_IP4) {
		__builtin_memcpy(&key.ipv4.saddr, tuple->source.bytes, 4);
		__builtin_memcpy(&key.ipv4.daddr, tuple->destination.bytes, 4);
		key.ipv4.sport = tuple->source_port;
		key.ipv4.dport = tuple->destination_port;
		return bpf_skc_lookup_tcp(skb, &key, sizeof(key.ipv4), BPF_F_CURRENT_NETNS, 0);
	}
	__builtin_memcpy(&key.ipv6.saddr, tuple->source.bytes, 16);
	__builtin_memcpy(&key.ipv6.daddr, tuple->destination.bytes, 16);
	key.ipv6.sport = tuple->source_port;
	key.ipv6.dport = tuple->destination_port;
	return bpf_skc_lookup_tcp(skb, &key, sizeof(key.ipv6), BPF_F_CURRENT_NETNS, 0);
}

/* Of datagrams. Note that this lookup runs `proxy_lookup`, too. */
static __noinline struct bpf_sock *find_datagram_socket(struct __sk_buff *skb, const struct tuple *tuple)
{
	struct bpf_sock_tuple key;

	if (tuple->family == FAMILY_IP4) {
		__builtin_memcpy(&key.ipv4.saddr, tuple->source.bytes, 4);
		__builtin_memcpy(&key.ipv4.daddr, tuple->destination.bytes, 4);
		key.ipv4.sport = tuple->source_port;
		key.ipv4.dport = tuple->destination_port;
		return bpf_sk_lookup_udp(skb, &key, sizeof(key.ipv4), BPF_F_CURRENT_NETNS, 0);
	}
	__builtin_memcpy(&key.ipv6.saddr, tuple->source.bytes, 16);
	__builtin_memcpy(&key.ipv6.daddr, tuple->destination.bytes, 16);
	key.ipv6.sport = tuple->source_port;
	key.ipv6.dport = tuple->destination_port;
	return bpf_sk_lookup_udp(skb, &key, sizeof(key.ipv6), BPF_F_CURRENT_NETNS, 0);
}

static __always_inline int owner_by_mark(__u32 mark)
{
	__u32 magic = mark & MARK_MAGIC_MASK;

	/* Listeners have the bare magic and what they accept inherits it; upstream there is an identity. */
	if (mark == MARK_PROXY_INGRESS) return OWNER_DOWNSTREAM;
	return magic == MARK_PROXY_INGRESS || magic == MARK_PROXY_EGRESS ? OWNER_UPSTREAM : OWNER_HOST;
}

static __always_inline int owner_of(struct bpf_sock *socket, bool opens)
{
	__u32 state = socket->state;
	struct bpf_sock *full;
	int owner;

	if (state == BPF_TCP_LISTEN) return OWNER_NONE;
	/* A SYN may take up a closed connection's tuple: it is a new connection then, judged as such. */
	if (state == BPF_TCP_TIME_WAIT) return opens ? OWNER_NONE : OWNER_CLOSED;
	full = bpf_sk_fullsock(socket);
	if (!full) return OWNER_HANDSHAKE;
	owner = owner_by_mark(full->mark);
	if (owner != OWNER_DOWNSTREAM) return owner;
	if (state == BPF_TCP_LAST_ACK || state == BPF_TCP_CLOSING) return OWNER_CLOSED;
	return state == BPF_TCP_FIN_WAIT1 || state == BPF_TCP_FIN_WAIT2 ? OWNER_LEAVING : OWNER_DOWNSTREAM;
}

SEPARATE int find_owner(struct __sk_buff *skb, const struct tuple *tuple, bool opens)
{
	struct bpf_sock *socket;
	int owner;

	if (!tuple) return OWNER_NONE;
	socket = find_socket(skb, tuple);
	if (!socket) return OWNER_NONE;
	owner = owner_of(socket, opens);
	bpf_sk_release(socket);
	return owner;
}

/* It answers what the proxy has asked, at a socket that is connected to just this sender. */
SEPARATE int is_proxy_answered(struct __sk_buff *skb, const struct tuple *tuple)
{
	struct bpf_sock *socket;
	int is_answered;

	if (!tuple || tuple->protocol != PROTOCOL_UDP) return false;
	socket = find_datagram_socket(skb, tuple);
	if (!socket) return false;
	is_answered = socket->state == BPF_TCP_ESTABLISHED && owner_by_mark(socket->mark) == OWNER_UPSTREAM;
	bpf_sk_release(socket);
	return is_answered;
}

/* One, or the datagrams that the sender has left to the device to make of this packet (UDP_SEGMENT). */
static __always_inline __u64 count_opened(struct __sk_buff *skb, const struct packet *p)
{
	__u32 size = skb->gso_size;

	if (p->tuple.protocol != PROTOCOL_UDP || size == 0) return 1;
	return 1 + (p->end - p->transport) / size;
}

/*
 * GCRA: one number for a holder (shares.h), the time until which its share is used up. Two CPUs that meet both
 * try again once; who loses twice is over the rate in any case.
 */
static __noinline bool is_within_rate(struct __sk_buff *skb, const struct packet *p)
{
	const __u64 one = SECOND_NS / CONNECTIONS_PER_SECOND, cost = count_opened(skb, p) * one;
	__u64 now = bpf_ktime_get_ns(), fresh = now + cost;
	__u32 holder = holder_of(p->source.endpoint, p->destination.endpoint) |
		       (p->tuple.protocol == PROTOCOL_UDP ? HOLDER_DATAGRAMS : 0);
	__u64 *until = bpf_map_lookup_elem(&rates, &holder);

	if (!until) return bpf_map_update_elem(&rates, &holder, &fresh, BPF_NOEXIST) == 0 ||
			   bpf_map_lookup_elem(&rates, &holder);
	for (int i = 0; i < 8; i++) {
		__u64 seen = *(volatile __u64 *)until;
		__u64 next = (seen > now ? seen : now) + cost;

		if (next > now + CONNECTIONS_BURST * one) return false;
		if (__sync_val_compare_and_swap(until, seen, next) == seen) return true;
	}
	return false;
}

static __noinline __u32 seen_by_stack(const struct packet *p, __u32 ifindex)
{
	struct interface_key key = {.generation = p->generation, .ifindex = ifindex};
	struct interface_value *interface = bpf_map_lookup_elem(&interfaces, &key);

	return interface && interface->master ? interface->master : ifindex;
}

/* `ifindex`: by which its packets come in. */
static __noinline bool begin_record(struct packet *p, __u32 ifindex)
{
	struct record record = {};

	record.hold.time_ns = bpf_ktime_get_ns();
	record.hold.holder = holder_of(p->source.endpoint, p->destination.endpoint);
	record.source_identity = p->source.identity;
	record.source_check = p->source.check;
	record.source_endpoint = p->source.endpoint;
	record.destination_identity = p->destination.identity;
	record.destination_check = p->destination.check;
	record.destination_endpoint = p->destination.endpoint;
	record.generation = p->generation;
	/* Each side that is ours is asked, whichever of them has the L7 rules: there is one pass. */
	record.halves = (p->source.endpoint ? HALF_EGRESS : 0) | (p->destination.endpoint ? HALF_INGRESS : 0);
	record.ifindex = ifindex;
	record.seen_ifindex = seen_by_stack(p, ifindex);
	if (p->tuple.protocol == PROTOCOL_UDP)
		return bpf_map_update_elem(&datagrams, &p->tuple, &record, BPF_ANY) == 0;
	return keep_record(&p->tuple, &record, record.hold.holder);
}

/*
 * Without the node's `ip rule` a marked SYN would be forwarded past the proxy. It is told that this is its
 * last hop: local delivery does not look at it, forwarding refuses it.
 */
static __noinline int make_last_hop(struct __sk_buff *skb, const struct packet *p)
{
	__u8 hop = 1;
	__be16 before[1], after[1];

	if (p->tuple.family == FAMILY_IP6)
		return bpf_skb_store_bytes(skb, ETH_HLEN + 7, &hop, 1, BPF_F_RECOMPUTE_CSUM);
	if (load(skb, ETH_HLEN + 8, before, 2)) return -1;
	after[0] = (before[0] & bpf_htons(0x00ff)) | bpf_htons(1 << 8);
	if (bpf_l3_csum_replace(skb, ETH_HLEN + 10, before[0], after[0], 2)) return -1;
	return bpf_skb_store_bytes(skb, ETH_HLEN + 8, after, 2, 0);
}

/*
 * In to the node's own stack. A bridge would carry it on to the neighbour whose link address it has, past the routing
 * that knows our marks; what has the address of one of the bridge's ports is for the node itself.
 */
static __noinline int pass_to_node(struct __sk_buff *skb, const struct packet *p)
{
	struct interface_value *interface = find_interface(skb, p);

	if (!interface || !(interface->flags & INTERFACE_IS_BRIDGED)) return TC_ACT_OK;
	if (bpf_skb_store_bytes(skb, 0, interface->address, sizeof(interface->address), 0))
		return drop(p, COUNTER_UNREDIRECTABLE);
	bpf_skb_change_type(skb, PACKET_FOR_US);
	return TC_ACT_OK;
}

static __always_inline int pass_to_proxy(struct __sk_buff *skb, const struct packet *p, __u32 counter)
{
	count(counter);
	skb->mark = mark_of(MARK_TO_PROXY, p->source.identity);
	return p->is_port ? pass_to_node(skb, p) : TC_ACT_OK;
}

/* Uplinks are one to a connection (its packets may come by any of them), an endpoint's veth is itself. */
static __always_inline bool is_same_source(struct __sk_buff *skb, const struct packet *p,
					   const struct record *record)
{
	return record->source_endpoint == p->source.endpoint &&
	       (p->source.endpoint == 0 || record->ifindex == skb->ifindex);
}

/* RFC 5961 3.2: the only number at which the socket believes a reset. */
SEPARATE int is_at_next_byte(struct __sk_buff *skb, const struct packet *p)
{
	struct bpf_sock *socket, *full;
	struct bpf_tcp_sock *tcp;
	int is_next = false;

	if (!p) return false;
	socket = find_socket(skb, &p->tuple);
	if (!socket) return false;
	full = bpf_sk_fullsock(socket);
	tcp = full ? bpf_tcp_sock(full) : 0;
	if (tcp) is_next = tcp->rcv_nxt == bpf_ntohl(p->tcp_sequence);
	bpf_sk_release(socket);
	return is_next;
}

/*
 * A record is of use as long as its connection hears its client. The dead would push out the living that
 * are idle: each goes with the last packet that means anything. Anybody may send a reset and a FIN
 * in the client's name from outside; one that the socket does not believe is not the last word.
 */
static __always_inline bool is_last_word(struct __sk_buff *skb, const struct packet *p, int owner)
{
	/* Not of a handshake: an RST that comes late, of the connection before, would take the new record. */
	if (owner == OWNER_HANDSHAKE) return false;
	if (owner == OWNER_CLOSED) return true;
	if ((p->tcp_flags & TCP_RST) || (owner == OWNER_LEAVING && (p->tcp_flags & TCP_FIN)))
		return is_at_next_byte(skb, p);
	return false;
}

/* 0: the connection may go to the proxy. Else the counter that says why not. */
SEPARATE int begin_redirect(struct __sk_buff *skb, struct packet *p)
{
	if (!p) return COUNTER_RECORD_LOST;
	if (!is_within_rate(skb, p)) return COUNTER_RATE_LIMITED;
	if (!has_listener(p)) return COUNTER_NO_LISTENER;
	if (!begin_record(p, skb->ifindex)) return COUNTER_RECORD_LOST;
	/* A connection over a Service may have come in as this one, before. */
	if (p->tuple.protocol != PROTOCOL_UDP) forget_turn_back(&p->tuple);
	forget_flows(p);
	return make_last_hop(skb, p) ? COUNTER_UNREDIRECTABLE : 0;
}

static __noinline int redirect(struct __sk_buff *skb, struct packet *p)
{
	int failed = begin_redirect(skb, p);

	if (!failed) return pass_to_proxy(skb, p, COUNTER_REDIRECTED);
	/* A flood is not answered: each answer would cost what the flood wants us to spend. */
	return failed == COUNTER_RATE_LIMITED ? drop(p, failed) : refuse(skb, p, failed);
}

/* The verifier wants each word of the context read by itself, at an offset that it knows. */
#define READ_WORD(to, field)                                                                           \
	do {                                                                                           \
		__u32 word = (field);                                                                  \
		asm volatile("" : "+r"(word));                                                         \
		(to) = word;                                                                           \
	} while (0)

/* Of a connection at its SYN, or of the last datagram with these ends. */
static __always_inline struct record *find_any_record(const struct tuple *tuple)
{
	return tuple->protocol == PROTOCOL_UDP ? bpf_map_lookup_elem(&datagrams, tuple) : find_record(tuple);
}

/* The tuple of a lookup, as `from_interface` wrote it. */
static __always_inline bool name_lookup(struct bpf_sk_lookup *ctx, struct tuple *tuple)
{
	__u32 *source = (__u32 *)tuple->source.bytes, *destination = (__u32 *)tuple->destination.bytes;

	__builtin_memset(tuple, 0, sizeof(*tuple));
	tuple->protocol = ctx->protocol;
	tuple->source_port = ctx->remote_port;
	tuple->destination_port = bpf_htons(ctx->local_port);
	if (ctx->family == FAMILY_INET) {
		tuple->family = FAMILY_IP4;
		READ_WORD(source[0], ctx->remote_ip4);
		READ_WORD(destination[0], ctx->local_ip4);
		return true;
	}
	if (ctx->family != FAMILY_INET6) return false;
	tuple->family = FAMILY_IP6;
	READ_WORD(source[0], ctx->remote_ip6[0]);
	READ_WORD(source[1], ctx->remote_ip6[1]);
	READ_WORD(source[2], ctx->remote_ip6[2]);
	READ_WORD(source[3], ctx->remote_ip6[3]);
	READ_WORD(destination[0], ctx->local_ip6[0]);
	READ_WORD(destination[1], ctx->local_ip6[1]);
	READ_WORD(destination[2], ctx->local_ip6[2]);
	READ_WORD(destination[3], ctx->local_ip6[3]);
	return true;
}

#endif
