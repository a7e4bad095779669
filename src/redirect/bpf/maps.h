/* SPDX-License-Identifier: Apache-2.0 */
/* The maps. Their keys and values, and how they hang together, are in layout.h. */
#ifndef SALLYPORT_MAPS_H
#define SALLYPORT_MAPS_H

/* Bounds. What a map cannot hold is not in force: the loader refuses the policy and says which. */
#define INTERFACES_MAX 16384
#define ADDRESSES_MAX 524288
#define ENDPOINTS_MAX 16384
#define PORTS_MAX 262144
#define VERDICTS_MAX 1048576
#define RECORDS_MAX 262144
#define FLOWS_MAX 262144
#define FRAGMENTS_MAX 8192
#define REFUSALS_MAX 1024
#define RATES_MAX 16384

#define TABLE(name, key_type, value_type, max)                                                     \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_HASH);                                                   \
		__uint(map_flags, BPF_F_NO_PREALLOC);                                              \
		__uint(max_entries, max);                                                          \
		__type(key, key_type);                                                             \
		__type(value, value_type);                                                         \
	} name SEC(".maps")

#define PREFIX_TABLE(name, key_type, value_type, max)                                              \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_LPM_TRIE);                                               \
		__uint(map_flags, BPF_F_NO_PREALLOC);                                              \
		__uint(max_entries, max);                                                          \
		__type(key, key_type);                                                             \
		__type(value, value_type);                                                         \
	} name SEC(".maps")

/* What the traffic itself fills: the oldest makes room. */
#define RECENT_TABLE(name, key_type, value_type, max)                                              \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_LRU_HASH);                                               \
		__uint(max_entries, max);                                                          \
		__type(key, key_type);                                                             \
		__type(value, value_type);                                                         \
	} name SEC(".maps")

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

TABLE(interfaces, struct interface_key, struct interface_value, INTERFACES_MAX);
PREFIX_TABLE(addresses, struct address_key, struct address_value, ADDRESSES_MAX);
TABLE(endpoints, struct endpoint_key, struct endpoint_value, ENDPOINTS_MAX);
PREFIX_TABLE(ports, struct port_key, struct port_value, PORTS_MAX);
TABLE(verdicts, struct verdict_key, struct verdict_value, VERDICTS_MAX);

RECENT_TABLE(records, struct tuple, struct record, RECORDS_MAX);
RECENT_TABLE(flows, struct tuple, struct flow, FLOWS_MAX);
RECENT_TABLE(refusals, struct refusal_key, struct refusal_value, REFUSALS_MAX);

/* Ports of a datagram's first fragment, for those that follow. */
struct fragment_key {
	struct ip source;
	struct ip destination;
	__u32 id;
	__u8 protocol;
	__u8 pad[3];
};

struct fragment_value {
	__be16 source_port;
	__be16 destination_port;
};

RECENT_TABLE(fragments, struct fragment_key, struct fragment_value, FRAGMENTS_MAX);

/* New redirected connections of one interface: a token bucket. */
struct rate {
	__u64 refilled_ns;
	__u64 tokens;
};

RECENT_TABLE(rates, __u32, struct rate, RATES_MAX);

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 2 * LISTENER_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} listeners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTER_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

#endif
