/**
 * The policies of a cluster whose status we write, and which of them have to be written. Only when this process is the
 * one that writes; one that is refused because the object has changed waits for the change to be seen. What was written
 * once and does not stay is written again seldom: somebody else may want it otherwise.
 */
import type { KubeReply, KubeRequest } from '../../kube/client.ts';
import { type KubeKind, pathOf } from '../../kube/kind.ts';
import type { Clock } from '../../platform/platform.ts';
import type { ObjectRef } from '../decode/policy_object.ts';
import type { PacedWrites } from './paced_writes.ts';
import {
  type PolicyCondition,
  type Standing,
  type StatusForm,
  type StatusPatch,
  statusFormOf,
  statusPatch,
} from './policy_conditions.ts';

export interface PolicyStatusOptions {
  readonly writes: PacedWrites;
  readonly clock: Clock;
  /** Of this process to write; null: another one writes. */
  readonly term: () => AbortSignal | null;
  /** Written, or refused for good: what the status says now, and what it said before. */
  readonly onSaid: (ref: ObjectRef, said: PolicyCondition, before: PolicyCondition | null) => void;
  readonly onRefused: (reply: KubeReply) => void;
  /** The API server has a fault with this one; each once, until it is written or another object. */
  readonly onGivenUp: (ref: ObjectRef, reply: KubeReply) => void;
  /** Of how many it is given up for now. */
  readonly onGivenUpCount: (count: number) => void;
}

/** Kinds with a status of conditions. */
const KINDS: ReadonlyMap<string, KubeKind> = new Map(
  [
    { kind: 'CiliumNetworkPolicy', plural: 'ciliumnetworkpolicies', isNamespaced: true },
    {
      kind: 'CiliumClusterwideNetworkPolicy',
      plural: 'ciliumclusterwidenetworkpolicies',
      isNamespaced: false,
    },
  ].map((kind) => [kind.kind, { ...kind, group: 'cilium.io', version: 'v2' }]),
);

/** The same words again, after they did not stay: doubled each time. */
const AGAIN_MIN_MS = 60_000;
const AGAIN_MAX_MS = 3_600_000;

interface Entry {
  readonly ref: ObjectRef;
  readonly kind: KubeKind;
  form: StatusForm;
  /** Null: its newest form has not been offered yet. */
  standing: Standing | null;
  /** What was written last. */
  written: Written | null;
  /** Of which a patch came too late. */
  staleVersion: string | null;
  /** The API server has a fault with it: it is tried seldom. */
  isGivenUp: boolean;
}

interface Written {
  readonly condition: PolicyCondition;
  readonly againMs: number;
  readonly notBeforeMs: number;
}

export class PolicyStatus {
  readonly #options: PolicyStatusOptions;
  readonly #entries = new Map<string, Entry>();
  #givenUpCount = 0;

  constructor(options: PolicyStatusOptions) {
    this.#options = options;
  }

  static hasStatus(apiKind: string): boolean {
    return KINDS.has(apiKind);
  }

  /** The object as it is now. A change of its status alone leaves its standing as it was. */
  put(key: string, ref: ObjectRef, object: unknown): void {
    const kind = KINDS.get(ref.apiKind);
    const form = statusFormOf(object);
    if (kind === undefined || form === null) return;
    const before = this.#entries.get(key);
    const isSame =
      before !== undefined &&
      before.form.uid === form.uid &&
      form.generation !== null &&
      before.form.generation === form.generation;
    const { standing, written } = isSame ? before : { standing: null, written: null };
    const entry: Entry = {
      ref,
      kind,
      form,
      standing,
      written,
      staleVersion: before?.staleVersion ?? null,
      isGivenUp: isSame && before.isGivenUp,
    };
    if (before?.isGivenUp === true && !entry.isGivenUp) this.#countGivenUp(-1);
    this.#entries.set(key, entry);
    this.#add(key);
  }

  remove(key: string): void {
    if (this.#entries.get(key)?.isGivenUp === true) this.#countGivenUp(-1);
    this.#entries.delete(key);
  }

  stand(key: string, standing: Standing): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    entry.standing = standing;
    this.#add(key);
  }

  /** This process writes from now on, or looks once more at what it has written. */
  addAll(): void {
    for (const key of this.#entries.keys()) this.#add(key);
  }

  #add(key: string): void {
    this.#seeWritten(key);
    if (this.#options.term() === null || this.#patch(key) === null) return;
    let sent: StatusPatch | null = null;
    this.#options.writes.add(key, {
      request: () => {
        sent = this.#patch(key);
        return sent === null ? null : this.#requestOf(key, sent);
      },
      answered: (reply) => {
        if (sent !== null) this.#answered(key, sent, reply);
      },
      givenUp: (reply) => {
        if (sent !== null) this.#gaveUp(key, sent, reply);
      },
    });
  }

  /** One that was given up may say it all the same: a try came through, or another process has written it. */
  #seeWritten(key: string): void {
    const entry = this.#entries.get(key);
    if (entry?.isGivenUp !== true || entry.standing === null) return;
    const patch = statusPatch(entry.form, entry.standing, this.#options.clock.wallMs());
    if (patch === null) this.#setGivenUp(entry, false);
  }

  #requestOf(key: string, { body }: StatusPatch): KubeRequest | null {
    const entry = this.#entries.get(key);
    const signal = this.#options.term();
    if (entry === undefined || signal === null) return null;
    const { namespace, name } = entry.ref;
    return {
      method: 'PATCH',
      path: `${pathOf(entry.kind, namespace)}/${name}/status`,
      contentType: 'application/merge-patch+json',
      body,
      signal,
    };
  }

  /** Null: nothing has to be written now. */
  #patch(key: string): StatusPatch | null {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.standing === null) return null;
    const { form, standing, written, staleVersion } = entry;
    if (form.version === staleVersion) return null;
    const { clock } = this.#options;
    const patch = statusPatch(form, standing, clock.wallMs());
    if (patch === null) return null;
    const isAgain = written !== null && isSameCondition(written.condition, patch.condition);
    return isAgain && clock.nowMs() < written.notBeforeMs ? null : patch;
  }

  #answered(key: string, { version, condition, before }: StatusPatch, reply: KubeReply): void {
    const entry = this.#entries.get(key);
    const status = reply.kind === 'refused' ? reply.status : 0;
    if (entry === undefined || status === 404) return;
    if (status === 409) {
      entry.staleVersion = version;
      return;
    }
    this.#setGivenUp(entry, false);
    entry.written = this.#written(entry, condition);
    if (reply.kind !== 'ok') this.#options.onRefused(reply);
    // A form that was seen meanwhile is at least as new: the patch named the version before it.
    const form = reply.kind === 'ok' ? statusFormOf(reply.object) : null;
    if (form !== null && entry.form.version === version) entry.form = form;
    this.#options.onSaid(entry.ref, condition, before);
  }

  /** As if it had been written and had not stayed: the same words come after a while, others at once. */
  #gaveUp(key: string, { condition, before }: StatusPatch, reply: KubeReply): void {
    const entry = this.#entries.get(key);
    // Its newest form has not been tried.
    if (entry === undefined || entry.standing === null) return;
    entry.written = this.#written(entry, condition);
    if (entry.isGivenUp) return;
    this.#setGivenUp(entry, true);
    this.#options.onGivenUp(entry.ref, reply);
    this.#options.onSaid(entry.ref, condition, before);
  }

  #setGivenUp(entry: Entry, isGivenUp: boolean): void {
    if (entry.isGivenUp === isGivenUp) return;
    entry.isGivenUp = isGivenUp;
    this.#countGivenUp(isGivenUp ? 1 : -1);
  }

  #countGivenUp(by: number): void {
    this.#givenUpCount += by;
    this.#options.onGivenUpCount(this.#givenUpCount);
  }

  #written({ written }: Entry, condition: PolicyCondition): Written {
    const isAgain = written !== null && isSameCondition(written.condition, condition);
    const againMs = isAgain ? Math.min(written.againMs * 2, AGAIN_MAX_MS) : AGAIN_MIN_MS;
    return { condition, againMs, notBeforeMs: this.#options.clock.nowMs() + againMs };
  }
}

function isSameCondition(a: PolicyCondition, b: PolicyCondition): boolean {
  return (
    a.type === b.type && a.status === b.status && a.reason === b.reason && a.message === b.message
  );
}
