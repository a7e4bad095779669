/**
 * What the status of a policy says of it, and the patch that makes it say so. Pure.
 *
 * `Valid` is the condition that `kubectl get cnp` shows. Cilium's operator writes it, too, where there is one: what it
 * wrote is left to it, and ours has a type of its own. Two programs that write one condition would do so for ever.
 */
import { shownLine } from '../../model/shown_text.ts';
import type { StandIn } from '../set/policy_input.ts';

export type Standing =
  /** The newest form is in force. */
  | { readonly kind: 'in-force' }
  | {
      readonly kind: 'refused';
      /** One line. */
      readonly why: string;
      readonly inForce: StandIn;
    };

/** What is kept of an object to know whether its status has to be written. */
export interface StatusForm {
  readonly uid: string | null;
  /** A patch that names it is refused when the object has changed since. */
  readonly version: string;
  /** Null when the API gave none. */
  readonly generation: number | null;
  /** As they are. Whoever wrote them, they stay. */
  readonly conditions: readonly unknown[];
}

export interface PolicyCondition {
  readonly type: string;
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
}

export interface StatusPatch {
  readonly condition: PolicyCondition;
  /** What the condition said before; null: it was not there. */
  readonly before: PolicyCondition | null;
  /** Of the object that it is for. */
  readonly version: string;
  /** A JSON merge patch of the subresource `status`. */
  readonly body: object;
}

export const VALID = 'Valid';
export const ENFORCED = 'sallyport.io/Enforced';

const ACCEPTED_REASON = 'AcceptedBySallyport';
const REFUSED_REASON = 'RefusedBySallyport';
const CHARACTERS_MAX = 1000;

const INSTEAD: Readonly<Record<StandIn, string>> = {
  'last-good': 'its last good form is in force',
  absent: 'nothing of it is in force',
  deny: 'what it selects is denied',
};

/** Null: it is no object that has been stored. */
export function statusFormOf(object: unknown): StatusForm | null {
  const metadata = memberOf(object, 'metadata');
  const version = memberOf(metadata, 'resourceVersion');
  if (typeof version !== 'string') return null;
  const uid = memberOf(metadata, 'uid');
  const generation = memberOf(metadata, 'generation');
  const conditions = memberOf(memberOf(object, 'status'), 'conditions');
  return {
    uid: typeof uid === 'string' ? uid : null,
    version,
    generation: typeof generation === 'number' ? generation : null,
    conditions: Array.isArray(conditions) ? conditions : [],
  };
}

/** Null: the status says it already. */
export function statusPatch(
  form: StatusForm,
  standing: Standing,
  wallMs: number,
): StatusPatch | null {
  const condition = conditionOf(form, standing);
  const seen = form.conditions.find((one) => memberOf(one, 'type') === condition.type);
  const before = seen === undefined ? null : readCondition(seen);
  const isSaid = before !== null && isSame(before, condition) && isOf(seen, form.generation);
  if (isSaid) return null;
  // Time of the last change of the status alone, as Kubernetes defines it.
  const kept = memberOf(seen, 'lastTransitionTime');
  const isKept = before?.status === condition.status && typeof kept === 'string';
  const written = {
    ...condition,
    ...(form.generation === null ? {} : { observedGeneration: form.generation }),
    lastTransitionTime: isKept ? kept : secondsTime(wallMs),
  };
  const conditions = [...form.conditions.filter((one) => one !== seen), written];
  return {
    condition,
    before,
    version: form.version,
    body: { metadata: { resourceVersion: form.version }, status: { conditions } },
  };
}

export function refusedMessage(why: string, inForce: StandIn): string {
  const instead = INSTEAD[inForce];
  const charactersMax = CHARACTERS_MAX - instead.length - 2;
  const line = shownLine(why);
  const shown = line.length <= charactersMax ? line : `${line.slice(0, charactersMax - 3)}...`;
  return `${shown}; ${instead}`;
}

function conditionOf(form: StatusForm, standing: Standing): PolicyCondition {
  const type = isValidOfOthers(form) ? ENFORCED : VALID;
  return standing.kind === 'in-force'
    ? { type, status: 'True', reason: ACCEPTED_REASON, message: 'the policy is valid and in force' }
    : {
        type,
        status: 'False',
        reason: REFUSED_REASON,
        message: refusedMessage(standing.why, standing.inForce),
      };
}

function isValidOfOthers({ conditions }: StatusForm): boolean {
  const valid = conditions.find((one) => memberOf(one, 'type') === VALID);
  const reason = memberOf(valid, 'reason');
  return valid !== undefined && reason !== ACCEPTED_REASON && reason !== REFUSED_REASON;
}

function readCondition(seen: unknown): PolicyCondition | null {
  const status = memberOf(seen, 'status');
  if (status !== 'True' && status !== 'False') return null;
  const [type, reason, message] = ['type', 'reason', 'message'].map((name) => {
    const text = memberOf(seen, name);
    return typeof text === 'string' ? text : '';
  });
  return { type: type ?? '', status, reason: reason ?? '', message: message ?? '' };
}

function isSame(a: PolicyCondition, b: PolicyCondition): boolean {
  return a.status === b.status && a.reason === b.reason && a.message === b.message;
}

/** A definition that does not know the field drops it: then the same words say the same of each generation. */
function isOf(seen: unknown, generation: number | null): boolean {
  const observed = memberOf(seen, 'observedGeneration');
  return observed === undefined || observed === generation;
}

function secondsTime(wallMs: number): string {
  return new Date(wallMs).toISOString().replace(/\.\d+Z$/, 'Z');
}

function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as Readonly<Record<string, unknown>>)[name];
}
