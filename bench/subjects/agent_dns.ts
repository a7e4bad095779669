/**
 * The DNS proxy of Cilium's own agent, out of its Go module, with its policy, its cache of names and its handler of
 * messages (test/peers/agent). What it logs is thrown away, and nobody learns identities: the datapath, its conntrack
 * and Hubble would come on top.
 *
 * Its binary: SALLYPORT_BENCH_AGENT, or what `npm run bench:peers` has built with Go.
 */
import { join } from 'node:path';
import { dnsPolicyText } from './dns_zone.ts';
import { FETCHED_FOLDER } from './envoy.ts';
import { startSubject } from './start.ts';
import type { Order, Subject, SubjectKind } from './subject.ts';
import { isExecutable } from './tools.ts';

const NAME = 'agent';
/** Of test/peers/agent/go.mod. */
const VERSION = '1.19.5';

/** Where `npm run bench:peers` puts it. */
export const BUILT_AGENT = join(FETCHED_FOLDER, 'agent');

export const AGENT: SubjectKind = {
  name: NAME,
  speaks: ['dns'],
  find: async () => {
    const binary = findAgent();
    if (binary === null) return { name: NAME, why: 'no binary; `npm run bench:peers` builds one' };
    // Its sockets are transparent, and its answers leave by a raw one.
    if (process.getuid?.() !== 0) return { name: NAME, why: 'it needs root' };
    return { version: VERSION, start: (order) => startAgent(binary, order) };
  },
};

export function findAgent(): string | null {
  const named = process.env['SALLYPORT_BENCH_AGENT'] ?? '';
  if (named !== '') return named;
  return isExecutable(BUILT_AGENT) ? BUILT_AGENT : null;
}

const SCENE = `identities:
  - { id: 10001, labels: ["k8s:app=client", "k8s:io.kubernetes.pod.namespace=default"], ips: [] }
  - { id: 10053, labels: ["k8s:app=dns", "k8s:io.kubernetes.pod.namespace=default"], ips: ["127.0.0.1/32"] }
endpoints:
  - { id: 41, identity: 10001, ipv4: 127.0.0.1 }
`;

function startAgent(binary: string, { directory, originUrl }: Order): Promise<Subject> {
  const { host, port } = new URL(originUrl);
  // Of the folder it takes what ends in .yaml for policies.
  const files = { 'scene.yml': SCENE, 'policy.yaml': dnsPolicyText(Number(port)) };
  return startSubject({
    name: NAME,
    version: VERSION,
    directory,
    files,
    // It ends with its input.
    command: (pathOf) => [
      ...['sh', '-c', 'tail -f /dev/null | exec "$@"', 'sh'],
      ...[binary, '--run-dir', pathOf('run'), '--scene', pathOf('scene.yml')],
      ...['--policies', directory, '--patience', '1ms', '--dns-server', host],
    ],
    at: { line: /"address":"(127\.0\.0\.1:[0-9]+)","event":"names"/ },
  });
}
