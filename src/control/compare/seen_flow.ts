/** One line of `GET /flows` (docs/json.md) → the question that was asked then, and what was answered. */
import { parseQuestion, type Question } from '../ask/question.ts';

export interface SeenFlow {
  readonly kind: 'flow';
  readonly question: Question;
  /** Of the endpoint, as it was then; it may be gone. */
  readonly subjectLabels: readonly string[] | null;
  readonly remoteLabels: readonly string[] | null;
  readonly remoteIp: string | null;
  /** What became of it then; null: it failed for another reason. */
  readonly verdict: 'allow' | 'deny' | null;
  /** How many it stands for. */
  readonly count: number;
}

export type ReadFlow =
  | SeenFlow
  /** It is no question to a policy: an answer, or of nobody's endpoint. */
  | { readonly kind: 'none' }
  /** It does not tell enough for one: the type of an ICMP message, or the port of a protocol that has rules for ports. */
  | { readonly kind: 'unaskable'; readonly count: number }
  | { readonly kind: 'unreadable' };

const VERDICTS: ReadonlyMap<unknown, SeenFlow['verdict']> = new Map([
  ['forwarded', 'allow'],
  ['redirected', null],
  ['denied', 'deny'],
  ['error', null],
] as const);

const NONE: ReadFlow = { kind: 'none' };
const UNREADABLE: ReadFlow = { kind: 'unreadable' };

/** `value` is what the line is as JSON. */
export function readFlow(value: unknown): ReadFlow {
  if (!isRecord(value)) return UNREADABLE;
  if (value['kind'] === 'LostFlows') return NONE;
  const { direction, isReply, verdict, source, destination } = value;
  const isFlow = value['kind'] === 'Flow' && isRecord(source) && isRecord(destination);
  if (!isFlow || !VERDICTS.has(verdict)) return UNREADABLE;
  if (isReply === true || (direction !== 'ingress' && direction !== 'egress')) return NONE;
  const [own, other] = direction === 'ingress' ? [destination, source] : [source, destination];
  const endpoint = endpointOf(value, own);
  if (endpoint === null) return NONE;
  const parsed = parseQuestion({
    endpoint,
    ...remoteOf(other),
    direction,
    ...trafficOf(value, destination),
    ...askOf(value),
  });
  const count = typeof value['count'] === 'number' ? value['count'] : 1;
  if (parsed.kind === 'error') return { kind: 'unaskable', count };
  return {
    kind: 'flow',
    question: parsed.question,
    subjectLabels: labelsOf(own),
    remoteLabels: labelsOf(other),
    remoteIp: textOf(other['ip']),
    verdict: VERDICTS.get(verdict) ?? null,
    count,
  };
}

type Fields = Readonly<Record<string, unknown>>;

function endpointOf(flow: Fields, own: Fields): string | null {
  const { endpoint } = flow;
  if (typeof endpoint === 'string' && endpoint.includes('/')) return endpoint;
  return podOf(own);
}

function podOf({ namespace, pod }: Fields): string | null {
  return typeof namespace === 'string' && typeof pod === 'string' ? `${namespace}/${pod}` : null;
}

function remoteOf(side: Fields): object {
  const pod = podOf(side);
  if (pod !== null) return { remote: pod };
  const ip = textOf(side['ip']);
  return ip === null ? {} : { remoteIp: ip };
}

function trafficOf(flow: Fields, destination: Fields): object {
  const { transport } = flow;
  if (transport === 'ICMP' || transport === 'ICMPv6') return { protocol: transport };
  return { protocol: transport, port: destination['port'] };
}

function askOf({ http, dns, tls }: Fields): object {
  const serverName = isRecord(tls) ? textOf(tls['serverName']) : null;
  const sni = serverName === null ? {} : { sni: serverName };
  if (isRecord(dns) && typeof dns['query'] === 'string') return { dns: { name: dns['query'] } };
  if (!isRecord(http)) return sni;
  const { method, path, host, headers, isCut } = http;
  if (typeof method !== 'string' || typeof path !== 'string' || isCut === true) return sni;
  const fields = isRecord(headers) ? Object.entries(headers) : [];
  return { ...sni, http: { method, path, authority: host ?? '', headers: fields } };
}

function labelsOf({ labels }: Fields): readonly string[] | null {
  return Array.isArray(labels) && labels.every((one) => typeof one === 'string') ? labels : null;
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

function isRecord(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
