/** What is kept of a set, whole and behind it what differs, is the set that was in force last. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WHOLE_SET } from '../../src/control/decode/place.ts';
import type { PolicyDocument } from '../../src/control/decode/policy_document.ts';
import { EMPTY_INPUT, type PolicyInput } from '../../src/control/set/policy_input.ts';
import { parseIp } from '../../src/model/address.ts';
import type { Identity } from '../../src/model/identity.ts';
import type { InventoryEndpoint, InventoryService } from '../../src/policy/resolve/inventory.ts';
import { FormSender, restoredForm } from '../../src/workers/kept_forms.ts';
import { runs } from '../support/property_runs.ts';
import { prefixOf } from '../support/resolve_world.ts';

const endpoint = fc.record({
  name: fc.constantFrom('a/b', 'a/c'),
  ips: fc.subarray(['10.0.0.1', 'fd00::1']).map((texts) => texts.map(ipOf)),
  labels: fc.subarray(['k8s:app=a', 'k8s:b', 'reserved:host']),
  identity: fc.constantFrom(null, 300 as Identity),
  endpointId: fc.nat(2),
  namedPorts: fc.constantFrom([], [{ name: 'http', port: 80, protocol: 'TCP' as const }]),
  isLocal: fc.boolean(),
  interface: fc.constantFrom(null, 'veth0'),
  podUid: fc.constantFrom(null, 'uid'),
});

const step = fc.record({
  endpoints: fc.array(fc.tuple(fc.nat(20), fc.nat(2), fc.array(endpoint, { maxLength: 3 })), {
    maxLength: 3,
  }),
  serviceAt: fc.nat(3),
  nodeCount: fc.nat(3),
  documents: fc.array(fc.tuple(fc.nat(20), fc.nat(2), fc.nat(2)), { maxLength: 2 }),
  hasNodeLabels: fc.boolean(),
  warningCount: fc.nat(1),
});

describe('what is kept of a set', () => {
  it('is restored as it was in force last, whatever changed on the way', () => {
    let movedCount = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 8 }), (steps) => {
        const sender = new FormSender();
        let forms: Uint8Array[] = [];
        let input: PolicyInput = EMPTY_INPUT;
        for (const { endpoints, serviceAt, nodeCount, ...policies } of steps) {
          const { inventory } = input;
          const documents = [...input.documents];
          for (const [at, goneCount, comeCount] of policies.documents) {
            documents.splice(at, goneCount, ...Array.from({ length: comeCount }, documentOf));
          }
          const areOthers = policies.documents.length > 0;
          const others = areOthers ? othersOf(policies) : {};
          const next = [...inventory.endpoints];
          for (const [at, goneCount, come] of endpoints) next.splice(at, goneCount, ...come);
          const services =
            inventory.services.length > 0
              ? inventory.services.with(serviceAt % inventory.services.length, serviceOf(nodeCount))
              : [0, 1, 2].map(serviceOf);
          const cidrs = Array.from({ length: nodeCount }, (_, at) => ({
            prefix: prefixOf(`192.168.0.${at}/32`),
            identity: 6 as Identity,
            labels: [],
          }));
          input = {
            ...{ ...input, ...others, documents },
            inventory: { ...inventory, endpoints: next, services, cidrs },
          };
          const form = sender.next({ input, texts: null });
          if (form.isWhole) forms = [];
          else movedCount += 1;
          forms.push(form.bytes);
          const restored = restoredForm(forms);
          if (restored.kind !== 'input') throw new Error(restored.kind);
          const { inventory: kept, parts: _, ...rest } = restored.input;
          const { inventory: given, parts: __, ...wanted } = input;
          expect(kept).toEqual(given);
          expect(rest).toEqual(wanted);
        }
      }),
      runs(200),
    );
    expect(movedCount).toBeGreaterThan(10);
  });

  it('costs what differs, and is whole again when that is as much', () => {
    const sender = new FormSender();
    let input: PolicyInput = {
      ...EMPTY_INPUT,
      inventory: {
        ...EMPTY_INPUT.inventory,
        endpoints: Array.from({ length: 1000 }, (_, index) => podOf(index)),
      },
    };
    const whole = sender.next({ input, texts: null });
    let bytes = 0;
    let count = 0;
    for (; count < 2000; count++) {
      const endpoints = input.inventory.endpoints.with(count % 1000, podOf(1000 + count));
      input = { ...input, inventory: { ...input.inventory, endpoints } };
      const form = sender.next({ input, texts: null });
      if (form.isWhole) break;
      bytes += form.bytes.byteLength;
      expect(form.bytes.byteLength).toBeLessThan(600);
    }
    expect(count).toBeGreaterThan(50);
    expect(bytes).toBeLessThanOrEqual(whole.bytes.byteLength);
  });

  it('costs the policy that changed, not all that stay', () => {
    const sender = new FormSender();
    let input: PolicyInput = {
      ...EMPTY_INPUT,
      documents: Array.from({ length: 1000 }, documentOf),
    };
    expect(sender.next({ input, texts: null }).isWhole).toBe(true);
    for (let round = 0; round < 10; round++) {
      input = { ...input, documents: input.documents.with(round * 7, documentOf()) };
      const form = sender.next({ input, texts: null });
      expect(form.isWhole).toBe(false);
      expect(form.bytes.byteLength).toBeLessThan(1000);
    }
  });

  it('of texts is the texts, each time', () => {
    const texts = { policies: [{ path: 'p', text: 'x' }], endpoints: null, secrets: null };
    const sender = new FormSender();
    for (let round = 0; round < 2; round++) {
      const form = sender.next({ input: EMPTY_INPUT, texts });
      expect(form.isWhole).toBe(true);
      expect(restoredForm([form.bytes])).toEqual({ kind: 'texts', texts });
    }
  });
});

let documentCount = 0;

function documentOf(): PolicyDocument {
  const name = `ns/p-${documentCount++}`;
  return {
    kind: 'CiliumNetworkPolicy',
    name,
    place: WHOLE_SET,
    policy: name,
    specs: [],
    cidrGroups: [],
    wirePolicies: [],
    positions: new Map(),
    ignored: new Set(),
  };
}

function othersOf(policies: { readonly hasNodeLabels: boolean; readonly warningCount: number }) {
  const { hasNodeLabels, warningCount } = policies;
  const warning = { place: WHOLE_SET, field: 'spec', message: 'hardly meant' };
  return {
    hasNodeLabels,
    warnings: warningCount === 0 ? [] : [warning],
    refused:
      warningCount === 0
        ? []
        : [{ place: WHOLE_SET, problems: [warning], inForce: 'deny' as const }],
    secrets: new Map([['ns/s', String(warningCount)]]),
    areConflictsDenied: hasNodeLabels,
  };
}

function podOf(index: number): InventoryEndpoint {
  return {
    name: `ns/pod-${index}`,
    ips: [ipOf(`10.0.${index >> 8}.${index & 255}`)],
    labels: [`k8s:app=${index % 10}`],
    identity: null,
    endpointId: 0,
    namedPorts: [],
    isLocal: false,
    interface: null,
    podUid: null,
  };
}

function serviceOf(index: number): InventoryService {
  return {
    namespace: 'a',
    name: `s${index}`,
    labels: [],
    ips: [ipOf('10.0.0.9')],
    selector: null,
    spec: null,
    slices: null,
  };
}

function ipOf(text: string) {
  const ip = parseIp(text);
  if (ip === null) throw new Error(text);
  return ip;
}
