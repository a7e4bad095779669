/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A refusal that the sender notices at once: its TCP packet is turned into the RST that answers it and
 * leaves by the interface it came from. Everything else is dropped.
 */
#ifndef SALLYPORT_REFUSE_H
#define SALLYPORT_REFUSE_H

#include <linux/pkt_cls.h>

#include "judge.h"
#include "packet.h"

#define RESET_HOPS 64
#define STORE_FLAGS (BPF_F_RECOMPUTE_CSUM | BPF_F_INVALIDATE_HASH)

struct pseudo_header4 {
	__be32 source;
	__be32 destination;
	__u8 zero;
	__u8 protocol;
	__be16 length;
};

struct pseudo_header6 {
	struct in6_addr source;
	struct in6_addr destination;
	__be32 length;
	__be32 protocol;
};

static __always_inline __u16 fold(__s64 sum)
{
	__u32 value = (__u32)sum;

	value = (value & 0xffff) + (value >> 16);
	value = (value & 0xffff) + (value >> 16);
	return (__u16)~value;
}

static __always_inline void answer_ethernet(struct __sk_buff *skb)
{
	__u8 header[ETH_HLEN], turned[ETH_HLEN];

	if (load(skb, 0, header, ETH_HLEN)) return;
	__builtin_memcpy(turned, header + 6, 6);
	__builtin_memcpy(turned + 6, header, 6);
	turned[12] = header[12];
	turned[13] = header[13];
	bpf_skb_store_bytes(skb, 0, turned, ETH_HLEN, STORE_FLAGS);
}

/* RFC 9293 3.5.2: the number the other side expects next, or, where it told none, an acknowledgement. */
static __always_inline void answer_tcp(const struct tcphdr *asked, __u32 payload, struct tcphdr *answer)
{
	__builtin_memset(answer, 0, sizeof(*answer));
	answer->source = asked->dest;
	answer->dest = asked->source;
	answer->doff = TCP_BYTES / 4;
	answer->rst = 1;
	if (asked->ack) {
		answer->seq = asked->ack_seq;
	} else {
		answer->ack = 1;
		answer->ack_seq = bpf_htonl(bpf_ntohl(asked->seq) + asked->syn + asked->fin + payload);
	}
}

static __noinline int write_ip4(struct __sk_buff *skb, const struct packet *p, __s64 *pseudo_sum)
{
	struct pseudo_header4 pseudo = {.protocol = PROTOCOL_TCP, .length = bpf_htons(TCP_BYTES)};
	struct iphdr ip = {
		.version = 4,
		.ihl = IP4_BYTES / 4,
		.tot_len = bpf_htons(IP4_BYTES + TCP_BYTES),
		.frag_off = bpf_htons(0x4000), /* do not fragment */
		.ttl = RESET_HOPS,
		.protocol = PROTOCOL_TCP,
	};

	__builtin_memcpy(&ip.saddr, p->tuple.destination.bytes, 4);
	__builtin_memcpy(&ip.daddr, p->tuple.source.bytes, 4);
	ip.check = fold(bpf_csum_diff(0, 0, (__be32 *)&ip, sizeof(ip), 0));
	pseudo.source = ip.saddr;
	pseudo.destination = ip.daddr;
	*pseudo_sum = bpf_csum_diff(0, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);
	return bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), STORE_FLAGS);
}

static __noinline int write_ip6(struct __sk_buff *skb, const struct packet *p, __s64 *pseudo_sum)
{
	struct pseudo_header6 pseudo = {.protocol = bpf_htonl(PROTOCOL_TCP),
					.length = bpf_htonl(TCP_BYTES)};
	struct ipv6hdr ip = {
		.version = 6,
		.payload_len = bpf_htons(TCP_BYTES),
		.nexthdr = PROTOCOL_TCP,
		.hop_limit = RESET_HOPS,
	};

	__builtin_memcpy(&ip.saddr, p->tuple.destination.bytes, 16);
	__builtin_memcpy(&ip.daddr, p->tuple.source.bytes, 16);
	pseudo.source = ip.saddr;
	pseudo.destination = ip.daddr;
	*pseudo_sum = bpf_csum_diff(0, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);
	return bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), STORE_FLAGS);
}

/*
 * The checksum is written by the kernel's helpers, because only they know whether the packet's is finished
 * or left to the device: the sum of the header counts in the first case only, that of the pseudo header
 * in both. 0xffff is zero to both.
 */
static __noinline int write_tcp(struct __sk_buff *skb, const struct packet *p, struct tcphdr *tcp,
				__s64 pseudo_sum)
{
	__u32 check = p->transport + 16;
	__s64 sum = bpf_csum_diff(0, 0, (__be32 *)tcp, sizeof(*tcp), 0);

	tcp->check = 0xffff;
	if (bpf_skb_store_bytes(skb, p->transport, tcp, sizeof(*tcp), STORE_FLAGS)) return -1;
	if (bpf_l4_csum_replace(skb, check, 0, (__u32)sum, 0)) return -1;
	return bpf_l4_csum_replace(skb, check, 0, (__u32)pseudo_sum, BPF_F_PSEUDO_HDR);
}

/* The packet becomes the RST that answers it. False: it cannot, and has to be dropped. */
SEPARATE int become_reset(struct __sk_buff *skb, const struct packet *p)
{
	struct tcphdr asked, answer;
	__s64 pseudo_sum = 0;
	__u32 header;
	int failed;

	if (!p) return false;
	/* Who sends options sees a time-out: there is no telling how much of them to send back. */
	if ((p->tcp_flags & TCP_RST) || !p->is_plain || p->fragment != FRAGMENT_NONE) return false;
	if (load(skb, p->transport, &asked, sizeof(asked))) return false;
	header = p->transport + asked.doff * 4;
	answer_tcp(&asked, header < p->end ? p->end - header : 0, &answer);
	if (bpf_skb_change_tail(skb, p->transport + TCP_BYTES, 0)) return false;
	failed = p->tuple.family == FAMILY_IP4 ? write_ip4(skb, p, &pseudo_sum)
					       : write_ip6(skb, p, &pseudo_sum);
	if (failed || write_tcp(skb, p, &answer, pseudo_sum)) return false;
	answer_ethernet(skb);
	count(COUNTER_RESETS_SENT);
	return true;
}

/* Back out of the interface that it came in by. */
static __noinline int reset(struct __sk_buff *skb, const struct packet *p)
{
	if (!become_reset(skb, p)) return TC_ACT_SHOT;
	/* It leaves through `to_endpoint`, which has nothing to say about our own words. */
	skb->mark = judged_mark(p->source.endpoint, PROTOCOL_TCP,
				both_ports(p->tuple.destination_port, p->tuple.source_port),
				&p->tuple.destination, skb->ifindex);
	return bpf_redirect(skb->ifindex, 0);
}

static __always_inline int drop(const struct packet *p, __u32 counter)
{
	count(counter);
	if (p->tuple.family) note_refusal(p, counter);
	return TC_ACT_SHOT;
}

static __always_inline int refuse(struct __sk_buff *skb, const struct packet *p, __u32 counter)
{
	drop(p, counter);
	if (p->tuple.protocol != PROTOCOL_TCP) return TC_ACT_SHOT;
	return reset(skb, p);
}

#endif
