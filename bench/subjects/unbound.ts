/**
 * Unbound, one thread: as the server of the zone behind all subjects, and as one of them, which forwards each question
 * and keeps no answer. As a subject it refuses what is outside of the zone; a log it has none, as what it would log
 * goes through a call of the C library that costs more than its question.
 */
import { addressOf, DNS_ZONE, namesIn } from './dns_zone.ts';
import { freePort } from './process.ts';
import { HERE, startSubject } from './start.ts';
import type { Order, StartOrigin, Subject, SubjectKind } from './subject.ts';
import { isInstalled, versionOf } from './tools.ts';

const NAME = 'unbound';

export const UNBOUND: SubjectKind = {
  name: NAME,
  speaks: ['dns'],
  find: async () => {
    if (!isInstalled('unbound')) {
      return { name: NAME, why: 'unbound is not installed; `npm run bench:peers` tells how' };
    }
    return { version: unboundVersion(), start: startForwarder };
  },
};

/** Answers from its configuration. */
export const startUnboundOrigin: StartOrigin = async ({ directory, place }) => {
  const port = await freePort();
  const records = namesIn(DNS_ZONE).map(
    (name, i) => `  local-data: "${name}. 60 IN A ${addressOf(i)}"`,
  );
  return startSubject({
    name: 'origin alone',
    version: `unbound ${unboundVersion()}`,
    directory,
    files: {
      'unbound.conf': unboundConfig(port, [`  local-zone: "${DNS_ZONE}." static`, ...records]),
    },
    command: unboundCommand,
    at: { port },
    place,
    isOrigin: true,
  });
};

async function startForwarder({ directory, originUrl }: Order): Promise<Subject> {
  const port = await freePort();
  return startSubject({
    name: NAME,
    version: unboundVersion(),
    directory,
    files: { 'unbound.conf': forwarderConfig(port, originUrl) },
    command: unboundCommand,
    at: { port },
  });
}

export function forwarderConfig(port: number, originUrl: string): string {
  const { hostname, port: originPort } = new URL(originUrl);
  const lines = [
    '  cache-max-ttl: 0',
    '  cache-max-negative-ttl: 0',
    '  outgoing-range: 4096',
    '  num-queries-per-thread: 2048',
    '  do-not-query-localhost: no',
    '  local-zone: "." refuse',
    `  local-zone: "${DNS_ZONE}." transparent`,
    'forward-zone:',
    `  name: "${DNS_ZONE}."`,
    `  forward-addr: ${hostname}@${originPort}`,
  ];
  return unboundConfig(port, lines);
}

function unboundConfig(port: number, lines: readonly string[]): string {
  return `server:
  directory: "${HERE}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  interface: 127.0.0.1
  port: ${port}
  num-threads: 1
  module-config: "iterator"
${lines.join('\n')}
remote-control:
  control-enable: no
`;
}

function unboundCommand(pathOf: (name: string) => string): readonly string[] {
  return ['unbound', '-d', '-c', pathOf('unbound.conf')];
}

function unboundVersion(): string {
  return versionOf(['unbound', '-V']);
}
