/** Files beside a cluster: one input of both, and neither freezes the other. */
import { describe, expect, it } from 'vitest';
import type { PolicyInput } from '../../../../src/control/set/policy_input.ts';
import { decodeBundle } from '../../../../src/control/source/files/decode_bundle.ts';
import type { ClusterFile } from '../../../../src/control/source/kube/cluster_file.ts';
import { FilesBeside } from '../../../../src/control/source/kube/files_beside.ts';
import type { PolicySink, PolicySource } from '../../../../src/control/source/source.ts';
import { DEFAULT_LIMITS } from '../../../../src/model/limits.ts';
import { EMPTY_INVENTORY } from '../../../../src/policy/resolve/inventory.ts';
import {
  allowsApp,
  KubeSourceRig,
  podObject,
  policyObject,
} from '../../../support/kube_source_rig.ts';

const CNP = 'CiliumNetworkPolicy';
const NONE = '';

/** Files that say what a test says. */
class ScriptedFiles implements PolicySource {
  readonly name = 'files';
  #sink: PolicySink | null = null;
  startCount = 0;
  policies: string;
  endpoints: string | null;

  constructor(policies = NONE, endpoints: string | null = null) {
    this.policies = policies;
    this.endpoints = endpoints;
  }

  start(sink: PolicySink): void {
    this.startCount += 1;
    this.#sink = sink;
    this.read();
  }

  refresh(sink: PolicySink, done: () => void): void {
    this.read(sink);
    done();
  }

  read(sink = this.#sink): void {
    const bundle = {
      policies: this.policies === NONE ? [] : [{ path: 'p.yaml', text: this.policies }],
      endpoints: this.endpoints === null ? null : { path: 'e.yaml', text: this.endpoints },
      secrets: null,
    };
    const decoded = decodeBundle(bundle, { limits: DEFAULT_LIMITS });
    if (decoded.kind === 'rejected') sink?.refused(decoded.problems);
    else sink?.offer({ input: decoded.input as PolicyInput, texts: bundle });
  }

  stop(): void {}
}

/** A cluster without anything, kept on disk. */
const KEPT = {
  path: 'state/proxy/cluster',
  load: () => ({
    kind: 'found',
    savedAtMs: 5,
    cluster: { objects: [], inventory: EMPTY_INVENTORY },
  }),
  save: () => {},
  own: () => {},
  stop: async () => {},
} as unknown as ClusterFile;

function rigWith(files: ScriptedFiles, file: ClusterFile | null = null): KubeSourceRig {
  return KubeSourceRig.withPods({
    file,
    filesOf: (to) =>
      new FilesBeside({
        ...to,
        source: files,
        decode: { limits: DEFAULT_LIMITS },
        lastGood: null,
        wallMs: () => 77,
      }),
  });
}

function policyFile(name: string, spec: object): string {
  return JSON.stringify({
    apiVersion: 'cilium.io/v2',
    kind: CNP,
    metadata: { namespace: 'shop', name },
    spec,
  });
}

describe('files beside a cluster', () => {
  it('add policies and endpoints to it, in one set', () => {
    const files = new ScriptedFiles(
      policyFile('from-file', allowsApp('vm')),
      'endpoints: [{ name: shop/vm, ip: 10.9.0.1, labels: { app: vm } }]',
    );
    const rig = rigWith(files);
    rig.cluster.put(CNP, policyObject('shop', 'api', allowsApp('web')));
    rig.start().up();
    expect(rig.starts).toMatchObject([{ kind: 'changed' }]);
    expect(rig.isOpen('10.9.0.1', 'shop/api')).toBe(true);
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBe(true);
    files.policies = NONE;
    files.read();
    expect(rig.isOpen('10.9.0.1', 'shop/api')).toBe(false);
  });

  it('what both have is the file’s: the object is refused, the pod is left out, and both are told', () => {
    const files = new ScriptedFiles(
      policyFile('api', allowsApp('vm')),
      'endpoints: [{ name: shop/web, ip: 10.9.0.1, labels: { app: vm } }]',
    );
    const rig = rigWith(files);
    rig.cluster.put(CNP, policyObject('shop', 'api', allowsApp('web')));
    rig.start().up();
    expect(rig.refusals()).toEqual([
      'CiliumNetworkPolicy shop/api: absent: CiliumNetworkPolicy shop/api: a policy file has one of this kind and name, which is in force in its place',
    ]);
    const [first] = rig.starts;
    const warnings = first?.kind === 'changed' ? first.accepted.warnings : [];
    expect(warnings.map(({ message }) => message)).toContain(
      'endpoint shop/web: the endpoints file has one, too, which is in force in place of the cluster’s',
    );
    expect(rig.isOpen('10.9.0.1', 'shop/api')).toBe(true);
    files.policies = NONE;
    files.endpoints = null;
    files.read();
    expect(rig.refusals()).toEqual([]);
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBe(true);
  });

  it.each(['n1', 'n2'])(
    'an address of a file is the file’s: a pod of %s that says it has it stops nothing',
    (nodeName) => {
      const rig = rigWith(
        new ScriptedFiles(
          NONE,
          'endpoints: [{ name: shop/vm, ip: 10.9.0.1, labels: { app: vm } }]',
        ),
      );
      rig.cluster.put(CNP, policyObject('shop', 'api', allowsApp('web')));
      rig.start().up();
      const labels = { app: 'web' };
      rig.cluster.put('Pod', podObject('shop', 'thief', { ip: '10.9.0.1', nodeName, labels }));
      rig.settle();
      expect(rig.isOpen('10.9.0.1', 'shop/api')).toBe(false);
      rig.cluster.put(CNP, policyObject('shop', 'more', allowsApp('web', 81)));
      rig.settle();
      const last = rig.reads.at(-1);
      const warnings = last?.kind === 'changed' ? last.accepted.warnings : [];
      expect(warnings.map(({ message }) => message)).toContain(
        'address 10.9.0.1 of shop/thief: the endpoints file has one, too, which is in force in place of the cluster’s',
      );
      expect(rig.isOpen('10.0.0.2', 'shop/api', 81)).toBe(true);
    },
  );

  it('that become bad stay as they were, and the cluster goes on changing', () => {
    const files = new ScriptedFiles(policyFile('from-file', allowsApp('web')));
    const rig = rigWith(files).start().up();
    files.policies = '{';
    files.read();
    expect(rig.reads.at(-1)).toMatchObject({ kind: 'rejected' });
    expect(rig.health.stale).toMatchObject([{ part: 'files', sinceMs: 77 }]);
    rig.cluster.put(CNP, policyObject('shop', 'more', allowsApp('web', 81)));
    rig.settle();
    expect([80, 81].map((port) => rig.isOpen('10.0.0.2', 'shop/api', port))).toEqual([true, true]);
    expect(rig.health.stale).toMatchObject([{ part: 'files' }]);
    files.policies = policyFile('from-file', allowsApp('web', 82));
    files.read();
    expect(rig.health.stale).toEqual([]);
    expect(rig.isOpen('10.0.0.2', 'shop/api', 82)).toBe(true);
  });

  it('that cannot be in force beside the cluster stay as they were', () => {
    const files = new ScriptedFiles(policyFile('from-file', allowsApp('web')));
    const rig = rigWith(files).start().up();
    files.endpoints =
      'endpoints: [{ name: a/b, identity: 5000, labels: { x: a } }, { name: a/c, identity: 5000, labels: { x: c } }]';
    files.read();
    expect(rig.health.stale).toMatchObject([{ part: 'files' }]);
    rig.cluster.put('Pod', podObject('shop', 'late', { ip: '10.0.0.9', nodeName: 'n1' }));
    rig.settle();
    expect(rig.isOpen('10.0.0.2', 'shop/late')).toBe(true);
  });

  it('that could not be in force beside what was kept on disk are tried again beside the cluster', () => {
    const files = new ScriptedFiles('{');
    const rig = rigWith(files, KEPT).start();
    rig.settle(30_000);
    expect([files.startCount, rig.health.restoredAtMs]).toEqual([1, 5]);
    files.policies = policyFile('from-file', allowsApp('web', 81));
    rig.up();
    expect(files.startCount).toBe(1);
    expect(rig.isOpen('10.0.0.2', 'shop/api', 81)).toBe(true);
    expect(rig.health).toEqual({ stale: [], restoredAtMs: null });
  });

  it('that are bad at a start deny everything until they are mended', () => {
    const files = new ScriptedFiles('{');
    const rig = rigWith(files).start().up();
    expect(rig.starts).toMatchObject([{ kind: 'restored', savedAt: null }]);
    rig.cluster.put(CNP, policyObject('shop', 'api', allowsApp('web')));
    rig.settle();
    expect(rig.store.currentSet().isEmpty).toBe(true);
    expect(rig.store.current().endpointNamed('shop/api')).toBeFalsy();
    files.policies = policyFile('from-file', allowsApp('web', 81));
    files.read();
    expect([80, 81].map((port) => rig.isOpen('10.0.0.2', 'shop/api', port))).toEqual([true, true]);
  });
});
