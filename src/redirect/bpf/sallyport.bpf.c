// SPDX-License-Identifier: Apache-2.0
/*
 * The kernel's part of the redirect. The way of a packet:
 *
 *     endpoint's veth or uplink                         forwarded, or from the node itself
 *       │ from_interface (tcx ingress)                    │ to_endpoint (tcx egress)
 *       ▼                                                 ▼
 *     parse ── VLAN, not IP, source route, ... ─► drop   marked by us or by the proxy ─► pass
 *       ▼                                                 ▼
 *     whose interface? is the source its own? ─► drop    parse, judge; what is the proxy's is turned
 *       ▼                                                 ▼  round and comes in on the left (turn.h)
 *     a flow that passes without the proxy ─► pass       pass and remember the flow, or drop
 *       ▼
 *     a socket of the proxy has it ─► mark TO_PROXY
 *       ▼
 *     judge: sender's egress, receiver's ingress
 *       ├─ deny ─────► refuse (TCP: RST)
 *       ├─ allow ────► remember the flow, mark JUDGED, pass
 *       └─ redirect ─► SYN: record[tuple], mark TO_PROXY; else refuse (older than its rule)
 *                             │ ip rule: local delivery
 *                             ▼
 *                      proxy_lookup (sk_lookup): record → a live listener of the sockmap
 *
 * Everything that is not understood, not found or not in force is refused.
 */
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "layout.h"
#include "maps.h"
#include "packet.h"
#include "judge.h"
#include "flow.h"
#include "refuse.h"
#include "proxy.h"
#include "neighbour.h"
#include "turn.h"

static __always_inline int pass_judged(struct __sk_buff *skb, const struct packet *p)
{
	count(COUNTER_PASSED);
	skb->mark = mark_of(MARK_JUDGED, p->destination.endpoint);
	return TC_ACT_OK;
}

/* Others may have marked it for themselves; only what we would believe later is taken off. */
static __always_inline int pass_unmarked(struct __sk_buff *skb)
{
	skb->mark &= ~MARK_MAGIC_MASK;
	return TC_ACT_OK;
}

static __noinline struct interface_value *find_interface(struct __sk_buff *skb, const struct packet *p)
{
	struct interface_key key = {.generation = p->generation, .ifindex = skb->ifindex};

	return bpf_map_lookup_elem(&interfaces, &key);
}

static __always_inline void read_settings(struct packet *p)
{
	__u32 zero = 0;
	struct settings *in_force = bpf_map_lookup_elem(&settings, &zero);

	if (!in_force) return;
	/* Once for each packet: all of it is judged by one generation. */
	p->generation = *(volatile __u32 *)&in_force->generation;
	p->setting_flags = in_force->flags;
}

/* False: the source is not one that this interface may send from. */
static __noinline bool find_source(struct packet *p, const struct interface_value *interface)
{
	struct endpoint_value *endpoint;

	find_side(p, &p->tuple.source, &p->source);
	if (interface->kind == INTERFACE_UPLINK)
		/* Ours come from our own interfaces, and the node does not talk to itself over a wire. */
		return p->source.endpoint == 0 && p->source.identity != IDENTITY_HOST;
	if (interface->endpoint == 0 || p->source.endpoint != interface->endpoint) return false;
	endpoint = find_endpoint(p, interface->endpoint);
	if (!endpoint) return false;
	p->source.identity = endpoint->identity;
	p->source.check = endpoint->check;
	return true;
}

/* An error about a packet of a connection that we know belongs to that connection. */
static __noinline int pass_error(struct __sk_buff *skb, struct packet *p, bool from_interface)
{
	struct tuple quoted, turned;

	if (load_quoted(skb, p, &quoted) || !is_honest_quote(p, &quoted)) return TC_ACT_UNSPEC;
	reverse(&quoted, &turned);
	if (is_living_flow(&quoted) || is_living_flow(&turned)) return pass_judged(skb, p);
	if (!from_interface || quoted.protocol != PROTOCOL_TCP) return TC_ACT_UNSPEC;
	if (find_owner(skb, &turned, false) == OWNER_NONE) return TC_ACT_UNSPEC;
	return pass_to_proxy(skb, p, COUNTER_OWNED);
}

/* TCP of a connection that has a socket here. TC_ACT_UNSPEC: the proxy has nothing to do with it. */
static __noinline int pass_owned(struct __sk_buff *skb, struct packet *p, int owner)
{
	struct record *record;

	if (owner == OWNER_UPSTREAM) return pass_to_proxy(skb, p, COUNTER_OWNED);
	record = bpf_map_lookup_elem(&records, &p->tuple);
	if (!record) {
		/* Evicted: whose connection this was cannot be told any more. */
		if (owner == OWNER_DOWNSTREAM || owner == OWNER_LEAVING)
			return refuse(skb, p, COUNTER_RECORD_LOST);
		return owner == OWNER_CLOSED ? pass_to_proxy(skb, p, COUNTER_OWNED) : TC_ACT_UNSPEC;
	}
	/* The address is another endpoint's now, and its connections are not inherited. */
	if (!is_same_source(skb, p, record)) return refuse(skb, p, COUNTER_FOREIGN_SOURCE);
	if (is_last_word(p, owner)) bpf_map_delete_elem(&records, &p->tuple);
	return pass_to_proxy(skb, p, COUNTER_OWNED);
}

/* Without a socket: a SYN cookie's answer has none yet, and the record of its SYN speaks for it. */
static __noinline int pass_recorded(struct __sk_buff *skb, struct packet *p)
{
	struct record *record = bpf_map_lookup_elem(&records, &p->tuple);

	if (!record) return TC_ACT_UNSPEC;
	if (!is_same_source(skb, p, record)) return refuse(skb, p, COUNTER_FOREIGN_SOURCE);
	/* Nobody listens: the stack would be silent. */
	if (!has_listener(p)) return refuse(skb, p, COUNTER_NO_LISTENER);
	return pass_to_proxy(skb, p, COUNTER_OWNED);
}

static __noinline int decide_tcp(struct __sk_buff *skb, struct packet *p)
{
	bool opens = opens_connection(p);
	int known = opens ? FLOW_UNKNOWN : ask_flows(p);
	__u32 refusal = p->refusal;
	int owner, action, verdict;

	if (known == FLOW_PASSES) return pass_judged(skb, p);
	owner = find_owner(skb, &p->tuple, opens);
	if (owner != OWNER_NONE) {
		action = pass_owned(skb, p, owner);
		if (action != TC_ACT_UNSPEC) return action;
	}
	if (known == FLOW_REFUSED) return refuse(skb, p, refusal);
	if (!opens && owner == OWNER_NONE) {
		action = pass_recorded(skb, p);
		if (action != TC_ACT_UNSPEC) return action;
	}
	verdict = judge_new(p);
	if (verdict == VERDICT_ALLOW) {
		/* A record that stayed would take this connection to the proxy. */
		if (opens) bpf_map_delete_elem(&records, &p->tuple);
		return pass_judged(skb, p);
	}
	if (verdict == VERDICT_DENY) return refuse(skb, p, p->refusal);
	return opens ? redirect(skb, p) : refuse(skb, p, COUNTER_STALE);
}

static __noinline int decide_other(struct __sk_buff *skb, struct packet *p)
{
	int known = ask_flows(p);
	int verdict, action;

	if (known == FLOW_PASSES) return pass_judged(skb, p);
	if (known == FLOW_REFUSED) return drop(p, p->refusal);
	if (p->icmp == ICMP_ERROR) {
		action = pass_error(skb, p, true);
		if (action != TC_ACT_UNSPEC) return action;
	}
	verdict = judge_new(p);
	if (verdict == VERDICT_ALLOW) return pass_judged(skb, p);
	return drop(p, verdict == VERDICT_DENY ? p->refusal : COUNTER_UNREDIRECTABLE);
}

static __always_inline int from_known_interface(struct __sk_buff *skb, struct packet *p,
					   const struct interface_value *interface)
{
	bool is_own = find_source(p, interface);
	int parsed;

	if (interface->kind == INTERFACE_UPLINK) {
		if (!is_own) return drop(p, COUNTER_FOREIGN_SOURCE);
		find_side(p, &p->tuple.destination, &p->destination);
		/* For the node, or only passing: `to_endpoint` is there should a router turn it to one. */
		if (p->destination.endpoint == 0) return pass_unmarked(skb);
	}
	parsed = parse_rest(skb, p);
	if (parsed > 0) return drop(p, parsed);
	if (parsed == PARSED_NEIGHBOUR) {
		if (is_neighbour(p, is_own, interface->kind)) return pass_neighbour(skb, p);
		return drop(p, COUNTER_FOREIGN_SOURCE);
	}
	if (!is_own) return drop(p, COUNTER_FOREIGN_SOURCE);
	if (interface->kind == INTERFACE_ENDPOINT)
		find_side(p, &p->tuple.destination, &p->destination);
	if (p->tuple.protocol == PROTOCOL_TCP) return decide_tcp(skb, p);
	return decide_other(skb, p);
}

static __always_inline int before_the_first_generation(struct __sk_buff *skb, struct packet *p)
{
	if (parse_rest(skb, p) == PARSED_NEIGHBOUR && is_neighbour(p, false, INTERFACE_ENDPOINT))
		return pass_neighbour(skb, p);
	return drop(p, COUNTER_NO_GENERATION);
}

SEC("tc")
int from_interface(struct __sk_buff *skb)
{
	struct packet p = {};
	struct interface_value *interface;
	int parsed = parse_network(skb, &p);

	if (parsed == PARSED_ARP) return pass_unmarked(skb);
	if (parsed > 0) return drop(&p, parsed);
	if ((skb->mark & MARK_MAGIC_MASK) == MARK_TO_PROXY) return pass_turned(skb, &p);
	read_settings(&p);
	if (p.generation == 0) return before_the_first_generation(skb, &p);
	interface = find_interface(skb, &p);
	if (!interface || (interface->kind != INTERFACE_ENDPOINT && interface->kind != INTERFACE_UPLINK))
		return drop(&p, COUNTER_UNKNOWN_INTERFACE);
	return from_known_interface(skb, &p, interface);
}

/*
 * Who sends to an endpoint without having been judged for it. False: who lies about it. What was judged for
 * another is no liar: its source was looked at, and may be another by the node's own NAT.
 */
static __always_inline bool find_other_source(struct __sk_buff *skb, struct packet *p, __u32 magic)
{
	find_side(p, &p->tuple.source, &p->source);
	if (magic == MARK_JUDGED) return true;
	if (skb->ingress_ifindex == 0) {
		p->source.identity = IDENTITY_HOST;
		p->source.endpoint = 0;
		return true;
	}
	return p->source.endpoint == 0 && p->source.identity != IDENTITY_HOST;
}

/* As `find_source`: identity and policy of the receiver are the interface's. */
static __noinline bool find_receiver(struct packet *p, const struct interface_value *interface)
{
	struct endpoint_value *endpoint = find_endpoint(p, interface->endpoint);

	if (!endpoint || interface->endpoint == 0) return false;
	p->destination.identity = endpoint->identity;
	p->destination.check = endpoint->check;
	p->destination.endpoint = interface->endpoint;
	return true;
}

static __noinline int decide_unmarked(struct __sk_buff *skb, struct packet *p)
{
	__u32 counter = skb->ingress_ifindex == 0 ? COUNTER_FROM_HOST : COUNTER_PASSED;
	int known = opens_connection(p) ? FLOW_UNKNOWN : ask_flows(p);
	__u32 refusal = p->refusal;
	int verdict, action;

	if (known == FLOW_PASSES) {
		count(counter);
		return TC_ACT_OK;
	}
	if (p->tuple.protocol == PROTOCOL_TCP) {
		action = turn_owned(skb, p);
		if (action != TC_ACT_UNSPEC) return action;
	}
	if (known == FLOW_REFUSED) return refuse_out(skb, p, refusal);
	if (p->icmp == ICMP_ERROR && pass_error(skb, p, false) == TC_ACT_OK) return TC_ACT_OK;
	verdict = judge_new(p);
	if (verdict == VERDICT_DENY) return refuse_out(skb, p, p->refusal);
	if (verdict == VERDICT_REDIRECT) {
		if (skb->ingress_ifindex == 0 && opens_connection(p) &&
		    (p->setting_flags & SETTING_HOST_REDIRECTED))
			return turn_opening(skb, p);
		return refuse_out(skb, p, opens_connection(p) ? COUNTER_UNREDIRECTABLE : COUNTER_STALE);
	}
	if (opens_connection(p)) bpf_map_delete_elem(&records, &p->tuple);
	count(counter);
	return TC_ACT_OK;
}

/*
 * The proxy has judged what it sends; the receiver's ports are asked all the same when it opens a connection,
 * for a NAT of the node's may have chosen another receiver, and a proxy may err.
 */
static __noinline int decide_proxy(struct __sk_buff *skb, struct packet *p,
				   const struct interface_value *interface)
{
	if (opens_connection(p)) {
		find_side(p, &p->tuple.source, &p->source);
		if (!find_receiver(p, interface)) return drop(p, COUNTER_DENIED_INGRESS);
		if (p->source.identity != IDENTITY_HOST &&
		    ask_ingress(p, &p->source, &p->destination, p->port) == VERDICT_DENY)
			return refuse_out(skb, p, COUNTER_DENIED_INGRESS);
	}
	count(COUNTER_FROM_PROXY);
	return TC_ACT_OK;
}

static __always_inline int to_known_endpoint(struct __sk_buff *skb, struct packet *p,
					     const struct interface_value *interface, __u32 magic)
{
	int parsed = parse_rest(skb, p);

	if (parsed > 0) return drop(p, parsed);
	if (parsed == PARSED_NEIGHBOUR)
		return skb->ingress_ifindex == 0 ? TC_ACT_OK : drop(p, COUNTER_FOREIGN_SOURCE);
	if (magic == MARK_PROXY_INGRESS || magic == MARK_PROXY_EGRESS) return decide_proxy(skb, p, interface);
	if (!find_other_source(skb, p, magic)) return drop(p, COUNTER_FOREIGN_SOURCE);
	if (!find_receiver(p, interface)) return drop(p, COUNTER_DENIED_INGRESS);
	return decide_unmarked(skb, p);
}

/* Judged for just this endpoint; or it leaves the node, which is nobody's half, unless it is the proxy's. */
static __always_inline bool is_judged(struct __sk_buff *skb, const struct interface_value *interface,
				      __u32 magic)
{
	if (interface->kind == INTERFACE_UPLINK) return magic != MARK_TO_PROXY;
	return (skb->mark & MARK_OURS) == mark_of(MARK_JUDGED, interface->endpoint);
}

SEC("tc")
int to_endpoint(struct __sk_buff *skb)
{
	struct packet p = {};
	struct interface_value *interface = 0;
	/* Marks do not cross the border of a namespace: these are set by us, or by a program of the node. */
	__u32 magic = skb->mark & MARK_MAGIC_MASK;
	int parsed;

	read_settings(&p);
	if (p.generation != 0) interface = find_interface(skb, &p);
	if (interface && is_judged(skb, interface, magic)) return TC_ACT_OK;
	parsed = parse_network(skb, &p);
	if (parsed == PARSED_ARP) return TC_ACT_OK;
	/* It was for the proxy, and the node's `ip rule` is not there. */
	if (magic == MARK_TO_PROXY) return drop(&p, COUNTER_UNREDIRECTABLE);
	if (p.generation == 0) return before_the_first_generation(skb, &p);
	if (!interface) return drop(&p, COUNTER_UNKNOWN_INTERFACE);
	if (parsed > 0) return drop(&p, parsed);
	return to_known_endpoint(skb, &p, interface, magic);
}

/*
 * Runs where the node looks for a listener, also for packets that nobody marked: only what has a record is
 * taken, and only by the interface that its SYN came by.
 */
SEC("sk_lookup")
int proxy_lookup(struct bpf_sk_lookup *ctx)
{
	struct tuple tuple;
	struct record *record;
	__u32 start;

	if (ctx->protocol != PROTOCOL_TCP || !name_lookup(ctx, &tuple)) return SK_PASS;
	record = bpf_map_lookup_elem(&records, &tuple);
	if (!record || record->ifindex != ctx->ingress_ifindex) return SK_PASS;
	start = first_slot(&tuple);
	for (__u32 step = 0; step < LISTENER_SLOTS; step++) {
		__u32 slot = slot_at(&tuple, start, step);
		struct bpf_sock *listener = bpf_map_lookup_elem(&listeners, &slot);
		long failed;

		if (!listener) continue;
		failed = bpf_sk_assign(ctx, listener, BPF_SK_LOOKUP_F_NO_REUSEPORT);
		bpf_sk_release(listener);
		if (failed) continue;
		count(COUNTER_ASSIGNED);
		return SK_PASS;
	}
	count(COUNTER_NO_LISTENER);
	return SK_DROP;
}

char _license[] SEC("license") = "Apache-2.0";
