/**
 * Origins. Behind the subjects one runs on the core of the load; alone, as a subject, another one runs where
 * the others are measured: the floor of one hop.
 */
import { join } from 'node:path';
import { ROOT } from '../measure/machine.ts';
import { startNginxOrigin } from './nginx.ts';
import { startSubject } from './start.ts';
import type { OriginOrder, StartOrigin, Subject, SubjectKind } from './subject.ts';
import { isInstalled } from './tools.ts';

const NAME = 'origin alone';
export const CONTENT = 'hello from the origin of the bench';

export const ORIGIN_ALONE: SubjectKind = {
  name: NAME,
  speaks: ['h1', 'h2', 'dns'],
  find: async () => ({
    version: 'of the scenario',
    start: ({ directory, version, startOrigin: start }) =>
      start({ directory, version, place: 'measured' }),
  }),
};

/**
 * 34 bytes to whatever is asked. HTTP/1.1: nginx where it is installed, as it takes least of the core that it
 * shares with the load. HTTP/2: a program of ours, as nginx takes four times of it.
 */
export const startOrigin: StartOrigin = (order) => {
  if (order.version === 'h2') return startProgram('http2_origin.ts', order);
  if (!isInstalled('nginx')) return startContentOrigin(order);
  return startNginxOrigin(order, { name: NAME, content: CONTENT });
};

/** /bytes/N gives N bytes; what is uploaded is read to its end before the answer. */
export const startContentOrigin: StartOrigin = (order) => startProgram('origin.ts', order);

/** Takes an upgrade and sends back whatever comes after it. */
export const startEchoOrigin: StartOrigin = (order) => startProgram('echo_origin.ts', order);

function startProgram(program: string, { directory, place }: OriginOrder): Promise<Subject> {
  return startSubject({
    name: NAME,
    version: `bench/peers/${program}, Node ${process.version}`,
    directory,
    files: {},
    command: () => [process.execPath, join(ROOT, 'bench/peers', program)],
    at: { line: /^listening http:\/\/(\S+)/ },
    place,
    isOrigin: true,
  });
}
