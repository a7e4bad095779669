/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TCP packet answered with RST where it stands: turned round, cut to its headers, sent back the way it
 * came. Who is refused knows at once, instead of after minutes of retries.
 */
#ifndef SALLYPORT_RESET_H
#define SALLYPORT_RESET_H

#define TCP_BYTES 20
#define RESET_TTL 64

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* RFC 9293 3.10.7.1: an RST has the sequence number that the other side waits for. */
static __always_inline void fill_reset(struct tcphdr *reset, const struct tcphdr *tcp, __u32 bytes)
{
	__u8 flags = ((const __u8 *)tcp)[13];
	__u32 length = bytes + ((flags & TCP_SYN) ? 1 : 0) + ((flags & TCP_FIN) ? 1 : 0);

	__builtin_memset(reset, 0, sizeof(*reset));
	reset->source = tcp->dest;
	reset->dest = tcp->source;
	reset->doff = TCP_BYTES / 4;
	reset->rst = 1;
	if (flags & TCP_ACK) {
		reset->seq = tcp->ack_seq;
	} else {
		reset->ack = 1;
		reset->ack_seq = bpf_htonl(bpf_ntohl(tcp->seq) + length);
	}
}

static __always_inline int swap_ethernet(struct __sk_buff *skb)
{
	__u8 addresses[12];
	__u8 swapped[12];

	if (bpf_skb_load_bytes(skb, 0, addresses, sizeof(addresses)) < 0)
		return -1;
	__builtin_memcpy(swapped, addresses + 6, 6);
	__builtin_memcpy(swapped + 6, addresses, 6);
	return bpf_skb_store_bytes(skb, 0, swapped, sizeof(swapped), 0);
}

static __always_inline int reset4(struct __sk_buff *skb, const struct packet *packet)
{
	struct iphdr old;
	struct tcphdr tcp;
	struct {
		struct iphdr ip;
		struct tcphdr tcp;
	} new = {};
	struct {
		__be32 source;
		__be32 destination;
		__u8 zero;
		__u8 protocol;
		__be16 length;
	} pseudo = {};
	__u32 total;

	if (bpf_skb_load_bytes(skb, ETHERNET_BYTES, &old, sizeof(old)) < 0 ||
	    bpf_skb_load_bytes(skb, packet->l4_offset, &tcp, sizeof(tcp)) < 0)
		return -1;
	total = bpf_ntohs(old.tot_len);
	fill_reset(&new.tcp, &tcp, total > old.ihl * 4u + tcp.doff * 4u ?
					   total - old.ihl * 4u - tcp.doff * 4u :
					   0);
	new.ip.version = 4;
	new.ip.ihl = 5;
	new.ip.tot_len = bpf_htons(sizeof(new));
	new.ip.frag_off = bpf_htons(0x4000);
	new.ip.ttl = RESET_TTL;
	new.ip.protocol = PROTOCOL_TCP;
	new.ip.saddr = old.daddr;
	new.ip.daddr = old.saddr;
	new.ip.check = fold(bpf_csum_diff(0, 0, (__be32 *)&new.ip, sizeof(new.ip), 0));
	pseudo.source = new.ip.saddr;
	pseudo.destination = new.ip.daddr;
	pseudo.protocol = PROTOCOL_TCP;
	pseudo.length = bpf_htons(TCP_BYTES);
	new.tcp.check = fold(bpf_csum_diff(
		0, 0, (__be32 *)&new.tcp, sizeof(new.tcp),
		bpf_csum_diff(0, 0, (__be32 *)&pseudo, sizeof(pseudo), 0)));
	if (bpf_skb_change_tail(skb, ETHERNET_BYTES + sizeof(new), 0) < 0)
		return -1;
	return bpf_skb_store_bytes(skb, ETHERNET_BYTES, &new, sizeof(new), BPF_F_INVALIDATE_HASH);
}

static __always_inline int reset6(struct __sk_buff *skb, const struct packet *packet)
{
	struct ipv6hdr old;
	struct tcphdr tcp;
	struct {
		struct ipv6hdr ip;
		struct tcphdr tcp;
	} new = {};
	struct {
		struct in6_addr source;
		struct in6_addr destination;
		__be32 length;
		__be32 protocol;
	} pseudo = {};
	__u32 end;
	__u32 data;

	if (bpf_skb_load_bytes(skb, ETHERNET_BYTES, &old, sizeof(old)) < 0 ||
	    bpf_skb_load_bytes(skb, packet->l4_offset, &tcp, sizeof(tcp)) < 0)
		return -1;
	end = ETHERNET_BYTES + sizeof(old) + bpf_ntohs(old.payload_len);
	data = packet->l4_offset + tcp.doff * 4u;
	fill_reset(&new.tcp, &tcp, end > data ? end - data : 0);
	new.ip.version = 6;
	new.ip.payload_len = bpf_htons(TCP_BYTES);
	new.ip.nexthdr = PROTOCOL_TCP;
	new.ip.hop_limit = RESET_TTL;
	new.ip.saddr = old.daddr;
	new.ip.daddr = old.saddr;
	pseudo.source = new.ip.saddr;
	pseudo.destination = new.ip.daddr;
	pseudo.length = bpf_htonl(TCP_BYTES);
	pseudo.protocol = bpf_htonl(PROTOCOL_TCP);
	new.tcp.check = fold(bpf_csum_diff(
		0, 0, (__be32 *)&new.tcp, sizeof(new.tcp),
		bpf_csum_diff(0, 0, (__be32 *)&pseudo, sizeof(pseudo), 0)));
	if (bpf_skb_change_tail(skb, ETHERNET_BYTES + sizeof(new), 0) < 0)
		return -1;
	return bpf_skb_store_bytes(skb, ETHERNET_BYTES, &new, sizeof(new), BPF_F_INVALIDATE_HASH);
}

/*
 * `ingress`: back out of the device that it came in by; at egress: into the stack by the device that it
 * would have gone out of, as if the endpoint had answered. What is no TCP is dropped.
 */
static __noinline int reset(struct __sk_buff *skb, const struct packet *packet, int at_egress)
{
	int failed;

	if (!packet)
		return TC_ACT_SHOT;
	if (packet->tuple.protocol != PROTOCOL_TCP || packet->icmp_error ||
	    packet->kind != PACKET_JUDGED || (packet->tcp_flags & TCP_RST))
		return TC_ACT_SHOT;
	failed = packet->tuple.family == FAMILY_IP4 ? reset4(skb, packet) : reset6(skb, packet);
	if (failed || swap_ethernet(skb) < 0)
		return TC_ACT_SHOT;
	count(COUNTER_RESETS_SENT);
	return bpf_redirect(skb->ifindex, at_egress ? BPF_F_INGRESS : 0);
}

#endif
