/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets that still have the address of a Service when they leave a pod: no hook at the socket has put a backend there,
 * and a NAT of the node's will, after they were judged. So who may get them is asked about: all who are behind that address.
 *
 * The node's NAT comes before local delivery, and would lead a packet that is marked for the proxy elsewhere. So L7 rules
 * are asked where the packet is received, and only if every receiver is an endpoint of this node; else it is refused.
 */
#ifndef SALLYPORT_BEHIND_H
#define SALLYPORT_BEHIND_H

#include "packet.h"

#define IDENTITY_HOST 1
#define IDENTITY_WORLD 2
#define IDENTITY_WORKLOAD_MIN 256

#define IDENTITY_SCOPE 24 /* bit 24 and up: no place in a mark has them */
#define IDENTITY_LOCAL 1  /* the only scope that is used here */

/* A value that is replaced while it is read is read again. */
#define BEHIND_LOOKS 3

static __always_inline bool is_workload(__u32 identity)
{
	return identity >= IDENTITY_WORKLOAD_MIN && identity < IDENTITY_LOCAL << IDENTITY_SCOPE;
}

/* False: no Service has it. At the receiver's it is the receiver. */
static __always_inline bool may_be_service(const struct packet *p, bool reversed)
{
	if (!(p->setting_flags & SETTING_SERVICES) || !has_ports(p->tuple.protocol)) return false;
	return reversed || !p->is_leaving;
}

/* What the asker had dialled, by whatever side the packet comes. */
static __always_inline void name_dialled(const struct packet *p, bool reversed, struct behind_key *key)
{
	key->generation = p->generation;
	key->address = reversed ? p->tuple.source : p->tuple.destination;
	key->port = reversed ? p->tuple.source_port : p->tuple.destination_port;
	key->family = p->tuple.family;
	key->protocol = p->tuple.protocol;
}

/* Null: it is no Service's. `side`: of the address itself. `key` is left as that of what is found. */
static __always_inline struct behind_value *find_behind(struct behind_key *key,
							const struct address_value *side)
{
	struct behind_value *found = bpf_map_lookup_elem(&behind, key);

	if (found || !(side->flags & ADDRESS_IS_NODE)) return found;
	__builtin_memset(&key->address, 0, sizeof(key->address));
	return bpf_map_lookup_elem(&behind, key);
}

/* Whether an address that is not in the table may be a Service's all the same. `key` is left as another. */
static __always_inline bool are_more_behind(struct behind_key *key)
{
	__builtin_memset(&key->address, 0, sizeof(key->address));
	key->port = 0;
	key->family = FAMILY_IP4;
	key->protocol = PROTOCOL_TCP;
	return bpf_map_lookup_elem(&behind, key);
}

/*
 * Whether the address itself is asked about, too: it may have been chosen by who made the Service, it is a pod's, or
 * another node is to translate it (a NodePort), if it does.
 */
static __always_inline bool is_asked_as_dialled(const struct behind_key *found, __u32 flags, __u32 identity)
{
	const __u32 *words = (const __u32 *)found->address.bytes;

	if (flags & BEHIND_AS_DIALLED) return true;
	if ((words[0] | words[1] | words[2] | words[3]) == 0) return identity != IDENTITY_HOST;
	return is_workload(identity);
}

#endif
