/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A packet read into the fields that are judged. What has two readings, or hides its ports, is refused:
 * a packet that we read differently from the stack that takes it would pass by another's rule.
 */
#ifndef SALLYPORT_PACKET_H
#define SALLYPORT_PACKET_H

#define ETHERNET_BYTES 14
#define ETHERTYPE_IP4 0x0800
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_IP6 0x86dd
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_QINQ 0x88a8

#define PROTOCOL_HOP_BY_HOP 0
#define PROTOCOL_ICMP 1
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_ROUTING 43
#define PROTOCOL_FRAGMENT 44
#define PROTOCOL_ICMP6 58
#define PROTOCOL_DESTINATION 60
#define PROTOCOL_SCTP 132

/* Extension headers that are walked over; a packet with more is refused. */
#define EXTENSIONS_MAX 4

#define NDP_FIRST 133
#define NDP_LAST 137

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

enum packet_kind {
	PACKET_JUDGED, /* `tuple` and what follows it are set */
	PACKET_PASSED, /* ARP and neighbour discovery: no policy speaks of them */
	PACKET_REFUSED, /* `counter` says why */
};

struct packet {
	struct tuple tuple;
	struct ip sender; /* the source address on the packet itself, also of an ICMP error */
	__u32 kind;
	__u32 counter;
	__u16 l4_offset;
	__u8 tcp_flags;
	__u8 icmp_error; /* the tuple is that of the packet that it complains about, turned round */
	__u8 icmp_reply; /* an echo reply: an answer, never a beginning */
	__u8 is_later_fragment;
	__u8 pad[2];
};

/* SYN without ACK: who sends it begins the connection. */
static __always_inline int is_first(const struct packet *packet)
{
	return (packet->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;
}

static __always_inline void refuse_packet(struct packet *packet, __u32 counter)
{
	packet->kind = PACKET_REFUSED;
	packet->counter = counter;
}

/* Bytes at `offset` of `header`; read by helper, so that no packet must be linear. */
static __always_inline int read(struct __sk_buff *skb, __u32 offset, void *to, __u32 size)
{
	return bpf_skb_load_bytes(skb, offset, to, size);
}

static __always_inline void reverse(const struct tuple *tuple, struct tuple *reversed)
{
	reversed->source = tuple->destination;
	reversed->destination = tuple->source;
	reversed->source_port = tuple->destination_port;
	reversed->destination_port = tuple->source_port;
	reversed->family = tuple->family;
	reversed->protocol = tuple->protocol;
	reversed->pad = 0;
}

struct ports4 {
	__be16 source;
	__be16 destination;
};

static __always_inline int is_icmp_error(__u8 protocol, __u8 type)
{
	if (protocol == PROTOCOL_ICMP)
		return type == 3 || type == 11 || type == 12;
	return type >= 1 && type <= 4;
}

/*
 * The addresses and ports of the packet that an ICMP error quotes, turned round: the error goes back to
 * who sent that packet, so it belongs to the flow in which its own source is the quoted destination.
 */
static __noinline int read_quoted(struct __sk_buff *skb, struct packet *packet)
{
	struct tuple quoted = {};
	struct ports4 ports;
	__u32 offset;

	if (!packet)
		return -1;
	offset = packet->l4_offset + 8;
	if (packet->tuple.family == FAMILY_IP4) {
		struct iphdr ip;

		if (read(skb, offset, &ip, sizeof(ip)) < 0 || ip.ihl < 5)
			return -1;
		__builtin_memcpy(quoted.source.bytes, &ip.saddr, 4);
		__builtin_memcpy(quoted.destination.bytes, &ip.daddr, 4);
		quoted.protocol = ip.protocol;
		offset += ip.ihl * 4;
	} else {
		struct ipv6hdr ip;

		if (read(skb, offset, &ip, sizeof(ip)) < 0)
			return -1;
		__builtin_memcpy(quoted.source.bytes, &ip.saddr, 16);
		__builtin_memcpy(quoted.destination.bytes, &ip.daddr, 16);
		quoted.protocol = ip.nexthdr;
		offset += sizeof(ip);
	}
	quoted.family = packet->tuple.family;
	if (quoted.protocol == PROTOCOL_TCP || quoted.protocol == PROTOCOL_UDP ||
	    quoted.protocol == PROTOCOL_SCTP) {
		if (read(skb, offset, &ports, sizeof(ports)) < 0)
			return -1;
		quoted.source_port = ports.source;
		quoted.destination_port = ports.destination;
	}
	reverse(&quoted, &packet->tuple);
	packet->icmp_error = 1;
	return 0;
}

static __always_inline void read_icmp(struct __sk_buff *skb, struct packet *packet)
{
	struct {
		__u8 type;
		__u8 code;
		__be16 checksum;
		__be16 id;
	} icmp;
	__u8 protocol = packet->tuple.protocol;

	if (read(skb, packet->l4_offset, &icmp, sizeof(icmp)) < 0) {
		refuse_packet(packet, COUNTER_MALFORMED);
		return;
	}
	if (protocol == PROTOCOL_ICMP6 && icmp.type >= NDP_FIRST && icmp.type <= NDP_LAST) {
		packet->kind = PACKET_PASSED;
		return;
	}
	if (is_icmp_error(protocol, icmp.type)) {
		if (read_quoted(skb, packet) < 0)
			refuse_packet(packet, COUNTER_MALFORMED);
		return;
	}
	/* The "ports" of an echo are its id: a reply is found by the request that began it. */
	if (protocol == PROTOCOL_ICMP && (icmp.type == 0 || icmp.type == 8)) {
		packet->tuple.source_port = icmp.id;
		packet->tuple.destination_port = bpf_htons(8 << 8);
		if (icmp.type == 0) {
			packet->icmp_reply = 1;
			packet->tuple.source_port = bpf_htons(8 << 8);
			packet->tuple.destination_port = icmp.id;
		}
	} else if (protocol == PROTOCOL_ICMP6 && (icmp.type == 128 || icmp.type == 129)) {
		packet->tuple.source_port = icmp.id;
		packet->tuple.destination_port = bpf_htons(128 << 8);
		if (icmp.type == 129) {
			packet->icmp_reply = 1;
			packet->tuple.source_port = bpf_htons(128 << 8);
			packet->tuple.destination_port = icmp.id;
		}
	} else {
		packet->tuple.destination_port = bpf_htons(icmp.type << 8 | icmp.code);
	}
}

static __always_inline void read_tcp(struct __sk_buff *skb, struct packet *packet)
{
	struct tcphdr tcp;

	if (read(skb, packet->l4_offset, &tcp, sizeof(tcp)) < 0 || tcp.doff < 5) {
		refuse_packet(packet, COUNTER_MALFORMED);
		return;
	}
	packet->tuple.source_port = tcp.source;
	packet->tuple.destination_port = tcp.dest;
	packet->tcp_flags = ((__u8 *)&tcp)[13];
	/* No stack sends SYN together with FIN or RST, and filters have been passed by it. */
	if ((packet->tcp_flags & TCP_SYN) && (packet->tcp_flags & (TCP_FIN | TCP_RST)))
		refuse_packet(packet, COUNTER_MALFORMED);
}

/* A later fragment has no ports of its own; they are those of the first. */
static __always_inline void read_ports(struct __sk_buff *skb, struct packet *packet,
				       const struct fragment_key *fragment, int is_fragment)
{
	__u8 protocol = packet->tuple.protocol;
	struct ports4 ports;

	if (is_fragment && protocol == PROTOCOL_TCP) {
		refuse_packet(packet, COUNTER_FRAGMENT);
		return;
	}
	if (packet->is_later_fragment) {
		struct fragment_value *first = bpf_map_lookup_elem(&fragments, fragment);

		if (!first) {
			refuse_packet(packet, COUNTER_FRAGMENT);
			return;
		}
		packet->tuple.source_port = first->source_port;
		packet->tuple.destination_port = first->destination_port;
		return;
	}
	if (protocol == PROTOCOL_TCP) {
		read_tcp(skb, packet);
	} else if (protocol == PROTOCOL_ICMP || protocol == PROTOCOL_ICMP6) {
		/* ICMP of one family inside of the other has no reading. */
		if ((protocol == PROTOCOL_ICMP) != (packet->tuple.family == FAMILY_IP4))
			refuse_packet(packet, COUNTER_MALFORMED);
		else
			read_icmp(skb, packet);
	} else if (protocol == PROTOCOL_UDP || protocol == PROTOCOL_SCTP) {
		if (read(skb, packet->l4_offset, &ports, sizeof(ports)) < 0) {
			refuse_packet(packet, COUNTER_MALFORMED);
			return;
		}
		packet->tuple.source_port = ports.source;
		packet->tuple.destination_port = ports.destination;
	}
	if (is_fragment && packet->kind == PACKET_JUDGED) {
		struct fragment_value first = {
			.source_port = packet->tuple.source_port,
			.destination_port = packet->tuple.destination_port,
		};

		bpf_map_update_elem(&fragments, fragment, &first, BPF_ANY);
	}
}

static __always_inline void read_ip4(struct __sk_buff *skb, struct packet *packet)
{
	struct fragment_key fragment = {};
	struct iphdr ip;
	__u16 offset_field;

	/* Options may choose the way of a packet (source routing), and nothing honest sends any. */
	if (read(skb, ETHERNET_BYTES, &ip, sizeof(ip)) < 0 || ip.version != 4 || ip.ihl != 5) {
		refuse_packet(packet, COUNTER_MALFORMED);
		return;
	}
	packet->tuple.family = FAMILY_IP4;
	packet->tuple.protocol = ip.protocol;
	__builtin_memcpy(packet->tuple.source.bytes, &ip.saddr, 4);
	__builtin_memcpy(packet->tuple.destination.bytes, &ip.daddr, 4);
	packet->sender = packet->tuple.source;
	packet->l4_offset = ETHERNET_BYTES + ip.ihl * 4;
	offset_field = bpf_ntohs(ip.frag_off);
	packet->is_later_fragment = (offset_field & 0x1fff) != 0;
	fragment.source = packet->tuple.source;
	fragment.destination = packet->tuple.destination;
	fragment.id = ip.id;
	fragment.protocol = ip.protocol;
	/* 0x2000: more fragments follow. */
	read_ports(skb, packet, &fragment, (offset_field & 0x3fff) != 0);
}

static __always_inline void read_ip6(struct __sk_buff *skb, struct packet *packet)
{
	struct fragment_key fragment = {};
	struct ipv6hdr ip;
	__u32 offset = ETHERNET_BYTES + sizeof(ip);
	int is_fragment = 0;
	__u8 next;

	if (read(skb, ETHERNET_BYTES, &ip, sizeof(ip)) < 0 || ip.version != 6) {
		refuse_packet(packet, COUNTER_MALFORMED);
		return;
	}
	packet->tuple.family = FAMILY_IP6;
	__builtin_memcpy(packet->tuple.source.bytes, &ip.saddr, 16);
	__builtin_memcpy(packet->tuple.destination.bytes, &ip.daddr, 16);
	packet->sender = packet->tuple.source;
	next = ip.nexthdr;
	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		struct {
			__u8 next;
			__u8 length;
			__be16 fragment_offset;
			__be32 id;
		} extension;

		if (next == PROTOCOL_ROUTING) {
			refuse_packet(packet, COUNTER_MALFORMED);
			return;
		}
		if (next != PROTOCOL_HOP_BY_HOP && next != PROTOCOL_DESTINATION &&
		    next != PROTOCOL_FRAGMENT)
			break;
		if (read(skb, offset, &extension, sizeof(extension)) < 0) {
			refuse_packet(packet, COUNTER_MALFORMED);
			return;
		}
		if (next == PROTOCOL_FRAGMENT) {
			is_fragment = 1;
			fragment.id = extension.id;
			packet->is_later_fragment =
				(bpf_ntohs(extension.fragment_offset) & 0xfff8) != 0;
			offset += 8;
		} else {
			offset += (extension.length + 1) * 8;
		}
		next = extension.next;
		/* What stands behind a later fragment's header is in the middle of something. */
		if (packet->is_later_fragment)
			break;
	}
	if (!packet->is_later_fragment &&
	    (next == PROTOCOL_HOP_BY_HOP || next == PROTOCOL_DESTINATION ||
	     next == PROTOCOL_FRAGMENT || next == PROTOCOL_ROUTING)) {
		refuse_packet(packet, COUNTER_MALFORMED);
		return;
	}
	packet->tuple.protocol = next;
	packet->l4_offset = offset;
	fragment.source = packet->tuple.source;
	fragment.destination = packet->tuple.destination;
	fragment.protocol = next;
	read_ports(skb, packet, &fragment, is_fragment);
}

static __noinline int read_packet(struct __sk_buff *skb, struct packet *packet)
{
	if (!packet)
		return -1;
	__builtin_memset(packet, 0, sizeof(*packet));
	packet->kind = PACKET_JUDGED;
	if (skb->vlan_present) {
		refuse_packet(packet, COUNTER_VLAN);
		return 0;
	}
	switch (bpf_ntohs(skb->protocol)) {
	case ETHERTYPE_ARP:
		packet->kind = PACKET_PASSED;
		break;
	case ETHERTYPE_IP4:
		read_ip4(skb, packet);
		break;
	case ETHERTYPE_IP6:
		read_ip6(skb, packet);
		break;
	case ETHERTYPE_VLAN:
	case ETHERTYPE_QINQ:
		refuse_packet(packet, COUNTER_VLAN);
		break;
	default:
		refuse_packet(packet, COUNTER_NOT_IP);
	}
	return 0;
}

#endif
