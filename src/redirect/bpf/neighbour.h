/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IPv6 neighbour discovery between an interface and the node. It passes unjudged, so it must not be a
 * way to anybody else: multicast and link-local addresses do not leave the link, and what is sent to any
 * other address gets the proxy's mark, with which the node takes it for its own and never forwards it.
 */
#ifndef SALLYPORT_NEIGHBOUR_H
#define SALLYPORT_NEIGHBOUR_H

static __always_inline bool is_link_local(const struct ip *ip)
{
	return ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80;
}

static __always_inline bool is_unspecified(const struct ip *ip)
{
	const __u32 *words = (const __u32 *)ip->bytes;

	return (words[0] | words[1] | words[2] | words[3]) == 0;
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

static __always_inline int pass_neighbour(struct __sk_buff *skb, const struct packet *p)
{
	bool stays = is_link_local(&p->tuple.destination) || is_link_multicast(&p->tuple.destination);

	skb->mark = stays ? 0 : mark_of(MARK_TO_PROXY, 0);
	return TC_ACT_OK;
}

#endif
