/** What `GET /policies` answers. */
import { jsonDocument } from '../model/json_document.ts';
import type { PolicySnapshot } from '../policy/compiled/snapshot.ts';

/** JSON. */
export function policiesDocument(snapshot: PolicySnapshot): string {
  const document = jsonDocument('Policies', {
    revision: snapshot.revision,
    policies: snapshot.policyNames,
    hasDryRun: snapshot.shadow !== null,
    endpoints: snapshot
      .endpoints()
      .map(({ name, endpointId, endpointIps }) => ({ name, endpointId, endpointIps })),
    rules: snapshot.rules.map(({ policy, rule }) => ({ policy, rule })),
  });
  return JSON.stringify(document, null, 2);
}
