import { rcodeWord } from '../../flow/flow_words.ts';
import { Verdict } from '../../generated/flow/flow_pb.ts';
import type { MetricHandler } from '../handler.ts';

/** Of an answer the source is the server: the sides are not turned, as in Cilium. */
export const DNS: MetricHandler = (parts) => {
  const { context } = parts;
  const hasQuery = parts.has('query');
  const isAaaaIgnored = parts.has('ignoreAAAA');
  const query = hasQuery ? ['query*'] : [];
  const own = ['rcode', 'qtypes*', 'ips_returned*', ...query];
  const queries = parts.counter('dns_queries_total', 'DNS queries that were seen.', own);
  const responses = parts.counter('dns_responses_total', 'DNS responses that were seen.', own);
  const types = parts.counter(
    'dns_response_types_total',
    'Records in DNS responses, by their type.',
    ['type*', 'qtypes*', ...query],
  );
  return (flow) => {
    const record = flow.l7?.record;
    if (record?.case !== 'dns') return;
    const { qtypes, ips, rrtypes, rcode } = record.value;
    if (isAaaaIgnored && qtypes.length === 1 && qtypes[0] === 'AAAA') return;
    const asked = hasQuery ? [record.value.query] : [];
    const typesText = qtypes.join(',');
    const values = (word: string): string[] => [
      ...context.values(flow, false),
      ...[word, typesText, String(ips.length)],
      ...asked,
    ];
    if (flow.verdict === Verdict.DROPPED) queries.add(values('Policy denied'));
    else if (flow.isReply !== true) queries.add(values(''));
    else {
      responses.add(values(rcodeWord(rcode)));
      for (const type of rrtypes) {
        types.add([...context.values(flow, false), type, typesText, ...asked]);
      }
    }
  };
};
