/**
 * A policy fixture as real connections: its endpoints are pods, its other addresses are outside, and each
 * case is a connection from the one to the other. What is expected is what the engine says of both
 * halves: the egress of a source that is a pod, and the ingress of a destination that is one.
 */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { judgeOptions } from '../../../src/cli/ask/judge_options.ts';
import type { Judge } from '../../../src/control/ask/judge.ts';
import { judgeBundle } from '../../../src/control/ask/judge_bundle.ts';
import { type HttpAsk, parseQuestion, type Question } from '../../../src/control/ask/question.ts';
import type { VerdictLine } from '../../../src/control/ask/verdict_line.ts';
import type { Identity } from '../../../src/model/identity.ts';

export interface ScenePod {
  readonly name: string;
  readonly ips: readonly string[];
  readonly labels: unknown;
  readonly more: Readonly<Record<string, unknown>>;
}

export interface Scene {
  readonly about: string;
  readonly pods: readonly ScenePod[];
  readonly outside: readonly string[];
  readonly policies: readonly string[];
  readonly inventory: Readonly<Record<string, unknown>>;
  /** `enableNodeSelectorLabels` of the configuration. */
  readonly hasNodeLabels: boolean;
  readonly connections: readonly SceneConnection[];
  /** Names of cases that no addresses stand for: a label set or an identity that nobody here has. */
  readonly unmade: readonly string[];
}

export interface SceneConnection {
  readonly name: string;
  readonly source: Party;
  readonly destination: Party;
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly http: HttpAsk | null;
  readonly expected: Expected;
}

export interface Party {
  readonly kind: 'pod' | 'outside' | 'node';
  /** Of a pod; "" for others. */
  readonly name: string;
  readonly ip: string;
}

export type Expected =
  | { readonly kind: 'refused' }
  | { readonly kind: 'denied' }
  /** `headers`: what the rules leave of the request's own fields. */
  | { readonly kind: 'allowed'; readonly headers: readonly (readonly [string, string])[] };

const HOST = 1;
const WORLD = 2;
const NODE_IPS = { 4: '100.64.0.1', 6: 'fd00:64::1' } as const;
/** Somewhere in the world: no fixture speaks of these. */
const WORLD_IPS = { 4: '198.18.7.7', 6: '2001:2::77' } as const;

type Family = 4 | 6;

interface FixtureFile {
  readonly about: string;
  readonly enableNodeSelectorLabels?: boolean;
  readonly policies: readonly unknown[];
  readonly endpoints?: {
    readonly endpoints?: readonly Readonly<Record<string, unknown>>[];
    readonly [key: string]: unknown;
  };
  readonly cases?: readonly { readonly name: string; readonly request: unknown }[];
}

/** Null for a fixture without cases, or whose documents are no objects. */
export function readScene(path: string): Scene | null {
  const file = parse(readFileSync(path, 'utf8')) as FixtureFile;
  const { endpoints: inventory = {}, cases = [], policies } = file;
  const hasNodeLabels = file.enableNodeSelectorLabels === true;
  if (cases.length === 0 || policies.some((policy) => typeof policy !== 'object')) return null;
  const { endpoints = [], ...rest } = inventory;
  const pods = endpoints.map(podOf);
  const all = { ...rest, endpoints: pods.map(endpointOf) };
  const texts = policies.map((policy) => JSON.stringify(policy));
  const builder = new SceneBuilder(pods, dialledIn(rest), judgeOf(texts, all, hasNodeLabels));
  for (const { name, request } of cases) builder.add(name, request);
  return {
    about: file.about,
    pods,
    outside: builder.outside,
    policies: texts,
    inventory: rest,
    hasNodeLabels,
    connections: builder.connections,
    unmade: builder.unmade,
  };
}

/** Every pod has addresses of both families. */
function podOf(endpoint: Readonly<Record<string, unknown>>, index: number): ScenePod {
  const { name, ip, ips, labels, ...more } = endpoint;
  const own = (ips ?? [ip]) as readonly string[];
  const added = [
    ...(own.some((one) => !one.includes(':')) ? [] : [`10.199.0.${index + 1}`]),
    ...(own.some((one) => one.includes(':')) ? [] : [`fd07:7::${index + 1}`]),
  ];
  return { name: name as string, ips: [...own, ...added], labels, more };
}

function endpointOf({ name, ips, labels, more }: ScenePod): unknown {
  return { ...more, name, ips, labels };
}

function judgeOf(policies: readonly string[], inventory: unknown, hasNodeLabels: boolean): Judge {
  const created = judgeBundle(
    {
      policies: policies.map((text, index) => ({ path: `policy ${index}`, text })),
      hasNodeLabels,
      endpoints: { path: 'endpoints', text: JSON.stringify(inventory) },
      secrets: null,
    },
    judgeOptions(),
  );
  if (created.kind === 'rejected') throw new Error(JSON.stringify(created.problems));
  return created.judge;
}

/** Addresses of Services, as the endpoints file names them. */
function dialledIn({ services = [] }: { readonly services?: unknown }): ReadonlySet<string> {
  const named = services as readonly Readonly<Record<string, readonly string[] | undefined>>[];
  return new Set(
    named.flatMap(({ clusterIPs = [], externalIPs = [] }) => [...clusterIPs, ...externalIPs]),
  );
}

class SceneBuilder {
  readonly outside: string[] = [];
  readonly connections: SceneConnection[] = [];
  readonly unmade: string[] = [];
  readonly #pods: readonly ScenePod[];
  readonly #dialled: ReadonlySet<string>;
  readonly #judge: Judge;
  readonly #seen = new Set<string>();

  constructor(pods: readonly ScenePod[], dialled: ReadonlySet<string>, judge: Judge) {
    this.#pods = pods;
    this.#dialled = dialled;
    this.#judge = judge;
  }

  /** Over the families that both sides have. */
  add(name: string, request: unknown): void {
    const parsed = parseQuestion(request);
    if (parsed.kind === 'error') throw new Error(parsed.message);
    const { question } = parsed;
    let isMade = false;
    for (const family of [4, 6] as const) {
      const parties =
        isMakeable(question) && !this.#isUntranslated(question)
          ? this.#partiesOf(question, family)
          : null;
      if (parties === null) continue;
      isMade = true;
      this.#addBetween(parties, { name: `${name} (IPv${family})`, question });
    }
    if (!isMade) this.unmade.push(name);
  }

  /** No one translates here, and the kernel shows the proxy no address of a Service (docs/services.md). */
  #isUntranslated({ remote, ask }: Question): boolean {
    return ask.kind === 'http' && remote.kind === 'ip' && this.#dialled.has(remote.ip);
  }

  #addBetween(
    parties: Pick<SceneConnection, 'source' | 'destination'>,
    { name, question }: { readonly name: string; readonly question: Question },
  ): void {
    const { port, protocol, ask } = question;
    // A scene is of connections.
    if (protocol === 'ICMP' || protocol === 'ICMPv6') return;
    const http = ask.kind === 'http' ? ask.request : null;
    const key = JSON.stringify([parties, port, protocol, http]);
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    const expected = this.#expected(parties, question);
    this.connections.push({ name, ...parties, port, protocol, http, expected });
    for (const { kind, ip } of [parties.source, parties.destination]) {
      if (kind === 'outside' && !this.outside.includes(ip)) this.outside.push(ip);
    }
  }

  #partiesOf(
    question: Question,
    family: Family,
  ): Pick<SceneConnection, 'source' | 'destination'> | null {
    const { subject, remote, direction } = question;
    const own =
      subject.kind === 'name'
        ? this.#podNamed(subject.name, family)
        : this.#partyAt(subject.ip, family);
    const other = this.#remoteParty(remote, family);
    if (own?.kind !== 'pod' || other === null) return null;
    if (other.kind === 'node' && direction === 'egress') return null;
    return direction === 'ingress'
      ? { source: other, destination: own }
      : { source: own, destination: other };
  }

  #remoteParty(remote: Question['remote'], family: Family): Party | null {
    switch (remote.kind) {
      case 'name':
        return this.#podNamed(remote.name, family);
      case 'ip':
        return this.#partyAt(remote.ip, family);
      case 'identity':
        if (remote.identity === HOST) return { kind: 'node', name: '', ip: NODE_IPS[family] };
        if (remote.identity !== WORLD) return null;
        return { kind: 'outside', name: '', ip: WORLD_IPS[family] };
      case 'labels':
      case 'service':
        return null;
    }
  }

  #podNamed(name: string, family: Family): Party | null {
    const pod = this.#pods.find((one) => one.name === name);
    const ip = pod?.ips.find((one) => familyOf(one) === family);
    return ip === undefined ? null : { kind: 'pod', name, ip };
  }

  #partyAt(ip: string, family: Family): Party | null {
    if (familyOf(ip) !== family) return null;
    const pod = this.#pods.find(({ ips }) => ips.includes(ip));
    if (pod !== undefined) return { kind: 'pod', name: pod.name, ip };
    return { kind: 'outside', name: '', ip };
  }

  #expected(
    parties: Pick<SceneConnection, 'source' | 'destination'>,
    question: Question,
  ): Expected {
    const { source, destination } = parties;
    const lines: VerdictLine[] = [];
    if (source.kind === 'pod') lines.push(this.#verdict(question, 'egress', source, destination));
    // What the host itself sends to its pods passes, as in Cilium.
    if (destination.kind === 'pod' && source.kind !== 'node') {
      lines.push(this.#verdict(question, 'ingress', destination, source));
    }
    const denied = lines.filter((line) => line.verdict === 'deny');
    if (denied.some(({ layer }) => layer === 'network')) return { kind: 'refused' };
    if (denied.length > 0) return { kind: 'denied' };
    const headers = lines.flatMap((line) => (line.verdict === 'allow' ? (line.headers ?? []) : []));
    return { kind: 'allowed', headers };
  }

  #verdict(
    question: Question,
    direction: 'ingress' | 'egress',
    subject: Party,
    remote: Party,
  ): VerdictLine {
    const answer = this.#judge.answer({
      ...question,
      direction,
      subject: { kind: 'name', name: subject.name },
      remote:
        remote.kind === 'node'
          ? { kind: 'identity', identity: HOST as Identity }
          : { kind: 'ip', ip: remote.ip },
    });
    if (answer.kind === 'error') throw new Error(answer.message);
    return answer.line;
  }
}

function familyOf(ip: string): Family {
  return ip.includes(':') ? 6 : 4;
}

/** DNS questions, server names and listeners of an id are other suites' business. */
function isMakeable(question: Question): boolean {
  const { ask, serverName, proxyId, port, protocol } = question;
  if (ask.kind === 'dns' || serverName !== '' || proxyId !== 0 || port === 0) return false;
  if (protocol === 'SCTP') return false;
  if (ask.kind !== 'http') return true;
  const { method, path } = ask.request;
  // What is no request line, or is no path as a client may send it, never gets to be judged.
  return /^[A-Za-z]+$/.test(method) && /^\/[\w.~!$&'()*+,;=:@/?%-]*$/.test(path);
}
