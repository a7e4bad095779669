/**
 * The verdict about a Service behind which there are several: each of them may be reached, so an allow needs all of them,
 * and they have to ask for one and the same thing. Where one denies, its word counts. The tools answer the same
 * (control/ask/judge.ts).
 */
import {
  type AllowDecision,
  applyMutations,
  type Decision,
  type DenyDecision,
} from '../../model/decision.ts';
import type { RequestHead } from '../../model/request_head.ts';
import type { View } from '../../policy/compiled/port_rules.ts';
import { denyDecision } from '../../policy/compiled/ready_decisions.ts';
import { decideConnectionToo, decideDnsToo, decideRequestToo } from '../../policy/decide/decide.ts';

/** `first`: what the policy has just said about one of them. These are the others. */
export class AllBehind {
  readonly #others: readonly View[];
  readonly hasL7Rules: boolean;
  readonly isPlain: boolean;

  constructor(others: readonly View[]) {
    this.#others = others;
    this.isPlain = others.every(isPlainView);
    this.hasL7Rules = others.some((view) => view.hasL7Rules);
  }

  connection(first: Decision, serverName: string): Decision {
    return this.#all(first, (view) => decideConnectionToo(view, serverName), null);
  }

  request(first: Decision, serverName: string, head: RequestHead): Decision {
    return this.#all(first, (view) => decideRequestToo(view, serverName, head), head);
  }

  question(first: Decision, name: string): Decision {
    return this.#all(first, (view) => decideDnsToo(view, name), null);
  }

  #all(first: Decision, decide: (view: View) => Decision, head: RequestHead | null): Decision {
    if (first.verdict === 'deny') return first;
    const allows: AllowDecision[] = [first];
    for (const view of this.#others) {
      const decision = decide(view);
      if (decision.verdict === 'deny') return decision;
      allows.push(decision);
    }
    const isSame = head === null || allows.every((one) => areSameFields(first, one, head));
    return isSame ? withAllFields(first, allows) : differ(first);
  }
}

/** None of its rules looks at a server name, or at what is said. */
export function isPlainView({ applicable }: View): boolean {
  return !applicable.hasServerNames && !applicable.hasDns && !applicable.hasOtherL7;
}

/** What goes on is the same, whoever of the two has the last word. */
function areSameFields(a: AllowDecision, b: AllowDecision, head: RequestHead): boolean {
  if (a.mutations === b.mutations || (a.mutations.length === 0 && b.mutations.length === 0)) {
    return true;
  }
  const fields = head.fields();
  const ofA = applyMutations(fields, a.mutations);
  const ofB = applyMutations(fields, b.mutations);
  return ofA.length === ofB.length && ofA.every((text, at) => text === ofB[at]);
}

/** What one of them looked at in the head goes on as no trailer. */
function withAllFields(first: AllowDecision, allows: readonly AllowDecision[]): AllowDecision {
  const judgedFields = new Set(allows.flatMap((one) => one.judgedFields));
  return judgedFields.size === new Set(first.judgedFields).size
    ? first
    : { ...first, judgedFields: [...judgedFields] };
}

function differ({ layer }: AllowDecision): DenyDecision {
  return denyDecision(layer, 'service-backends-differ', null);
}

/** Those that may have another verdict: many identities and ports are met by the very same rules. */
export function distinctViews(views: readonly View[]): readonly View[] {
  const seen = new Map<object, Set<object>>();
  return views.filter(({ port, applicable }) => {
    const ofPort = seen.get(port) ?? new Set();
    seen.set(port, ofPort);
    if (ofPort.has(applicable)) return false;
    ofPort.add(applicable);
    return true;
  });
}
