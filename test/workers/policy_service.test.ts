/** What the policy thread sends with a set, besides the set. */
import { expect, it } from 'vitest';
import { ObjectSet } from '../../src/control/source/objects/object_set.ts';
import type { IpText } from '../../src/model/address.ts';
import type { Port } from '../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import type { FromPolicyThread, Kept } from '../../src/workers/policy_messages.ts';
import { PolicyService } from '../../src/workers/policy_service.ts';
import { inventoryOf } from '../support/inventory.ts';
import { cnpObject, MemorySource, opens } from '../support/objects.ts';

const INVENTORY = inventoryOf(`
endpoints: [{ name: a/api, ip: 10.0.0.1, labels: { app: api } }]
services:
  - { name: a/api, endpoints: {}, clusterIPs: [10.96.0.1], ports: [{ port: 80, targetPort: 8080 }] }
`);

it('identities that are new, and nothing where none is: the supervisor keeps all of them', () => {
  const { service, source, posted } = made(null);
  service.handle({ kind: 'start' });
  source.put(cnpObject('a', 'p', opens('api', 80)));
  source.synced();
  source.put(cnpObject('a', 'p', opens('api', 81)));
  source.put(cnpObject('a', 'p', { endpointSelector: {}, egress: [{ toCIDR: ['10.1.0.0/16'] }] }));
  expect(posted.flatMap(hasGiven)).toEqual([true, false, true]);
  service.handle({ kind: 'stop' });
});

it('who is behind Services, all of them at first, and names addresses of theirs', () => {
  const { service, source, posted } = made(null);
  service.handle({ kind: 'start' });
  source.put(cnpObject('a', 'p', opens('api', 80)));
  source.synced();
  source.put(cnpObject('a', 'p', opens('api', 81)));
  const changes = posted.flatMap((one) => (one.kind === 'services' ? [one.change] : []));
  const facts = { serviceCount: 1, frontendCount: 1, backendCount: 1, problems: [] };
  expect(changes).toMatchObject([{ batch: { isWhole: true }, facts }]);
  const [ip, port] = ['10.96.0.1' as IpText, 80 as Port];
  service.handle({ kind: 'name-sides', id: 7, sides: [{ ip, port }] });
  expect(posted.find(({ kind }) => kind === 'named-sides')).toMatchObject({
    sides: [{ ip, service: { namespace: 'a', name: 'api' } }],
  });
  service.handle({ kind: 'stop' });
});

function made(kept: Kept | null): {
  readonly service: PolicyService;
  readonly source: MemorySource;
  readonly posted: readonly FromPolicyThread[];
} {
  const posted: FromPolicyThread[] = [];
  const sources: MemorySource[] = [];
  const service = new PolicyService(
    {
      settings: {
        policyPaths: [],
        endpointsPath: null,
        secretsPath: null,
        kubernetes: null,
        listeners: [],
        hasNodeLabels: false,
        isEmptySetOpen: false,
        isHostJudged: false,
        areServicesTranslated: false,
        neverLearned: [],
        isPathNormalised: true,
        invalidPolicy: 'absent',
        isDryRun: false,
        stateDir: null,
        isStateOurs: true,
        limits: DEFAULT_LIMITS,
      },
      kept,
    },
    {
      environment: { env: {}, home: null, userAgent: 'test' },
      port: { post: (message) => void posted.push(message) },
      sourceOf: (decode) => {
        const set = new ObjectSet({ decode, invalidPolicy: 'absent' });
        const source = new MemorySource(set, { inventory: INVENTORY, secrets: new Map() });
        sources.push(source);
        return source;
      },
    },
  );
  const [source] = sources;
  if (source === undefined) throw new Error('the service asked for no source');
  return { service, source, posted };
}

/** Of a message with a set: whether identities came with it. */
function hasGiven(message: FromPolicyThread): readonly boolean[] {
  if (message.kind === 'started' && message.start.kind !== 'rejected') {
    return [message.start.sent.given !== null];
  }
  if (message.kind === 'read' && message.read.kind === 'changed') {
    return [message.read.sent.given !== null];
  }
  return [];
}
