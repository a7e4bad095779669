/** The whole of who is who, as a ledger takes it. */
import { type EndpointPolicy, VACANT } from '../../policy/ast.ts';
import type { EndpointPlace } from '../../policy/identity/delta.ts';
import type { WhoIsWho } from '../../policy/identity/ledger.ts';
import type { IdentityTable } from '../../policy/resolve/identity_table.ts';

export function wholeOf(table: IdentityTable, endpoints: readonly EndpointPlace[]): WhoIsWho {
  return { ipcache: table.ipcache, entries: table.entries, endpoints };
}

export function placesOf(policies: readonly EndpointPolicy[]): readonly EndpointPlace[] {
  return policies.flatMap(({ name, endpointId, endpointIps, subject }) =>
    subject === undefined || name === VACANT
      ? []
      : [{ name, endpointId, ips: endpointIps, subject }],
  );
}

/**
 * The policies for the endpoints that there are now; those without a subject stay as they are. A subject that has no
 * endpoint any more keeps its policy for the next one, under nobody's name: the endpoint that had it may be there, with
 * another subject.
 */
export function placedPolicies(
  policies: readonly EndpointPolicy[],
  places: readonly EndpointPlace[],
): readonly EndpointPolicy[] {
  const bySubject = new Map(policies.map((policy) => [policy.subject, policy]));
  const placed = places.flatMap(({ name, endpointId, ips, subject }): EndpointPolicy[] => {
    const policy = bySubject.get(subject);
    return policy === undefined ? [] : [{ ...policy, name, endpointId, endpointIps: ips }];
  });
  const used = new Set(places.map(({ subject }) => subject));
  const rest = policies.flatMap((policy): EndpointPolicy[] => {
    const { subject } = policy;
    if (subject === undefined) return [policy];
    if (used.has(subject)) return [];
    used.add(subject);
    return [{ ...policy, name: VACANT, endpointIps: [] }];
  });
  return [...placed, ...rest];
}
