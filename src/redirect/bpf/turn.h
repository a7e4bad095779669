/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets that are for the proxy and are on their way out to an endpoint: of the node itself (judged like
 * others, and SETTING_HOST_REDIRECTED says that this can work), and answers to the proxy that came by a way
 * without our programs. They are turned round and come in again by the endpoint's interface, where
 * `from_interface` lets them through to the node's own stack:
 *
 *     node's program ─► to_endpoint ─┐ mark TO_PROXY, record
 *                                    └─► from_interface of the same interface ─► ip rule ─► the proxy
 *
 * IPv4 wants accept_local on that interface for the node's own addresses, and no strict rp_filter. Answers
 * that are forwarded come this far only without tcp_early_demux: the kernel drops what it would forward
 * once a socket of the node's has been found for it.
 */
#ifndef SALLYPORT_TURN_H
#define SALLYPORT_TURN_H

#include <linux/pkt_cls.h>

#include "packet.h"
#include "proxy.h"
#include "refuse.h"
#include "shares.h"

static __noinline int turn_round(struct __sk_buff *skb, const struct packet *p, __u32 counter)
{
	count(counter);
	skb->mark = mark_of(MARK_TO_PROXY, p->source.identity);
	return bpf_redirect(skb->ifindex, BPF_F_INGRESS);
}

/* Of this interface, and begun by nobody that has an interface of ours, or over a Service (service.h). */
static __noinline bool is_turned_record(struct __sk_buff *skb, const struct packet *p)
{
	struct record *record = find_record(&p->tuple);

	if (!record || record->ifindex != skb->ifindex) return false;
	return record->source_endpoint == 0 || find_turn_back(&p->tuple);
}

/* TC_ACT_UNSPEC: no connection of the proxy. */
static __noinline int turn_owned(struct __sk_buff *skb, struct packet *p)
{
	int owner = find_owner(skb, &p->tuple, opens_connection(p));

	if (owner == OWNER_UPSTREAM) return turn_round(skb, p, COUNTER_OWNED);
	if (opens_connection(p) && owner == OWNER_NONE) return TC_ACT_UNSPEC;
	if (!is_turned_record(skb, p)) return TC_ACT_UNSPEC;
	return turn_round(skb, p, COUNTER_OWNED);
}

/*
 * Who sent it is told at once, as if the endpoint had answered: a program of the node directly, others over
 * the node's connection tracking, which may have to undo a NAT. Who came by an interface that we do not
 * know may not be on this machine.
 */
static __noinline int refuse_out(struct __sk_buff *skb, struct packet *p, __u32 counter)
{
	drop(p, counter);
	if (p->tuple.protocol != PROTOCOL_TCP) return TC_ACT_SHOT;
	if (skb->ingress_ifindex != 0 && p->source.endpoint == 0 && !p->is_known_way) return TC_ACT_SHOT;
	if (!become_reset(skb, p)) return TC_ACT_SHOT;
	skb->mark = skb->ingress_ifindex == 0 ? mark_of(MARK_TO_PROXY, 0) : MARK_RETURNED;
	return bpf_redirect(skb->ifindex, BPF_F_INGRESS);
}

static __noinline int turn_opening(struct __sk_buff *skb, struct packet *p)
{
	int failed = begin_redirect(skb, p);

	if (!failed) return turn_round(skb, p, COUNTER_REDIRECTED);
	return failed == COUNTER_RATE_LIMITED ? drop(p, failed) : refuse_out(skb, p, failed);
}

/*
 * In again. A pod cannot set this mark: it does not survive the way out of its namespace. What it says
 * is looked up all the same.
 */
static __noinline int pass_turned(struct __sk_buff *skb, struct packet *p)
{
	int owner;

	if (parse_rest(skb, p) != PARSED || p->tuple.protocol != PROTOCOL_TCP)
		return drop(p, COUNTER_FOREIGN_SOURCE);
	owner = find_owner(skb, &p->tuple, opens_connection(p));
	if (owner != OWNER_UPSTREAM && !(owner == OWNER_HOST && (p->tcp_flags & TCP_RST))) {
		if (!is_turned_record(skb, p)) return drop(p, COUNTER_FOREIGN_SOURCE);
		if (is_last_word(skb, p, owner)) forget_record(&p->tuple);
	}
	/* It carries the endpoint's link address, and would be taken for somebody else's. */
	bpf_skb_change_type(skb, PACKET_FOR_US);
	return pass_to_node(skb, p);
}

#endif
