/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that pass without the proxy. A flow lies in the table as its asker sent the first packet, and
 * its answers find it turned round. A new policy asks again at the next packet, in the flow's own
 * orientation: an answer is never judged as if it were a question.
 *
 * A flow belongs to the sender of its first packet. A NAT of the node's may have put its own address in the place of
 * the sender's (`is_translated`): the answers to that address are answers to the sender all the same.
 *
 * Who is behind the address of a Service may change within one policy (the epoch). TCP goes on as it was judged, as it
 * stays with the backend that it has; another protocol may be led to the next one, and is asked again.
 *
 * A TCP flow that is refused stays as a stone (time_ns 0): were it forgotten, the next packet without SYN
 * could pass for the answer of a connection that the other side began.
 */
#ifndef SALLYPORT_FLOW_H
#define SALLYPORT_FLOW_H

#include "judge.h"
#include "packet.h"
#include "shares.h"

enum flow_answer {
	FLOW_UNKNOWN = 0,
	FLOW_PASSES,
	FLOW_REFUSED,
};

/* An echo's question never counts as its answer, nor the other way. Other ICMP has no flow. */
static __always_inline bool may_ask(const struct packet *p)
{
	return !is_icmp(p) || p->icmp == ICMP_ECHO_ASKS;
}

static __always_inline bool may_answer(const struct packet *p)
{
	return !is_icmp(p) || p->icmp == ICMP_ECHO_ANSWERS;
}

static __always_inline __u32 epoch_of(const struct packet *p)
{
	return p->setting_flags >> SETTING_EPOCH_SHIFT;
}

/* Judged by what is in force. */
static __always_inline bool is_current(const struct packet *p, const struct flow *flow)
{
	if (flow->generation != p->generation) return false;
	return p->tuple.protocol == PROTOCOL_TCP || flow->epoch == epoch_of(p);
}

static __always_inline bool is_expired(const struct packet *p, const struct flow *flow, __u64 now)
{
	__u64 idle = p->tuple.protocol == PROTOCOL_TCP ? FLOW_IDLE_TCP_NS : FLOW_IDLE_OTHER_NS;

	return flow->hold.time_ns != 0 && flow->hold.time_ns < now && now - flow->hold.time_ns > idle;
}

/* Who asked, when the address that is answered is only what a NAT put in its place. */
static __noinline int judge_for_asker(struct packet *p, const struct flow *flow)
{
	__u32 answered = p->destination.endpoint, identity = p->destination.identity;
	struct endpoint_value *asker;
	int verdict = VERDICT_DENY;

	p->destination.endpoint = flow->source_endpoint;
	p->destination.identity = flow->source_identity;
	if (flow->source_endpoint != 0) {
		asker = find_endpoint(p, flow->source_endpoint);
		p->destination.identity = asker ? asker->identity : 0;
	}
	verdict = judge(p, true);
	p->destination.endpoint = answered;
	p->destination.identity = identity;
	return verdict;
}

static __always_inline int judge_flow(struct packet *p, struct tuple *key, struct flow *flow, bool reversed)
{
	int verdict = reversed && flow->is_translated ? judge_for_asker(p, flow) : judge(p, reversed);

	if (verdict == VERDICT_ALLOW) {
		flow->hold.time_ns = bpf_ktime_get_ns();
		flow->generation = p->generation;
		flow->epoch = epoch_of(p);
		flow->is_dialled = p->is_dialled;
		return FLOW_PASSES;
	}
	/* A refusal for a side's own reason is counted there; a redirect came too late for this one. */
	if (verdict == VERDICT_REDIRECT) p->refusal = COUNTER_STALE;
	if (p->tuple.protocol == PROTOCOL_TCP) {
		flow->hold.time_ns = 0;
		flow->generation = p->generation;
	} else {
		forget_flow(key);
		/* A datagram can go to the proxy in the midst of others. */
		if (verdict == VERDICT_REDIRECT && !reversed && p->tuple.protocol == PROTOCOL_UDP)
			return FLOW_UNKNOWN;
	}
	return FLOW_REFUSED;
}

/* Of whom it was: an address, or what a NAT put in its place, may be another's by now. */
static __always_inline bool is_same_asker(const struct packet *p, const struct flow *flow, bool reversed)
{
	if (reversed)
		return flow->is_translated || flow->source_endpoint == p->destination.endpoint;
	if (flow->source_endpoint != p->source.endpoint || flow->is_translated != p->is_translated)
		return false;
	return !p->is_translated || p->source.endpoint != 0 || flow->source_identity == p->source.identity;
}

/*
 * How far the connection has come. Only an endpoint of ours is believed that it is over: anybody may send a
 * reset in another's name from outside. Nothing depends on it but who gives up a seat first.
 */
static __always_inline void note_progress(const struct packet *p, struct flow *flow, bool reversed)
{
	__u8 state = flow->hold.state;

	if ((p->tcp_flags & (TCP_FIN | TCP_RST)) && p->source.endpoint != 0) {
		if (state != HOLD_ENDED) flow->hold.state = HOLD_ENDED;
	} else if (state == HOLD_OPENING && reversed) {
		flow->hold.state = p->tuple.protocol == PROTOCOL_TCP ? HOLD_ANSWERED : HOLD_OPEN;
	} else if (state == HOLD_ANSWERED && !reversed) {
		flow->hold.state = HOLD_OPEN;
	}
}

static __noinline int ask_flow(struct packet *p, struct flow *flow, struct tuple *key, bool reversed)
{
	__u64 now;

	if (!flow) return FLOW_UNKNOWN;
	now = bpf_ktime_get_ns();
	if (!is_same_asker(p, flow, reversed) || is_expired(p, flow, now)) {
		forget_flow(key);
		return FLOW_UNKNOWN;
	}
	note_progress(p, flow, reversed);
	if (!is_current(p, flow)) return judge_flow(p, key, flow, reversed);
	if (flow->hold.time_ns == 0) {
		p->refusal = COUNTER_STALE;
		return FLOW_REFUSED;
	}
	if (!reversed) p->is_dialled = flow->is_dialled;
	if (now - flow->hold.time_ns > FLOW_TOUCH_NS) flow->hold.time_ns = now;
	return FLOW_PASSES;
}

SEPARATE int ask_flows(struct packet *p)
{
	struct tuple turned;
	int answer = FLOW_UNKNOWN;

	if (!p) return FLOW_REFUSED;
	reverse(&p->tuple, &turned);
	/* Where most of them are, both ways, before where few are. */
	if (may_ask(p)) answer = ask_flow(p, bpf_map_lookup_elem(&flows, &p->tuple), &p->tuple, false);
	if (answer == FLOW_UNKNOWN && may_answer(p))
		answer = ask_flow(p, bpf_map_lookup_elem(&flows, &turned), &turned, true);
	if (answer == FLOW_UNKNOWN && may_ask(p))
		answer = ask_flow(p, bpf_map_lookup_elem(&spare_flows, &p->tuple), &p->tuple, false);
	if (answer == FLOW_UNKNOWN && may_answer(p))
		answer = ask_flow(p, bpf_map_lookup_elem(&spare_flows, &turned), &turned, true);
	return answer;
}

/* False: no room, which only a broken table has; the packet is refused then. */
static __noinline bool begin_flow(struct packet *p, bool reversed)
{
	struct flow flow = {};
	struct tuple turned;

	if (is_icmp(p) && p->icmp != ICMP_ECHO_ASKS) return true;
	flow.hold.time_ns = bpf_ktime_get_ns();
	flow.generation = p->generation;
	flow.source_endpoint = reversed ? p->destination.endpoint : p->source.endpoint;
	flow.source_identity = reversed ? p->destination.identity : p->source.identity;
	flow.is_translated = !reversed && p->is_translated;
	flow.epoch = epoch_of(p);
	flow.is_dialled = p->is_dialled;
	if (!reversed)
		return keep_flow(&p->tuple, &flow,
				 holder_of(p->source.endpoint, p->destination.endpoint));
	/* In the middle of one: nobody can tell that it was ever answered, so it has been. */
	flow.hold.state = HOLD_OPEN;
	reverse(&p->tuple, &turned);
	return keep_flow(&turned, &flow, holder_of(p->destination.endpoint, p->source.endpoint));
}

/* The tuple goes to the proxy now, and what it was before is over. */
static __noinline void forget_flows(struct packet *p)
{
	struct tuple turned;

	forget_flow(&p->tuple);
	reverse(&p->tuple, &turned);
	forget_flow(&turned);
}

static __always_inline bool opens_connection(const struct packet *p)
{
	return p->tuple.protocol == PROTOCOL_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/*
 * TCP in the middle of a connection is older than our programs, or its flow was evicted. Only for a while
 * after an interface got the programs, and only with an ACK, as every packet of a live connection has.
 */
static __always_inline bool is_adopted(const struct packet *p)
{
	return (p->tcp_flags & (TCP_ACK | TCP_RST)) == TCP_ACK && bpf_ktime_get_ns() < p->adopts_until_ns;
}

/*
 * A packet that no flow and no socket answers for. One in the middle of a connection that is adopted may
 * pass if either side might have begun it, and if neither way is the proxy's.
 */
SEPARATE int judge_new(struct packet *p)
{
	int verdict, answering;
	bool reversed = false, is_dialled;
	__u32 refusal;

	if (!p) return VERDICT_DENY;
	verdict = judge(p, false);
	refusal = p->refusal;
	is_dialled = p->is_dialled;
	if (p->tuple.protocol == PROTOCOL_TCP && !opens_connection(p) && verdict != VERDICT_REDIRECT) {
		answering = judge(p, true);
		p->refusal = refusal;
		if (answering == VERDICT_REDIRECT) return VERDICT_REDIRECT;
		if (verdict == VERDICT_ALLOW) p->is_dialled = is_dialled;
		if (verdict == VERDICT_DENY && answering == VERDICT_ALLOW) {
			verdict = answering;
			reversed = true;
		}
		if (verdict == VERDICT_ALLOW && !is_adopted(p)) {
			p->refusal = COUNTER_STALE;
			return VERDICT_DENY;
		}
	}
	if (verdict != VERDICT_ALLOW) return verdict;
	if (begin_flow(p, reversed)) return VERDICT_ALLOW;
	p->refusal = COUNTER_STALE;
	return VERDICT_DENY;
}

/* What an ICMP error quotes: the head of the packet that it answers. */
static __noinline int load_quoted(struct __sk_buff *skb, struct packet *p, struct tuple *quoted)
{
	__u32 offset = p->transport + 8;
	__be16 ports_quoted[3];

	__builtin_memset(quoted, 0, sizeof(*quoted));
	quoted->family = p->tuple.family;
	if (p->tuple.family == FAMILY_IP4) {
		struct iphdr ip;

		if (load(skb, offset, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5) return -1;
		if (bpf_ntohs(ip.frag_off) & IP4_FRAGMENT_OFFSET) return -1;
		quoted->protocol = ip.protocol;
		__builtin_memcpy(quoted->source.bytes, &ip.saddr, 4);
		__builtin_memcpy(quoted->destination.bytes, &ip.daddr, 4);
		offset += ip.ihl * 4;
	} else {
		struct ipv6hdr ip;

		if (load(skb, offset, &ip, sizeof(ip)) || ip.version != 6) return -1;
		quoted->protocol = ip.nexthdr;
		__builtin_memcpy(quoted->source.bytes, &ip.saddr, 16);
		__builtin_memcpy(quoted->destination.bytes, &ip.daddr, 16);
		offset += IP6_BYTES;
	}
	if (load(skb, offset, ports_quoted, sizeof(ports_quoted))) return -1;
	if (has_ports(quoted->protocol)) {
		quoted->source_port = ports_quoted[0];
		quoted->destination_port = ports_quoted[1];
	} else if (quoted->protocol == PROTOCOL_ICMP || quoted->protocol == PROTOCOL_ICMP6) {
		quoted->source_port = ports_quoted[2]; /* the identifier of an echo */
	}
	return 0;
}

static __always_inline bool is_same(const struct ip *one, const struct ip *other)
{
	const __u32 *a = (const __u32 *)one->bytes, *b = (const __u32 *)other->bytes;

	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

/* An error goes to who sent the quoted packet; an endpoint speaks of packets that were sent to itself. */
static __always_inline bool is_honest_quote(const struct packet *p, const struct tuple *quoted)
{
	return is_same(&quoted->source, &p->tuple.destination) &&
	       (p->addressed.endpoint == 0 || is_same(&quoted->destination, &p->tuple.source));
}

static __noinline bool is_living_flow(const struct tuple *key)
{
	struct flow *flow = find_flow(key);

	return flow && flow->hold.time_ns != 0;
}

#endif
