/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ARP and IPv6 neighbour discovery between an interface and the node, or its neighbours on a bridge. They
 * pass unjudged, so they must be no way to anybody else: multicast and link-local addresses do not leave
 * the link, and what is sent to any other address gets the proxy's mark, with which the node takes it for
 * its own and never forwards it. And an endpoint may tell only where its own addresses are: else it would
 * get what is sent to others.
 */
#ifndef SALLYPORT_NEIGHBOUR_H
#define SALLYPORT_NEIGHBOUR_H

#include <linux/pkt_cls.h>

#include "judge.h"
#include "packet.h"

static __always_inline bool is_link_local(const struct ip *ip)
{
	return ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80;
}

static __always_inline bool is_unspecified(const struct ip *ip)
{
	const __u32 *words = (const __u32 *)ip->bytes;

	return (words[0] | words[1] | words[2] | words[3]) == 0;
}

#define ARP_BYTES 28
#define ARP_SENDER 14 /* the sender's protocol address */
#define ND_TARGET 8

/* RFC 826, and 5227: who asks whether an address is free names none as its own. */
SEPARATE int is_own_arp(struct __sk_buff *skb, struct packet *p, __u32 endpoint)
{
	const __u8 expected[6] = {0, 1, 8, 0, 6, 4}; /* Ethernet, IPv4, and their lengths */
	__u8 arp[ARP_BYTES];

	if (!p || load(skb, ETH_HLEN, arp, ARP_BYTES)) return false;
	for (int i = 0; i < 6; i++)
		if (arp[i] != expected[i]) return false;
	p->tuple.family = FAMILY_IP4;
	__builtin_memcpy(p->tuple.source.bytes, arp + ARP_SENDER, 4);
	__builtin_memcpy(p->tuple.destination.bytes, arp + ARP_SENDER + 10, 4);
	if (is_unspecified(&p->tuple.source)) return true;
	find_side(p, &p->tuple.source, &p->source);
	return p->source.endpoint == endpoint;
}

/* Nobody's that we know, as the endpoint's own link-local address is; or the endpoint's. */
static __noinline bool is_free_or_own(const struct packet *p, const struct ip *address, __u32 endpoint)
{
	struct address_value owner;

	find_side(p, address, &owner);
	if (owner.endpoint != 0) return owner.endpoint == endpoint;
	return is_link_local(address) && owner.identity != IDENTITY_HOST;
}

/* What it says of addresses: an advertisement of its target, a solicitation without source of the same. */
SEPARATE int is_own_neighbour(struct __sk_buff *skb, struct packet *p, __u32 endpoint)
{
	struct ip target;
	__u8 type;

	if (!p) return false;
	type = bpf_ntohs(p->port) >> 8;
	if (!is_unspecified(&p->tuple.source) && !is_free_or_own(p, &p->tuple.source, endpoint))
		return false;
	if (type != ICMP6_NEIGHBOUR_ADVERTISEMENT &&
	    !(type == ICMP6_NEIGHBOUR_SOLICITATION && is_unspecified(&p->tuple.source)))
		return true;
	if (load(skb, p->transport + ND_TARGET, &target, sizeof(target))) return false;
	return is_free_or_own(p, &target, endpoint);
}

static __noinline bool is_neighbour(const struct packet *p, bool is_own, __u32 kind)
{
	__u8 type = bpf_ntohs(p->port) >> 8;

	/* An endpoint is no router: it has nobody to redirect, nor to ask what they listen to. */
	if (kind == INTERFACE_ENDPOINT && (type == ICMP6_ROUTER_ADVERTISEMENT ||
					   type == ICMP6_REDIRECT || type == ICMP6_LISTENER_QUERY))
		return false;
	if (!is_own && !is_link_local(&p->tuple.source) && !is_unspecified(&p->tuple.source)) return false;
	return true;
}

/*
 * For a neighbour on the bridge. Should the node route it after all, it has lost a hop when it gets to an
 * endpoint, and is judged there.
 */
static __noinline bool is_beside(const struct packet *p)
{
	struct address_value owner;

	if (!p->is_port) return false;
	find_side(p, &p->tuple.destination, &owner);
	return owner.endpoint != 0 || owner.identity == IDENTITY_HOST;
}

static __always_inline int pass_neighbour(struct __sk_buff *skb, const struct packet *p)
{
	bool stays = is_link_local(&p->tuple.destination) || is_link_multicast(&p->tuple.destination);

	skb->mark = stays || is_beside(p) ? 0 : mark_of(MARK_TO_PROXY, 0);
	return TC_ACT_OK;
}

/*
 * On its way out to an endpoint with all its hops: the bridge has brought it, from a port of which
 * `from_interface` has read it.
 */
static __noinline bool is_bridged(struct __sk_buff *skb, const struct packet *p)
{
	struct interface_key key = {.generation = p->generation, .ifindex = skb->ingress_ifindex};
	struct interface_value *way = bpf_map_lookup_elem(&interfaces, &key);

	return way && way->kind == INTERFACE_ENDPOINT && (way->flags & INTERFACE_IS_PORT);
}

#endif
