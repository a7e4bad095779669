/**
 * HAProxy, one thread. Its log goes to its standard output, which is a file: a line and a write a request, with
 * the facts of `option httplog`. Paths are matched from files, as users with long lists do.
 */
import { freePort } from './process.ts';
import { HERE, startSubject } from './start.ts';
import type { BenchRule, Order, Subject, SubjectKind } from './subject.ts';
import { isInstalled, versionOf } from './tools.ts';

export const HAPROXY = haproxy('haproxy', true);
/** A floor, for those who say that logging is another thing. */
export const HAPROXY_WITHOUT_LOG = haproxy('haproxy, no log', false);

function haproxy(name: string, mayLog: boolean): SubjectKind {
  return {
    name,
    speaks: ['h1', 'h2'],
    find: async () => {
      if (!isInstalled('haproxy')) {
        return { name, why: 'haproxy is not installed; `npm run bench:peers` tells how' };
      }
      const version = versionOf(['haproxy', '-v']);
      return {
        version,
        start: (order) =>
          startHaproxy(name, version, { ...order, hasAccessLog: order.hasAccessLog && mayLog }),
      };
    },
  };
}

async function startHaproxy(name: string, version: string, order: Order): Promise<Subject> {
  const port = await freePort();
  return startSubject({
    name,
    version,
    directory: order.directory,
    files: { 'haproxy.cfg': haproxyConfig(port, order), ...haproxyLists(order.rules) },
    command: (pathOf) => ['haproxy', '-db', '-f', pathOf('haproxy.cfg')],
    at: { port },
    isLogOnStdout: order.hasAccessLog,
  });
}

export function haproxyConfig(port: number, order: Order): string {
  const protocol = order.version === 'h2' ? ' proto h2' : '';
  const log = order.hasAccessLog;
  return `global
  nbthread 1
  no strict-limits
  maxconn 12000
${log ? '  log stdout format raw local0\n' : ''}defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  timeout tunnel 300s
  http-reuse always
${log ? '  log global\n  option httplog\n' : ''}frontend bench
  bind 127.0.0.1:${port}${protocol} backlog 4096
${ruleLines(order.rules)}
  default_backend origin
backend origin
  server origin ${new URL(order.originUrl).host}${protocol}
`;
}

/** For each method and kind of path a list in a file. */
export function haproxyLists(rules: readonly BenchRule[]): Readonly<Record<string, string>> {
  const lists: Record<string, string> = {};
  for (const rule of rules) {
    const line = rule.isPattern ? `^(?:${rule.path})$` : rule.path;
    lists[listName(rule)] = `${lists[listName(rule)] ?? ''}${line}\n`;
  }
  return lists;
}

/** What is in no list is denied. */
function ruleLines(rules: readonly BenchRule[]): string {
  const lists = new Map(rules.map((rule) => [listName(rule), rule]));
  const acls = [...lists].map(
    ([name, { isPattern }]) =>
      `  acl in_${idOf(name)} path -m ${isPattern ? 'reg' : 'str'} -f ${HERE}/${name}`,
  );
  const allowed = [...lists].map(([name, { method }]) => `{ method ${method} } in_${idOf(name)}`);
  return [...acls, `  http-request deny unless ${allowed.join(' or ')}`].join('\n');
}

function listName({ method, isPattern }: BenchRule): string {
  return `${method.toLowerCase()}-${isPattern ? 'patterns' : 'paths'}.lst`;
}

function idOf(list: string): string {
  return list.replace('.lst', '').replace('-', '_');
}
