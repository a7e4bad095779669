// SPDX-License-Identifier: Apache-2.0
/*
 * The kernel's part of the redirect. The way of a packet:
 *
 *     endpoint's veth or uplink                         forwarded, or from the node itself
 *       │ from_interface (tcx ingress)                    │ to_endpoint (tcx egress)
 *       ▼                                                 ▼
 *     parse ── VLAN, not IP, source route, ... ─► drop   judged on the left for just this ─► pass
 *       ▼                                                 ▼
 *     whose interface? is the source its own? ─► drop    parse; who sent it, whatever a NAT made of it?
 *       ▼                                                 ▼
 *     a flow that passes without the proxy ─► pass       judge; what is the proxy's is turned round and
 *       │                                                 │  comes in on the left (turn.h, service.h)
 *       │                                                 ▼
 *       │                                                pass and remember the flow, or drop
 *       ▼
 *     a socket of the proxy has it ─► mark TO_PROXY
 *       ▼
 *     judge: sender's egress, receiver's ingress
 *       ├─ deny ─────► refuse (TCP: RST)
 *       ├─ allow ────► remember the flow, mark JUDGED, pass
 *       └─ redirect ─► SYN: record[tuple], mark TO_PROXY; else refuse (older than its rule)
 *                      datagram: the same each time, and drop instead of refuse
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
#include "shares.h"
#include "flow.h"
#include "refuse.h"
#include "proxy.h"
#include "neighbour.h"
#include "sender.h"
#include "turn.h"
#include "service.h"

static __always_inline __u32 ports_of(const struct packet *p)
{
	return has_ports(p->tuple.protocol) ? both_ports(p->tuple.source_port, p->tuple.destination_port)
					    : p->port;
}

static __always_inline int pass_judged(struct __sk_buff *skb, const struct packet *p)
{
	bool is_told = p->destination.endpoint != 0 && !p->is_port && p->fragment == FRAGMENT_NONE &&
		       !p->is_dialled;
	__u32 sent = p->is_dialled ? MARK_DIALLED : MARK_SENT;

	count(COUNTER_PASSED);
	if (is_told) {
		skb->mark = judged_mark(p->destination.endpoint, p->tuple.protocol, ports_of(p),
					&p->tuple.source, skb->ifindex);
	} else {
		skb->mark = p->source.endpoint ? mark_of(sent, p->source.endpoint)
					       : entered_mark(p->source.identity);
	}
	return TC_ACT_OK;
}

/* For the node, or a router may send it on to an endpoint: who it is now counts then. */
static __always_inline int pass_entered(struct __sk_buff *skb, const struct packet *p)
{
	__u32 mark = p->is_port ? 0 : entered_mark(p->source.identity);

	skb->mark = (skb->mark & ~(mark ? MARK_OURS : MARK_MAGIC_MASK)) | mark;
	return TC_ACT_OK;
}

/* Others may have marked it for themselves; only what we would believe later is taken off. */
static __always_inline int pass_unmarked(struct __sk_buff *skb)
{
	skb->mark &= ~MARK_MAGIC_MASK;
	return TC_ACT_OK;
}

/*
 * It is forwarded from an interface that nobody has looked at yet: a new pod's that has no programs so far, or the
 * bridge behind which such a pod is. What the programs let through somewhere has a mark of ours. The new pod's
 * interface may have the index of a former one's, or of an uplink that has gone: the kernel gives it again when a veth
 * is made in a pod's namespace, and brings it along. Then the programs have not read what comes from there.
 */
static __noinline bool is_from_nowhere(struct __sk_buff *skb, const struct packet *p)
{
	struct interface_key key = {.generation = p->generation, .ifindex = skb->ingress_ifindex};
	struct interface_value *way;

	if (!(p->setting_flags & SETTING_GUARDED) || p->generation == 0) return false;
	if (skb->ingress_ifindex == 0 || (skb->mark & MARK_MAGIC_MASK)) return false;
	way = bpf_map_lookup_elem(&interfaces, &key);
	if (!way) return true;
	return way->kind != INTERFACE_OTHER && skb->tc_index != read_at(skb->ingress_ifindex);
}

static __always_inline void read_settings(struct packet *p)
{
	__u32 zero = 0;
	union {
		__u64 whole;
		struct settings settings;
	} read;
	__u64 *in_force = bpf_map_lookup_elem(&settings, &zero);

	if (!in_force) return;
	/* Once for each packet, generation and flags together: all of it is judged by one set. */
	read.whole = *(volatile __u64 *)in_force;
	p->generation = read.settings.generation;
	p->setting_flags = read.settings.flags;
}

/* False: the source is not one that this interface may send from. */
static __noinline bool find_source(struct packet *p, const struct interface_value *interface)
{
	struct endpoint_value *endpoint;

	find_side(p, &p->tuple.source, &p->source);
	p->addressed = p->source;
	if (interface->kind == INTERFACE_UPLINK)
		/* Ours come from our own interfaces, and the node does not talk to itself over a wire. */
		return p->source.endpoint == 0 && p->source.identity != IDENTITY_HOST;
	if (interface->endpoint == 0 || p->source.endpoint != interface->endpoint) return false;
	endpoint = find_endpoint(p, interface->endpoint);
	if (!endpoint) return false;
	p->source.identity = endpoint->identity;
	p->source.check = endpoint->check;
	p->addressed = p->source;
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
	record = find_record(&p->tuple);
	if (!record) {
		/* Evicted: whose connection this was cannot be told any more. */
		if (owner == OWNER_DOWNSTREAM || owner == OWNER_LEAVING)
			return refuse(skb, p, COUNTER_RECORD_LOST);
		return owner == OWNER_CLOSED ? pass_to_proxy(skb, p, COUNTER_OWNED) : TC_ACT_UNSPEC;
	}
	/* The address is another endpoint's now, and its connections are not inherited. */
	if (!is_same_source(skb, p, record)) return refuse(skb, p, COUNTER_FOREIGN_SOURCE);
	if (record->hold.state != HOLD_OPEN && owner == OWNER_DOWNSTREAM) record->hold.state = HOLD_OPEN;
	if (is_last_word(skb, p, owner)) forget_record(&p->tuple);
	return pass_to_proxy(skb, p, COUNTER_OWNED);
}

/* Without a socket: a SYN cookie's answer has none yet, and the record of its SYN speaks for it. */
static __noinline int pass_recorded(struct __sk_buff *skb, struct packet *p)
{
	struct record *record = find_record(&p->tuple);

	if (!record) return TC_ACT_UNSPEC;
	if (!is_same_source(skb, p, record)) return refuse(skb, p, COUNTER_FOREIGN_SOURCE);
	/* Nobody listens: the stack would be silent. */
	if (!has_listener(p)) return refuse(skb, p, COUNTER_NO_LISTENER);
	return pass_to_proxy(skb, p, COUNTER_OWNED);
}

/* What is refused here may be an answer whose NAT the node has yet to undo: asked where it is received, if it is there. */
static __noinline bool is_asked_later(const struct packet *p)
{
	struct endpoint_value *receiver;

	if (!p->is_before_nat) return false;
	receiver = find_endpoint(p, p->destination.endpoint);
	return receiver && receiver->is_attached;
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
	if (verdict != VERDICT_ALLOW && !opens && is_asked_later(p)) return pass_entered(skb, p);
	if (verdict == VERDICT_ALLOW) {
		/* A record that stayed would take this connection to the proxy. */
		if (opens) forget_record(&p->tuple);
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
	if (is_proxy_answered(skb, &p->tuple)) return pass_to_proxy(skb, p, COUNTER_OWNED);
	if (known == FLOW_REFUSED) return drop(p, p->refusal);
	if (p->icmp == ICMP_ERROR) {
		action = pass_error(skb, p, true);
		if (action != TC_ACT_UNSPEC) return action;
	}
	verdict = judge_new(p);
	if (verdict == VERDICT_ALLOW) {
		/* A record that stayed would take it from the node's own server, to the proxy or to nobody. */
		if (p->tuple.protocol == PROTOCOL_UDP) bpf_map_delete_elem(&datagrams, &p->tuple);
		return pass_judged(skb, p);
	}
	if (verdict == VERDICT_REDIRECT && p->tuple.protocol == PROTOCOL_UDP) return redirect(skb, p);
	if (is_asked_later(p)) return pass_entered(skb, p);
	return drop(p, verdict == VERDICT_DENY ? p->refusal : COUNTER_UNREDIRECTABLE);
}

static __always_inline int from_known_interface(struct __sk_buff *skb, struct packet *p,
					   const struct interface_value *interface)
{
	bool is_own = find_source(p, interface);
	int parsed;

	p->adopts_until_ns = interface->adopts_until_ns;
	p->is_port = interface->flags & INTERFACE_IS_PORT;
	if (interface->kind == INTERFACE_UPLINK) {
		if (!is_own) return drop(p, COUNTER_FOREIGN_SOURCE);
		/* An endpoint has spoken to the node's own end of this tunnel. */
		if (is_sent_by_endpoint(skb->mark & MARK_MAGIC_MASK)) return drop(p, COUNTER_UNKNOWN_SENDER);
		find_side(p, &p->tuple.destination, &p->destination);
		p->came_by.receiver = p->destination.endpoint;
		/* For the node, or only passing: `to_endpoint` is there should a router turn it to one. */
		if (p->destination.endpoint == 0) {
			return pass_entered(skb, p);
		}
		/* A backend's answer has not got the address that was dialled yet: `to_endpoint` knows the flow then. */
		p->is_before_nat = (p->setting_flags & SETTING_SERVICES) && !p->is_port;
	}
	parsed = parse_rest(skb, p);
	if (parsed > 0) return drop(p, parsed);
	if (parsed == PARSED_NEIGHBOUR) {
		if (!is_neighbour(p, is_own, interface->kind)) return drop(p, COUNTER_FOREIGN_SOURCE);
		if (interface->kind == INTERFACE_ENDPOINT && !is_own_neighbour(skb, p, interface->endpoint))
			return drop(p, COUNTER_FOREIGN_NEIGHBOUR);
		return pass_neighbour(skb, p);
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

static __always_inline int pass_arp(struct __sk_buff *skb, struct packet *p)
{
	struct interface_value *interface;

	read_settings(p);
	if (p->generation == 0) return pass_unmarked(skb);
	interface = find_interface(skb, p);
	if (!interface) return drop(p, COUNTER_UNKNOWN_INTERFACE);
	if (interface->kind == INTERFACE_ENDPOINT && !is_own_arp(skb, p, interface->endpoint))
		return drop(p, COUNTER_FOREIGN_NEIGHBOUR);
	return pass_unmarked(skb);
}

SEC("tc")
int from_interface(struct __sk_buff *skb)
{
	struct packet p = {};
	struct interface_value *interface;
	__u32 magic = skb->mark & MARK_MAGIC_MASK;
	int parsed = parse_network(skb, &p);

	/* What passes has it as tc_index. */
	skb->tc_classid = read_at(skb->ifindex);
	p.came_by.ifindex = skb->ifindex;
	if (parsed == PARSED_ARP) return pass_arp(skb, &p);
	if (parsed > 0) return drop(&p, parsed);
	read_settings(&p);
	if (magic == MARK_TO_PROXY) return pass_turned(skb, &p);
	if (magic == MARK_RETURNED) return pass_returned(skb, &p);
	if (p.generation == 0) return before_the_first_generation(skb, &p);
	interface = find_interface(skb, &p);
	if (!interface || (interface->kind != INTERFACE_ENDPOINT && interface->kind != INTERFACE_UPLINK))
		return drop(&p, COUNTER_UNKNOWN_INTERFACE);
	return from_known_interface(skb, &p, interface);
}

/* L7 rules, on the way out to the receiver. */
static __always_inline int redirect_out(struct __sk_buff *skb, struct packet *p)
{
	bool can_turn = p->source.endpoint != 0 || (p->is_known_way && !p->is_translated);

	/* A datagram has no way back over the node's connection tracking. */
	if (p->tuple.protocol == PROTOCOL_UDP) return refuse_out(skb, p, COUNTER_UNREDIRECTABLE);
	if (!opens_connection(p)) return refuse_out(skb, p, COUNTER_STALE);
	if (skb->ingress_ifindex == 0) {
		if (p->setting_flags & SETTING_HOST_REDIRECTED) return turn_opening(skb, p);
		return refuse_out(skb, p, COUNTER_UNREDIRECTABLE);
	}
	if (can_turn) return turn_service(skb, p);
	return refuse_out(skb, p, COUNTER_UNREDIRECTABLE);
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
		action = opens_connection(p) ? TC_ACT_UNSPEC : turn_known(skb, p);
		if (action == TC_ACT_UNSPEC) action = turn_owned(skb, p);
		if (action != TC_ACT_UNSPEC) return action;
	}
	if (known == FLOW_REFUSED) return refuse_out(skb, p, refusal);
	if (p->icmp == ICMP_ERROR && pass_error(skb, p, false) == TC_ACT_OK) return TC_ACT_OK;
	verdict = judge_new(p);
	if (verdict == VERDICT_DENY) return refuse_out(skb, p, p->refusal);
	if (verdict == VERDICT_REDIRECT) return redirect_out(skb, p);
	if (opens_connection(p)) forget_record(&p->tuple);
	count(counter);
	return TC_ACT_OK;
}

/* Where the proxy's socket had dialled: no NAT has chosen another receiver. */
static __noinline bool is_as_dialled(struct __sk_buff *skb, const struct packet *p)
{
	struct bpf_sock *socket = skb->sk;
	const __u32 *words = (const __u32 *)p->tuple.destination.bytes;
	__u32 dialled[4];

	if (!socket) return true;
	socket = bpf_sk_fullsock(socket);
	if (!socket || socket->dst_port == 0) return true;
	if (socket->dst_port != p->tuple.destination_port) return false;
	if (p->tuple.family == FAMILY_IP4) {
		READ_WORD(dialled[0], socket->dst_ip4);
		return dialled[0] == words[0];
	}
	READ_WORD(dialled[0], socket->dst_ip6[0]);
	READ_WORD(dialled[1], socket->dst_ip6[1]);
	READ_WORD(dialled[2], socket->dst_ip6[2]);
	READ_WORD(dialled[3], socket->dst_ip6[3]);
	return dialled[0] == words[0] && dialled[1] == words[1] && dialled[2] == words[2] &&
	       dialled[3] == words[3];
}

/*
 * The proxy has judged what it sends, but it may have known another receiver, or none: a NAT of the node's
 * comes after it. So the receiver's ports are asked when it opens a connection, for the identity that it
 * speaks for. L7 rules of the receiver were asked by the proxy where it says so and dialled just this one.
 */
static __noinline int decide_proxy(struct __sk_buff *skb, struct packet *p, __u32 mark)
{
	bool is_asked = (mark & MARK_MAGIC_MASK) == MARK_PROXY_INGRESS && is_as_dialled(skb, p);
	int verdict;

	find_side(p, &p->tuple.source, &p->source);
	if (p->source.identity == IDENTITY_HOST) {
		/* The node's address is only what a NAT put there. */
		p->source.identity = named_by(mark);
		if (p->source.identity == 0) return refuse_out(skb, p, COUNTER_UNKNOWN_SENDER);
	}
	verdict = ask_ingress(p, &p->source, &p->destination, p->port);
	if (verdict == VERDICT_DENY) return refuse_out(skb, p, COUNTER_DENIED_INGRESS);
	if (verdict == VERDICT_REDIRECT && !is_asked) return refuse_out(skb, p, COUNTER_UNREDIRECTABLE);
	count(COUNTER_FROM_PROXY);
	return TC_ACT_OK;
}

/* A question of the proxy's, and no answer of its: those have the bare magic, as all that it has accepted. */
static __always_inline bool is_asked_by_proxy(const struct packet *p, __u32 mark)
{
	return p->tuple.protocol == PROTOCOL_UDP && mark != MARK_PROXY_INGRESS;
}

static __always_inline int from_proxy(struct __sk_buff *skb, struct packet *p,
				      const struct interface_value *interface, __u32 mark)
{
	int action, refusal;

	if (mark == MARK_PROXY_INGRESS) {
		action = turn_answer(skb, p);
		if (action != TC_ACT_UNSPEC) return action;
	}
	if (interface->kind == INTERFACE_ENDPOINT && (opens_connection(p) || is_asked_by_proxy(p, mark))) {
		refusal = find_receiver(p, interface);
		return refusal ? drop(p, refusal) : decide_proxy(skb, p, mark);
	}
	/* A bridge brings it to who uses the receiver's link address, or to all while it knows nobody who does. */
	if ((interface->flags & INTERFACE_IS_PORT) && is_of_another(p, interface))
		return drop(p, COUNTER_FOREIGN_NEIGHBOUR);
	count(COUNTER_FROM_PROXY);
	return TC_ACT_OK;
}

/*
 * What a tunnel of the node's has put it into keeps the mark. No Service is dialled by a protocol without ports, and what
 * the node makes has no way in.
 */
static __noinline bool is_tunnelled(struct __sk_buff *skb, struct packet *p)
{
	if (!has_ports(p->tuple.protocol)) return true;
	find_side(p, &p->tuple.source, &p->addressed);
	return is_made_by_the_node(skb, p);
}

/*
 * Sent to the address of a Service, and it leaves the node, by now with that of whom the node's NAT has chosen: it may
 * know another backend than we did, remember one that has gone, or have let it pass as it was.
 */
static __noinline int leave_dialled(struct __sk_buff *skb, struct packet *p)
{
	struct endpoint_value *endpoint;
	int verdict;

	if (is_tunnelled(skb, p)) return TC_ACT_OK;
	endpoint = find_endpoint(p, named_by(skb->mark));
	if (!endpoint) return drop(p, COUNTER_UNKNOWN_SENDER);
	p->source.identity = endpoint->identity;
	find_side(p, &p->tuple.destination, &p->destination);
	verdict = ask_policy(p, endpoint->egress_policy, p->port, p->destination.identity);
	if (verdict == VERDICT_ALLOW) return TC_ACT_OK;
	/* Nobody would ask L7 rules. */
	return drop(p, verdict == VERDICT_REDIRECT ? COUNTER_UNREDIRECTABLE : COUNTER_DENIED_EGRESS);
}

static __always_inline int to_known_endpoint(struct __sk_buff *skb, struct packet *p,
					     const struct interface_value *interface, __u32 magic)
{
	int parsed = parse_rest(skb, p);
	int refusal;

	if (parsed > 0) return drop(p, parsed);
	if (parsed == PARSED_NEIGHBOUR)
		return skb->ingress_ifindex == 0 || is_bridged(skb, p) ? TC_ACT_OK
								       : drop(p, COUNTER_FOREIGN_SOURCE);
	if (magic == MARK_PROXY_INGRESS || magic == MARK_PROXY_EGRESS)
		return from_proxy(skb, p, interface, skb->mark & MARK_OURS);
	if (magic == MARK_DIALLED && interface->kind == INTERFACE_UPLINK) return leave_dialled(skb, p);
	p->adopts_until_ns = interface->adopts_until_ns;
	p->is_leaving = true;
	refusal = find_sender(skb, p);
	if (!refusal) refusal = find_receiver(p, interface);
	return refusal ? drop(p, refusal) : decide_unmarked(skb, p);
}

/* What the mark was made of, where it stands in every packet that has no options. */
static __noinline bool is_judged_for(struct __sk_buff *skb, __u32 endpoint)
{
	__u8 head[IP6_BYTES + 4], protocol, *transport;
	bool is_ip4 = skb->protocol == bpf_htons(ETH_P_IP);
	struct ip source = {};
	__u32 ports = 0;

	if (is_ip4) {
		if (load(skb, ETH_HLEN, head, IP4_BYTES + 4)) return false;
		if (head[0] != 0x45 || (head[6] & 0x3f) || head[7]) return false;
		protocol = head[9];
		transport = head + IP4_BYTES;
		__builtin_memcpy(source.bytes, head + 12, 4);
	} else {
		if (skb->protocol != bpf_htons(ETH_P_IPV6) || load(skb, ETH_HLEN, head, IP6_BYTES + 4))
			return false;
		protocol = head[6];
		transport = head + IP6_BYTES;
		__builtin_memcpy(source.bytes, head + 8, 16);
	}
	if (has_ports(protocol)) __builtin_memcpy(&ports, transport, 4);
	else if (protocol == (is_ip4 ? PROTOCOL_ICMP : PROTOCOL_ICMP6)) __builtin_memcpy(&ports, transport, 2);
	return (skb->mark & MARK_OURS) ==
	       judged_mark(endpoint, protocol, ports, &source, skb->ingress_ifindex);
}

/*
 * Judged for just this endpoint and port, from just this address; or it leaves the node, which is nobody's half, unless it is the
 * proxy's.
 */
static __always_inline bool is_judged(struct __sk_buff *skb, const struct interface_value *interface,
				      __u32 magic)
{
	if (interface->kind == INTERFACE_UPLINK) {
		if (magic == MARK_TO_PROXY || magic == MARK_DIALLED) return false;
		return (skb->mark & MARK_OURS) != MARK_PROXY_INGRESS;
	}
	return magic == MARK_JUDGED && is_judged_for(skb, interface->endpoint);
}

SEC("tc")
int to_endpoint(struct __sk_buff *skb)
{
	struct packet p = {};
	struct interface_value *interface = 0;
	/* Marks do not cross the border of a namespace: these are set by us, or by a program of the node. */
	__u32 magic = skb->mark & MARK_MAGIC_MASK;
	int parsed;

	p.came_by.ifindex = skb->ingress_ifindex;
	p.came_by.receiver = skb->ifindex;
	read_settings(&p);
	if (p.generation != 0) interface = find_interface(skb, &p);
	if (is_from_nowhere(skb, &p)) {
		parse_network(skb, &p);
		return drop(&p, COUNTER_UNKNOWN_INTERFACE);
	}
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

	if (ctx->protocol != PROTOCOL_TCP && ctx->protocol != PROTOCOL_UDP) return SK_PASS;
	if (!name_lookup(ctx, &tuple)) return SK_PASS;
	record = find_any_record(&tuple);
	if (!record || record->seen_ifindex != ctx->ingress_ifindex) return SK_PASS;
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
