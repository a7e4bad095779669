/**
 * The thread in which policy files are read and checked, so that none of them, however large, holds the thread that
 * answers health checks. It has the files, the store and the state folder; what it accepts it sends on as workers
 * take it, and it answers what is asked about the set in force.
 */
import { deserialize, serialize } from 'node:v8';
import { policiesDocument } from '../admin/policies_document.ts';
import { judgeOptions } from '../cli/ask/judge_options.ts';
import { explainDocument } from '../control/ask/explain_document.ts';
import { type Judge, openJudge } from '../control/ask/judge.ts';
import { parseQuestion } from '../control/ask/question.ts';
import type { DecodeOptions } from '../control/decode/context.ts';
import { formatProblem } from '../control/decode/problem.ts';
import { PolicyStore } from '../control/set/policy_store.ts';
import { decodeBundle } from '../control/source/files/decode_bundle.ts';
import { FileSource } from '../control/source/files/file_source.ts';
import { LastGoodSet } from '../control/source/files/last_good_set.ts';
import type { SourceBundle } from '../control/source/files/source_bundle.ts';
import { type NewSet, PolicyFeed } from '../control/source/policy_feed.ts';
import { encodeResolved } from '../control/worker/resolved_wire.ts';
import { toldProblems } from '../observe/told_problems.ts';
import { nodePlatform } from '../platform/node_platform.ts';
import { printSnapshot } from '../policy/decide/print.ts';
import type { RegexEngine } from '../policy/match/regex.ts';
import { type GivenIdentity, IdentityAllocator } from '../policy/resolve/identity_allocator.ts';
import { createRe2Engine } from '../regex/re2_engine.ts';
import {
  type FromPolicyThread,
  type Kept,
  type PolicyFormat,
  type PolicySettings,
  type PolicyThreadData,
  PROXY_STATE,
  type SentSet,
  type SetSummary,
  type ToPolicyThread,
} from './policy_messages.ts';

export interface PolicyServicePort {
  post(message: FromPolicyThread, transfer: readonly ArrayBuffer[]): void;
}

const STDIN = '-';

export class PolicyService {
  readonly #settings: PolicySettings;
  readonly #kept: Kept | null;
  readonly #port: PolicyServicePort;
  readonly #regexEngine: RegexEngine;
  readonly #allocator: IdentityAllocator;
  readonly #store: PolicyStore;
  readonly #source: FileSource;
  readonly #lastGood: LastGoodSet | null;
  readonly #feed: PolicyFeed;
  #bundle: SourceBundle | null = null;
  #givenCount = 0;
  #readCount = 0;
  /** Of `#readCount`, when a reload was asked for. */
  #readsBefore = 0;
  #judge: { readonly revision: number; readonly judge: Judge } | null = null;

  constructor({ settings, kept }: PolicyThreadData, port: PolicyServicePort) {
    const { limits } = settings;
    this.#settings = settings;
    this.#kept = kept;
    this.#port = port;
    this.#regexEngine = createRe2Engine(limits);
    this.#allocator = new IdentityAllocator(limits.identityCountMax);
    for (const given of kept?.given ?? []) this.#allocator.restore(decoded<GivenIdentity[]>(given));
    this.#givenCount = this.#allocator.givenCount;
    this.#store = new PolicyStore({
      regexEngine: this.#regexEngine,
      limits,
      isEmptySetOpen: settings.isEmptySetOpen,
      isHostJudged: settings.isHostJudged,
      allocator: this.#allocator,
    });
    this.#bundle = this.#restored();
    this.#source = this.#makeSource();
    this.#lastGood = this.#makeLastGood();
    this.#feed = this.#makeFeed();
    if (kept !== null) this.#feed.goOn(kept.staleness);
  }

  handle(message: ToPolicyThread): void {
    switch (message.kind) {
      case 'start':
        this.#work(() => this.#start());
        break;
      case 'watch':
        this.#watch();
        break;
      case 'reload':
        this.#readsBefore = this.#readCount;
        this.#source.whenSettled(this.#reload);
        break;
      case 'print':
        this.#answer(message.id, () => this.#print(message.id, message.format));
        break;
      case 'explain':
        this.#answer(message.id, () => this.#explain(message.id, message.question));
        break;
      case 'own-state':
        this.#lastGood?.own();
        break;
      case 'stop':
        this.#feed.stop().then(() => this.#post({ kind: 'stopped' }));
        break;
    }
  }

  #start(): void {
    const startedMs = performance.now();
    const started = this.#feed.start(this.#kept?.problem ?? null);
    if (started.kind === 'rejected') {
      this.#post({ kind: 'started', start: started, staleness: this.#feed.staleness });
      return;
    }
    const { sent, transfer } = this.#sentSet(started, startedMs);
    const start =
      started.kind === 'changed'
        ? ({ kind: 'changed', sent } as const)
        : ({
            kind: 'restored',
            sent,
            savedAt: started.savedAt,
            rejected: started.rejected,
          } as const);
    this.#post({ kind: 'started', start, staleness: this.#feed.staleness }, transfer);
  }

  #watch(): void {
    const read = (): void => this.#work(() => this.#read(false));
    const fingerprint = this.#kept?.fingerprint ?? null;
    // Files that ended the thread before this one are not read again before they change, or somebody asks for it.
    if (fingerprint === null || !this.#source.passOver(fingerprint)) read();
    this.#source.watch(read, () => this.#post({ kind: 'restless' }));
  }

  /** One function, so that one that waits already is not added again. */
  readonly #reload = (): void => {
    const { fingerprint } = this.#source;
    // A change that was seen meanwhile may have been read just now.
    const isRead = this.#readCount > this.#readsBefore && fingerprint !== null;
    if (!isRead || !this.#source.passOver(fingerprint)) this.#work(() => this.#read(true));
    this.#post({ kind: 'reloaded' });
  };

  #read(isAsked: boolean): void {
    const startedMs = performance.now();
    this.#readCount += 1;
    const read = this.#feed.read();
    const { staleness } = this.#feed;
    if (read.kind === 'same') {
      this.#post({ kind: 'read', read, staleness, isAsked });
    } else if (read.kind === 'rejected') {
      this.#post({ kind: 'read', read, staleness, isAsked });
    } else {
      const { sent, transfer } = this.#sentSet(read, startedMs);
      this.#post({ kind: 'read', read: { kind: 'changed', sent }, staleness, isAsked }, transfer);
    }
  }

  #print(id: number, format: PolicyFormat): void {
    const snapshot = this.#store.current();
    const text = format === 'text' ? printSnapshot(snapshot) : policiesDocument(snapshot);
    this.#post({ kind: 'printed', id, text });
  }

  #explain(id: number, asked: unknown): void {
    const parsed = parseQuestion(asked);
    if (parsed.kind === 'error') {
      this.#post({ kind: 'explained', id, answer: parsed });
      return;
    }
    const answer = this.#currentJudge().explain(parsed.question);
    if (answer.kind === 'error') {
      this.#post({ kind: 'explained', id, answer });
      return;
    }
    // One of a policy tells what would be said with it; one of the proxy lets through what is denied.
    const isEnforced = !this.#settings.isDryRun;
    // `decision` is how the answer looked before it was that of `explain -o json`; it goes with the next release.
    const { decision } = answer.explanation;
    const document = { ...explainDocument(answer), isEnforced, decision };
    const json = JSON.stringify(document, null, 2);
    this.#post({ kind: 'explained', id, answer: { kind: 'explanation', json } });
  }

  /** Made anew when another set is in force: an answer about an old set would mislead. */
  #currentJudge(): Judge {
    const { revision } = this.#store.current();
    if (this.#judge?.revision === revision) return this.#judge.judge;
    const { limits, isEmptySetOpen, isHostJudged } = this.#settings;
    const options = { ...judgeOptions(limits), isEmptySetOpen, isHostJudged };
    const created = openJudge(this.#store.currentSet(), options);
    // The store has accepted it.
    if (created.kind === 'rejected') throw new Error('the policy set in force was rejected');
    this.#judge = { revision, judge: created.judge };
    return created.judge;
  }

  #answer(id: number, task: () => void): void {
    this.#work(() => {
      try {
        task();
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        this.#post({ kind: 'failed', id, message });
      }
    });
  }

  #work(task: () => void): void {
    this.#post({ kind: 'busy', fingerprint: null });
    task();
    this.#post({ kind: 'idle' });
  }

  #sentSet(
    { accepted, bundle }: Pick<NewSet, 'accepted' | 'bundle'>,
    startedMs: number,
  ): { readonly sent: SentSet; readonly transfer: readonly ArrayBuffer[] } {
    this.#bundle = bundle;
    const parts = encodeResolved(accepted.set).map(ownBytes);
    const bundleBytes = bytesOf(bundle);
    const given = bytesOf(this.#allocator.givenFrom(this.#givenCount));
    this.#givenCount = this.#allocator.givenCount;
    const sent: SentSet = {
      set: { revision: accepted.revision, parts },
      summary: this.#summary(),
      isEmpty: accepted.isEmpty,
      warnings: toldProblems(accepted.warnings, {
        textOf: formatProblem,
        countMax: this.#settings.limits.policyWarningCountMax,
      }),
      bundle: bundleBytes,
      given,
      checkMs: performance.now() - startedMs,
    };
    return { sent, transfer: [...parts, bundleBytes, given].map(({ buffer }) => buffer) };
  }

  #summary(): SetSummary {
    const snapshot = this.#store.current();
    const enforced = new Set(snapshot.policyNames);
    return {
      policyCount: enforced.size,
      endpointCount: snapshot.endpoints().length,
      dryRunPolicies: (snapshot.shadow?.policyNames ?? []).filter((name) => !enforced.has(name)),
    };
  }

  /** Puts what was in force in force again, under its number. */
  #restored(): SourceBundle | null {
    const inForce = this.#kept?.inForce ?? null;
    if (inForce === null) return null;
    const bundle = decoded<SourceBundle>(inForce.bundle);
    const accepted = decodeBundle(bundle, this.#decodeOptions());
    const result =
      accepted.kind === 'rejected'
        ? accepted
        : this.#store.update(accepted.input, inForce.revision);
    if (result.kind === 'rejected') throw new Error('the policy set in force was rejected');
    return bundle;
  }

  #decodeOptions(): DecodeOptions {
    const { limits, hasNodeLabels } = this.#settings;
    return { limits, hasNodeLabels, regexEngine: this.#regexEngine };
  }

  #makeSource(): FileSource {
    const { policyPaths, endpointsPath, secretsPath, hasNodeLabels, limits } = this.#settings;
    const read = this.#bundle?.policies.find(({ path }) => path === STDIN);
    return new FileSource({
      policies: policyPaths,
      endpoints: endpointsPath,
      secrets: secretsPath,
      hasNodeLabels,
      limits,
      timers: nodePlatform().timers,
      stdin: read?.text ?? null,
    });
  }

  #makeLastGood(): LastGoodSet | null {
    const { stateDir: folder, isStateOurs: isOurs } = this.#settings;
    if (folder === null) return null;
    const wallMs = (): number => nodePlatform().clock.wallMs();
    const onError = (problem: string): void => this.#post({ kind: 'not-kept', problem });
    return new LastGoodSet({ folder, name: PROXY_STATE, wallMs, onError, isOurs });
  }

  #makeFeed(): PolicyFeed {
    const { limits } = this.#settings;
    const wallMs = (): number => nodePlatform().clock.wallMs();
    return new PolicyFeed({
      source: this.#source,
      store: this.#store,
      decode: this.#decodeOptions(),
      lastGood: this.#lastGood,
      limits,
      wallMs,
      beforeRead: () => this.#post({ kind: 'busy', fingerprint: this.#source.fingerprint }),
    });
  }

  #post(message: FromPolicyThread, transfer: readonly ArrayBuffer[] = []): void {
    this.#port.post(message, transfer);
  }
}

type OwnBytes = Uint8Array<ArrayBuffer>;

function bytesOf(value: unknown): OwnBytes {
  return ownBytes(serialize(value));
}

/** In a buffer of their own, which can be given away whole. */
function ownBytes(bytes: Uint8Array): OwnBytes {
  const { buffer, byteLength } = bytes;
  const isOwn = buffer instanceof ArrayBuffer && buffer.byteLength === byteLength;
  return isOwn ? new Uint8Array(buffer) : new Uint8Array(bytes);
}

/** Of bytes that a thread before has made. */
function decoded<Value>(bytes: Uint8Array): Value {
  return deserialize(bytes) as Value;
}
