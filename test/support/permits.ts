/** Permits as an admission would make them, for tests of what asks for one. */
import type { ConnectionMeta } from '../../src/model/connection_meta.ts';
import type { Permit, PermitFacts } from '../../src/model/permit.ts';

export function permitFor(
  meta: ConnectionMeta,
  judgedBy: object,
  changes: Partial<PermitFacts> = {},
): Permit {
  const facts: PermitFacts = {
    connectionId: meta.connectionId,
    remoteIdentity: meta.remoteIdentity,
    secondIdentity: null,
    upstream: meta.upstream,
    revision: 1,
    judgedBy,
    isDryRun: false,
    ...changes,
  };
  return facts as Permit;
}
