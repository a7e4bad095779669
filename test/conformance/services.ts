/**
 * Generated Services and EndpointSlices: to which backends a node sends, by kube-proxy's own code and by us.
 *
 *     node test/conformance/services.ts [QUESTIONS] [SEED...]
 *
 * Builds `test/peers/kube/services` with Go ($GO, or `go`; $SERVICES: one that is built already). Nothing is skipped:
 * without Go it fails. The last line is the sum: "N passed, N failed".
 */
import { spawn } from 'node:child_process';
import { ServiceFrontends } from '../../src/control/service/service_frontends.ts';
import { ClusterState } from '../../src/control/source/kube/cluster_state.ts';
import type { ServiceFrontend } from '../../src/model/service_frontend.ts';
import { DEFAULT_LABEL_FILTER, LabelFilter } from '../../src/policy/label_filter.ts';
import { compare, count, goPeer, KUBE_PROXY_FOLDER, seeds } from './differential.ts';
import type { PolicySeed } from './generated_policies.ts';
import { JsonLines } from './json_lines.ts';

const NAME = { namespace: 'shop', name: 'web' };

interface Question {
  readonly service: object;
  readonly slices: readonly { readonly metadata: { readonly name: string } }[];
  readonly node: string;
  readonly zone: string;
}

/** What kube-proxy makes of one port, in one family. */
interface ProxiedPort {
  readonly name: string;
  readonly protocol: string;
  readonly family: 4 | 6;
  readonly clusterIP: string;
  readonly port: number;
  readonly nodePort: number;
  readonly externalIPs: readonly string[];
  readonly loadBalancerIPs: readonly string[];
  readonly affinitySeconds: number;
  readonly isInternalLocal: boolean;
  readonly isRestricted: boolean;
  readonly cluster: readonly string[];
  readonly local: readonly string[];
}

const PORT_NAMES = ['http', 'dns', 'metrics'];
const IPS = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.10', '10.0.0.9'];
const IPS6 = ['fd00::1', 'fd00::2', 'fd00::10'];
const NODES = ['n1', 'n1', 'n2', 'n3', undefined];

await compare(async () => {
  const peer = new JsonLines(spawn(goPeer(KUBE_PROXY_FOLDER, '.', 'SERVICES'), []));
  for (const { count: questionCount, random } of seeds(2000, 'questions')) {
    for (let i = 0; i < questionCount; i++) {
      const question = generate(random);
      const { ports } = await peer.ask(JSON.stringify(question));
      compareAnswers(question, ports as readonly ProxiedPort[]);
    }
  }
  peer.end();
});

function generate(random: PolicySeed): Question {
  const hints = random.below(3);
  const slices = Array.from({ length: random.below(4) }, (_, index) =>
    sliceOf(random, index, hints),
  );
  return {
    service: serviceOf(random),
    slices,
    node: random.oneOf(['n1', 'n1', 'n2', 'n4']),
    zone: random.oneOf(['a', 'a', 'b', '']),
  };
}

/** As the API server would store it: defaults are filled in. */
function serviceOf(random: PolicySeed): object {
  const type = random.oneOf([
    ...['ClusterIP', 'ClusterIP', 'NodePort', 'LoadBalancer', 'LoadBalancer'],
    ...['ClusterIP', 'ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'],
  ]);
  const families = random.oneOf([['IPv4'], ['IPv4'], ['IPv4', 'IPv6'], ['IPv6', 'IPv4'], ['IPv6']]);
  const clusterIPs = families.map((family) => (family === 'IPv4' ? '10.96.0.1' : 'fd96::1'));
  const isHeadless = type === 'ClusterIP' && random.below(8) === 0;
  const isSticky = random.below(3) === 0;
  const isOpen = type === 'NodePort' || type === 'LoadBalancer';
  const names = PORT_NAMES.slice(0, 1 + random.below(PORT_NAMES.length));
  const isOld = random.below(6) === 0;
  return {
    metadata: NAME,
    spec: {
      type,
      clusterIP: isHeadless ? 'None' : clusterIPs[0],
      ...(isOld ? {} : { clusterIPs: isHeadless ? ['None'] : clusterIPs, ipFamilies: families }),
      externalIPs: random.oneOf([[], [], ['198.51.100.1'], ['198.51.100.1', 'fd99::1']]),
      ports: names.map((name, index) => ({
        ...{ name, port: 80 + index, protocol: random.oneOf(['TCP', 'TCP', 'TCP', 'UDP']) },
        ...(isOpen ? { nodePort: 30_080 + index } : {}),
      })),
      sessionAffinity: isSticky ? 'ClientIP' : 'None',
      ...(isSticky ? { sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } } : {}),
      internalTrafficPolicy: random.oneOf(['Cluster', 'Cluster', 'Local', undefined]),
      externalTrafficPolicy: isOpen ? random.oneOf(['Cluster', 'Local']) : undefined,
      loadBalancerSourceRanges: random.oneOf([
        ...[undefined, undefined, [' 192.0.2.0/24'], ['0.0.0.0/0', '192.0.2.0/24']],
        ['2001:db8::/32'],
      ]),
    },
    status: {
      loadBalancer: {
        ingress:
          type === 'LoadBalancer'
            ? [
                { ip: '198.51.100.2', ipMode: random.oneOf(['VIP', 'Proxy', undefined]) },
                { ip: 'fd99::2' },
                { hostname: 'lb.example' },
              ]
            : undefined,
      },
    },
  };
}

function sliceOf(random: PolicySeed, index: number, hints: number): Question['slices'][number] {
  const isOf6 = random.below(3) === 0;
  // What one address says is the same in all slices: which slice kube-proxy reads first is chance.
  const ips = (isOf6 ? IPS6 : IPS).filter((_, at) => at % 3 === index % 3);
  const endpoints = ips
    .filter(() => random.below(3) > 0)
    .map((ip) => ({
      addresses: [ip],
      nodeName: random.oneOf(NODES),
      conditions: conditionsOf(random),
      hints: hintsOf(random, hints),
    }));
  const object = {
    metadata: {
      ...{ name: `web-${index}`, namespace: NAME.namespace },
      labels: { 'kubernetes.io/service-name': NAME.name },
    },
    addressType: isOf6 ? 'IPv6' : 'IPv4',
    endpoints,
    ports: PORT_NAMES.filter(() => random.below(5) > 0).map((name) => ({
      ...{ name, protocol: random.oneOf(['TCP', 'TCP', 'TCP', 'UDP']) },
      port: random.oneOf([8080, 8080, 9090, undefined]),
    })),
  };
  return object;
}

function conditionsOf(random: PolicySeed): object {
  const some = (): boolean | undefined => random.oneOf([true, true, false, undefined]);
  return random.oneOf([
    { ready: true, serving: true, terminating: false },
    { ready: true, serving: true, terminating: false },
    { ready: false, serving: true, terminating: true },
    { ready: false, serving: false, terminating: true },
    { ready: some(), serving: some(), terminating: some() },
  ]);
}

/** Most often all have hints of the same kind. */
function hintsOf(random: PolicySeed, kind: number): object | undefined {
  if (random.below(20) === 0 || kind === 0) return undefined;
  const forZones = [{ name: random.oneOf(['a', 'b', 'c']) }];
  const forNodes = [{ name: random.oneOf(['n1', 'n2', 'n3']) }];
  return kind === 1 ? { forZones } : { forZones, forNodes };
}

/** The whole way from the objects to the frontends. */
function ownFrontends({ service, slices, node, zone }: Question): readonly ServiceFrontend[] {
  const state = new ClusterState({
    cluster: 'default',
    nodeName: node,
    identities: 'own',
    hasNodeLabels: false,
    labelFilter: DEFAULT_LABEL_FILTER,
    nodeLabelFilter: new LabelFilter({ patterns: [], isWhitelist: false }),
  });
  const seen = (name: string, object: object, namespace: string | null = NAME.namespace) => ({
    ...{ namespace, name, uid: null, version: '1' },
    object: JSON.parse(JSON.stringify(object)),
  });
  const labels = zone === '' ? {} : { 'topology.kubernetes.io/zone': zone };
  state.put('Node', seen(node, { metadata: { labels } }, null));
  state.put('Service', seen(NAME.name, service));
  for (const slice of slices) state.put('EndpointSlice', seen(slice.metadata.name, slice));
  const problems = state.problems();
  if (problems.length > 0) throw new Error(JSON.stringify(problems));
  return new ServiceFrontends().update(state.inventory()).frontends;
}

function ownAnswer(question: Question): readonly string[] {
  return ownFrontends(question)
    .map((one) =>
      lineOf({
        ...one,
        address: one.address?.text ?? null,
        seconds: (one.affinityMs ?? 0) / 1000,
        backends: one.backends.map(({ address, port }) =>
          address.family === 6 ? `[${address.text}]:${port}` : `${address.text}:${port}`,
        ),
      }),
    )
    .sort();
}

/** Which rules it writes for clients that are pods or the host: those of its proxier.go. */
function proxiedAnswer(ports: readonly ProxiedPort[]): readonly string[] {
  const lines = ports.flatMap((one) => {
    const { cluster, local, clusterIP, port, nodePort, affinitySeconds: seconds } = one;
    const line = (kind: string, address: string | null, backends: readonly string[]): string =>
      lineOf({
        ...one,
        kind,
        address,
        backends,
        seconds,
        port: address === null ? nodePort : port,
      });
    return [
      line('ClusterIP', clusterIP, one.isInternalLocal ? local : cluster),
      ...one.externalIPs.map((ip) => line('ExternalIP', ip, cluster)),
      // It asks there who the client is, so the address is left to it.
      ...(one.isRestricted ? [] : one.loadBalancerIPs).map((ip) =>
        line('LoadBalancer', ip, cluster),
      ),
      ...(nodePort === 0 ? [] : [line('NodePort', null, cluster)]),
    ];
  });
  return lines.sort();
}

interface Line {
  readonly kind: string;
  readonly protocol: string;
  readonly family: 4 | 6;
  readonly address: string | null;
  readonly port: number;
  readonly seconds: number;
  readonly backends: readonly string[];
}

function lineOf({ kind, protocol, family, address, port, seconds, backends }: Line): string {
  const sorted = [...backends].sort().join(' ');
  return `${kind} ${protocol} ${address ?? `IPv${family}`} ${port}, ${seconds} s: ${sorted}`;
}

function compareAnswers(question: Question, ports: readonly ProxiedPort[]): void {
  const own = ownAnswer(question);
  const proxied = proxiedAnswer(ports);
  count(JSON.stringify(own) === JSON.stringify(proxied), () => ['---', question, { proxied, own }]);
}
