/* SPDX-License-Identifier: Apache-2.0 */
/* Which frontend was dialled, and which of its backends it is. */
#ifndef SALLYPORT_SERVICES_CHOICE_H
#define SALLYPORT_SERVICES_CHOICE_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "dialled.h"
#include "layout.h"
#include "maps.h"

#define NS_PER_MS 1000000ULL

enum found {
	FOUND_NONE, /* no address of a Service */
	FOUND,
	FOUND_CHANGING,
};

struct choice {
	struct frontend_value frontend;
	__u32 backend;
	struct place place;
};

static __always_inline bool is_loopback4(const struct place *dialled)
{
	return dialled->family == FAMILY_IP4 && dialled->ip.bytes[0] == 127;
}

/*
 * As kube-proxy with iptables does by default: all addresses of the node and, for the host alone, IPv4's loopback.
 * In a pod 127.0.0.1 is the pod.
 */
static __always_inline bool is_of_node(struct bpf_sock_addr *ctx, const struct place *dialled)
{
	struct node_address_key key = { .ip = dialled->ip, .family = dialled->family };
	struct settings *known;
	__u32 zero = 0;

	if (!is_loopback4(dialled)) return bpf_map_lookup_elem(&node_addresses, &key) != NULL;
	known = bpf_map_lookup_elem(&settings, &zero);
	return known && known->host_netns == bpf_get_netns_cookie(ctx);
}

/*
 * The memory of a value is given to another key as soon as it is replaced. So it counts only when the key still leads
 * to it after it was read.
 */
static __always_inline enum found read_frontend(const struct frontend_key *key, struct frontend_value *copy)
{
	struct frontend_value *value = bpf_map_lookup_elem(&frontends, key);

	if (!value) return FOUND_NONE;
	*copy = *value;
	barrier();
	return bpf_map_lookup_elem(&frontends, key) == value ? FOUND : FOUND_CHANGING;
}

static __always_inline enum found find_frontend(struct bpf_sock_addr *ctx, const struct place *dialled,
						struct frontend_value *copy)
{
	struct frontend_key key = { .place = *dialled, .scope = SCOPE_ADDRESS };
	enum found found = read_frontend(&key, copy);

	if (found != FOUND_NONE) return found;
	if (!is_of_node(ctx, dialled)) return FOUND_NONE;
	key.place.ip = (struct ip){};
	key.scope = SCOPE_NODE;
	return read_frontend(&key, copy);
}

struct search {
	__u32 table;
	__u32 backend;
	bool is_found;
};

static long search_slot(__u32 slot, struct search *search)
{
	struct slot_key key = { .table = search->table, .slot = slot };
	struct slot_value *value = bpf_map_lookup_elem(&slots, &key);

	search->is_found = value && value->backend == search->backend;
	return search->is_found;
}

/* Whether a backend that was chosen from `table` is one now. A whole table is searched only after it changed. */
static __always_inline bool is_backend(const struct frontend_value *frontend, __u32 table, __u32 backend)
{
	struct search search = { .table = frontend->table, .backend = backend };

	if (table == frontend->table) return true;
	/* What a hash gives is the same as long as it is there. */
	if (frontend->flags & FRONTEND_HASHED) return false;
	bpf_loop(frontend->count, search_slot, &search, 0);
	return search.is_found;
}

/* The finaliser of SplitMix64: cookies are small numbers, one after another. */
static __always_inline __u64 mix(__u64 value)
{
	value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
	value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
	return value ^ (value >> 31);
}

static __always_inline bool choose_slot(const struct frontend_value *frontend, __u64 client, __u32 *backend)
{
	bool is_hashed = frontend->flags & FRONTEND_HASHED;
	__u32 number = is_hashed ? (__u32)mix(client ^ frontend->group) : bpf_get_prandom_u32();
	struct slot_key key = { .table = frontend->table, .slot = number % frontend->count };
	struct slot_value *value = bpf_map_lookup_elem(&slots, &key);

	if (!value) return false;
	*backend = value->backend;
	return true;
}

static __always_inline bool choose_kept(const struct frontend_value *frontend, __u64 client, __u32 *backend)
{
	struct affinity_key key = { .group = frontend->group, .client = client };
	struct affinity_value *had = bpf_map_lookup_elem(&affinity, &key);
	struct affinity_value now = { .table = frontend->table, .used_ns = bpf_ktime_get_ns() };
	bool is_kept = false;

	if (had) {
		struct affinity_value was = *had;
		__u64 valid_ns = (__u64)frontend->affinity_ms * NS_PER_MS;

		/* As above: an entry that was forgotten may be another client's by now. */
		barrier();
		if (bpf_map_lookup_elem(&affinity, &key) == had && now.used_ns - was.used_ns < valid_ns &&
		    is_backend(frontend, was.table, was.backend)) {
			now.backend = was.backend;
			is_kept = true;
		}
	}
	if (!is_kept && !choose_slot(frontend, client, &now.backend)) return false;
	if (is_kept) count(COUNTER_KEPT);
	bpf_map_update_elem(&affinity, &key, &now, BPF_ANY);
	*backend = now.backend;
	return true;
}

static __always_inline bool choose_backend(struct bpf_sock_addr *ctx, const struct frontend_value *frontend,
					   __u32 *backend)
{
	__u64 client = bpf_get_netns_cookie(ctx);

	if (frontend->affinity_ms != 0 && !(frontend->flags & FRONTEND_HASHED))
		return choose_kept(frontend, client, backend);
	return choose_slot(frontend, client, backend);
}

static __always_inline bool place_of(__u32 backend, struct place *place)
{
	struct backend_key key = { .backend = backend };
	struct place *value = bpf_map_lookup_elem(&backends, &key);

	if (!value) return false;
	*place = *value;
	return true;
}

#endif
