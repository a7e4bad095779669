/**
 * What stands around a verdict and explains it: what each rule of the selecting policies would have
 * wanted, which of them switch default deny on, and what those in dry-run would change.
 */
import type { Decision } from '../../model/decision.ts';
import type { Identity } from '../../model/identity.ts';
import type { CompiledEndpoint } from '../../policy/compiled/compiled_endpoint.ts';
import { type NearRule, nearRules } from '../../policy/resolve/near_rules.ts';
import { Selections } from '../../policy/resolve/selection.ts';
import type { PolicySpec } from '../../policy/rule.ts';
import { LabelSet, selectorMatches } from '../../policy/selector.ts';
import type { BuiltSnapshot } from '../set/build_snapshot.ts';
import type { Question } from './question.ts';
import type { QuestionContext } from './question_context.ts';

export interface Surroundings {
  /** What each rule of the direction would want; empty for a policy in wire form. */
  readonly near: readonly NearRule[];
  /** Policies that deny by default what no rule allows, in the direction asked about. */
  readonly defaultDeny: readonly DefaultDeny[];
  readonly dryRun: DryRun | null;
}

export interface DefaultDeny {
  readonly policy: string;
  /** It has no allow rule for the direction: deny rules alone switched it on. */
  readonly isDenyOnly: boolean;
}

export interface DryRun {
  /** Those that select the endpoint and are not enforced. */
  readonly policies: readonly string[];
  /** With them counted in. */
  readonly decision: Decision;
}

export function surroundings(
  context: QuestionContext,
  question: Question,
  found: { readonly endpoint: CompiledEndpoint; readonly remote: Identity },
): Omit<Surroundings, 'dryRun'> {
  const { built } = context;
  const { direction, protocol, port } = question;
  const specs = specsOf(context, found.endpoint.name).filter(({ isDryRun }) => !isDryRun);
  // As it was built: who got no number has other labels than was said.
  const { endpoints } = built.set.inventory;
  return {
    near: nearRules({
      specs,
      subject: endpoints.find(({ name }) => name === found.endpoint.name) ?? null,
      direction,
      protocol,
      port,
      remote: found.remote,
      remoteEntry: built.table.entry(found.remote),
      selections: selectionsOf(built),
    }),
    defaultDeny: specs
      .filter((spec) => spec.enableDefaultDeny[direction])
      .map(({ origin, rules }) => {
        const own = rules.filter((rule) => rule.direction === direction);
        const isDenyOnly = own.length > 0 && own.every(({ action }) => action === 'deny');
        return { policy: origin.policy, isDenyOnly };
      }),
  };
}

export function dryRunPolicies(context: QuestionContext, endpoint: string): readonly string[] {
  const specs = specsOf(context, endpoint).filter(({ isDryRun }) => isDryRun);
  return [...new Set(specs.map(({ origin }) => origin.policy))].sort();
}

/** Node selectors apply to hosts only, and endpoint selectors to all others. */
function specsOf({ built }: QuestionContext, name: string): readonly PolicySpec[] {
  const { set } = built;
  const endpoint = set.inventory.endpoints.find((one) => one.name === name);
  if (endpoint === undefined) return [];
  const labels = new LabelSet(endpoint.labels);
  const isHost = ['reserved:host', 'reserved:remote-node'].some(
    (key) => labels.valuesOf(key).length > 0,
  );
  const wanted = isHost ? 'nodes' : 'endpoints';
  return set.specs.filter(
    ({ subject }) => subject.kind === wanted && selectorMatches(subject.selector, labels),
  );
}

/** Of one snapshot all questions share what was selected. */
const SELECTIONS = new WeakMap<BuiltSnapshot, Selections>();

function selectionsOf(built: BuiltSnapshot): Selections {
  const known = SELECTIONS.get(built);
  if (known !== undefined) return known;
  const { set } = built;
  const selections = new Selections({
    table: built.table,
    cluster: set.inventory.cluster,
    cidrGroups: set.cidrGroups,
    services: set.inventory.services,
  });
  SELECTIONS.set(built, selections);
  return selections;
}
