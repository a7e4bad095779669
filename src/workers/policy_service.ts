/**
 * The thread in which policy is read and checked, so that no set, however large, holds the thread that answers health
 * checks. It has the source, the store and the state folder; what it accepts it sends on as workers take it, and it
 * answers what is asked about the set in force.
 */
import { policiesDocument } from '../admin/policies_document.ts';
import { judgeOptions } from '../cli/ask/judge_options.ts';
import { explainDocument } from '../control/ask/explain_document.ts';
import { type Judge, openJudge } from '../control/ask/judge.ts';
import { parseQuestion } from '../control/ask/question.ts';
import type { DecodeOptions } from '../control/decode/context.ts';
import { formatProblem } from '../control/decode/problem.ts';
import { PolicyChecker } from '../control/set/policy_checker.ts';
import { configuredSource } from '../control/source/configured_source.ts';
import { decodeBundle } from '../control/source/files/decode_bundle.ts';
import { LastGoodSet } from '../control/source/files/last_good_set.ts';
import type { SourceBundle } from '../control/source/files/source_bundle.ts';
import type { GoodObject } from '../control/source/objects/object_set.ts';
import {
  type FeedRead,
  type FeedStart,
  type NewIdentities,
  type NewSet,
  PolicyFeed,
} from '../control/source/policy_feed.ts';
import type { OfferedSet, PolicySource } from '../control/source/source.ts';
import {
  type ConfiguredSource,
  type SourceEnvironment,
  UNTOLD,
} from '../control/source/source_settings.ts';
import { encodeBatch } from '../control/worker/identity_wire.ts';
import type { PolicyUpdate } from '../control/worker/live_snapshot.ts';
import { encodeResolved } from '../control/worker/resolved_wire.ts';
import type { FlowAddress } from '../model/flow.ts';
import { sideOf } from '../observe/flow/sides.ts';
import { toldProblems } from '../observe/told_problems.ts';
import { nodePlatform } from '../platform/node_platform.ts';
import type { PolicySnapshot } from '../policy/compiled/snapshot.ts';
import { printSnapshot } from '../policy/decide/print.ts';
import { type GivenIdentity, IdentityAllocator } from '../policy/resolve/identity_allocator.ts';
import { createRe2Engine } from '../regex/re2_engine.ts';
import { type Encoded, rulesOf, wholeOf } from './encoded_set.ts';
import { FormSender, restoredForm } from './kept_forms.ts';
import { type NameService, nodeNameService } from './name_service.ts';
import { bytesOf, decoded, ownBytes } from './own_bytes.ts';
import {
  type FromPolicyThread,
  type Kept,
  type PolicyFormat,
  type PolicySettings,
  type PolicyThreadData,
  PROXY_STATE,
  type SentGiven,
  type SentIdentities,
  type SentSet,
  type SetSummary,
  type ToPolicyThread,
} from './policy_messages.ts';
import { refusedObjects } from './refused_objects.ts';
import { ServiceSender } from './service_sender.ts';
import { SpentMemory } from './spent_memory.ts';

export interface PolicyServicePort {
  post(message: FromPolicyThread, transfer: readonly ArrayBuffer[]): void;
}

export interface PolicyServiceParts {
  readonly port: PolicyServicePort;
  /** Of the process, for the client of an API. */
  readonly environment: SourceEnvironment;
  /** Absent: the source of the settings. */
  readonly sourceOf?: (decode: DecodeOptions) => PolicySource;
}

const STDIN = '-';
/** Below it the lists of identities that were given are not worth being made anew. */
const GIVEN_MIN = 1000;

export class PolicyService {
  readonly #settings: PolicySettings;
  readonly #kept: Kept | null;
  readonly #port: PolicyServicePort;
  readonly #allocator: IdentityAllocator;
  readonly #store: PolicyChecker;
  readonly #lastGood: LastGoodSet | null;
  readonly #source: ConfiguredSource;
  readonly #feed: PolicyFeed;
  readonly #names: NameService;
  readonly #forms = new FormSender();
  readonly #services = new ServiceSender();
  readonly #spentMemory: SpentMemory;
  #isStarted = false;
  /** That an earlier thread had put in force; null: none had. */
  readonly #restoredOffer: OfferedSet | null;
  /** Lines of the lists that the supervisor keeps, about. */
  #givenCount = 0;
  /** When the source began to read. */
  #readingSinceMs = 0;
  #judge: { readonly snapshot: PolicySnapshot; readonly judge: Judge } | null = null;

  constructor({ settings, kept }: PolicyThreadData, parts: PolicyServiceParts) {
    const { port, sourceOf } = parts;
    const { limits } = settings;
    this.#settings = settings;
    this.#kept = kept;
    this.#port = port;
    const { memory = null, timers } = nodePlatform();
    this.#spentMemory = new SpentMemory(memory, timers);
    const regexEngine = createRe2Engine(limits);
    this.#allocator = new IdentityAllocator(limits, { nowMs: () => nodePlatform().clock.nowMs() });
    for (const bytes of kept?.given ?? []) this.#allocator.restore(decoded<GivenIdentity[]>(bytes));
    this.#store = new PolicyChecker({
      regexEngine,
      limits,
      isEmptySetOpen: settings.isEmptySetOpen,
      isHostJudged: settings.isHostJudged,
      allocator: this.#allocator,
    });
    const decode = { limits, hasNodeLabels: settings.hasNodeLabels, regexEngine };
    this.#names = this.#makeNames();
    const restored = this.#restored(decode);
    this.#restoredOffer = restored;
    const texts = restored?.texts ?? null;
    const given = sourceOf?.(decode);
    this.#source =
      given === undefined
        ? this.#makeSource(parts.environment, { decode, texts })
        : { source: given, isLastGoodKept: true, isDeniedAtFirst: false, ...UNTOLD };
    this.#lastGood = this.#source.isLastGoodKept ? this.#makeLastGood() : null;
    this.#feed = this.#makeFeed(decode);
  }

  handle(message: ToPolicyThread): void {
    switch (message.kind) {
      case 'start':
        this.#start();
        break;
      case 'go-on':
        this.#feed.resume({
          staleness: this.#kept?.staleness ?? null,
          offered: this.#restoredOffer,
          seen: this.#kept?.fingerprint ?? null,
        });
        // Workers have what the thread before had learned: from now on what is remembered of it, as a whole.
        this.#work(() => this.#feed.learn());
        this.#tellServices();
        this.#post({ kind: 'idle' });
        break;
      case 'reload':
        this.#feed.refresh(() => this.#post({ kind: 'reloaded' }));
        break;
      case 'rebase':
        this.#work(() => this.#rebase());
        break;
      case 'print':
        this.#answer(message.id, () => this.#print(message.id, message.format));
        break;
      case 'list-names':
        this.#answer(message.id, () => this.#printed(message.id, this.#names.list(message.filter)));
        break;
      case 'name-sides':
        this.#answer(message.id, () => this.#nameSides(message.id, message.sides));
        break;
      case 'explain':
        this.#answer(message.id, () => this.#explain(message.id, message.question));
        break;
      case 'lookups':
        this.#names.learn(message.lookups);
        break;
      case 'open-addresses':
        this.#names.markAlive(message.ips);
        break;
      case 'own-state':
        this.#lastGood?.own();
        this.#names.own();
        this.#source.own();
        break;
      case 'condition':
        this.#source.tellCondition(message.problem);
        break;
      case 'stop':
        this.#names.stop();
        this.#feed.stop().then(() => this.#post({ kind: 'stopped' }));
        break;
    }
  }

  #start(): void {
    this.#busy(null);
    const { problem, fingerprint } = this.#kept ?? { problem: null, fingerprint: null };
    if (problem === null) this.#feed.start();
    else this.#feed.startWithout(problem, fingerprint);
    if (!this.#isStarted) this.#post({ kind: 'waiting' });
  }

  #tellStart(started: FeedStart): void {
    this.#isStarted = true;
    const { staleness } = this.#feed;
    if (started.kind === 'rejected') {
      this.#post({ kind: 'started', start: started, staleness });
    } else {
      const { sent, transfer } = this.#sentSet(started, wholeOf(started.accepted));
      const start =
        started.kind === 'changed'
          ? ({ kind: 'changed', sent } as const)
          : ({
              kind: 'restored',
              sent,
              savedAt: started.savedAt,
              rejected: started.rejected,
            } as const);
      this.#post({ kind: 'started', start, staleness }, transfer);
      this.#tellServices();
    }
    this.#post({ kind: 'idle' });
  }

  #tellRead(read: FeedRead, isAsked: boolean): void {
    // A judge holds all of its set, and nobody asks one of another set again.
    if (this.#judge?.snapshot !== this.#store.current()) this.#judge = null;
    const { staleness } = this.#feed;
    if (read.kind === 'changed') {
      const { accepted } = read;
      const set = accepted.isWhoSame ? rulesOf(accepted) : wholeOf(accepted);
      const { sent, transfer } = this.#sentSet<PolicyUpdate>(read, set);
      this.#post({ kind: 'read', read: { kind: 'changed', sent }, staleness, isAsked }, transfer);
    } else if (read.kind === 'identities') {
      const { sent, transfer } = this.#sentIdentities(read);
      this.#post(
        { kind: 'read', read: { kind: 'identities', sent }, staleness, isAsked },
        transfer,
      );
    } else {
      this.#post({ kind: 'read', read, staleness, isAsked });
    }
    // Also where no rule hangs on what is new.
    this.#tellServices();
    this.#post({ kind: 'idle' });
  }

  #tellServices(): void {
    for (const change of this.#services.next(this.#store.currentSet().inventory)) {
      this.#post({ kind: 'services', change });
    }
  }

  #rebase(): void {
    const resolved = this.#store.resolved();
    if (resolved === null) return;
    const parts = encodeResolved(resolved).map(ownBytes);
    const set = { revision: this.#store.current().revision, parts };
    const { sequence } = resolved.roster;
    const transfer = parts.map(({ buffer }) => buffer);
    this.#post({ kind: 'rebased', set, sequence }, transfer);
  }

  #printed(id: number, text: string): void {
    this.#post({ kind: 'printed', id, text });
  }

  #print(id: number, format: PolicyFormat): void {
    const snapshot = this.#store.current();
    this.#printed(id, format === 'text' ? printSnapshot(snapshot) : policiesDocument(snapshot));
  }

  #nameSides(id: number, asked: readonly FlowAddress[]): void {
    const snapshot = this.#store.current();
    // The set in force here is no worker's, which has them.
    const policy = snapshot.withServices(this.#services.table);
    const sides = asked.map(({ ip, port }) =>
      sideOf({ ip, port }, policy.ipcache.lookup(ip), policy),
    );
    this.#post({ kind: 'named-sides', id, sides });
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

  /** Made anew when another set, or another who is who, is in force: an answer about an old set would mislead. */
  #currentJudge(): Judge {
    const snapshot = this.#store.current();
    if (this.#judge?.snapshot === snapshot) return this.#judge.judge;
    const { limits, isPathNormalised } = this.#settings;
    const { isEmptySetOpen, isHostJudged, areServicesTranslated } = this.#settings;
    const options = {
      ...judgeOptions(limits, isPathNormalised),
      ...{ isEmptySetOpen, isHostJudged, areServicesTranslated },
    };
    const created = openJudge(this.#store.currentSet(), options);
    // The store has accepted it.
    if (created.kind === 'rejected') throw new Error('the policy set in force was rejected');
    this.#judge = { snapshot, judge: created.judge };
    this.#spentMemory.spent();
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

  #work<Result>(task: () => Result): Result {
    this.#busy(null);
    const result = task();
    this.#post({ kind: 'idle' });
    return result;
  }

  #busy(fingerprint: string | null): void {
    this.#readingSinceMs = performance.now();
    this.#post({ kind: 'busy', fingerprint });
  }

  #sentSet<Set extends PolicyUpdate>(
    { accepted, offered }: Pick<NewSet, 'accepted' | 'offered'>,
    { set, bytes }: Encoded<Set>,
  ): { readonly sent: SentSet<Set>; readonly transfer: readonly ArrayBuffer[] } {
    const form = this.#forms.next(offered);
    const given = this.#newlyGiven();
    this.#spentMemory.spent();
    const sent: SentSet<Set> = {
      set,
      sequence: accepted.set.roster.sequence,
      summary: this.#summary(),
      isEmpty: accepted.isEmpty,
      warnings: toldProblems(accepted.warnings, {
        textOf: formatProblem,
        countMax: this.#settings.limits.policyWarningCountMax,
      }),
      form,
      given,
      checkMs: performance.now() - this.#readingSinceMs,
    };
    const buffers = [...bytes, form.bytes, ...(given === null ? [] : [given.bytes])];
    return { sent, transfer: buffers.map(({ buffer }) => buffer) };
  }

  #sentIdentities({ batch, offered }: NewIdentities): {
    readonly sent: SentIdentities;
    readonly transfer: readonly ArrayBuffer[];
  } {
    const { sequence, bytes } = encodeBatch(batch);
    const own = ownBytes(bytes);
    const form = offered === null ? null : this.#forms.next(offered);
    const given = this.#newlyGiven();
    const sent: SentIdentities = {
      batch: { sequence, bytes: own },
      endpointCount: this.#store.current().endpoints().length,
      form,
      given,
    };
    const buffers = [
      own,
      ...(form === null ? [] : [form.bytes]),
      ...(given === null ? [] : [given.bytes]),
    ];
    return { sent, transfer: buffers.map(({ buffer }) => buffer) };
  }

  /** Null: none. The supervisor keeps each list until the next that is whole. */
  #newlyGiven(): SentGiven | null {
    const news = this.#allocator.takeNews();
    if (news.length === 0) return null;
    this.#givenCount += news.length;
    const { kept, heldBack } = this.#allocator.counts;
    const isWhole = this.#givenCount > GIVEN_MIN + 2 * (kept + heldBack);
    if (!isWhole) return { isWhole, bytes: bytesOf(news) };
    this.#givenCount = 0;
    return { isWhole, bytes: bytesOf(this.#allocator.given()) };
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

  /** Puts what was in force in force again, under its number; what it was decoded from, if it is known. */
  #restored(decode: DecodeOptions): OfferedSet | null {
    const inForce = this.#kept?.inForce ?? null;
    if (inForce === null) return null;
    const form = restoredForm(inForce.forms);
    const read =
      form.kind === 'texts' ? decodeBundle(form.texts, decode) : ({ ...form, kind: 'ok' } as const);
    if (read.kind === 'rejected') throw new Error('the policy set in force was rejected');
    const { input } = read;
    const result = this.#store.restore(input, inForce);
    if (result.kind === 'rejected') throw new Error('the policy set in force was rejected');
    return { input, texts: form.kind === 'texts' ? form.texts : null };
  }

  /** `texts`: of the set in force, when it came from files. */
  #makeSource(
    environment: SourceEnvironment,
    { decode, texts }: { readonly decode: DecodeOptions; readonly texts: SourceBundle | null },
  ): ConfiguredSource {
    const lostForms = this.#kept?.lostForms ?? null;
    return configuredSource(this.#settings, {
      environment,
      decode,
      platform: nodePlatform(),
      stateName: PROXY_STATE,
      isStateOurs: this.#settings.isStateOurs,
      stdin: texts?.policies.find(({ path }) => path === STDIN)?.text ?? null,
      isRestAwaited: false,
      resumed:
        (this.#kept?.inForce ?? null) === null
          ? null
          : { lostForms: lostForms === null ? [] : decoded<GoodObject[]>(lostForms) },
      onLostForms: (forms) => this.#post({ kind: 'lost-forms', forms: bytesOf(forms) }),
      reporting: {
        onElected: () => {},
        onProblem: (problem) =>
          this.#post({ kind: 'notice', message: `not reported to the cluster: ${problem}` }),
        onUnwritten: (count) => this.#post({ kind: 'unwritten', count }),
      },
      onNotKept: (problem) => this.#post({ kind: 'not-kept', problem }),
    });
  }

  #makeNames(): NameService {
    return nodeNameService(this.#settings, {
      learn: () => (this.#feed.isStarted ? this.#work(() => this.#feed.learn()) : null),
      onLearned: (ids, sequence) => this.#post({ kind: 'learned', ids, sequence }),
      onCounts: (counts) => this.#post({ kind: 'name-counts', counts }),
      onNotKept: (problem) => this.#post({ kind: 'not-kept', problem }),
    });
  }

  #makeLastGood(): LastGoodSet | null {
    const { stateDir: folder, isStateOurs: isOurs } = this.#settings;
    if (folder === null) return null;
    const wallMs = (): number => nodePlatform().clock.wallMs();
    const onError = (problem: string): void => this.#post({ kind: 'not-kept', problem });
    return new LastGoodSet({ folder, name: PROXY_STATE, wallMs, onError, isOurs });
  }

  #makeFeed(decode: DecodeOptions): PolicyFeed {
    const { limits } = this.#settings;
    const { source, isDeniedAtFirst } = this.#source;
    const wallMs = (): number => nodePlatform().clock.wallMs();
    return new PolicyFeed({
      source,
      store: this.#store,
      decode,
      lastGood: this.#lastGood,
      names: this.#names.learning,
      isDeniedAtFirst,
      limits,
      wallMs,
      events: {
        onReading: (mark) => this.#busy(mark),
        onStart: (start) => this.#tellStart(start),
        onRead: (read, isAsked) => this.#tellRead(read, isAsked),
        onRefused: (refused) => {
          const told = refusedObjects(refused, limits.policyProblemCountMax);
          this.#post({ kind: 'refused', refused: told });
        },
        onHealth: (health) => this.#post({ kind: 'health', health }),
        onNotice: (message) => this.#post({ kind: 'notice', message }),
      },
    });
  }

  #post(message: FromPolicyThread, transfer: readonly ArrayBuffer[] = []): void {
    this.#port.post(message, transfer);
  }
}
