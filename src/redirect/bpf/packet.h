/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From bytes to what can be judged. Only what has one reading gets through: what we take for the port must
 * be what the receiver takes for it.
 */
#ifndef SALLYPORT_PACKET_H
#define SALLYPORT_PACKET_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "layout.h"
#include "maps.h"

/*
 * A function that the verifier looks at once, by itself, instead of anew for each way that leads to it.
 * Its pointers may be null as far as the verifier knows.
 */
#define SEPARATE __attribute__((noinline))

#define IPV6_HEADERS_MAX 6

#define IP4_BYTES 20
#define IP6_BYTES 40
#define TCP_BYTES 20

#define IP4_FRAGMENT_MORE 0x2000
#define IP4_FRAGMENT_OFFSET 0x1fff
#define IP4_OPTION_END 0
#define IP4_OPTION_NOP 1
#define IP4_OPTION_LOOSE_ROUTE 131
#define IP4_OPTION_STRICT_ROUTE 137

#define IP6_HOP_BY_HOP 0
#define IP6_ROUTING 43
#define IP6_FRAGMENT 44
#define IP6_DESTINATION_OPTIONS 60
#define IP6_FRAGMENT_MORE 0x0001
#define IP6_FRAGMENT_OFFSET 0xfff8

#define PROTOCOL_ICMP 1
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_ICMP6 58
#define PROTOCOL_SCTP 132

#define ICMP4_ECHO_REPLY 0
#define ICMP4_ECHO_REQUEST 8
#define ICMP6_ECHO_REQUEST 128
#define ICMP6_ECHO_REPLY 129
#define ICMP6_LISTENER_QUERY 130
#define ICMP6_LISTENER_DONE 132
#define ICMP6_ROUTER_SOLICITATION 133
#define ICMP6_ROUTER_ADVERTISEMENT 134
#define ICMP6_NEIGHBOUR_SOLICITATION 135
#define ICMP6_NEIGHBOUR_ADVERTISEMENT 136
#define ICMP6_REDIRECT 137
#define ICMP6_LISTENER_REPORT2 143

#define PACKET_FOR_US 0 /* PACKET_HOST */

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

/* Results of the parser besides COUNTER_*, which are all positive here and mean a refusal. */
#define PARSED 0
#define PARSED_ARP (-1)
#define PARSED_NEIGHBOUR (-2)

/* Where a packet stands in what its sender fragmented. */
enum fragment_place {
	FRAGMENT_NONE = 0,
	FRAGMENT_FIRST,
	FRAGMENT_LATER,
};

enum icmp_kind {
	ICMP_NONE = 0, /* not ICMP, or a type that is judged packet by packet */
	ICMP_ECHO_ASKS,
	ICMP_ECHO_ANSWERS,
	ICMP_ERROR,
};

struct packet {
	struct tuple tuple;
	struct address_value source; /* who sent it */
	struct address_value destination;
	struct address_value addressed; /* `to_endpoint`: whose its source address is by now */
	__u64 adopts_until_ns; /* see interface_value */
	__u32 generation;
	__u32 setting_flags;
	__u32 transport; /* offset of the transport header */
	__u32 end;	 /* offset behind the last byte of the IP packet */
	__u32 refusal;	 /* why a side said no: COUNTER_DENIED_* */
	struct way came_by; /* see name_way */
	__be32 fragment_id;
	__be32 tcp_sequence;
	__be16 port;	 /* what policies name: destination port, or ICMP type << 8 | code */
	__u8 tcp_flags;
	__u8 fragment;
	__u8 icmp;
	__u8 hop_limit;
	__u8 is_plain; /* no IP options, no extension headers */
	__u8 is_translated; /* the source address is not the sender's */
	__u8 is_port;	     /* see INTERFACE_IS_PORT */
	__u8 is_known_way;   /* it came in by an interface of ours that is no port */
	__u8 is_leaving;     /* `to_endpoint`: its destination is who receives it */
	__u8 is_before_nat;  /* it came by an uplink, and the node may yet undo a NAT */
	__u8 is_dialled;    /* see MARK_DIALLED */
	__u8 pad[3];
};

static __always_inline int load(struct __sk_buff *skb, __u32 offset, void *to, __u32 bytes)
{
	return bpf_skb_load_bytes(skb, offset, to, bytes);
}

static __always_inline bool has_ports(__u8 protocol)
{
	return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP || protocol == PROTOCOL_SCTP;
}

static __always_inline void reverse(const struct tuple *tuple, struct tuple *to)
{
	to->source = tuple->destination;
	to->destination = tuple->source;
	to->source_port = tuple->destination_port;
	to->destination_port = tuple->source_port;
	to->family = tuple->family;
	to->protocol = tuple->protocol;
	to->pad = 0;
	/* An echo has one identifier, and it is the same on both ways. */
	if (tuple->protocol == PROTOCOL_ICMP || tuple->protocol == PROTOCOL_ICMP6) {
		to->source_port = tuple->source_port;
		to->destination_port = 0;
	}
}

/* 0, or a counter. A source route would take the packet elsewhere than to what was judged. */
SEPARATE int check_ip4_options(struct __sk_buff *skb, __u32 options_end)
{
	__u32 offset = ETH_HLEN + IP4_BYTES;
	__u8 option[2];

	for (int i = 0; i < 40; i++) {
		if (offset >= options_end) return 0;
		if (load(skb, offset, option, 1)) return COUNTER_MALFORMED;
		if (option[0] == IP4_OPTION_END) return 0;
		if (option[0] == IP4_OPTION_NOP) {
			offset++;
			continue;
		}
		if (option[0] == IP4_OPTION_LOOSE_ROUTE || option[0] == IP4_OPTION_STRICT_ROUTE)
			return COUNTER_MALFORMED;
		if (load(skb, offset, option, 2) || option[1] < 2) return COUNTER_MALFORMED;
		offset += option[1];
	}
	return 0;
}

static __always_inline int parse_ip4(struct __sk_buff *skb, struct packet *p)
{
	struct iphdr ip;
	__u32 header, total;
	__u16 fragment;

	if (load(skb, ETH_HLEN, &ip, sizeof(ip))) return COUNTER_MALFORMED;
	header = ip.ihl * 4;
	total = bpf_ntohs(ip.tot_len);
	/* A packet that the receiver's offload made larger than 64 kB has no length of its own. */
	if (total == 0 && skb->gso_size > 0) total = skb->len - ETH_HLEN;
	if (ip.version != 4 || header < IP4_BYTES || total < header || ETH_HLEN + total > skb->len)
		return COUNTER_MALFORMED;

	p->tuple.family = FAMILY_IP4;
	p->tuple.protocol = ip.protocol;
	__builtin_memcpy(p->tuple.source.bytes, &ip.saddr, 4);
	__builtin_memcpy(p->tuple.destination.bytes, &ip.daddr, 4);
	p->transport = ETH_HLEN + header;
	p->end = ETH_HLEN + total;
	p->hop_limit = ip.ttl;
	p->is_plain = header == IP4_BYTES;
	p->fragment_id = ip.id;
	fragment = bpf_ntohs(ip.frag_off);
	if (fragment & IP4_FRAGMENT_OFFSET) p->fragment = FRAGMENT_LATER;
	else if (fragment & IP4_FRAGMENT_MORE) p->fragment = FRAGMENT_FIRST;
	if (header > IP4_BYTES) return check_ip4_options(skb, p->transport);
	return PARSED;
}

/* Its address would be another in each family's reading. */
static __always_inline bool is_mapped(const struct ip *ip)
{
	const __u32 *words = (const __u32 *)ip->bytes;

	return words[0] == 0 && words[1] == 0 && words[2] == bpf_htonl(0xffff);
}

static __always_inline int parse_ip6(struct __sk_buff *skb, struct packet *p)
{
	struct ipv6hdr ip;
	__u32 payload;

	if (load(skb, ETH_HLEN, &ip, sizeof(ip))) return COUNTER_MALFORMED;
	payload = bpf_ntohs(ip.payload_len);
	if (payload == 0 && skb->gso_size > 0) payload = skb->len - ETH_HLEN - IP6_BYTES;
	if (ip.version != 6 || ETH_HLEN + IP6_BYTES + payload > skb->len) return COUNTER_MALFORMED;

	p->tuple.family = FAMILY_IP6;
	p->tuple.protocol = ip.nexthdr;
	__builtin_memcpy(p->tuple.source.bytes, &ip.saddr, 16);
	__builtin_memcpy(p->tuple.destination.bytes, &ip.daddr, 16);
	if (is_mapped(&p->tuple.source) || is_mapped(&p->tuple.destination)) return COUNTER_MALFORMED;
	p->transport = ETH_HLEN + IP6_BYTES;
	p->end = p->transport + payload;
	p->hop_limit = ip.hop_limit;
	p->is_plain = 1;
	return PARSED;
}

/*
 * Bounded: who needs more headers than IPV6_HEADERS_MAX hides something. Routing headers are refused for
 * the reason for which source routes are.
 */
SEPARATE int walk_ip6_headers(struct __sk_buff *skb, struct packet *p)
{
	__u8 header[8], next;
	__u32 offset;

	if (!p) return COUNTER_MALFORMED;
	next = p->tuple.protocol;
	offset = p->transport;
	for (int i = 0; i < IPV6_HEADERS_MAX; i++) {
		if (next != IP6_HOP_BY_HOP && next != IP6_DESTINATION_OPTIONS && next != IP6_ROUTING &&
		    next != IP6_FRAGMENT) {
			p->tuple.protocol = next;
			p->transport = offset;
			return PARSED;
		}
		p->is_plain = 0;
		if (next == IP6_ROUTING || (next == IP6_HOP_BY_HOP && i > 0)) return COUNTER_MALFORMED;
		if (offset + sizeof(header) > p->end || load(skb, offset, header, sizeof(header)))
			return COUNTER_MALFORMED;
		if (next == IP6_FRAGMENT) {
			__u16 place = header[2] << 8 | header[3];

			if (p->fragment != FRAGMENT_NONE) return COUNTER_MALFORMED;
			p->fragment = place & IP6_FRAGMENT_OFFSET ? FRAGMENT_LATER : FRAGMENT_FIRST;
			__builtin_memcpy(&p->fragment_id, header + 4, 4);
			next = header[0];
			offset += sizeof(header);
			if (p->fragment == FRAGMENT_LATER) {
				p->tuple.protocol = next;
				p->transport = offset;
				return PARSED;
			}
			continue;
		}
		next = header[0];
		offset += (header[1] + 1) * 8;
	}
	return COUNTER_MALFORMED;
}

static __always_inline bool is_echo(bool is_ip4, __u8 type)
{
	return is_ip4 ? type == ICMP4_ECHO_REQUEST || type == ICMP4_ECHO_REPLY
		      : type == ICMP6_ECHO_REQUEST || type == ICMP6_ECHO_REPLY;
}

static __always_inline void parse_icmp(struct packet *p, const __u8 *header)
{
	__u8 type = header[0];
	bool is_ip4 = p->tuple.family == FAMILY_IP4;

	p->port = bpf_htons(type << 8 | header[1]);
	/* An echo with a code is none: it must not pass by the flow of one without. */
	if (header[1] != 0 && is_echo(is_ip4, type)) return;
	if (type == (is_ip4 ? ICMP4_ECHO_REQUEST : ICMP6_ECHO_REQUEST)) p->icmp = ICMP_ECHO_ASKS;
	else if (type == (is_ip4 ? ICMP4_ECHO_REPLY : ICMP6_ECHO_REPLY)) p->icmp = ICMP_ECHO_ANSWERS;
	else if (is_ip4 ? type == 3 || type == 4 || type == 11 || type == 12 : type >= 1 && type <= 4)
		p->icmp = ICMP_ERROR;
	if (p->icmp == ICMP_ECHO_ASKS || p->icmp == ICMP_ECHO_ANSWERS)
		__builtin_memcpy(&p->tuple.source_port, header + 4, 2);
}

static __always_inline bool is_icmp(const struct packet *p)
{
	return p->tuple.protocol == (p->tuple.family == FAMILY_IP4 ? PROTOCOL_ICMP : PROTOCOL_ICMP6);
}

static __always_inline int parse_transport(struct __sk_buff *skb, struct packet *p)
{
	__u8 header[TCP_BYTES];
	__u8 protocol = p->tuple.protocol;
	__u32 needed = protocol == PROTOCOL_TCP ? TCP_BYTES : 8;

	if (!has_ports(protocol) && !is_icmp(p)) return PARSED;
	/* What lies behind the packet's own length is padding to the receiver, and must be to us. */
	if (p->transport + needed > p->end) return COUNTER_MALFORMED;
	if (protocol == PROTOCOL_TCP) {
		if (load(skb, p->transport, header, TCP_BYTES)) return COUNTER_MALFORMED;
		p->tcp_flags = header[13];
		__builtin_memcpy(&p->tcp_sequence, header + 4, 4);
		/* No stack sends these together; each reads them in its own way. */
		if ((p->tcp_flags & TCP_SYN) && (p->tcp_flags & (TCP_FIN | TCP_RST)))
			return COUNTER_MALFORMED;
		if ((header[12] >> 4) * 4 < TCP_BYTES) return COUNTER_MALFORMED;
	} else if (load(skb, p->transport, header, 8)) {
		return COUNTER_MALFORMED;
	}
	if (is_icmp(p)) {
		parse_icmp(p, header);
		return PARSED;
	}
	__builtin_memcpy(&p->tuple.source_port, header, 2);
	__builtin_memcpy(&p->tuple.destination_port, header + 2, 2);
	p->port = p->tuple.destination_port;
	return PARSED;
}

static __always_inline __u32 mix(__u32 hash, __u32 word)
{
	hash = (hash ^ word) * 0x85ebca77;
	return hash ^ hash >> 15;
}

static __noinline __u32 mix_words(const void *from, __u32 count)
{
	const __u32 *words = from;
	__u32 hash = 0x9e3779b1;

	for (__u32 i = 0; i < count && i < 10; i++) hash = mix(hash, words[i]);
	return hash;
}

/* Whose packet it is, as far as can be told of each packet. An endpoint's is its own, whoever is to get it. */
static __noinline void name_way(const struct packet *p, struct way *way)
{
	struct interface_key key = {.generation = p->generation, .ifindex = p->came_by.ifindex};
	struct interface_value *interface = bpf_map_lookup_elem(&interfaces, &key);

	*way = p->came_by;
	if (interface && interface->kind == INTERFACE_ENDPOINT) way->receiver = 0;
}

static __noinline void name_fragment(const struct packet *p, struct fragment_name *name,
				     struct fragment_key *key)
{
	__builtin_memset(name, 0, sizeof(*name));
	name->source = p->tuple.source;
	name->destination = p->tuple.destination;
	name->id = p->fragment_id;
	name->family = p->tuple.family;
	name->protocol = p->tuple.family == FAMILY_IP4 ? p->tuple.protocol : 0;
	name_way(p, &key->way);
	key->place = mix_words(name, sizeof(*name) / 4) % FRAGMENT_PLACES;
}

static __always_inline bool is_same_packet(const struct fragment_name *one, const struct fragment_name *other)
{
	const __u64 *a = (const __u64 *)one, *b = (const __u64 *)other;

	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3] && a[4] == b[4];
}

/* The first fragment is kept whatever becomes of it: those after it are judged by the same ports. */
SEPARATE int keep_fragment(struct packet *p)
{
	struct fragment_key key;
	struct fragment_value value = {};

	if (!p) return COUNTER_FRAGMENT;
	name_fragment(p, &value.name, &key);
	value.time_ns = bpf_ktime_get_ns();
	value.source_port = p->tuple.source_port;
	value.destination_port = p->tuple.destination_port;
	value.port = p->port;
	value.protocol = p->tuple.protocol;
	return bpf_map_update_elem(&fragments, &key, &value, BPF_ANY) ? COUNTER_FRAGMENT : PARSED;
}

SEPARATE int recall_fragment(struct packet *p)
{
	struct fragment_key key;
	struct fragment_name name;
	struct fragment_value *value;

	if (!p) return COUNTER_FRAGMENT;
	name_fragment(p, &name, &key);
	value = bpf_map_lookup_elem(&fragments, &key);
	if (!value || !is_same_packet(&value->name, &name)) return COUNTER_FRAGMENT;
	if (bpf_ktime_get_ns() - value->time_ns > FRAGMENT_NS) return COUNTER_FRAGMENT;
	p->tuple.source_port = value->source_port;
	p->tuple.destination_port = value->destination_port;
	p->tuple.protocol = value->protocol;
	p->port = value->port;
	/* Errors are known by what they quote, which only the first fragment has. */
	if (is_icmp(p) && value->source_port != 0) {
		__u8 type = bpf_ntohs(value->port) >> 8;

		p->icmp = type == ICMP4_ECHO_REQUEST || type == ICMP6_ECHO_REQUEST ? ICMP_ECHO_ASKS
										    : ICMP_ECHO_ANSWERS;
	}
	return PARSED;
}

/* The addresses: enough to tell whether the packet is any of our business. */
static __always_inline int parse_network(struct __sk_buff *skb, struct packet *p)
{
	if (skb->vlan_present) return COUNTER_VLAN;
	switch (skb->protocol) {
	case bpf_htons(ETH_P_8021Q):
	case bpf_htons(ETH_P_8021AD):
		return COUNTER_VLAN;
	case bpf_htons(ETH_P_ARP):
		return PARSED_ARP;
	case bpf_htons(ETH_P_IP):
		return parse_ip4(skb, p);
	case bpf_htons(ETH_P_IPV6):
		return parse_ip6(skb, p);
	default:
		return COUNTER_NOT_IP;
	}
}

static __always_inline bool is_link_multicast(const struct ip *ip)
{
	return ip->bytes[0] == 0xff && (ip->bytes[1] & 0x0f) == 2;
}

/*
 * RFC 4861: 255 hops prove that no router has passed the message on. RFC 3810: what hosts listen to, told
 * to the link with one hop and a router alert; each pod does it when it starts.
 */
static __always_inline bool is_neighbour_message(const struct packet *p)
{
	__u8 type = bpf_ntohs(p->port) >> 8;

	if (p->tuple.family != FAMILY_IP6 || p->tuple.protocol != PROTOCOL_ICMP6) return false;
	if ((type >= ICMP6_LISTENER_QUERY && type <= ICMP6_LISTENER_DONE) || type == ICMP6_LISTENER_REPORT2)
		return p->hop_limit == 1 && is_link_multicast(&p->tuple.destination);
	return p->is_plain && p->hop_limit == 255 && type >= ICMP6_ROUTER_SOLICITATION &&
	       type <= ICMP6_REDIRECT;
}

/* The rest, as far as a policy can name it. */
SEPARATE int parse_rest(struct __sk_buff *skb, struct packet *p)
{
	int result = PARSED;

	if (!p) return COUNTER_MALFORMED;
	if (p->tuple.family == FAMILY_IP6) result = walk_ip6_headers(skb, p);
	if (result != PARSED) return result;
	if (p->fragment != FRAGMENT_NONE && p->tuple.protocol == PROTOCOL_TCP) return COUNTER_FRAGMENT;
	if (p->fragment == FRAGMENT_LATER) return recall_fragment(p);
	result = parse_transport(skb, p);
	if (result != PARSED) return result;
	if (p->fragment == FRAGMENT_FIRST) return keep_fragment(p);
	return is_neighbour_message(p) ? PARSED_NEIGHBOUR : PARSED;
}

#endif
