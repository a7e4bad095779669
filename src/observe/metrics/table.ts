/**
 * Every metric there is: name, type, labels, meaning. What a worker counts, how the supervisor merges
 * it, the exposition and docs/observability.md all come from here. Label values are bounded: words of
 * this program, names from the configuration, and rules up to `metricPolicyLabelCountMax`; never
 * anything that a client chose.
 */
export type MetricType = 'counter' | 'gauge' | 'histogram';

export interface MetricSpec {
  readonly type: MetricType;
  readonly help: string;
  readonly labels: readonly string[];
  /** How samples of the same labels of several workers become one. */
  readonly merge: 'sum' | 'max';
  /** Upper bounds of a histogram's buckets, ascending, without +Inf. */
  readonly buckets: readonly number[];
}

/** From 0.5 ms to a minute: a request as the client sees it. */
const REQUEST_SECONDS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60,
];
/** From 5 µs to 100 ms: what the proxy itself takes. */
const OVERHEAD_SECONDS = [
  0.000005, 0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1,
];
const CONNECT_SECONDS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2];
const LOOP_DELAY_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];

export const METRICS = {
  // policy
  sallyport_policy_decisions_total: counter(
    'Decisions of the policy in force on requests and refused connections.',
    ['verdict', 'direction', 'layer', 'reason'],
  ),
  sallyport_policy_shadow_decisions_total: counter(
    'Decisions that the policy would have made with the policies in dry-run counted in.',
    ['verdict', 'direction', 'layer', 'reason'],
  ),
  sallyport_policy_dry_run_denials_total: counter(
    'Denials that were not enforced because the whole proxy is in dry-run.',
    ['direction'],
  ),
  sallyport_policy_rule_hits_total: counter(
    'Decisions that the rule settled. Rules in force that settled none are listed with 0.',
    ['policy', 'rule', 'verdict'],
  ),
  sallyport_policy_shadow_rule_hits_total: counter(
    'Decisions that the rule would have settled with the policies in dry-run counted in.',
    ['policy', 'rule', 'verdict'],
  ),
  sallyport_policy_rule_last_match_timestamp_seconds: gauge(
    'When the rule last settled a decision; absent when it never did.',
    ['policy', 'rule'],
    'max',
  ),
  sallyport_policy_updates_total: counter('Policy sets that were read, by result.', ['result']),
  sallyport_policy_revision: gauge('Revision of the policy set in force; 0 before the first.', []),
  sallyport_policy_last_update_timestamp_seconds: gauge(
    'When the policy set in force was accepted; 0 before the first.',
    [],
  ),
  sallyport_policy_last_update_successful: gauge(
    '1 while what the policy sources say is in force; 0 from a set that was rejected or could not be read to the next good one.',
    [],
  ),
  sallyport_policy_objects_refused: gauge(
    'Policies that their source refused alone, and that are not in force in their newest form, and endpoints that are denied because rules exclude each other there or no number is left for their labels; 0 for files, which are refused as a set.',
    [],
  ),
  sallyport_cluster_stale: gauge(
    'Kinds of objects of the cluster of which what was read may be old, as the API server cannot be reached or does not give them; what was read stays in force.',
    [],
  ),
  sallyport_cluster_stale_since_timestamp_seconds: gauge(
    'Since when what was read of the kind may be old; absent while it is not.',
    ['kind'],
  ),
  sallyport_cluster_statuses_unwritten: gauge(
    'Policies of the cluster whose status this proxy, as the one that writes for all, could not write in several tries; each is tried again seldom.',
    [],
  ),
  sallyport_cluster_restored_timestamp_seconds: gauge(
    'When the state of the cluster in force was kept on disk by an earlier process; 0 when it was read since the start.',
    [],
  ),
  sallyport_policy_rules: gauge('Rules of the policy set in force.', [], 'max'),
  sallyport_regex_failures_total: counter(
    'Decisions that were denials because a pattern set ran out of memory.',
    ['direction'],
  ),
  sallyport_regex_budget_denials_total: counter(
    'Decisions that were denials because patterns would have cost more than one verdict may.',
    ['direction'],
  ),

  // requests
  sallyport_http_requests_total: counter(
    'HTTP requests that ended. Status: the code, or its class ("2xx") when it is not registered.',
    ['method', 'status', 'direction', 'response_source'],
  ),
  sallyport_http_request_duration_seconds: histogram(
    'From the first byte of a request to the last of its response.',
    ['direction', 'verdict'],
    REQUEST_SECONDS,
  ),
  sallyport_overhead_seconds: histogram(
    'What the proxy itself took of a request, from its head to the verdict.',
    ['direction'],
    OVERHEAD_SECONDS,
  ),
  sallyport_bytes_total: counter('Head and content bytes of requests and responses.', [
    'flow',
    'direction',
  ]),
  sallyport_faults_total: counter(
    'Requests and connections that ended in a fault, and the rule that was broken.',
    ['fault', 'blame', 'detail'],
  ),

  // DNS questions
  sallyport_dns_questions_total: counter(
    'DNS questions that ended. rcode: of the answer that the client got, none when it got none.',
    ['transport', 'verdict', 'rcode', 'response_source'],
  ),
  sallyport_dns_question_duration_seconds: histogram(
    'From a DNS question to its answer, or to the end of the wait for one.',
    ['verdict'],
    REQUEST_SECONDS,
  ),
  sallyport_dns_messages_ignored_total: counter(
    'DNS messages that are no question (downstream), or answer nothing that was asked (upstream): late or forged.',
    ['from'],
  ),
  sallyport_dns_answers_held_total: counter(
    'DNS answers that had to wait until their addresses are in force for the name: they were (in-force), or the answer went without (timeout, full).',
    ['outcome'],
  ),
  sallyport_fqdn_names: gauge('Names of which answers have told addresses that are kept.', []),
  sallyport_fqdn_addresses: gauge('Addresses that have such names.', []),
  sallyport_fqdn_learned_total: counter(
    'Addresses that names got by answers, or by what an earlier policy thread has kept; one counts for each name that has it, as in the next two. Since the policy thread started.',
    [],
  ),
  sallyport_fqdn_evicted_total: counter(
    'Addresses of names that had to make room for others before their time.',
    [],
  ),
  sallyport_fqdn_expired_total: counter('Addresses of names that have had their time.', []),
  sallyport_fqdn_refused_total: counter(
    'Addresses in answers that names do not get, by reason: special (loopback, link-local, multicast, reserved), cluster (of pods, nodes and Services, and dns.neverLearned), own (of this machine).',
    ['reason'],
  ),

  // connections
  sallyport_connections_opened_total: counter('Downstream connections accepted.', ['listener']),
  sallyport_connections_closed_total: counter('Downstream connections that ended, by cause.', [
    'listener',
    'cause',
  ]),
  sallyport_connections_open: gauge('Downstream connections open now.', ['listener']),
  sallyport_connections_terminated_total: counter(
    'Live connections that the proxy cut because policy changed.',
    ['reason'],
  ),
  sallyport_evictions_total: counter(
    'Connections, and DNS questions, given up to make room for others, as their source held the most: at which bound, and what they were ' +
      '(spare: never allowed anything; idle: between requests; busy: in one).',
    ['bound', 'state'],
  ),
  sallyport_holders: gauge(
    'Identities, and addresses, that have open connections; of the worker that has the most.',
    ['by'],
    'max',
  ),
  sallyport_largest_holder_connections: gauge(
    'Connections of the identity, and of the address, that has the most on one worker.',
    ['by'],
    'max',
  ),
  sallyport_upstream_connects_total: counter('Connection attempts to upstreams, by outcome.', [
    'listener',
    'outcome',
  ]),
  sallyport_upstream_connect_duration_seconds: histogram(
    'Time of successful connection attempts to upstreams.',
    [],
    CONNECT_SECONDS,
  ),
  sallyport_upstream_retries_total: counter(
    'Requests sent once more after a stale upstream connection.',
    ['listener'],
  ),

  // HTTP/2 streams
  sallyport_http2_streams_opened_total: counter('HTTP/2 streams that clients opened.', [
    'listener',
  ]),
  sallyport_http2_streams_open: gauge('HTTP/2 streams of clients open now.', ['listener']),
  sallyport_http2_streams_reset_total: counter(
    'HTTP/2 streams that ended early, by the side that ended them first and the reason.',
    ['by', 'cause'],
  ),

  // the program itself
  sallyport_access_log_records_total: counter('Access log lines written.', []),
  sallyport_access_log_dropped_total: counter(
    'Access log lines lost: the sink was too slow or failed.',
    [],
  ),
  sallyport_access_log_suppressed_total: counter(
    'Lines left out because their source had caused more than denialLinesPerSecond; their requests are counted everywhere else.',
    [],
  ),
  sallyport_access_log_errors_total: counter('Failed writes to the access log sink.', []),
  sallyport_flows_dropped_total: counter(
    'Flows that somebody followed and did not get: left out by a worker as the supervisor did not keep up, by the ' +
      'supervisor as whoever follows them did not, of the kernel as they were more than one look may tell, or of those ' +
      'for clients of Hubble as their thread did not keep up.',
    ['at'],
  ),
  sallyport_hubble_export_lines_total: counter(
    'Flows for files of hubble.export, by result: written, or dropped as the disk did not keep up.',
    ['result'],
  ),
  sallyport_hubble_export_errors_total: counter('Writes to those files that failed.', []),
  sallyport_hubble_export_configured: gauge(
    '1 while what the file of hubble.export.dynamic asks for is done; 0 while it asks for what cannot be.',
    [],
  ),
  sallyport_internal_errors_total: counter(
    'Exceptions caught at the edge of a connection: bugs of ours.',
    [],
  ),
  sallyport_event_loop_delay_seconds: histogram(
    'How late a periodic timer fired; everything else in the worker waits as long.',
    [],
    LOOP_DELAY_SECONDS,
  ),
  sallyport_workers: gauge('Data-plane workers, by state.', ['state']),
  sallyport_worker_restarts_total: counter('Workers started again after they died.', []),
  sallyport_worker_hangs_total: counter(
    'Workers killed because they gave no sign of life for workerSilenceTimeoutMs.',
    [],
  ),
  sallyport_identity_batches_total: counter(
    'Changes of who is who (addresses, identities, labels) that workers were told beside the policy set.',
    [],
  ),
  sallyport_identity_resyncs_total: counter(
    'Times a change of who is who did not fit a worker, which was then sent everything anew.',
    [],
  ),
  sallyport_worker_connections_open: gauge('Downstream connections open now, by worker.', [
    'worker',
  ]),
  sallyport_worker_http2_streams_open: gauge('HTTP/2 streams of clients open now, by worker.', [
    'worker',
  ]),
  sallyport_worker_http_requests_total: counter('HTTP requests that ended, by worker.', ['worker']),
  sallyport_worker_busy_seconds_total: counter(
    'Time in which the event loop of the worker was busy; at 1 a second the worker is at its limit.',
    ['worker'],
  ),
  sallyport_redirect_interfaces_waiting: gauge(
    'Interfaces of this node that let nothing through, as no pod that is known leads to them.',
    [],
  ),
  sallyport_redirect_pods_waiting: gauge(
    'Pods of this node whose interface is not known, or disputed: not judged at one.',
    [],
  ),
  sallyport_redirect_waits_overdue: gauge(
    'Of both, those that have waited for longer than redirectInterfaceWaitMs.',
    [],
  ),
  sallyport_redirect_waits_overdue_total: counter(
    'Interfaces and pods that have waited for longer than redirectInterfaceWaitMs, since the loader started.',
    [],
  ),
  sallyport_redirect_oldest_wait_seconds: gauge(
    'How long the interface or pod that waits for the longest has waited; 0: none waits.',
    [],
  ),
  sallyport_redirect_interfaces_opened_total: counter(
    'Interfaces that were closed until their pod was known, since the loader started.',
    [],
  ),
  sallyport_redirect_interface_wait_seconds_total: counter(
    'How long those were closed, in sum.',
    [],
  ),
  sallyport_service_dials_total: counter(
    'Addresses of Services that were dialled on this node, by result: connected and sent were translated, refused had no backend, unsettled met tables that changed. Since the loader made its tables.',
    ['result'],
  ),
  sallyport_service_affinity_kept_total: counter(
    'Of those, the ones that session affinity led to the backend of before.',
    [],
  ),
  sallyport_service_backends_chosen_anew_total: counter(
    'UDP sockets that were given another backend, as theirs had gone.',
    [],
  ),
  sallyport_service_dials_forgotten_total: counter(
    'Translated, without memory to keep what was dialled: the program is shown the backend’s address.',
    [],
  ),
  sallyport_build_info: gauge('Always 1; the version is in the labels.', [
    'version',
    'node_version',
  ]),
  process_resident_memory_bytes: gauge('Resident memory of the process.', ['worker']),
  process_cpu_seconds_total: counter('User and system CPU time of the process.', ['worker']),
  process_open_fds: gauge('Open file descriptors of the process.', ['worker']),
  process_start_time_seconds: gauge('When the process started.', ['worker'], 'max'),
} as const satisfies Record<string, MetricSpec>;

export type MetricName = keyof typeof METRICS;

/** Stands for all rules beyond `metricPolicyLabelCountMax`, and for rules no longer in force. */
export const OTHER_RULE = 'other';

function counter(help: string, labels: readonly string[]): MetricSpec {
  return { type: 'counter', help, labels, merge: 'sum', buckets: [] };
}

function gauge(
  help: string,
  labels: readonly string[],
  merge: MetricSpec['merge'] = 'sum',
): MetricSpec {
  return { type: 'gauge', help, labels, merge, buckets: [] };
}

function histogram(
  help: string,
  labels: readonly string[],
  buckets: readonly number[],
): MetricSpec {
  return { type: 'histogram', help, labels, merge: 'sum', buckets };
}
