/** What one would write by hand on Node's own servers: the rules with RE2, a line of log a request. */
import { join } from 'node:path';
import { ROOT } from '../measure/machine.ts';
import { startSubject } from './start.ts';
import type { HttpVersion, Order, Subject, SubjectKind } from './subject.ts';

export const NODE_HTTP = byHand('node:http + undici', 'h1', 'node_undici.ts');
export const NODE_HTTP2 = byHand('node:http2', 'h2', 'node_http2.ts');

function byHand(name: string, version: HttpVersion, program: string): SubjectKind {
  return {
    name,
    speaks: [version],
    find: async () => ({
      version: process.version,
      start: (order) => startByHand(name, program, order),
    }),
  };
}

function startByHand(name: string, program: string, order: Order): Promise<Subject> {
  return startSubject({
    name,
    version: process.version,
    directory: order.directory,
    files: { 'rules.json': `${JSON.stringify(order.rules, null, 1)}\n` },
    command: (pathOf) => [
      ...[process.execPath, join(ROOT, 'bench/peers', program)],
      ...[order.originUrl, pathOf('rules.json')],
      ...(order.hasAccessLog ? [pathOf('access.log')] : []),
    ],
    at: { line: /^listening http:\/\/(\S+)/ },
  });
}
