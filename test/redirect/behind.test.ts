/** Who is behind the addresses of Services, in the kernel's tables: what is written when, and in which order. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BehindServices } from '../../src/cli/redirect/behind_services.ts';
import { RedirectFollower } from '../../src/cli/redirect/follow.ts';
import { RedirectLoader } from '../../src/cli/redirect/loader.ts';
import { parsePrefix } from '../../src/model/address.ts';
import type { Identity, Port } from '../../src/model/identity.ts';
import type { ServiceFrontend } from '../../src/model/service_frontend.ts';
import { createLogger } from '../../src/observe/log/logger.ts';
import {
  behindChanges,
  behindOf,
  type KnownBackends,
  MORE_BEHIND,
} from '../../src/redirect/behind.ts';
import {
  decodeBehind,
  decodeSettings,
  encodeSettings,
  SETTING_EPOCH_SHIFT,
  SETTING_SERVICES,
} from '../../src/redirect/layout.ts';
import { type TableDelta, writesOf } from '../../src/redirect/table_delta.ts';
import { TableUpdater } from '../../src/redirect/table_updater.ts';
import { backendIp, frontend } from '../support/service_frontends.ts';
import { until } from '../support/until.ts';
import { fakeMaps } from './fake_node.ts';
import { ENDPOINTS, streetNode } from './street_node.ts';

const VIP = '10.96.0.1';

/** The first two backends are of one kind, and on this node. */
const KNOWN: KnownBackends = {
  identityOf: ({ text }) =>
    (text === backendIp(1, 4) || text === backendIp(2, 4) ? 1001 : 1003) as Identity,
  isEndpoint: ({ text }) => text === backendIp(1, 4) || text === backendIp(2, 4),
};

const behind = (...frontends: readonly ServiceFrontend[]) => behindOf(frontends, KNOWN);

describe('what is behind an address', () => {
  it('is each identity and port once, whatever it has of pods', () => {
    const all = frontend({ address: VIP, port: 80, backends: [3, 2, 1] });
    expect(behind(all)).toMatchObject([
      { pairs: [{ identity: 1001 }, { identity: 1003 }], isHere: false, isAskedAsDialled: false },
    ]);
    const one = frontend({ address: VIP, port: 80, backends: [1] });
    expect(behind(one)).toMatchObject([{ pairs: [{ identity: 1001 }], isHere: true }]);
    expect(behind(frontend({ address: VIP, port: 80 }))).toMatchObject([
      { pairs: [], isHere: false },
    ]);
  });

  it('is asked about beside the address where that was chosen by who made the Service', () => {
    const all = (['ClusterIP', 'LoadBalancer', 'ExternalIP'] as const).map((kind, index) =>
      frontend({ address: `10.96.0.${index}`, port: 80, kind, backends: [1] }),
    );
    const asked = behind(...all, frontend({ address: null, port: 30_080, backends: [1] }));
    expect(asked.map(({ isAskedAsDialled }) => isAskedAsDialled)).toEqual([
      ...[false, false, true, false],
    ]);
  });

  it('stays the same when a pod takes the place of one of its kind', () => {
    const [before, after, other] = [[1], [2], [1, 3]].map((backends) =>
      behind(frontend({ address: VIP, port: 80, backends })),
    );
    expect(behindChanges(before ?? [], after ?? [])).toEqual({ written: [], gone: [] });
    expect(behindChanges(before ?? [], other ?? [])).toMatchObject({ written: other, gone: [] });
    expect(behindChanges(before ?? [], [])).toEqual({ written: [], gone: before });
  });

  it('is told once where it is more than can be asked about', () => {
    const services = new BehindServices();
    const backends = Array.from({ length: 33 }, (_, index) => index + 1);
    const wide = frontend({ address: VIP, port: 80, backends });
    let next = 2000;
    const known = { identityOf: () => next++ as Identity, isEndpoint: () => false };
    services.whole({ frontends: [wide], problems: [] }, known);
    expect(services.takeProblems()).toEqual([expect.stringContaining('33 identities and ports')]);
    expect(services.takeProblems()).toEqual([]);
    services.changes({ frontends: [], problems: [] }, known);
    expect(services.takeProblems()).toEqual([]);
  });
});

describe('Services without room', () => {
  const problems = [] as const;
  const few = Array.from({ length: 4 }, (_, index) =>
    frontend({ address: VIP, port: 80 + index, backends: [1] }),
  );
  const known = KNOWN;

  it('are told of in the table itself, and to people', () => {
    const services = new BehindServices(3);
    const all = services.whole({ frontends: few, problems }, known);
    expect(all).toHaveLength(3);
    expect(all).toContain(MORE_BEHIND);
    expect(services.takeProblems()).toEqual([expect.stringMatching(/^2 addresses .* no room/)]);
  });

  it('are so no longer once there is room', () => {
    const services = new BehindServices(3);
    services.whole({ frontends: few, problems }, known);
    const { gone } = services.changes({ frontends: few.slice(0, 2), problems }, known);
    expect(gone).toEqual([MORE_BEHIND]);
    const { written } = services.changes({ frontends: few, problems }, known);
    expect(written).toEqual([MORE_BEHIND]);
  });
});

describe('a change of the tables in force', () => {
  const written = behind(frontend({ address: VIP, port: 80, backends: [1] }));
  const gone = behind(frontend({ address: '10.96.0.2', port: 80, backends: [1] }));
  const prefix = parsePrefix('10.9.0.1/32', { allowBare: false, allowHostBits: false });
  const verdict = { slot: 1, identity: 1001 as Identity };
  const delta: TableDelta = {
    verdicts: [{ ...verdict, verdict: 'allow' }],
    addresses: prefix === null ? [] : [{ prefix, identity: 1001 as Identity }],
    goneAddresses: [],
    goneVerdicts: [verdict],
    labelsOf: () => [],
    behind: { written, gone },
  };

  it('leads to nobody of whom no verdict is known', () => {
    const order = writesOf(delta, 7, 1).map((write) =>
      'goneKeys' in write ? `no ${write.map}` : write.map,
    );
    expect(order).toEqual([
      ...['verdicts', 'addresses', 'behind', 'no behind', 'settings'],
      ...['no addresses', 'no verdicts'],
    ]);
  });

  it('has what was judged before asked again, and an entry another number each time', () => {
    const maps = fakeMaps();
    const key = Buffer.alloc(4);
    maps.settings.update(key, encodeSettings({ generation: 7, isHostJudged: true }));
    const updater = new TableUpdater(maps);
    const serials = [1, 2].map((epoch) => {
      updater.change(delta);
      const { generation, flags } = decodeSettings(maps.settings.lookup(key) as Buffer);
      expect([generation, flags]).toEqual([
        7,
        (epoch << SETTING_EPOCH_SHIFT) | SETTING_SERVICES | 1,
      ]);
      const [entry] = [...maps.behind.entries()];
      expect(decodeBehind(entry?.[1] as Buffer).pairs).toEqual([
        { identity: 1001, port: 8080 as Port },
      ]);
      return entry?.[1].readUInt32LE(0);
    });
    expect(new Set(serials).size).toBe(2);
  });

  it('of who is who alone asks nothing again', () => {
    const maps = fakeMaps();
    const settings = encodeSettings({ generation: 7, isHostJudged: false });
    maps.settings.update(Buffer.alloc(4), settings);
    new TableUpdater(maps).change({ ...delta, behind: { written: [], gone: [] } });
    expect(maps.settings.lookup(Buffer.alloc(4))).toEqual(settings);
  });
});

describe('a loader that follows', () => {
  let street: ReturnType<typeof streetNode>;

  beforeEach(() => {
    street = streetNode();
  });
  afterEach(() => street.fake.dispose());

  const services = (...labels: readonly string[]): string =>
    `services:\n${labels
      .map(
        (label, index) =>
          `  - { name: shop/s${index}, endpoints: { matchLabels: { app: ${label} } }, clusterIPs: ["10.96.0.${index}"], ports: [{ port: 80 }] }\n`,
      )
      .join('')}`;

  it('writes who is behind Services into the tables in force, whatever redirect.services says', async () => {
    const { fake, config } = street;
    fake.write('endpoints.yaml', ENDPOINTS + services('api'));
    const loader = new RedirectLoader(config, fake.node);
    await loader.start();
    const stop = new AbortController();
    const log = createLogger({ level: 'error', write: () => {} });
    const options = { config, node: fake.node, loader, log, signal: stop.signal };
    const ran = new RedirectFollower(options).run();
    const counts = (): readonly number[] =>
      [...fake.maps.behind.entries()].map(([, value]) => decodeBehind(value).count);
    const flags = (): readonly number[] =>
      [...fake.maps.behind.entries()].map(([, value]) => decodeBehind(value).flags);
    expect([counts(), flags()]).toEqual([[1], [2]]);
    fake.write('endpoints.yaml', ENDPOINTS + services('far'));
    await until(() => flags()[0] === 0);
    fake.write('endpoints.yaml', ENDPOINTS + services('far', 'web'));
    await until(() => counts().length === 2);
    fake.write('endpoints.yaml', ENDPOINTS + services('nobody'));
    await until(() => counts().join() === '0');
    fake.write('endpoints.yaml', ENDPOINTS);
    await until(() => counts().length === 0);
    stop.abort();
    await ran;
    await loader.close();
  });
});
