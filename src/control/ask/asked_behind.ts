/**
 * The questions that one about the address of a Service stands for, and whose answer counts. A packet that keeps the
 * address is judged by the address itself as well, where it may get there (`isJudgedAsDialled`).
 */
import type { DenyReason } from '../../model/decision.ts';
import { effectiveIdentity, IDENTITY_WORLD, type Identity } from '../../model/identity.ts';
import { BEHIND_ASKED_MAX } from '../../model/service_frontend.ts';
import { isJudgedAsDialled } from '../../policy/identity/service_table.ts';
import type { PolicySet } from '../set/policy_set.ts';
import { type DialledService, DialledServices, distinctBehind } from './dialled_service.ts';
import type { Question } from './question.ts';
import type { QuestionContext } from './question_context.ts';
import type { VerdictLine } from './verdict_line.ts';

export type AskedBehind =
  | {
      readonly kind: 'behind';
      readonly service: string;
      readonly address: string;
      readonly asked: readonly Question[];
      /** Nobody has to be asked; null: an answer needs all of them. */
      readonly refusal: DenyReason | null;
    }
  | { readonly kind: 'error'; readonly message: string };

/** `areServicesTranslated`: see `JudgeOptions`. Null: the question is about no Service. */
export function askedBehind(
  context: QuestionContext,
  question: Question,
  areServicesTranslated: boolean,
): AskedBehind | null {
  const found = dialledServicesOf(context.set).of(question);
  if (found.kind === 'none') return null;
  if (found.kind === 'error') return found;
  const { dialled } = found;
  const { ipcache } = context.built.table;
  const identityAt = (ip: string): Identity =>
    effectiveIdentity(ipcache.lookup(ip) ?? IDENTITY_WORLD);
  const behind = [...distinctBehind(dialled, identityAt)];
  const { remote, port } = question;
  const isBackendOnly = reachesBackendsOnly(question, dialled, areServicesTranslated);
  if (remote.kind === 'ip' && behind.length > 0) {
    const identity = identityAt(remote.ip);
    const labels = context.snapshot.labels.labelsOf(identity);
    if (!isBackendOnly && isJudgedAsDialled(dialled, { identity, labels })) {
      behind.push({ identity, port });
    }
  }
  const asked = behind.map((one): Question => {
    return { ...question, port: one.port, remote: { kind: 'identity', identity: one.identity } };
  });
  const { service, address } = dialled;
  return {
    kind: 'behind',
    service,
    address,
    asked,
    refusal: refusalOf(asked.length, isBackendOnly),
  };
}

/** Linux has no hook at SCTP's connect(). */
export function isTranslated({ protocol }: Question, areServicesTranslated: boolean): boolean {
  return areServicesTranslated && protocol !== 'SCTP';
}

/** A NodePort at another node is left to that node. */
function reachesBackendsOnly(
  question: Question,
  { kind }: DialledService,
  areServicesTranslated: boolean,
): boolean {
  return isTranslated(question, areServicesTranslated) && kind !== 'NodePort';
}

/** Of one inventory all questions share what is dialled. */
const DIALLED_SERVICES = new WeakMap<object, DialledServices>();

function dialledServicesOf({ inventory }: PolicySet): DialledServices {
  const known = DIALLED_SERVICES.get(inventory);
  if (known !== undefined) return known;
  const services = new DialledServices(inventory);
  DIALLED_SERVICES.set(inventory, services);
  return services;
}

/** A socket that is translated is judged by one of them. */
function refusalOf(behindCount: number, isBackendOnly: boolean): DenyReason | null {
  if (behindCount === 0) return 'service-without-backend';
  return behindCount > BEHIND_ASKED_MAX && !isBackendOnly ? 'service-backends-many' : null;
}

/** Whose word counts: that of one who denies; else all say the same, or `reason` says why it is refused. */
export function decisive(lines: readonly VerdictLine[]): {
  readonly at: number;
  readonly reason: DenyReason | null;
} {
  const denied = lines.findIndex(({ verdict }) => verdict === 'deny');
  if (denied >= 0) return { at: denied, reason: null };
  const sent = lines.map((line) => ('headers' in line ? JSON.stringify(line.headers) : ''));
  const isSame = sent.every((one) => one === sent[0]);
  return { at: 0, reason: isSame ? null : 'service-backends-differ' };
}

export function refused({ layer }: Pick<VerdictLine, 'layer'>, reason: DenyReason): VerdictLine {
  return { verdict: 'deny', layer, reason, missing: [], rejected: [] };
}
