/* SPDX-License-Identifier: Apache-2.0 */
/* Who the sides are, what the policies of both say, and the counting of what they refuse. */
#ifndef SALLYPORT_JUDGE_H
#define SALLYPORT_JUDGE_H

#include "packet.h"

#define IDENTITY_HOST 1
#define IDENTITY_WORLD 2

#define ADDRESS_PREFIX_BITS 64 /* generation and family come before the address */
#define PORT_KEY_BITS 96

static __always_inline void count(__u32 counter)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &counter);

	if (value) (*value)++;
}

/*
 * skb->tc_index of what `from_interface` has read: by which interface it came. Rules of the node change marks, and none
 * knows this; routing, bridges, NAT and fragmentation keep it. A pod needs CAP_NET_ADMIN to send it (a
 * `classid` of its own tc), and what a pod passes on has that of the interface by which it came to the node before.
 */
static __always_inline __u32 read_at(__u32 ifindex)
{
	return 1 + ifindex % 0xffff;
}

/* Of ours. */
static __noinline struct interface_value *find_interface(struct __sk_buff *skb, const struct packet *p)
{
	struct interface_key key = {.generation = p->generation, .ifindex = skb->ifindex};
	struct interface_value *interface = bpf_map_lookup_elem(&interfaces, &key);

	return interface && interface->kind == INTERFACE_OTHER ? 0 : interface;
}

static __always_inline __u32 mark_of(__u32 magic, __u32 identity)
{
	return (identity & 0xffff) << 16 | (identity >> 16 & 0xff) | magic;
}

static __always_inline __u32 named_by(__u32 mark)
{
	return mark >> 16 | (mark & 0xff) << 16;
}

#define IDENTITY_SCOPE 24 /* bit 24 and up: no place in a mark has them */
#define IDENTITY_LOCAL 1  /* the only scope that is used here */

/*
 * For whom, at which port, from where, by which way in: what a NAT or a tunnel would change. `ports` are
 * both as they stand in the packet, or type and code of an ICMP message.
 */
static __always_inline __u32 judged_mark(__u32 endpoint, __u8 protocol, __u32 ports,
					 const struct ip *source, __u32 ifindex)
{
	const __u32 *words = (const __u32 *)source->bytes;
	__u32 hash = mix(0x9e3779b1, endpoint);

	hash = mix(hash, ports);
	hash = mix(hash, words[0] ^ words[1] * 31);
	hash = mix(hash, words[2] * 961 ^ words[3]);
	hash = mix(hash, ifindex << 8 | protocol);
	return mark_of(MARK_JUDGED, hash >> 8);
}

static __always_inline __u32 both_ports(__be16 source, __be16 destination)
{
	return (__u32)destination << 16 | source;
}

/* Identities of other scopes cannot be told: nobody's mark then, and the address has to do. */
static __always_inline __u32 entered_mark(__u32 identity)
{
	if (identity >> IDENTITY_SCOPE == 0) return mark_of(MARK_ENTERED, identity);
	return identity >> IDENTITY_SCOPE == IDENTITY_LOCAL ? mark_of(MARK_ENTERED_LOCAL, identity) : 0;
}

static __always_inline bool is_same_refused(const struct refused *one, const struct refused *other)
{
	const __u64 *a = (const __u64 *)one, *b = (const __u64 *)other;

	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3] && a[4] == b[4];
}

/* What a refused packet was, for people. */
static __noinline void note_refusal(const struct packet *p, __u32 counter)
{
	struct refusal_key key = {};
	struct refusal_value *known, value = {};

	name_way(p, &key.way);
	value.what.source = p->tuple.source;
	value.what.destination = p->tuple.destination;
	value.what.counter = counter;
	value.what.destination_port = p->port;
	value.what.family = p->tuple.family;
	value.what.protocol = p->tuple.protocol;
	key.place = mix_words(&value.what, sizeof(value.what) / 4) % REFUSAL_PLACES;
	known = bpf_map_lookup_elem(&refusals, &key);
	if (known && is_same_refused(&known->what, &value.what)) {
		known->time_ns = bpf_ktime_get_ns();
		__sync_fetch_and_add(&known->count, 1);
		return;
	}
	value.time_ns = bpf_ktime_get_ns();
	value.count = 1;
	value.source_identity = p->source.identity;
	value.destination_identity = p->destination.identity;
	bpf_map_update_elem(&refusals, &key, &value, BPF_ANY);
}

/* Whom an address belongs to. Without an entry: the world, and never an endpoint. */
static __noinline void find_side(const struct packet *p, const struct ip *address,
				 struct address_value *side)
{
	struct address_key key;
	struct address_value *found;

	key.prefix_length = ADDRESS_PREFIX_BITS + (p->tuple.family == FAMILY_IP4 ? 32 : 128);
	key.generation = p->generation;
	key.family = p->tuple.family;
	key.address = *address;
	found = bpf_map_lookup_elem(&addresses, &key);
	if (found) {
		*side = *found;
		return;
	}
	side->identity = IDENTITY_WORLD;
	side->check = 0;
	side->endpoint = 0;
}

/* What one policy says to one remote. Nothing found is a no. */
static __noinline int ask_policy(const struct packet *p, __u32 policy, __be16 port, __u32 identity)
{
	struct port_key key = {};
	struct verdict_key verdict_key;
	struct verdict_value *verdict;
	struct port_value *found;

	key.prefix_length = PORT_KEY_BITS;
	key.generation = p->generation;
	key.policy = policy;
	key.protocol = bpf_htons(p->tuple.protocol);
	key.port = port;
	found = bpf_map_lookup_elem(&ports, &key);
	if (!found) {
		key.protocol = 0;
		found = bpf_map_lookup_elem(&ports, &key);
	}
	if (!found) return VERDICT_DENY;

	verdict_key.generation = p->generation;
	verdict_key.slot = found->slot;
	verdict_key.identity = identity;
	verdict = bpf_map_lookup_elem(&verdicts, &verdict_key);
	return verdict ? verdict->verdict : found->verdict;
}

static __always_inline struct endpoint_value *find_endpoint(const struct packet *p, __u32 endpoint)
{
	struct endpoint_key key = {.generation = p->generation, .endpoint = endpoint};

	return bpf_map_lookup_elem(&endpoints, &key);
}

/* The half of the sender: only a local endpoint has one. */
static __always_inline int ask_egress(const struct packet *p, const struct address_value *source,
				 __u32 destination_identity, __be16 port)
{
	struct endpoint_value *endpoint;

	if (source->endpoint == 0) return VERDICT_ALLOW;
	endpoint = find_endpoint(p, source->endpoint);
	if (!endpoint) return VERDICT_DENY;
	return ask_policy(p, endpoint->egress_policy, port, destination_identity);
}

/* The half of the receiver. The node itself may always talk to its endpoints, unless it is told otherwise. */
static __always_inline int ask_ingress(const struct packet *p, const struct address_value *source,
				  const struct address_value *destination, __be16 port)
{
	struct endpoint_value *endpoint;

	if (destination->endpoint == 0) return VERDICT_ALLOW;
	if (source->endpoint == 0 && source->identity == IDENTITY_HOST &&
	    !(p->setting_flags & SETTING_HOST_JUDGED))
		return VERDICT_ALLOW;
	endpoint = find_endpoint(p, destination->endpoint);
	if (!endpoint) return VERDICT_DENY;
	return ask_policy(p, endpoint->ingress_policy, port, source->identity);
}

/* What the port of a policy is, seen from who answers: the port that the asker had named. */
static __always_inline __be16 port_of_asker(const struct packet *p)
{
	if (has_ports(p->tuple.protocol)) return p->tuple.source_port;
	if (p->icmp == ICMP_ECHO_ANSWERS)
		return p->tuple.family == FAMILY_IP4 ? bpf_htons(ICMP4_ECHO_REQUEST << 8)
						     : bpf_htons(ICMP6_ECHO_REQUEST << 8);
	return p->port;
}

/* Both halves: a no wins, then the proxy, else yes. `reversed`: the packet answers, ask as for its asker. */
SEPARATE int judge(struct packet *p, bool reversed)
{
	struct address_value *source, *destination;
	int egress, ingress;
	__be16 port;

	if (!p) return VERDICT_DENY;
	source = reversed ? &p->destination : &p->source;
	/* What the asker had dialled, whoever answers for it. */
	destination = reversed ? &p->addressed : &p->destination;
	/* Over a Service: a pod cannot be kept from itself, as it could not without one. */
	if (source->endpoint != 0 && source->endpoint == destination->endpoint) return VERDICT_ALLOW;
	port = reversed ? port_of_asker(p) : p->port;
	egress = ask_egress(p, source, destination->identity, port);
	if (egress != VERDICT_ALLOW && egress != VERDICT_REDIRECT) {
		p->refusal = COUNTER_DENIED_EGRESS;
		return VERDICT_DENY;
	}
	ingress = ask_ingress(p, source, destination, port);
	if (ingress != VERDICT_ALLOW && ingress != VERDICT_REDIRECT) {
		p->refusal = COUNTER_DENIED_INGRESS;
		return VERDICT_DENY;
	}
	return egress == VERDICT_REDIRECT || ingress == VERDICT_REDIRECT ? VERDICT_REDIRECT
									 : VERDICT_ALLOW;
}

#endif
