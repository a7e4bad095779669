/** Services of a worker: in force as they come, whatever it compiles meanwhile, whole or not at all. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LiveSnapshot } from '../../../src/control/worker/live_snapshot.ts';
import {
  decodeServices,
  encodeServices,
  type SentServices,
} from '../../../src/control/worker/service_wire.ts';
import type { IpText } from '../../../src/model/address.ts';
import type { Port, Protocol } from '../../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import type { FrontendKind, JudgedFrontend } from '../../../src/model/service_frontend.ts';
import {
  frontendKey,
  type ServiceBatch,
  ServiceTable,
} from '../../../src/policy/identity/service_table.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import { numberedSet } from '../../support/numbered_set.ts';
import { runs } from '../../support/property_runs.ts';

const DNS = frontend('kube-system/dns', '10.96.0.10', 53, ['10.0.0.1']);
const WEB = frontend('shop/web', '10.96.0.1', 80, ['10.0.0.2', '10.0.0.3']);

const BUNDLE = {
  policies: [],
  endpoints: { path: 'endpoints', text: '{ endpoints: [{ name: a/b, ip: 10.0.0.1 }] }' },
  secrets: null,
};

describe('Services of a worker', () => {
  it('are in force as they come, also in the set that is being compiled', () => {
    const scene = new Scene();
    scene.store.update(numberedSet(1, BUNDLE));
    scene.store.services(sent(1, { isWhole: true, come: [DNS] }));
    expect(scene.known()).toEqual(['kube-system/dns']);
    scene.run();
    expect(scene.store.current().revision).toBe(1);
    expect(scene.known()).toEqual(['kube-system/dns']);
    scene.store.services(sent(2, { gone: [DNS], come: [WEB] }));
    expect(scene.known()).toEqual(['shop/web']);
    expect(scene.told).toEqual(['services 1', 'services 2']);
  });

  it('stay what they were when a batch does not fit, until all of them come', () => {
    const scene = new Scene();
    scene.store.services(sent(1, { isWhole: true, come: [DNS] }));
    scene.store.services(sent(3, { come: [WEB] }));
    scene.store.services(sent(2, { come: [WEB] }));
    expect(scene.known()).toEqual(['kube-system/dns']);
    scene.store.services(sent(7, { isWhole: true, come: [WEB] }));
    scene.store.services(sent(8, { gone: [DNS] }));
    scene.store.services({ sequence: 9, isWhole: true, bytes: new Uint8Array([1, 2, 3]) });
    expect(scene.known()).toEqual(['shop/web']);
    expect(scene.told).toEqual(['services 1', 'broken 3', 'services 7', 'broken 8', 'broken 9']);
  });
});

it('a batch is read as it was written', () => {
  fc.assert(
    fc.property(fc.array(anyFrontend, { maxLength: 6 }), fc.boolean(), (come, isWhole) => {
      const batch: ServiceBatch = { sequence: 7, isWhole, gone: come.map(addressOf), come };
      expect(decodeServices(structuredClone(encodeServices(batch)))).toEqual(batch);
    }),
    runs(300),
  );
});

it('a history of batches ends where its end alone does', () => {
  fc.assert(
    fc.property(fc.array(fc.array(anyFrontend, { maxLength: 6 }), { maxLength: 6 }), (history) => {
      let table = ServiceTable.EMPTY;
      for (const next of history) {
        const wanted = new Map(next.map((one) => [frontendKey(one), one]));
        const gone = [...table.frontends()].filter((one) => !wanted.has(frontendKey(one)));
        const sequence = table.sequence + 1;
        table = table.after({ sequence, isWhole: false, gone, come: [...wanted.values()] });
        expect(new Set(table.frontends())).toEqual(new Set(wanted.values()));
        for (const one of wanted.values()) {
          const { ip, protocol, port, family } = one;
          const found =
            ip === null ? table.atNode(protocol, family, port) : table.at(protocol, ip, port);
          expect(found).toBe(one);
        }
      }
    }),
    runs(300),
  );
});

const ip = fc.constantFrom('10.96.0.1', '10.96.0.2', 'fd00::1') as fc.Arbitrary<IpText>;
const port = fc.constantFrom(53, 80, 30_080) as fc.Arbitrary<number> as fc.Arbitrary<Port>;
const anyFrontend: fc.Arbitrary<JudgedFrontend> = fc
  .record({
    service: fc.constantFrom('a/b', '__proto__/constructor'),
    kind: fc.constantFrom<FrontendKind>('ClusterIP', 'ExternalIP', 'LoadBalancer'),
    protocol: fc.constantFrom<Protocol>('TCP', 'UDP', 'SCTP'),
    ip: fc.option(ip),
    port,
    backends: fc.array(fc.record({ ip, port }), { maxLength: 3 }),
  })
  .map((one) => ({
    ...one,
    family: one.ip?.includes(':') === true ? 6 : 4,
    backends: one.backends.map((backend) => ({
      ip: backend.ip,
      family: backend.ip.includes(':') ? 6 : 4,
      port: backend.port,
    })),
  }));

function addressOf({ protocol, family, ip: at, port: own }: JudgedFrontend) {
  return { protocol, family, ip: at, port: own };
}

function frontend(service: string, at: string, own: number, backends: readonly string[]) {
  const [family, kind, protocol] = [4, 'ClusterIP', 'TCP'] as const;
  return {
    ...{ service, kind, protocol, family },
    ip: at as IpText,
    port: own as Port,
    backends: backends.map((one) => ({ ip: one as IpText, family, port: own as Port })),
  } satisfies JudgedFrontend;
}

function sent(sequence: number, batch: Partial<ServiceBatch>): SentServices {
  return encodeServices({ isWhole: false, gone: [], come: [], ...batch, sequence });
}

class Scene {
  readonly told: string[] = [];
  readonly store: LiveSnapshot;
  readonly #waiting: (() => void)[] = [];

  constructor() {
    this.store = new LiveSnapshot({
      regexEngine: createRe2Engine(DEFAULT_LIMITS, { areChecked: true }),
      limits: DEFAULT_LIMITS,
      platform: {
        clock: { nowMs: () => 0, wallMs: () => 0 },
        soon: (task) => this.#waiting.push(task),
      },
      events: {
        onSwap: (_taken, done) => done(),
        onRefused: (_revision, problems) => expect.fail(problems.join()),
        onIdentities: () => {},
        onBroken: (_sequence, problem) => expect.fail(problem),
        onServices: ({ sequence }) => this.told.push(`services ${sequence}`),
        onServicesBroken: (sequence) => this.told.push(`broken ${sequence}`),
      },
    });
  }

  known(): readonly string[] {
    return Array.from(this.store.current().services.frontends(), ({ service }) => service);
  }

  run(): void {
    for (let task = this.#waiting.shift(); task !== undefined; task = this.#waiting.shift()) task();
  }
}
