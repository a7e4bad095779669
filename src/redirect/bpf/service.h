/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections over a Service (DNAT by the node, most often with its own address put in the place of the
 * sender's) whose receiver has L7 rules. At the sender's interface nobody knew the receiver; at the
 * receiver's the node's connection tracking has its hand on the packet already, and would take one that
 * comes in again for another connection that gets in its way. So it comes in as from the sender itself,
 * with a port of ours, and what the proxy answers goes back as the receiver's own answer:
 *
 *     sender ─► DNAT, SNAT ─► to_endpoint ─┐ source: sender, port of ours; record, turn, turn_back
 *                                          └─► in by the sender's interface ─► ip rule ─► the proxy
 *     sender ◄── NAT undone ◄── in by the receiver's interface ◄─ to_endpoint ◄── the proxy's answer
 */
#ifndef SALLYPORT_SERVICE_H
#define SALLYPORT_SERVICE_H

#include <linux/pkt_cls.h>

#include "flow.h"
#include "neighbour.h"
#include "packet.h"
#include "proxy.h"
#include "refuse.h"
#include "shares.h"
#include "turn.h"

/* Below what clients get from their systems (Linux: 32768 and up). */
#define TURN_PORT_MIN 1024
#define TURN_PORT_MAX 32767
#define TURN_PORT_TRIES 16

#define IP4_CHECK (ETH_HLEN + 10)
#define TCP_CHECK 16

enum end {
	END_SOURCE = 0,
	END_DESTINATION = 1,
};

/* Another address and port at one end of the packet, checksums and all. */
SEPARATE int write_end(struct __sk_buff *skb, const struct packet *p, const struct ip *ip, __be16 port,
		       int end)
{
	__u32 port_at, check, address_at;
	const struct ip *before;
	__be16 port_before;
	__s64 sum;

	if (!p || !ip) return -1;
	before = end == END_SOURCE ? &p->tuple.source : &p->tuple.destination;
	port_before = end == END_SOURCE ? p->tuple.source_port : p->tuple.destination_port;
	port_at = p->transport + (end == END_SOURCE ? 0 : 2);
	check = p->transport + TCP_CHECK;
	sum = bpf_csum_diff((__be32 *)before->bytes, 16, (__be32 *)ip->bytes, 16, 0);
	if (bpf_l4_csum_replace(skb, check, 0, (__u32)sum, BPF_F_PSEUDO_HDR)) return -1;
	if (bpf_l4_csum_replace(skb, check, port_before, port, 2)) return -1;
	if (bpf_skb_store_bytes(skb, port_at, &port, 2, BPF_F_INVALIDATE_HASH)) return -1;
	if (p->tuple.family == FAMILY_IP6) {
		address_at = ETH_HLEN + (end == END_SOURCE ? 8 : 24);
		return bpf_skb_store_bytes(skb, address_at, ip, 16, BPF_F_INVALIDATE_HASH);
	}
	address_at = ETH_HLEN + (end == END_SOURCE ? 12 : 16);
	if (bpf_l3_csum_replace(skb, IP4_CHECK, 0, (__u32)sum, 0)) return -1;
	return bpf_skb_store_bytes(skb, address_at, ip, 4, BPF_F_INVALIDATE_HASH);
}

static __noinline int come_in_again(struct __sk_buff *skb, struct packet *p, const struct turn *turn,
				    __u32 counter)
{
	/* The caller's is the map's: it may be another's by the time that it is read again. */
	struct turn as = *turn;

	if (write_end(skb, p, &as.source, as.source_port, END_SOURCE)) return drop(p, COUNTER_UNREDIRECTABLE);
	count(counter);
	skb->mark = mark_of(MARK_TO_PROXY, p->source.identity);
	return bpf_redirect(as.ifindex, BPF_F_INGRESS);
}

/* A sender whom we know, or the proxy, has gone on with its connection, or ends it. */
static __always_inline void note_end(struct hold *hold, const struct packet *p)
{
	__u8 state = p->tcp_flags & (TCP_FIN | TCP_RST) ? HOLD_ENDED : HOLD_OPEN;

	if (hold->state < state) hold->state = state;
}

/* Of a connection that came in again already. TC_ACT_UNSPEC: it is none. */
static __noinline int turn_known(struct __sk_buff *skb, struct packet *p)
{
	struct turn *turn = find_turn(&p->tuple);

	if (!turn || turn->source_endpoint != p->source.endpoint) return TC_ACT_UNSPEC;
	note_end(&turn->hold, p);
	return come_in_again(skb, p, turn, COUNTER_OWNED);
}

/* The sender's own address: what the packet has, or what a NAT took from it. False: it has none. */
static __noinline bool find_own_address(const struct packet *p, struct ip *own)
{
	struct endpoint_value *sender;

	*own = p->tuple.source;
	if (!p->is_translated) return true;
	sender = find_endpoint(p, p->source.endpoint);
	if (p->source.endpoint == 0 || !sender) return false;
	*own = p->tuple.family == FAMILY_IP4 ? sender->ip4 : sender->ip6;
	return !is_unspecified(own);
}

/*
 * Nobody comes in by it. `as` is the tuple with the sender's own address. The record goes with its
 * connection; what is left of one in `returns` is nobody's.
 */
static __noinline bool find_port(struct tuple *as)
{
	__u32 hash = (__u32)as->source_port * 0x9e3779b1 ^ bpf_get_prandom_u32();

	for (int i = 0; i < TURN_PORT_TRIES; i++) {
		as->source_port =
			bpf_htons(TURN_PORT_MIN + (hash + i) % (TURN_PORT_MAX - TURN_PORT_MIN + 1));
		if (!find_record(as)) return true;
	}
	return false;
}

/* A SYN that is sent again, or takes up the tuple of a connection before, keeps its port. */
static __noinline bool choose_turn(struct __sk_buff *skb, struct packet *p, struct turn *turn)
{
	struct turn *known = find_turn(&p->tuple);
	struct tuple as = p->tuple;

	if (!find_own_address(p, &as.source)) return false;
	turn->source = as.source;
	turn->source_endpoint = p->source.endpoint;
	/* An endpoint's number is its interface, which is not told where a bridge has brought the packet to the node. */
	READ_WORD(turn->ifindex, skb->ingress_ifindex);
	if (!p->is_known_way) turn->ifindex = p->source.endpoint;
	if (known && known->source_endpoint == p->source.endpoint && known->ifindex == turn->ifindex &&
	    is_same(&known->source, &as.source))
		as.source_port = known->source_port;
	else if (!find_port(&as)) return false;
	turn->source_port = as.source_port;
	return true;
}

static __always_inline void become_as_sent(struct packet *p, const struct turn_back *back)
{
	p->tuple.source = back->source;
	p->tuple.source_port = back->source_port;
}

/* 0, or the counter that says why not. `p` is what comes in again when it is 0. */
SEPARATE int begin_turn(struct __sk_buff *skb, struct packet *p)
{
	struct turn turn = {};
	struct turn_back back = {};
	__u32 holder;

	if (!p || !choose_turn(skb, p, &turn)) return COUNTER_UNREDIRECTABLE;
	if (!is_within_rate(skb, p)) return COUNTER_RATE_LIMITED;
	holder = holder_of(p->source.endpoint, p->destination.endpoint);
	back.source = p->tuple.source;
	back.source_port = p->tuple.source_port;
	back.ifindex = skb->ifindex;
	forget_flows(p);
	if (!keep_turn(&p->tuple, &turn, holder)) return COUNTER_RECORD_LOST;
	p->tuple.source = turn.source;
	p->tuple.source_port = turn.source_port;
	if (!has_listener(p)) {
		become_as_sent(p, &back);
		return COUNTER_NO_LISTENER;
	}
	if (!keep_turn_back(&p->tuple, &back, holder) || !begin_record(p, turn.ifindex)) {
		become_as_sent(p, &back);
		return COUNTER_RECORD_LOST;
	}
	become_as_sent(p, &back);
	return make_last_hop(skb, p) ? COUNTER_UNREDIRECTABLE : 0;
}

static __noinline int turn_service(struct __sk_buff *skb, struct packet *p)
{
	int failed = begin_turn(skb, p);
	struct turn *turn = find_turn(&p->tuple);

	if (!failed && turn) return come_in_again(skb, p, turn, COUNTER_REDIRECTED);
	if (failed == COUNTER_RATE_LIMITED) return drop(p, failed);
	return refuse_out(skb, p, failed ? failed : COUNTER_RECORD_LOST);
}

/* What the proxy says to who came in again. TC_ACT_UNSPEC: it says it to somebody else. */
static __noinline int turn_answer(struct __sk_buff *skb, struct packet *p)
{
	struct turn_back *back, as;
	struct tuple turned;

	if (bpf_ntohs(p->tuple.destination_port) > TURN_PORT_MAX) return TC_ACT_UNSPEC;
	reverse(&p->tuple, &turned);
	back = find_turn_back(&turned);
	if (!back) return TC_ACT_UNSPEC;
	note_end(&back->hold, p);
	as = *back;
	if (write_end(skb, p, &as.source, as.source_port, END_DESTINATION))
		return drop(p, COUNTER_UNREDIRECTABLE);
	count(COUNTER_FROM_PROXY);
	skb->mark = MARK_RETURNED;
	return bpf_redirect(as.ifindex, BPF_F_INGRESS);
}

/*
 * In by the interface of who is said to have answered: the node's connection tracking takes it from here. On the way
 * the stack forgets a port, so the mark tells whose it is, as with all that comes in there.
 */
static __always_inline int pass_returned(struct __sk_buff *skb, const struct packet *p)
{
	struct interface_value *interface = find_interface(skb, p);
	bool is_port = interface && (interface->flags & INTERFACE_IS_PORT);

	skb->mark = is_port ? mark_of(MARK_SENT, interface->endpoint) : 0;
	bpf_skb_change_type(skb, PACKET_FOR_US);
	return pass_to_node(skb, p);
}

#endif
