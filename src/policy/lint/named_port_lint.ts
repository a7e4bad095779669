/**
 * Port names that the endpoints of a rule define differently: at ingress the name is that of each subject, at egress
 * that of each destination, so the rule means another port for each.
 */
import type { Identity } from '../../model/identity.ts';
import type { IdentityTable } from '../resolve/identity_table.ts';
import type { Inventory } from '../resolve/inventory.ts';
import { NamedPorts } from '../resolve/named_ports.ts';
import type { Selections } from '../resolve/selection.ts';
import { SubjectIndex } from '../resolve/subject_index.ts';
import type { DirectionRule, PolicySpec, PortSelector, PortsRule } from '../rule.ts';
import { LabelSet } from '../selector.ts';
import { type Finding, finding } from './finding.ts';

interface Known {
  readonly inventory: Inventory;
  readonly table: IdentityTable;
}

const NUMBERS_SHOWN_MAX = 4;

export function differingNames(
  specs: readonly PolicySpec[],
  { inventory, table }: Known,
  selections: Selections,
): Finding[] {
  const naming = specs.filter(({ rules }) => rules.some(({ ports }) => ports?.some(hasNames)));
  if (naming.length === 0) return [];
  const named = new NamedPorts(inventory.endpoints, table);
  const subjects = subjectsOf(naming, { inventory, table });
  return naming.flatMap((spec) =>
    spec.rules.flatMap((rule) => {
      const remotes =
        rule.direction === 'ingress' ? subjects.get(spec) : remotesOf(rule, selections);
      return (rule.ports ?? []).flatMap((ports) =>
        (ports.ports ?? []).flatMap((port) => differing(ports, port, { named, remotes })),
      );
    }),
  );
}

/** Of no remotes: nobody is selected, which is told elsewhere. */
function differing(
  { origin }: PortsRule,
  { name, protocols }: PortSelector,
  where: {
    readonly named: NamedPorts;
    readonly remotes: ReadonlySet<Identity> | null | undefined;
  },
): Finding[] {
  const { named, remotes } = where;
  if (name === null || remotes === undefined) return [];
  return protocols.flatMap((protocol) => {
    const numbers = [...named.numbersOf(name, protocol, remotes).keys()].sort((a, b) => a - b);
    if (numbers.length < 2) return [];
    const more = numbers.length - NUMBERS_SHOWN_MAX;
    const shown = numbers.slice(0, NUMBERS_SHOWN_MAX).join(', ');
    const message = `endpoints define the port name "${name}" differently (${protocol} ${shown}${more > 0 ? ` and ${more} more` : ''}), so this rule means another port for each; write the number if one port is meant`;
    return [finding('port-name-differs', origin, { message })];
  });
}

function subjectsOf(
  specs: readonly PolicySpec[],
  { inventory, table }: Known,
): ReadonlyMap<PolicySpec, ReadonlySet<Identity>> {
  const index = new SubjectIndex(specs);
  const subjects = new Map<PolicySpec, Set<Identity>>();
  for (const { name, labels, namedPorts } of inventory.endpoints) {
    const identity = namedPorts.length === 0 ? null : table.identityOfEndpoint(name);
    if (identity === null) continue;
    for (const spec of index.selecting(new LabelSet(labels))) {
      const known = subjects.get(spec);
      if (known === undefined) subjects.set(spec, new Set([identity]));
      else known.add(identity);
    }
  }
  return subjects;
}

/** Null: any. */
function remotesOf({ peers }: DirectionRule, selections: Selections): ReadonlySet<Identity> | null {
  if (peers === null) return null;
  const remotes = new Set<Identity>();
  for (const peer of peers) {
    for (const selection of selections.ofPeer(peer, 'some')) {
      if (selection.remotes === null) return null;
      for (const identity of selection.remotes) remotes.add(identity);
    }
  }
  return remotes;
}

function hasNames({ ports }: PortsRule): boolean {
  return (ports ?? []).some(({ name }) => name !== null);
}
