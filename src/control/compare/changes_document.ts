/** What would change, as JSON (docs/json.md): names are told as far as `namesMax` allows, and counted. */
import type { InventoryEndpoint } from '../../policy/resolve/inventory.ts';
import type { PortArea } from './direction_changes.ts';
import type { VerdictChange } from './grouped_changes.ts';
import { commonName, type RemoteName, RemoteNames } from './remote_names.ts';
import { trafficText } from './traffic_text.ts';
import type { VerdictChanges } from './verdict_changes.ts';

export interface ChangesDocument {
  /** Endpoints for which something is different, of all. */
  readonly endpointCount: number;
  readonly verdicts: readonly ChangeDocument[];
}

export interface ChangeDocument {
  readonly direction: VerdictChange['direction'];
  readonly before: VerdictChange['before']['kind'];
  readonly after: VerdictChange['after']['kind'];
  /** "everything but TCP 8080". */
  readonly traffic: string;
  readonly ports: readonly PortArea[];
  readonly endpoints: PartyDocument;
  readonly remotes: PartyDocument;
  /** For whom it is not so: told when they are fewer. */
  readonly otherRemotes?: PartyDocument;
  /** What rules ask for after, and did not before; and the other way round. */
  readonly addedRules?: readonly string[];
  readonly removedRules?: readonly string[];
}

export interface PartyDocument {
  /** Pods. */
  readonly podCount: number;
  readonly names: readonly string[];
  /** More than are told. */
  readonly moreCount?: number;
}

export function changesDocument(
  { changes, table }: VerdictChanges,
  endpoints: readonly InventoryEndpoint[],
  namesMax: number,
): ChangesDocument {
  const names = new RemoteNames(table, endpoints);
  const touched = new Set(changes.flatMap(({ subjects }) => subjects));
  return {
    endpointCount: [...touched].reduce((sum, subject) => sum + subject.endpoints.length, 0),
    verdicts: changes.map((change) => changeDocument(change, names, namesMax)),
  };
}

function changeDocument(
  change: VerdictChange,
  names: RemoteNames,
  namesMax: number,
): ChangeDocument {
  const { direction, before, after, areas, subjects, remotes, otherRemotes } = change;
  const added = after.conditions.filter((text) => !before.conditions.includes(text));
  const removed = before.conditions.filter((text) => !after.conditions.includes(text));
  const own = subjects.map(({ endpoints }) => ({
    name: commonName(endpoints.map(({ name }) => name)),
    podCount: endpoints.length,
  }));
  return {
    ...{ direction, before: before.kind, after: after.kind },
    traffic: trafficText(areas),
    ports: areas,
    endpoints: partyDocument(own, namesMax),
    remotes: partyDocument(names.of(remotes), namesMax),
    ...(otherRemotes.length < remotes.length
      ? { otherRemotes: partyDocument(names.of(otherRemotes), namesMax) }
      : {}),
    ...(added.length === 0 ? {} : { addedRules: added }),
    ...(removed.length === 0 ? {} : { removedRules: removed }),
  };
}

function partyDocument(all: readonly RemoteName[], namesMax: number): PartyDocument {
  const names = [...new Set(all.map(({ name }) => name))];
  const moreCount = names.length - namesMax;
  return {
    podCount: all.reduce((sum, { podCount }) => sum + podCount, 0),
    names: names.slice(0, namesMax),
    ...(moreCount > 0 ? { moreCount } : {}),
  };
}
