#!/usr/bin/env node
/**
 * sallyport-admin live | ready | drain [SOCKET]: what probes and hooks ask of a proxy on its admin socket.
 * Exit code 0: yes. `drain` returns when the proxy has ended.
 *
 * Over a socket file, because on the host's network two pods of a rolling update would want one port, and
 * a probe over it would be answered by the other pod's proxy.
 */
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const ASKED = {
  live: ['GET', '/healthz/live'],
  ready: ['GET', '/healthz/ready'],
  drain: ['POST', '/drain'],
};
const TIMEOUT_MS = 5000;
const POLL_MS = 200;

const [what, socketPath = '/run/sallyport/admin/admin.sock'] = process.argv.slice(2);
if (!Object.hasOwn(ASKED, what)) {
  console.error(`usage: sallyport-admin ${Object.keys(ASKED).join('|')} [SOCKET]`);
  process.exit(2);
}
const answer = await ask(ASKED[what]);
if (answer.problem !== '') console.error(`sallyport-admin: ${answer.problem}`);
if (what === 'drain') {
  // The admin server goes last; the caller says how long this may take.
  while (!(await ask(ASKED.live)).isGone) await sleep(POLL_MS);
  process.exit(0);
}
process.exit(answer.problem === '' ? 0 : 1);

function ask([method, path]) {
  return new Promise((resolve) => {
    const asked = request({ socketPath, method, path, timeout: TIMEOUT_MS }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => {
        const isGood = response.statusCode < 300;
        resolve({ isGone: false, problem: isGood ? '' : `${response.statusCode} ${text.trim()}` });
      });
    });
    asked.on('timeout', () => asked.destroy(new Error('no answer')));
    asked.on('error', (error) => {
      const isGone = error.code === 'ENOENT' || error.code === 'ECONNREFUSED';
      resolve({ isGone, problem: `${socketPath}: ${error.message}` });
    });
    asked.end();
  });
}
