/* SPDX-License-Identifier: Apache-2.0 */
/* What the policy in force says of one connection. */
#ifndef SALLYPORT_POLICY_H
#define SALLYPORT_POLICY_H

#define IDENTITY_HOST 1
#define IDENTITY_WORLD 2

/* Both sides of a connection, as the tables know them. */
struct sides {
	struct address_value source;
	struct address_value destination;
};

static __always_inline void count(__u32 counter)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &counter);

	if (value)
		*value += 1;
}

/* 0 as long as nothing is in force: then everything is refused. */
static __always_inline struct settings *in_force(void)
{
	__u32 zero = 0;
	struct settings *found = bpf_map_lookup_elem(&settings, &zero);

	return found && found->generation ? found : 0;
}

/* An address that no prefix covers is the world. */
static __always_inline void side_of(__u32 generation, __u8 family, const struct ip *address,
				    struct address_value *side)
{
	struct address_key key = {
		.prefix_length = 64 + (family == FAMILY_IP4 ? 32 : 128),
		.generation = generation,
		.family = family,
		.address = *address,
	};
	struct address_value *found = bpf_map_lookup_elem(&addresses, &key);

	if (found) {
		*side = *found;
		return;
	}
	side->identity = IDENTITY_WORLD;
	side->check = 0;
	side->endpoint = 0;
}

/* One policy's word on a remote: exact port range, else the protocol-wide entry, else deny. */
static __always_inline __u32 verdict_of(__u32 generation, __u32 policy, const struct tuple *tuple,
					__u32 remote)
{
	struct port_key key = {
		.prefix_length = 96,
		.generation = generation,
		.policy = policy,
		.protocol = bpf_htons(tuple->protocol),
		.port = tuple->destination_port,
	};
	struct verdict_key verdict_key = { .generation = generation, .identity = remote };
	struct port_value *range = bpf_map_lookup_elem(&ports, &key);
	struct verdict_value *own;

	if (!range) {
		key.protocol = 0;
		key.port = 0;
		range = bpf_map_lookup_elem(&ports, &key);
	}
	if (!range)
		return VERDICT_DENY;
	verdict_key.slot = range->slot;
	own = bpf_map_lookup_elem(&verdicts, &verdict_key);
	return own ? own->verdict : range->verdict;
}

struct judgement {
	__u32 verdict;
	__u32 halves; /* which sides are endpoints of ours */
	__u32 denier; /* COUNTER_DENIED_EGRESS or ..._INGRESS */
};

/* Egress of the source and ingress of the destination, as far as they are endpoints of this node. */
static __noinline int judge(__u32 generation, const struct tuple *tuple, const struct sides *sides,
			    struct judgement *judgement)
{
	struct endpoint_key key = { .generation = generation };
	__u32 verdict = VERDICT_ALLOW;

	if (!tuple || !sides || !judgement)
		return -1;
	judgement->halves = 0;
	judgement->denier = 0;
	if (sides->source.endpoint) {
		struct endpoint_value *source;
		__u32 egress = VERDICT_DENY;

		key.endpoint = sides->source.endpoint;
		source = bpf_map_lookup_elem(&endpoints, &key);
		if (source)
			egress = verdict_of(generation, source->egress_policy, tuple,
					    sides->destination.identity);
		judgement->halves |= HALF_EGRESS;
		verdict = egress;
		if (egress == VERDICT_DENY)
			judgement->denier = COUNTER_DENIED_EGRESS;
	}
	if (sides->destination.endpoint && verdict != VERDICT_DENY) {
		struct endpoint_value *destination;
		__u32 ingress = VERDICT_DENY;

		key.endpoint = sides->destination.endpoint;
		destination = bpf_map_lookup_elem(&endpoints, &key);
		if (destination)
			ingress = verdict_of(generation, destination->ingress_policy, tuple,
					     sides->source.identity);
		judgement->halves |= HALF_INGRESS;
		if (ingress == VERDICT_DENY) {
			judgement->denier = COUNTER_DENIED_INGRESS;
			verdict = VERDICT_DENY;
		} else if (ingress == VERDICT_REDIRECT) {
			verdict = VERDICT_REDIRECT;
		}
	}
	judgement->verdict = verdict;
	return 0;
}

static __always_inline __u32 identity_mark(__u32 magic, __u32 identity)
{
	return (identity & 0xffff) << 16 | (identity >> 16 & 0xff) | magic;
}

/* So that `redirect status` can tell who was refused what. */
static __noinline int note_refusal(const struct tuple *tuple, const struct sides *sides,
				   __u32 counter)
{
	struct refusal_key key = {};
	struct refusal_value *known;

	if (!tuple || !sides)
		return -1;
	key.source = tuple->source;
	key.destination = tuple->destination;
	key.counter = counter;
	key.destination_port = tuple->destination_port;
	key.family = tuple->family;
	key.protocol = tuple->protocol;
	known = bpf_map_lookup_elem(&refusals, &key);
	if (known) {
		known->time_ns = bpf_ktime_get_ns();
		__sync_fetch_and_add(&known->count, 1);
	} else {
		struct refusal_value first = {
			.time_ns = bpf_ktime_get_ns(),
			.count = 1,
			.source_identity = sides->source.identity,
			.destination_identity = sides->destination.identity,
		};

		bpf_map_update_elem(&refusals, &key, &first, BPF_ANY);
	}
	return 0;
}

#endif
