/**
 * Flows of before, judged by both sets: what would have become of traffic that there was. A flow says what may be shown
 * of a request, so a rule on a field or a query may be answered otherwise than it was then; that is counted, too.
 */
import type { Direction } from '../../model/identity.ts';
import { subjectKey } from '../../policy/identity/subject_numbers.ts';
import { labelSetKey, sortedLabels } from '../../policy/labels.ts';
import type { InventoryEndpoint } from '../../policy/resolve/inventory.ts';
import type { Judge } from '../ask/judge.ts';
import type { Question, RemoteRef } from '../ask/question.ts';
import type { ChangedSubject } from './changed_subjects.ts';
import type { Side } from './remote_classes.ts';
import { commonName } from './remote_names.ts';
import { readFlow, type SeenFlow } from './seen_flow.ts';

export interface FlowChanges {
  /** Flows that were judged by both. */
  readonly judgedCount: number;
  /** Of endpoints that are no more, and lines that are none of flows. */
  readonly goneCount: number;
  /** Of traffic of which a flow does not tell enough, such as ICMP. */
  readonly unaskableCount: number;
  readonly unreadableCount: number;
  /** Judged otherwise by what is in force now than they were then. */
  readonly otherwiseCount: number;
  /** Those for most flows first. */
  readonly changes: readonly FlowChange[];
}

export interface FlowChange {
  readonly before: 'allow' | 'deny';
  readonly after: 'allow' | 'deny';
  readonly direction: Direction;
  readonly endpoint: string;
  readonly remote: string;
  /** "TCP 8080 GET /orders/42". */
  readonly asked: string;
  readonly count: number;
}

export interface FlowSets {
  readonly judges: Readonly<Record<Side, Judge>>;
  /** Those whose policy may be another one; for all others nothing changes. */
  readonly subjects: readonly ChangedSubject[];
  readonly endpoints: readonly InventoryEndpoint[];
}

/** Different ones that are told apart; more are still counted. */
const KEPT_MAX = 10_000;

export class FlowComparison {
  readonly #sets: FlowSets;
  readonly #endpoints: ReadonlyMap<string, InventoryEndpoint>;
  readonly #byLabels: ReadonlyMap<string, InventoryEndpoint>;
  /** By `subjectKey`: the endpoint that stands for it. */
  readonly #subjects: ReadonlyMap<string, ChangedSubject>;
  readonly #changes = new Map<string, FlowChange>();
  #judgedCount = 0;
  #goneCount = 0;
  #unaskableCount = 0;
  #unreadableCount = 0;
  #otherwiseCount = 0;

  constructor(sets: FlowSets) {
    this.#sets = sets;
    this.#endpoints = new Map(sets.endpoints.map((endpoint) => [endpoint.name, endpoint]));
    this.#byLabels = new Map(sets.endpoints.map((one) => [labelSetKey(one.labels), one]));
    this.#subjects = new Map(sets.subjects.map((one) => [subjectKey(one.first), one]));
  }

  /** One line, as JSON. */
  take(value: unknown): void {
    const flow = readFlow(value);
    if (flow.kind === 'unreadable') this.#unreadableCount += 1;
    if (flow.kind === 'unaskable') this.#unaskableCount += flow.count;
    if (flow.kind === 'flow') this.#judge(flow);
  }

  unreadable(): void {
    this.#unreadableCount += 1;
  }

  result(): FlowChanges {
    const changes = [...this.#changes.values()].sort(
      (a, b) => b.count - a.count || (a.asked < b.asked ? -1 : 1),
    );
    return {
      judgedCount: this.#judgedCount,
      goneCount: this.#goneCount,
      unaskableCount: this.#unaskableCount,
      unreadableCount: this.#unreadableCount,
      otherwiseCount: this.#otherwiseCount,
      changes,
    };
  }

  #judge(flow: SeenFlow): void {
    const subject = this.#subjectOf(flow);
    if (subject === null) {
      this.#goneCount += flow.count;
      return;
    }
    this.#judgedCount += flow.count;
    const changed = this.#subjects.get(subjectKey(subject));
    // The rules are the same, so the answer is.
    if (changed === undefined) return;
    const question: Question = {
      ...flow.question,
      subject: { kind: 'name', name: changed.first.name },
      remote: this.#remoteOf(flow),
    };
    const before = this.#verdict('before', question);
    const after = this.#verdict('after', question);
    if (before === null || after === null) return;
    if (flow.verdict !== null && flow.verdict !== before) this.#otherwiseCount += flow.count;
    if (before !== after) this.#add({ ...this.#told(flow, changed), before, after });
  }

  /** A pod of the same labels does for one that is gone. */
  #subjectOf({ question, subjectLabels }: SeenFlow): InventoryEndpoint | null {
    const { subject } = question;
    const named = subject.kind === 'name' ? this.#endpoints.get(subject.name) : undefined;
    if (named !== undefined) return named;
    if (subjectLabels === null) return null;
    return this.#byLabels.get(labelSetKey(subjectLabels)) ?? null;
  }

  #remoteOf({ question, remoteLabels, remoteIp }: SeenFlow): RemoteRef {
    const { remote } = question;
    if (remote.kind === 'name' && this.#endpoints.has(remote.name)) return remote;
    if (remoteLabels !== null) {
      const identity = this.#sets.judges.after.table.identityOfLabels(sortedLabels(remoteLabels));
      if (identity !== null) return { kind: 'identity', identity };
    }
    return remoteIp === null ? remote : { kind: 'ip', ip: remoteIp };
  }

  #verdict(side: Side, question: Question): 'allow' | 'deny' | null {
    const answer = this.#sets.judges[side].answer(question);
    return answer.kind === 'answer' ? answer.line.verdict : null;
  }

  #told(flow: SeenFlow, { endpoints }: ChangedSubject): Omit<FlowChange, 'before' | 'after'> {
    const { question, remoteIp, count } = flow;
    const { remote, direction } = question;
    return {
      direction,
      endpoint: commonName(endpoints.map(({ name }) => name)),
      remote: remote.kind === 'name' ? remote.name : (remoteIp ?? 'somebody'),
      asked: askedText(question),
      count,
    };
  }

  #add(change: FlowChange): void {
    const { count, ...about } = change;
    const key = JSON.stringify(about);
    const known = this.#changes.get(key);
    if (known === undefined && this.#changes.size >= KEPT_MAX) return;
    this.#changes.set(key, { ...change, count: count + (known?.count ?? 0) });
  }
}

function askedText({ protocol, port, ask }: Question): string {
  const isIcmp = protocol === 'ICMP' || protocol === 'ICMPv6';
  const traffic = isIcmp ? protocol : `${protocol} ${port}`;
  switch (ask.kind) {
    case 'http':
      return `${traffic} ${ask.request.method} ${ask.request.path}`;
    case 'dns':
      return `${traffic} ${ask.name}`;
    default:
      return traffic;
  }
}
