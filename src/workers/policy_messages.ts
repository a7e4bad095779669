/**
 * What the supervisor and its policy thread say to each other: plain values. Rules go as the bytes that workers get;
 * what the thread has to be told again after its end (`Kept`) is bytes that the supervisor does not look into.
 */
import type { ExplainAnswer } from '../admin/backend.ts';
import type { StandIn } from '../control/set/policy_input.ts';
import type { RejectedSet, Staleness } from '../control/source/policy_feed.ts';
import type { SourceHealth } from '../control/source/source.ts';
import type { SourceSettings } from '../control/source/source_settings.ts';
import type { SentBatch } from '../control/worker/identity_wire.ts';
import type { NumberedSet, PolicyUpdate } from '../control/worker/live_snapshot.ts';
import type { IpText } from '../model/address.ts';
import type { FlowAddress, FlowSide } from '../model/flow.ts';
import type { NameCounts } from '../model/name_counts.ts';
import type { NameFilter } from '../model/name_row.ts';
import type { ToldLookup } from '../proxy/dns/name_learner.ts';
import type { KeptForms, SentForm } from './kept_forms.ts';
import type { SentServiceChange } from './service_sender.ts';

/** The proxy's part of the state folder. */
export const PROXY_STATE = 'proxy';

/** Of the configuration. */
export interface PolicySettings extends SourceSettings {
  readonly isEmptySetOpen: boolean;
  readonly isHostJudged: boolean;
  readonly areServicesTranslated: boolean;
  readonly isPathNormalised: boolean;
  /** CIDRs of which no address gets a name. */
  readonly neverLearned: readonly string[];
  /** The whole proxy is in dry-run: what is denied is let through. */
  readonly isDryRun: boolean;
  /** No other process keeps its set there: it may be written. */
  readonly isStateOurs: boolean;
}

export interface PolicyThreadData {
  readonly settings: PolicySettings;
  /** Null: it is the first. */
  readonly kept: Kept | null;
}

/** What a thread needs to go on where one before it has ended. */
export interface Kept {
  /** Null: none was accepted yet, so it has to start. */
  readonly inForce: KeptSet | null;
  /** `GivenIdentity` lists, one after another: numbers that live connections have must not mean others. */
  readonly given: readonly Uint8Array[];
  /** `GoodObject` list: last good forms that no source has any more; null: none. */
  readonly lostForms: Uint8Array | null;
  readonly staleness: Staleness | null;
  /** Why the thread before it ended, and which files it was at, if it was at any. */
  readonly problem: string;
  readonly fingerprint: string | null;
}

export interface KeptSet {
  readonly revision: number;
  /** Of the last batch of identities that was told. */
  readonly sequence: number;
  readonly forms: KeptForms;
}

/** An object that its source refused alone. */
export interface RefusedObject {
  /** "CiliumNetworkPolicy shop/api". */
  readonly object: string;
  /** What is in force instead. */
  readonly inForce: StandIn;
  /** One line each, bounded. */
  readonly problems: readonly string[];
}

export interface RefusedObjects {
  /** The first of them. */
  readonly objects: readonly RefusedObject[];
  /** Of all of them. */
  readonly count: number;
}

/** What the supervisor has to know of a set without compiling it. */
export interface SetSummary {
  readonly policyCount: number;
  readonly endpointCount: number;
  /** Names of the policies that are in dry-run only, sorted. */
  readonly dryRunPolicies: readonly string[];
}

/** Identities that were given, and forgotten, since the list before. */
export interface SentGiven {
  /** All that are given now: lists before it say nothing. */
  readonly isWhole: boolean;
  /** `GivenIdentity` one after another. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export interface SentSet<Set extends PolicyUpdate = PolicyUpdate> {
  readonly set: Set;
  readonly summary: SetSummary;
  readonly isEmpty: boolean;
  /** One line each; bounded, the last says by how much. */
  readonly warnings: readonly string[];
  /** Of the last batch of identities that is in the set. */
  readonly sequence: number;
  /** Whole. */
  readonly form: SentForm;
  /** Identities that were given since the set before; null: none. */
  readonly given: SentGiven | null;
  readonly checkMs: number;
}

/** Another who is who for the set that was sent last. */
export interface SentIdentities {
  readonly batch: SentBatch;
  readonly endpointCount: number;
  /** Null: that is as it was; names have taught who has addresses. */
  readonly form: SentForm | null;
  /** As of a set. */
  readonly given: SentGiven | null;
}

/** What an answer taught, as a worker told it. */
export interface SentLookup extends Omit<ToldLookup, 'id'> {
  /** The supervisor's. */
  readonly id: number;
}

export type SentStart =
  | { readonly kind: 'changed'; readonly sent: SentSet<NumberedSet> }
  | RejectedSet
  | {
      readonly kind: 'restored';
      readonly sent: SentSet<NumberedSet>;
      /** Null: everything is denied. */
      readonly savedAt: string | null;
      readonly rejected: RejectedSet;
    };

export type SentRead =
  | { readonly kind: 'changed'; readonly sent: SentSet }
  | { readonly kind: 'identities'; readonly sent: SentIdentities }
  | { readonly kind: 'same' }
  | RejectedSet;

export type PolicyFormat = 'json' | 'text';

export type ToPolicyThread =
  /** The source is started; what comes first is answered by `started`, each change by `read`. */
  | { readonly kind: 'start' }
  /** The source is started where another thread has ended; each change is answered by `read`. */
  | { readonly kind: 'go-on' }
  /** The source offers what it has, once that is settled. */
  | { readonly kind: 'reload' }
  /** Answered by `rebased`. */
  | { readonly kind: 'rebase' }
  | { readonly kind: 'print'; readonly id: number; readonly format: PolicyFormat }
  /** What answers have taught; answered by `printed`. */
  | { readonly kind: 'list-names'; readonly id: number; readonly filter: NameFilter }
  | { readonly kind: 'explain'; readonly id: number; readonly question: unknown }
  /** Who is at the addresses, by the set in force. */
  | { readonly kind: 'name-sides'; readonly id: number; readonly sides: readonly FlowAddress[] }
  /** The state folder is ours from now on. */
  | { readonly kind: 'own-state' }
  /** What is wrong with the workers, for who is told of it; null: nothing any more. */
  | { readonly kind: 'condition'; readonly problem: string | null }
  /** What answers taught; answered by `learned`. */
  | { readonly kind: 'lookups'; readonly lookups: readonly SentLookup[] }
  /** Connections to these addresses are open. */
  | { readonly kind: 'open-addresses'; readonly ips: readonly IpText[] }
  | { readonly kind: 'stop' };

export type FromPolicyThread =
  /** It does something that can take long; of which files, if it is at them. */
  | { readonly kind: 'busy'; readonly fingerprint: string | null }
  | { readonly kind: 'idle' }
  /** For what comes from outside, `kubeSyncTimeoutMs` at most; then it begins as from `busy`. */
  | { readonly kind: 'waiting' }
  | {
      readonly kind: 'started';
      readonly start: SentStart;
      readonly staleness: Staleness | null;
    }
  | {
      readonly kind: 'read';
      readonly read: SentRead;
      readonly staleness: Staleness | null;
      /** By `reload`. */
      readonly isAsked: boolean;
    }
  /** What is refused alone is no longer what it was. */
  | { readonly kind: 'refused'; readonly refused: RefusedObjects }
  /** The set that was sent last, with all batches in it that were sent since. */
  | { readonly kind: 'rebased'; readonly set: NumberedSet; readonly sequence: number }
  /** Who is behind addresses of Services, for what was told last. */
  | { readonly kind: 'services'; readonly change: SentServiceChange }
  /** What there is has been read since a `reload`. */
  | { readonly kind: 'reloaded' }
  /** See `PolicySink.health`. */
  | { readonly kind: 'health'; readonly health: SourceHealth }
  /** See `ReportEvents.onUnwritten`. */
  | { readonly kind: 'unwritten'; readonly count: number }
  /** See `Kept.lostForms`. */
  | { readonly kind: 'lost-forms'; readonly forms: Uint8Array }
  /** See `PolicySink.notice`. */
  | { readonly kind: 'notice'; readonly message: string }
  | { readonly kind: 'not-kept'; readonly problem: string }
  | { readonly kind: 'printed'; readonly id: number; readonly text: string }
  | { readonly kind: 'explained'; readonly id: number; readonly answer: ExplainAnswer }
  /** In the order that they were asked in. */
  | { readonly kind: 'named-sides'; readonly id: number; readonly sides: readonly FlowSide[] }
  /** In force with the batch of that number. */
  | { readonly kind: 'learned'; readonly ids: readonly number[]; readonly sequence: number }
  /** Of names; from time to time, when they are others. */
  | { readonly kind: 'name-counts'; readonly counts: NameCounts }
  /** A question was answered with an error of ours. */
  | { readonly kind: 'failed'; readonly id: number; readonly message: string }
  | { readonly kind: 'stopped' };
