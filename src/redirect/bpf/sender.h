/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who sent what goes out to an endpoint, and whether it is that endpoint's. After the node's routing, NAT
 * and tunnels a source address says little: a Service has put the node's own there, a tunnel whatever its
 * sender liked. The interface that the packet came in by says who it was, and where the stack forgets that
 * (a bridge), the mark that the packet got there.
 */
#ifndef SALLYPORT_SENDER_H
#define SALLYPORT_SENDER_H

#include "judge.h"
#include "packet.h"

/* 0, or the counter of why it is not believed: its address is another endpoint's, so a tunnel has led it here. */
static __noinline int sent_by_endpoint(struct packet *p, __u32 sender)
{
	struct endpoint_value *endpoint = find_endpoint(p, sender);

	if (!endpoint || sender == 0) return COUNTER_UNKNOWN_SENDER;
	if (p->addressed.endpoint != 0 && p->addressed.endpoint != sender) return COUNTER_FOREIGN_SOURCE;
	p->source.identity = endpoint->identity;
	p->source.check = endpoint->check;
	p->source.endpoint = sender;
	p->is_translated = p->addressed.endpoint != sender;
	return 0;
}

/* What came by an uplink is who it was there, also when it has the node's own address by now. */
static __noinline int sent_from_outside(struct packet *p, __u32 mark)
{
	__u32 identity = named_by(mark);

	if ((mark & MARK_MAGIC_MASK) == MARK_ENTERED_LOCAL) identity |= IDENTITY_LOCAL << IDENTITY_SCOPE;
	if (p->addressed.endpoint != 0) return COUNTER_UNKNOWN_SENDER;
	if (p->addressed.identity == identity) return 0;
	p->source.identity = identity;
	p->source.check = 0;
	p->is_translated = true;
	return 0;
}

static __always_inline bool is_sent_by_endpoint(__u32 magic)
{
	return magic == MARK_SENT || magic == MARK_DIALLED;
}

static __always_inline bool is_sent_mark(__u32 magic)
{
	return is_sent_by_endpoint(magic) || magic == MARK_ENTERED || magic == MARK_ENTERED_LOCAL ||
	       magic == MARK_JUDGED;
}

/* No interface, and a socket or an address of the node's own. `addressed` has to be known. */
static __always_inline bool is_made_by_the_node(struct __sk_buff *skb, const struct packet *p)
{
	if (skb->ingress_ifindex != 0) return false;
	if (skb->sk) return true;
	return p->addressed.endpoint == 0 && p->addressed.identity == IDENTITY_HOST &&
	       p->fragment == FRAGMENT_NONE;
}

/*
 * The node itself. What the node makes anew of another's packet has lost the interface as well, but has no socket and
 * still the mark: fragments of IPv6 that its connection tracking had put together, or what a netfilter proxy says in the
 * sender's name.
 */
static __always_inline bool is_of_the_node(struct __sk_buff *skb, const struct packet *p)
{
	if (!is_made_by_the_node(skb, p)) return false;
	return skb->sk || !is_sent_mark(skb->mark & MARK_MAGIC_MASK);
}

/*
 * Who sends to an endpoint what has not been judged for it: the interface that it came in by says it, or the
 * mark that it got there where the stack has forgotten the interface. An address is believed only where
 * neither is ours, and then it is neither an endpoint's nor the node's. 0, or a counter.
 */
SEPARATE int find_sender(struct __sk_buff *skb, struct packet *p)
{
	struct interface_key key = {};
	struct interface_value *way;
	__u32 mark = skb->mark;
	__u32 magic = mark & MARK_MAGIC_MASK;

	if (!p) return COUNTER_UNKNOWN_SENDER;
	find_side(p, &p->tuple.source, &p->addressed);
	p->source = p->addressed;
	if (is_of_the_node(skb, p)) {
		p->source.identity = IDENTITY_HOST;
		p->source.endpoint = 0;
		return 0;
	}
	key.generation = p->generation;
	key.ifindex = skb->ingress_ifindex;
	way = bpf_map_lookup_elem(&interfaces, &key);
	if (way && way->kind == INTERFACE_OTHER) way = 0;
	p->is_known_way = way && !(way->flags & INTERFACE_IS_PORT);
	if (way && way->kind == INTERFACE_ENDPOINT) return sent_by_endpoint(p, way->endpoint);
	if (is_sent_by_endpoint(magic)) return sent_by_endpoint(p, named_by(mark));
	if ((way || skb->ingress_ifindex == 0) && (magic == MARK_ENTERED || magic == MARK_ENTERED_LOCAL))
		return sent_from_outside(p, mark);
	/* Judged for another, and it came out of a tunnel of the node's. */
	if (!way && magic == MARK_JUDGED) return COUNTER_UNKNOWN_SENDER;
	if (p->addressed.endpoint == 0 && p->addressed.identity != IDENTITY_HOST) return 0;
	return way ? COUNTER_UNKNOWN_SENDER : COUNTER_FOREIGN_SOURCE;
}

/* Sent to another endpoint's address, so it is not for this one, whatever it has told its neighbours. */
static __noinline bool is_of_another(struct packet *p, const struct interface_value *interface)
{
	find_side(p, &p->tuple.destination, &p->destination);
	return p->destination.endpoint != 0 && p->destination.endpoint != interface->endpoint;
}

/* As `find_source`: identity and policy of the receiver are the interface's. 0, or a counter. */
static __noinline int find_receiver(struct packet *p, const struct interface_value *interface)
{
	struct endpoint_value *endpoint = find_endpoint(p, interface->endpoint);

	if (!endpoint || interface->endpoint == 0) return COUNTER_DENIED_INGRESS;
	if (is_of_another(p, interface)) return COUNTER_FOREIGN_NEIGHBOUR;
	p->destination.identity = endpoint->identity;
	p->destination.check = endpoint->check;
	p->destination.endpoint = interface->endpoint;
	return 0;
}

#endif
