/* SPDX-License-Identifier: Apache-2.0 */
/* Who the sides are, what the policies of both say, and the counting of what they refuse. */
#ifndef SALLYPORT_JUDGE_H
#define SALLYPORT_JUDGE_H

#include "behind.h"
#include "packet.h"

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
	side->flags = 0;
}

/* What one policy says to one remote. Nothing found is a no. */
static __always_inline int look_up_verdict(const struct packet *p, __u32 policy, __be16 port, __u32 identity)
{
	/* One after the other, in the little that is left of the stack. */
	union {
		struct port_key port;
		struct verdict_key verdict;
	} key = {};
	struct verdict_value *verdict;
	struct port_value *found;

	key.port.prefix_length = PORT_KEY_BITS;
	key.port.generation = p->generation;
	key.port.policy = policy;
	key.port.protocol = bpf_htons(p->tuple.protocol);
	key.port.port = port;
	found = bpf_map_lookup_elem(&ports, &key.port);
	if (!found) {
		key.port.protocol = 0;
		found = bpf_map_lookup_elem(&ports, &key.port);
	}
	if (!found) return VERDICT_DENY;

	key.verdict.generation = p->generation;
	key.verdict.slot = found->slot;
	key.verdict.identity = identity;
	verdict = bpf_map_lookup_elem(&verdicts, &key.verdict);
	return verdict ? verdict->verdict : found->verdict;
}

SEPARATE int ask_policy(const struct packet *p, __u32 policy, __be16 port, __u32 identity)
{
	if (!p) return VERDICT_DENY;
	return look_up_verdict(p, policy, port, identity);
}

static __always_inline struct endpoint_value *find_endpoint(const struct packet *p, __u32 endpoint)
{
	struct endpoint_key key = {.generation = p->generation, .endpoint = endpoint};

	return bpf_map_lookup_elem(&endpoints, &key);
}

#define NO_SERVICE (-1)
#define ASK_AGAIN (-2)

struct asking {
	const struct packet *p;
	struct behind_value *found;
	__u32 policy;
	int verdict; /* of all of them: a no wins, then the proxy, else yes */
};

static long ask_pair(__u32 index, struct asking *asking)
{
	const struct behind_pair *pair;
	int verdict;

	if (index >= BEHIND_MAX) return 1;
	pair = &asking->found->pairs[index];
	verdict = look_up_verdict(asking->p, asking->policy, pair->port, pair->identity);
	if (verdict == VERDICT_ALLOW) return 0;
	asking->verdict = verdict == VERDICT_REDIRECT ? VERDICT_REDIRECT : VERDICT_DENY;
	return asking->verdict == VERDICT_DENY;
}

/* `identity`: of the address itself. Where it is asked about, too, it cannot be brought to the proxy. */
static __always_inline int ask_found(struct packet *p, struct asking *asking, const struct behind_key *key,
				     __u32 identity)
{
	__u32 count = asking->found->count;

	if (count == 0 || count > BEHIND_MAX) {
		p->refusal = count == 0 ? COUNTER_NO_BACKEND : COUNTER_TOO_MANY_BACKENDS;
		return VERDICT_DENY;
	}
	asking->verdict = VERDICT_ALLOW;
	bpf_loop(count, ask_pair, asking, 0);
	if (asking->verdict == VERDICT_DENY || !is_asked_as_dialled(key, asking->found->flags, identity))
		return asking->verdict;
	return ask_policy(p, asking->policy, key->port, identity) == VERDICT_ALLOW ? asking->verdict
										    : VERDICT_DENY;
}

/*
 * The sender's half of what has the address of a Service: all who may get it are asked about. ASK_AGAIN: who they are
 * changed meanwhile.
 */
SEPARATE int ask_behind(struct packet *p, __u32 policy, bool reversed)
{
	struct asking asking = {.p = p, .policy = policy};
	const struct address_value *side;
	struct behind_key key;
	__u32 serial;
	bool is_here;
	int verdict;

	if (!p) return VERDICT_DENY;
	side = reversed ? &p->addressed : &p->destination;
	name_dialled(p, reversed, &key);
	asking.found = find_behind(&key, side);
	if (!asking.found) {
		/* Whoever the node's NAT makes of it is asked about where it comes out. */
		p->is_dialled = are_more_behind(&key);
		return NO_SERVICE;
	}
	serial = *(volatile __u32 *)&asking.found->serial;
	verdict = ask_found(p, &asking, &key, side->identity);
	p->is_dialled = true;
	is_here = p->tuple.protocol == PROTOCOL_TCP && (asking.found->flags & BEHIND_HERE);
	/* The memory of a value is given to another key as soon as it is replaced. */
	if (bpf_map_lookup_elem(&behind, &key) != asking.found ||
	    *(volatile __u32 *)&asking.found->serial != serial)
		return ASK_AGAIN;
	if (verdict != VERDICT_REDIRECT) return verdict;
	if (is_here) return VERDICT_ALLOW;
	p->refusal = COUNTER_UNREDIRECTABLE;
	return VERDICT_DENY;
}

/* The half of the sender: only a local endpoint has one. */
static __always_inline int ask_egress(struct packet *p, const struct address_value *source,
				 const struct address_value *destination, __be16 port, bool reversed)
{
	struct endpoint_value *endpoint;
	int verdict = ASK_AGAIN;

	if (source->endpoint == 0) return VERDICT_ALLOW;
	p->refusal = COUNTER_DENIED_EGRESS;
	endpoint = find_endpoint(p, source->endpoint);
	if (!endpoint) return VERDICT_DENY;
	if (may_be_service(p, reversed)) {
		for (int look = 0; look < BEHIND_LOOKS; look++) {
			verdict = ask_behind(p, endpoint->egress_policy, reversed);
			if (verdict != ASK_AGAIN) break;
		}
		if (verdict == ASK_AGAIN) return VERDICT_DENY;
		if (verdict != NO_SERVICE) return verdict;
	}
	return ask_policy(p, endpoint->egress_policy, port, destination->identity);
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
	p->is_dialled = false;
	egress = ask_egress(p, source, destination, port, reversed);
	if (egress != VERDICT_ALLOW && egress != VERDICT_REDIRECT) return VERDICT_DENY;
	ingress = ask_ingress(p, source, destination, port);
	if (ingress != VERDICT_ALLOW && ingress != VERDICT_REDIRECT) {
		p->refusal = COUNTER_DENIED_INGRESS;
		return VERDICT_DENY;
	}
	return egress == VERDICT_REDIRECT || ingress == VERDICT_REDIRECT ? VERDICT_REDIRECT
									 : VERDICT_ALLOW;
}

#endif
