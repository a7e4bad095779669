/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the programs share with user space: keys and values of the maps. `redirect/layout.ts` is its twin,
 * and `test/redirect/kernel/layout.test.ts` compares sizes and offsets with the BTF of the compiled object.
 * A change here is a change of LAYOUT_VERSION: pins of another version are never re-used.
 *
 * Everything that the policy decides is keyed by a generation. A new policy is written whole under the
 * next generation, then `settings.generation` is changed in one write: no packet is judged by half of it,
 * and none by nothing.
 *
 *     packet ─► interfaces[gen, ifindex] ──► which endpoint, or an uplink
 *               addresses[gen, ip]  (LPM) ─► identity and endpoint of either side
 *               endpoints[gen, id]        ─► its egress and its ingress policy
 *               ports[gen, policy, protocol, port] (LPM) ─► slot, verdict for remotes not listed
 *               verdicts[gen, slot, identity]            ─► deny | allow | redirect
 *               behind[gen, ip, port, protocol]          ─► who is behind the address of a Service
 *
 *     records[tuple]   what a redirected connection was at its SYN: read by the proxy at accept
 *     flows[tuple]     connections that pass without the proxy, in the direction in which they were opened
 *     turns[tuple]     connections to a Service that are for the proxy: as what they come in again
 *     returns[tuple]   and the way back of their answers
 *     spare_*[tuple]   of each of these four: what its holder's share has no room for (shares.h)
 *     seats[holder, table, index]  which of its connections has this seat
 *     datagrams[tuple] the same as a record, of the last datagram that went to the proxy with these ends
 *     listeners[slot]  sockets of the proxy: 0..31 IPv4, 32..63 IPv6, and from 64 on the same for datagrams;
 *                      empties itself when a worker dies
 */
#ifndef SALLYPORT_LAYOUT_H
#define SALLYPORT_LAYOUT_H

#include <linux/types.h>

#define LAYOUT_VERSION 6

#define FAMILY_IP4 4
#define FAMILY_IP6 6

/* Slots of the sockmap for one family and protocol. Worker i of n holds every slot s with s % n == i. */
#define LISTENER_SLOTS 32

enum verdict {
	VERDICT_DENY = 0,
	VERDICT_ALLOW = 1,
	VERDICT_REDIRECT = 2,
};

enum interface_kind {
	INTERFACE_ENDPOINT = 1,
	INTERFACE_UPLINK = 2,
	INTERFACE_OTHER = 3, /* not ours: what is forwarded from it is let through as if we knew nothing of it */
};

/* interface_value.flags: a port of a bridge or the like, which the stack forgets on the way. */
#define INTERFACE_IS_PORT 1
/* of a Linux bridge: `address` is the port's own link address */
#define INTERFACE_IS_BRIDGED 2

/* Halves of a redirected connection: whose policies the proxy has to ask. */
#define HALF_EGRESS 1
#define HALF_INGRESS 2

/* settings.flags */
#define SETTING_HOST_JUDGED 1 /* what the host itself sends to an endpoint is judged, too */
/* and redirected: its own addresses are accepted on the interfaces of endpoints (IPv4: accept_local) */
#define SETTING_HOST_REDIRECTED 2
/* what is forwarded from an interface without an entry is refused: nobody has looked at it yet */
#define SETTING_GUARDED 4
/* `behind` is not empty */
#define SETTING_SERVICES 8
/* settings.flags >> 8: another number says that the address of a Service may lead to somebody else now. */
#define SETTING_EPOCH_SHIFT 8

/*
 * Marks, as Cilium lays them out: identity 15..0 in bits 31..16, identity 23..16 in bits 7..0. They tell
 * `to_endpoint` what `from_interface` knew, over every NAT of the node in between:
 *
 *     JUDGED   a hash of receiver, port and way in: goes on as it is to just this place
 *     SENT     the endpoint that sent it; who will get it is not known yet, or the way in gets lost
 *     DIALLED  the same, to a Service: who really gets it is asked about where it leaves the node, too
 *     ENTERED  the identity that came by an uplink (_LOCAL: of the node's own scope, bit 24)
 *     RETURNED is turned round, as if the endpoint had answered
 */
#define MARK_MAGIC_MASK 0x0F00
#define MARK_OURS 0xFFFF0FFF /* bits 15..12 are left to others */
#define MARK_DIALLED 0x0100
#define MARK_TO_PROXY 0x0200
#define MARK_ENTERED_LOCAL 0x0400
#define MARK_ENTERED 0x0500
#define MARK_RETURNED 0x0600
#define MARK_SENT 0x0700
#define MARK_PROXY_INGRESS 0x0A00
#define MARK_PROXY_EGRESS 0x0B00
#define MARK_JUDGED 0x0F00

/* IPv4 in the first four bytes, the others zero. */
struct ip {
	__u8 bytes[16];
};

struct tuple {
	struct ip source;
	struct ip destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 family;
	__u8 protocol;
	__u16 pad;
};

/* Read and written in one piece. */
struct settings {
	__u32 generation; /* 0: nothing is in force yet, everything is refused */
	__u32 flags;
} __attribute__((aligned(8)));

struct interface_key {
	__u32 generation;
	__u32 ifindex;
};

struct interface_value {
	__u32 kind;
	__u32 endpoint; /* 0 for an uplink */
	/* Until then (bpf_ktime_get_ns) connections that are older than our programs are taken over. */
	__u64 adopts_until_ns;
	__u32 flags;
	__u32 master; /* of a port: by whose index the stack knows what comes in here; 0: none, or not known */
	__u8 address[6];
	__u16 pad;
};

struct address_key {
	__u32 prefix_length; /* of what follows: 64 + bits of the address */
	__u32 generation;
	__u32 family;
	struct ip address;
};

struct address_value {
	__u32 identity;
	__u32 endpoint : 24; /* the local endpoint that owns the address, as a mark has it; 0: none */
	__u32 flags : 8;
	__u64 check; /* hash of the identity's labels: who it is, whatever its number is elsewhere */
};

/* address_value.flags: of this node or another. Its labels say so, as its number may be any. */
#define ADDRESS_IS_NODE 1

/*
 * An endpoint's number is the index of its interface: nobody else's, whatever comes and goes beside it. The kernel may
 * give it again when the interface has gone.
 */
struct endpoint_key {
	__u32 generation;
	__u32 endpoint;
};

struct endpoint_value {
	__u32 identity;
	__u32 egress_policy;
	__u64 check;
	__u32 ingress_policy;
	__u32 is_attached; /* what is sent to it comes by `to_endpoint` */
	/* An address of each family, for what a NAT took it from; all zero: none. */
	struct ip ip4;
	struct ip ip6;
};

/* protocol 0: every protocol that has no entries of its own. For ICMP the "port" is type << 8 | code. */
struct port_key {
	__u32 prefix_length; /* 80 + leading bits of the port */
	__u32 generation;
	__u32 policy;
	__be16 protocol;
	__be16 port;
};

struct port_value {
	__u32 slot;
	__u32 verdict; /* for a remote without an entry in `verdicts` */
};

struct verdict_key {
	__u32 generation;
	__u32 slot;
	__u32 identity;
};

struct verdict_value {
	__u32 verdict;
};

/* How many different identities and ports behind one address are asked about. */
#define BEHIND_MAX 32

/* behind_value.flags: the address itself is asked about, too: whoever makes a Service may have chosen it. */
#define BEHIND_AS_DIALLED 1
/* All of them are endpoints of this node. */
#define BEHIND_HERE 2

/*
 * `address` zero: every address of a node (a NodePort). That of TCP, IPv4 and port 0, which no Service has: there are
 * Services for which there was no room.
 */
struct behind_key {
	__u32 generation;
	struct ip address;
	__be16 port;
	__u8 family;
	__u8 protocol;
};

struct behind_pair {
	__u32 identity;
	__be16 port;
	__u16 pad;
};

struct behind_value {
	__u32 serial; /* another one after each change */
	__u32 count; /* 0: nobody; above BEHIND_MAX: more than can be told */
	__u32 flags;
	__u32 pad;
	struct behind_pair pairs[BEHIND_MAX];
};

/* holder: an endpoint, or with this bit all who are none of ours and have reached that endpoint. */
#define HOLDER_OUTSIDE 0x80000000
/* In `rates`: of its datagrams. */
#define HOLDER_DATAGRAMS 0x40000000

enum shared_table {
	TABLE_FLOWS = 1,
	TABLE_RECORDS,
	TABLE_TURNS,
	TABLE_RETURNS,
};

enum hold_state {
	HOLD_OPENING = 0, /* the other side has not said anything yet */
	HOLD_ANSWERED, /* it has, and the asker not again: what it is told may not reach it */
	HOLD_OPEN,
	HOLD_ENDED, /* an endpoint of ours has said its last word, or the proxy */
};

/* The beginning of each value of a shared table. */
struct hold {
	__u64 time_ns; /* bpf_ktime_get_ns: of the SYN; of a flow: of the last packet, about */
	__u32 holder;
	__u8 state;
	__u8 pad[3];
};

struct seat_key {
	__u32 holder;
	__u16 table;
	__u16 index;
};

struct seat {
	struct tuple sitting;
	__u32 is_busy;
	__u32 pad;
};

struct record {
	struct hold hold;
	__u64 source_check;
	__u64 destination_check;
	__u32 source_identity;
	__u32 source_endpoint;
	__u32 destination_identity;
	__u32 destination_endpoint;
	__u32 generation;
	__u32 halves;
	__u32 ifindex; /* by which the SYN came */
	__u32 seen_ifindex; /* by which the stack sees it come: a port's master, or the same */
};

struct flow {
	struct hold hold; /* time_ns 0: refused, and kept so that it is not mistaken */
	__u32 generation; /* whose verdict this is; judged again when it is not the one in force */
	__u32 source_endpoint;
	__u32 source_identity;
	__u32 is_translated; /* the source address is not the sender's: a NAT of the node's put it there */
	__u32 epoch; /* of the settings by which it was judged */
	__u32 is_dialled; /* see MARK_DIALLED */
};

/*
 * A connection over a Service whose receiver has L7 rules comes to us when the node has chosen the
 * receiver, and may have put its own address in the place of the sender's. It comes in again as from the
 * sender itself, with a port that nobody else has; the answers go back as from the receiver, so that the
 * node's connection tracking undoes what it did.
 */
struct turn {
	struct hold hold;
	struct ip source;
	__be16 source_port;
	__u16 pad;
	__u32 source_endpoint;
	__u32 ifindex; /* by which it comes in again */
};

struct turn_back {
	struct hold hold;
	struct ip source; /* as the receiver would have seen it */
	__be16 source_port;
	__u16 pad;
	__u32 ifindex; /* the receiver's */
};

/* Indexes of `counters` (per CPU, __u64 each). */
enum counter {
	COUNTER_PASSED = 0,
	COUNTER_REDIRECTED,
	COUNTER_OWNED, /* packets of connections that the proxy has */
	COUNTER_FROM_PROXY,
	COUNTER_FROM_HOST,
	COUNTER_DENIED_EGRESS,
	COUNTER_DENIED_INGRESS,
	COUNTER_NO_GENERATION, /* nothing in force */
	COUNTER_UNKNOWN_INTERFACE,
	COUNTER_FOREIGN_SOURCE, /* a source address that is not the endpoint's own */
	COUNTER_MALFORMED,
	COUNTER_FRAGMENT,
	COUNTER_VLAN,
	COUNTER_NOT_IP,
	COUNTER_STALE, /* a connection older than its rule */
	COUNTER_NO_LISTENER,
	COUNTER_RATE_LIMITED, /* connections of one interface in a second */
	COUNTER_UNREDIRECTABLE, /* L7 rules, but on a way that cannot be redirected */
	COUNTER_RECORD_LOST, /* sk_lookup: marked for the proxy, without a record */
	COUNTER_ASSIGNED, /* sk_lookup: given to a listener */
	COUNTER_RESETS_SENT,
	COUNTER_UNKNOWN_SENDER, /* a NAT or a tunnel of the node's left no trace of who sent it */
	COUNTER_FOREIGN_NEIGHBOUR, /* ARP or neighbour discovery that claims another's address */
	COUNTER_DISPLACED, /* entries that had to give up their seat, and are kept as long as there is room */
	COUNTER_NO_BACKEND, /* a Service without backends */
	COUNTER_TOO_MANY_BACKENDS, /* more than BEHIND_MAX identities and ports behind a Service */
	COUNTER_COUNT,
};

/*
 * By which interface something came; and of what came by an uplink or is the node's own, for whom it is: an
 * endpoint's number at the way in, its interface at the way out.
 */
struct way {
	__u32 ifindex;
	__u32 receiver;
};

/* The last refusals, for `redirect status`: for each way a few places, which others do not take. */
struct refusal_key {
	struct way way;
	__u32 place;
};

struct refused {
	struct ip source;
	struct ip destination;
	__u32 counter; /* which of the above */
	__be16 destination_port;
	__u8 family;
	__u8 protocol;
};

struct refusal_value {
	struct refused what;
	__u64 time_ns;
	__u64 count;
	__u32 source_identity;
	__u32 destination_identity;
};

#endif
