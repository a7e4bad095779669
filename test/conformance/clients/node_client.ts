/** Scenes with Node's clients, as client.go. Arguments: fetch|http|undici|http2, basic|full, base URL. */
import { createHash } from 'node:crypto';
import { Agent, type ClientRequestArgs, request as httpRequest } from 'node:http';
import { connect } from 'node:http2';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { request as undiciRequest } from 'undici';

const [library = '', group = '', base = ''] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true });
const session = library === 'http2' ? connect(base) : null;
session?.on('error', () => {});

interface Question {
  readonly method: string;
  readonly path: string;
  readonly content?: string | Uint8Array;
  /** The content is sent in two pieces, its length untold. */
  readonly isStreamed?: boolean;
  readonly fields?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

interface Answer {
  readonly status: number;
  readonly content: Buffer;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly trailers?: unknown;
  readonly hints?: readonly unknown[];
}

const ASKS: Readonly<Record<string, (question: Question) => Promise<Answer>>> = {
  async fetch({ method, path, content, isStreamed, fields, signal }) {
    const body = isStreamed === true ? new Blob([content as string]).stream() : content;
    const response = await fetch(base + path, {
      method,
      body: body ?? null,
      duplex: 'half',
      redirect: isStreamed === true ? 'manual' : 'follow',
      ...(fields === undefined ? {} : { headers: fields }),
      ...(signal === undefined ? {} : { signal }),
    } as RequestInit);
    const bytes = Buffer.from(await response.arrayBuffer());
    return {
      status: response.status,
      content: bytes,
      fields: Object.fromEntries(response.headers),
    };
  },
  http({ method, path, content, isStreamed, fields, signal }) {
    return new Promise((resolve, reject) => {
      const { hostname, port } = new URL(base);
      const options: ClientRequestArgs = { host: hostname, port, method, path, agent };
      if (fields !== undefined) options.headers = fields;
      if (signal !== undefined) options.signal = signal;
      const outgoing = httpRequest(options);
      const hints: unknown[] = [];
      outgoing.on('information', ({ statusCode, headers }) => {
        hints.push([statusCode, headers['link']]);
      });
      outgoing.on('error', reject);
      outgoing.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const { statusCode: status = 0, headers, trailers } = response;
          resolve({ status, content: Buffer.concat(chunks), fields: headers, trailers, hints });
        });
      });
      if (isStreamed === true) outgoing.write(content);
      if (fields?.['expect'] !== undefined) outgoing.on('continue', () => outgoing.end(content));
      else outgoing.end(isStreamed === true ? undefined : content);
    });
  },
  async undici({ method, path, content, isStreamed, fields, signal }) {
    const response = await undiciRequest(base + path, {
      method: method as 'GET',
      body: isStreamed === true ? Readable.from(pieces(content as string)) : (content ?? null),
      ...(fields === undefined ? {} : { headers: fields }),
      ...(signal === undefined ? {} : { signal }),
    });
    const bytes = Buffer.from(await response.body.arrayBuffer());
    const { statusCode: status, headers, trailers } = response;
    return { status, content: bytes, fields: headers, trailers };
  },
  http2({ method, path, content, fields, signal }) {
    return new Promise((resolve, reject) => {
      const stream = session?.request({ ':method': method, ':path': path, ...fields });
      if (stream === undefined) return reject(new Error('no session'));
      signal?.addEventListener('abort', () => stream.close(8));
      const chunks: Buffer[] = [];
      const hints: unknown[] = [];
      let status = 0;
      let answered = {};
      let trailers: unknown;
      stream.on('headers', (head) => hints.push([head[':status'], head['link']]));
      stream.on('response', ({ ':status': code, ...others }) => {
        status = code ?? 0;
        answered = others;
      });
      stream.on('trailers', (found) => {
        trailers = { ...found };
      });
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('error', reject);
      stream.on('close', () => {
        const whole = { status, content: Buffer.concat(chunks), fields: answered };
        resolve({ ...whole, trailers, hints });
      });
      stream.end(content);
    });
  },
};

async function* pieces(content: string): AsyncGenerator<string> {
  yield content.slice(0, 3);
  yield content.slice(3);
}

async function ask(scene: string, question: Question): Promise<void> {
  const answer = await ASKS[library]?.(question).catch((error: Error) => error);
  console.log(`${scene}\t${answer instanceof Error ? `error ${answer}` : shown(answer)}`);
}

function shown(answer: Answer | undefined): string {
  if (answer === undefined) return 'error: no such client';
  const { status, content, fields, trailers, hints } = answer;
  const text =
    content.length > 100
      ? `${content.length} ${createHash('sha256').update(content).digest('hex')}`
      : content.toString('latin1');
  const names = ['content-type', 'content-range', 'content-encoding', 'content-length'];
  const told = names.map((name) => fields[name] ?? null);
  return JSON.stringify([status, text, told, trailers ?? null, hints ?? null]);
}

async function giveUp(): Promise<void> {
  const key = `node${process.hrtime.bigint()}`;
  const control = new AbortController();
  const waiting = ASKS[library]?.({ method: 'GET', path: `/slow?${key}`, signal: control.signal });
  waiting?.catch(() => {});
  await sleep(300);
  control.abort();
  const lastMs = performance.now() + 10_000;
  let isGone = '';
  while (isGone !== 'true' && performance.now() < lastMs) {
    const answer = await ASKS[library]?.({ method: 'GET', path: `/gone?${key}` });
    isGone = answer?.content.toString() ?? '';
    await sleep(20);
  }
  console.log(`given up\t${isGone}`);
}

const get = (path: string, fields?: Readonly<Record<string, string>>): Question => {
  return { method: 'GET', path, ...(fields === undefined ? {} : { fields }) };
};
await ask('get', get('/echo?a=b'));
await ask('odd characters', get('/echo?filter=a|b&q={x}&m[]=^&p=50%'));
await ask('head', { method: 'HEAD', path: '/echo' });
await ask('content of a length', { method: 'POST', path: '/echo', content: 'hello' });
await ask('content without a length', {
  method: 'POST',
  path: '/echo',
  content: 'hello',
  isStreamed: true,
});
await ask('large upload', { method: 'PUT', path: '/echo', content: new Uint8Array(1 << 20) });
await ask('delete', { method: 'DELETE', path: '/echo' });
if (library === 'http') {
  const fields = { expect: '100-continue' };
  await ask('expect', { method: 'PUT', path: '/echo', content: 'hello', fields });
}
if (group === 'full') {
  await ask('204', get('/204'));
  await ask('redirect', { method: 'POST', path: '/redirect', content: 'again' });
  await ask('large', get('/large'));
  await ask('range', get('/large', { range: 'bytes=10-29' }));
  await ask('304', get('/large', { 'if-none-match': '"v1"' }));
  await ask('gzip', get('/gzip', { 'accept-encoding': 'gzip' }));
  await ask('trailers', get('/trailers'));
  await ask('early hints', get('/early'));
  await giveUp();
}
session?.close();
agent.destroy();
process.exit(0);
