/**
 * Asks a policy set one question after the other: what `verdict`, `explain`, `test` and the admin
 * server share. The same engine as the data plane, on a snapshot of its own.
 */
import type { Behind } from '../../model/connection_meta.ts';
import { applyMutations, DENY_REASONS, type Decision } from '../../model/decision.ts';
import {
  effectiveIdentity,
  type Identity,
  isKernelProtocol,
  type Port,
} from '../../model/identity.ts';
import type { Limits } from '../../model/limits.ts';
import { plainHead, type RequestHead } from '../../model/request_head.ts';
import type { CompiledEndpoint } from '../../policy/compiled/compiled_endpoint.ts';
import type { View } from '../../policy/compiled/port_rules.ts';
import { denyDecision } from '../../policy/compiled/ready_decisions.ts';
import type { PolicySnapshot } from '../../policy/compiled/snapshot.ts';
import { decideConnection, decideDns, decideRequest } from '../../policy/decide/decide.ts';
import { explainConnection, explainDns, explainRequest } from '../../policy/decide/explain.ts';
import type { Explanation } from '../../policy/explanation.ts';
import type { RegexEngine } from '../../policy/match/regex.ts';
import { IdentityAllocator } from '../../policy/resolve/identity_allocator.ts';
import type { IdentityTable } from '../../policy/resolve/identity_table.ts';
import type { Problem, Rejected } from '../decode/problem.ts';
import type { BuildOptions, BuiltSnapshot } from '../set/build_snapshot.ts';
import type { PolicyInput } from '../set/policy_input.ts';
import { PolicySet } from '../set/policy_set.ts';
import type { ResolvedSet } from '../set/resolved_set.ts';
import { type AskedBehind, askedBehind, decisive, isTranslated, refused } from './asked_behind.ts';
import {
  type DryRun,
  dryRunPolicies,
  type Surroundings,
  surroundings,
} from './explain_surroundings.ts';
import type { HttpAsk, Question } from './question.ts';
import { openQuestions, QuestionContext } from './question_context.ts';
import type { VerdictLine } from './verdict_line.ts';

export interface JudgeOptions {
  readonly limits: Limits;
  readonly regexEngine: RegexEngine;
  /** See `DecodeOptions`. */
  readonly isApiServerChecked?: boolean;
  /** The path as the proxy would match and send it. */
  readonly normalisePath: (path: string) => string;
  /** See `BuildOptions.isEmptySetOpen`; absent is false, as in a proxy that is not told otherwise. */
  readonly isEmptySetOpen?: boolean;
  /** See `BuildOptions.isHostJudged`; absent is false. */
  readonly isHostJudged?: boolean;
  /** Sockets dial backends in the place of Services (`redirect.services: socket`); absent: nobody knows. */
  readonly areServicesTranslated?: boolean;
}

export type Answer =
  | { readonly kind: 'answer'; readonly line: VerdictLine }
  | { readonly kind: 'error'; readonly message: string };

/** What kind of packets a question is about: ICMP has types in place of ports. */
export type Traffic = Pick<Question, 'direction' | 'protocol'> &
  ({ readonly port: number } | { readonly icmpType: number });

export type ExplainedAnswer =
  | ({
      readonly kind: 'answer';
      readonly line: VerdictLine;
      readonly explanation: Explanation;
      readonly endpoint: CompiledEndpoint;
      readonly asked: Traffic;
      /** Names of the policies that select the endpoint, sorted. */
      readonly selecting: readonly string[];
      /** There is no policy at all, so nothing is allowed (`allowEmptyPolicySet`). */
      readonly isClosedAsEmpty: boolean;
      /** Rules of the endpoint exclude each other, so it is denied everything; null: they do not. */
      readonly conflict: string | null;
      readonly remote: Identity;
      readonly remoteLabels: readonly string[];
      /** The Service that was asked about; `remote` is the one of its backends that decided. Null: it was none. */
      readonly dialled: DialledAnswer | null;
    } & Surroundings)
  | { readonly kind: 'error'; readonly message: string };

export interface DialledAnswer {
  readonly service: string;
  readonly address: string;
  /** False: it may be that packets keep this address. */
  readonly isTranslated: boolean;
  /** Each identity and port behind it, with what policy says to it. */
  readonly behind: readonly (Behind & { readonly verdict: 'allow' | 'deny' })[];
}

export type JudgeResult =
  | {
      readonly kind: 'judge';
      readonly judge: Judge;
      readonly set: PolicySet;
      readonly warnings: readonly Problem[];
    }
  | Rejected;

export type OpenedJudge =
  | {
      readonly kind: 'judge';
      readonly judge: Judge;
      readonly warnings: readonly Problem[];
    }
  | Rejected;

export type AcceptedJudge = Extract<JudgeResult, { kind: 'judge' }>;

export function createJudge(input: PolicyInput, options: JudgeOptions): JudgeResult {
  const set = new PolicySet(input);
  const opened = openJudge(set, options);
  if (opened.kind === 'rejected') return opened;
  const { judge, warnings } = opened;
  return { kind: 'judge', judge, set, warnings: [...input.warnings, ...warnings] };
}

/** As `createJudge`, of a set that stands. `warnings`: of building it. */
export function openJudge(set: PolicySet, options: JudgeOptions): OpenedJudge {
  const opened = openQuestions(set, buildOptionsOf(options));
  if (opened.kind === 'rejected') return opened;
  return {
    kind: 'judge',
    judge: new Judge(opened.context, options),
    warnings: opened.context.built.warnings,
  };
}

/** Of a set that was built already. */
export function judgeOfBuilt(
  { set, built }: { readonly set: PolicySet; readonly built: BuiltSnapshot },
  options: JudgeOptions,
): Judge {
  const parts = { options: buildOptionsOf(options), built };
  return new Judge(new QuestionContext(set, parts), options);
}

function buildOptionsOf(options: JudgeOptions): BuildOptions {
  return {
    revision: 1,
    regexEngine: options.regexEngine,
    limits: options.limits,
    allocator: new IdentityAllocator(options.limits),
    isEmptySetOpen: options.isEmptySetOpen ?? false,
    isHostJudged: options.isHostJudged ?? false,
  };
}

export class Judge {
  readonly #context: QuestionContext;
  readonly #normalisePath: (path: string) => string;
  readonly #areServicesTranslated: boolean;

  constructor(
    context: QuestionContext,
    options: Pick<JudgeOptions, 'normalisePath' | 'areServicesTranslated'>,
  ) {
    this.#context = context;
    this.#normalisePath = options.normalisePath;
    this.#areServicesTranslated = options.areServicesTranslated ?? false;
  }

  answer(question: Question): Answer {
    const behind = this.#behind(question);
    if (behind === null) return this.#answerOne(question);
    if (behind.kind === 'error') return behind;
    const { service, asked, refusal } = behind;
    if (refusal !== null) {
      return { kind: 'answer', line: { ...refused({ layer: 'network' }, refusal), service } };
    }
    const answers = asked.map((one) => this.#answerOne(one));
    const error = answers.find((one) => one.kind === 'error');
    if (error !== undefined) return error;
    const lines = answers.flatMap((one) => (one.kind === 'answer' ? [one.line] : []));
    const { reason, at } = decisive(lines);
    const line = lines[at] as VerdictLine;
    return {
      kind: 'answer',
      line: { ...(reason === null ? line : refused(line, reason)), service },
    };
  }

  #answerOne(question: Question): Answer {
    const found = this.#find(question);
    if (found.kind === 'error') return found;
    const head = this.#headOf(question);
    const decision = decide(found.view, question, head);
    return { kind: 'answer', line: verdictLine(decision, head) };
  }

  explain(question: Question): ExplainedAnswer {
    const behind = this.#behind(question);
    if (behind === null) return this.#explainOne(question);
    if (behind.kind === 'error') return behind;
    const { service, asked, address, refusal } = behind;
    if (refusal !== null) {
      return {
        kind: 'error',
        message: `${service} at ${address}: ${DENY_REASONS[refusal]}`,
      };
    }
    const answers: Explained[] = [];
    for (const one of asked) {
      const answer = this.#explainOne(one);
      if (answer.kind === 'error') return answer;
      answers.push(answer);
    }
    const { reason, at } = decisive(answers.map(({ line }) => line));
    const told = answers[at] as Explained;
    const { decision } = told.explanation;
    const isRefused = reason !== null && decision.verdict === 'allow';
    return {
      ...told,
      line: { ...(reason === null ? told.line : refused(told.line, reason)), service },
      explanation: isRefused
        ? { ...told.explanation, decision: denyDecision(decision.layer, reason, null) }
        : told.explanation,
      dialled: {
        ...{ service, address },
        isTranslated: isTranslated(question, this.#areServicesTranslated),
        behind: answers.map(({ remote, asked: of, line }) => ({
          ...{
            identity: remote,
            port: ('port' in of ? of.port : 0) as Port,
            verdict: line.verdict,
          },
        })),
      },
    };
  }

  #explainOne(question: Question): ExplainedAnswer {
    const found = this.#find(question);
    if (found.kind === 'error') return found;
    const head = this.#headOf(question);
    const explanation = explain(found.view, question, head);
    const { built } = this.#context;
    return {
      kind: 'answer',
      line: verdictLine(explanation.decision, head),
      explanation,
      endpoint: found.endpoint,
      asked: trafficOf(question),
      selecting: built.selecting.get(found.endpoint.name) ?? [],
      isClosedAsEmpty: built.isClosedAsEmpty,
      conflict: conflictOf(built, found.endpoint.name),
      remote: found.remote,
      remoteLabels: built.snapshot.labels.labelsOf(found.remote),
      dialled: null,
      ...surroundings(this.#context, question, found),
      dryRun: this.#dryRun(question, found),
    };
  }

  /** What would be said if the policies in dry-run were enforced; null when none is. */
  #dryRun(question: Question, { endpoint, remote }: Found): DryRun | null {
    const { shadow } = this.#context.snapshot;
    const own = shadow?.endpointNamed(endpoint.name) ?? null;
    if (own === null) return null;
    const policies = dryRunPolicies(this.#context, endpoint.name);
    if (policies.length === 0) return null;
    const view = own.port(question.direction, question.protocol, question.port);
    const head = this.#headOf(question);
    return { policies, decision: decide(view.view(question.proxyId, remote), question, head) };
  }

  /** What the engine is asked, for `bench`, which sends it and measures it. */
  asked(question: Question): Asked | { readonly kind: 'error'; readonly message: string } {
    const behind = this.#behind(question);
    if (behind?.kind === 'error') return behind;
    const [only = question, ...others] = behind?.asked ?? [];
    if (others.length > 0) {
      return { kind: 'error', message: `${behind?.service} leads to several identities or ports` };
    }
    const found = this.#find(only);
    return found.kind === 'error' ? found : { ...found, head: this.#headOf(question) };
  }

  /** Ask for it after the questions: one about labels that nobody has may build it anew. */
  get snapshot(): PolicySnapshot {
    return this.#context.snapshot;
  }

  /** As `snapshot`: what it was compiled from. */
  get resolved(): ResolvedSet {
    return this.#context.built.resolved;
  }

  /** As `snapshot`. */
  get table(): IdentityTable {
    return this.#context.built.table;
  }

  /** The only endpoint there is, for questions that name none; null when there is not just one. */
  soleEndpoint(): string | null {
    const endpoints = this.#context.snapshot.endpoints();
    return endpoints.length === 1 ? (endpoints[0]?.name ?? null) : null;
  }

  #behind(question: Question): AskedBehind | null {
    return askedBehind(this.#context, question, this.#areServicesTranslated);
  }

  #find(question: Question): Found | { readonly kind: 'error'; readonly message: string } {
    const identity = this.#context.identityOf(question.remote);
    if (identity.kind === 'error') return identity;
    // Only now: finding the identity may have built the snapshot anew.
    const { snapshot } = this.#context;
    const { subject } = question;
    const endpoint =
      subject.kind === 'ip' ? snapshot.endpoint(subject.ip) : snapshot.endpointNamed(subject.name);
    if (endpoint === null) {
      const names = snapshot.endpoints().map(({ name }) => name);
      const known = names.length === 0 ? 'none is known' : `known: ${names.slice(0, 5).join(', ')}`;
      return { kind: 'error', message: `no endpoint is named "${nameOf(question)}" (${known})` };
    }
    const remote = effectiveIdentity(identity.identity);
    if (isKernelProtocol(question.protocol) && endpoint.isKnown && !endpoint.hasKernelProtocols) {
      return { kind: 'error', message: NO_ICMP_IN_WIRE_FORM };
    }
    const view = endpoint
      .port(question.direction, question.protocol, question.port)
      .view(question.proxyId, remote);
    return { kind: 'found', view, endpoint, remote };
  }

  #headOf(question: Question): RequestHead | null {
    return question.ask.kind === 'http' ? this.#plainHead(question.ask.request) : null;
  }

  #plainHead(request: HttpAsk): RequestHead {
    return plainHead({ ...request, path: this.#normalisePath(request.path) });
  }
}

type Explained = Extract<ExplainedAnswer, { kind: 'answer' }>;

function conflictOf({ denied }: BuiltSnapshot, endpoint: string): string | null {
  return denied.find(({ name }) => name === endpoint)?.problem.message ?? null;
}

interface Found {
  readonly kind: 'found';
  readonly view: View;
  readonly endpoint: CompiledEndpoint;
  readonly remote: Identity;
}

const NO_ICMP_IN_WIRE_FORM =
  'the endpoint has a policy in wire form, which has no word for ICMP: the kernel lets it through for who may use every port of TCP, UDP and SCTP';

export interface Asked extends Found {
  /** Null when it is no HTTP request. */
  readonly head: RequestHead | null;
}

export function decide(view: View, question: Question, head: RequestHead | null): Decision {
  const { ask, serverName } = question;
  if (head !== null) return decideRequest(view, serverName, head);
  switch (ask.kind) {
    case 'dns':
      return decideDns(view, ask.name);
    case 'http':
    case 'connection':
      return decideConnection(view, serverName);
  }
}

function explain(view: View, question: Question, head: RequestHead | null): Explanation {
  const { ask, serverName } = question;
  if (head !== null) return explainRequest(view, serverName, head);
  switch (ask.kind) {
    case 'dns':
      return explainDns(view, ask.name);
    case 'http':
    case 'connection':
      return explainConnection(view, serverName);
  }
}

function verdictLine(decision: Decision, head: RequestHead | null): VerdictLine {
  const { layer, rule, missing, rejected } = decision;
  if (decision.verdict === 'deny') {
    const named = rule === null ? {} : { policy: rule.policy, rule: rule.rule };
    return { verdict: 'deny', layer, reason: decision.reason, ...named, missing, rejected };
  }
  const headers =
    head === null ? {} : { headers: pairs(applyMutations(head.fields(), decision.mutations)) };
  return {
    verdict: 'allow',
    layer,
    policy: rule?.policy ?? null,
    rule: rule?.rule ?? null,
    ...headers,
    missing,
    rejected,
  };
}

function pairs(flat: readonly string[]): (readonly [string, string])[] {
  const list: (readonly [string, string])[] = [];
  for (let i = 0; i + 1 < flat.length; i += 2)
    list.push([flat[i] as string, flat[i + 1] as string]);
  return list;
}

function nameOf(question: Question): string {
  return question.subject.kind === 'name' ? question.subject.name : question.subject.ip;
}

function trafficOf({ direction, protocol, port }: Question): Traffic {
  const isIcmp = protocol === 'ICMP' || protocol === 'ICMPv6';
  // Types are kept shifted by one, as 0 stands for any.
  return { direction, protocol, ...(isIcmp ? { icmpType: port - 1 } : { port }) };
}
