/**
 * A scriptable API server of Kubernetes: lists, pages, streaming lists, watches, bookmarks, and everything that can go
 * wrong on the way. `test/kube/real/fake_beside_real.test.ts` holds it against a real one.
 *
 *     const api = await FakeKubeApi.start();
 *     api.serve(PODS);
 *     api.put(PODS, { metadata: { namespace: 'shop', name: 'api' }, spec: {} });
 *     api.fault((request) => request.isWatch, { kind: 'status', code: 429, retryAfterS: 1 });
 */
import { once } from 'node:events';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { TlsOptions } from 'node:tls';
import { type KubeKind, pathOf } from '../../src/kube/kind.ts';
import { nameKeyOf, type ObjectName } from '../../src/kube/seen_object.ts';

export interface FakeObject {
  readonly metadata: {
    readonly namespace?: string;
    readonly name: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly [field: string]: unknown;
  };
  readonly [field: string]: unknown;
}

export interface FakeRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly isWatch: boolean;
  /** Of a watch: all there is comes first. */
  readonly isStreamingList: boolean;
  readonly body: string;
}

export type Fault =
  /** A Status with this code. */
  | {
      readonly kind: 'status';
      readonly code: number;
      readonly reason?: string;
      readonly message?: string;
      readonly retryAfterS?: number;
    }
  /** A page of something in between. */
  | { readonly kind: 'text'; readonly code: number; readonly text: string }
  /** The same as an event of a watch that has begun. */
  | {
      readonly kind: 'event';
      readonly code: number;
      readonly reason?: string;
      readonly message?: string;
    }
  /** The connection is closed after so many bytes of content. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  /** The content ends after so many bytes, as if that were all. */
  | { readonly kind: 'end'; readonly afterBytes: number }
  /** This many bytes of content, and nothing more. */
  | { readonly kind: 'stall'; readonly afterBytes: number }
  /** No answer at all. */
  | { readonly kind: 'hang' }
  /** The answer comes so much later. */
  | { readonly kind: 'slow'; readonly delayMs: number };

export interface FakeKubeApiOptions {
  /** False: as a server without the feature, 422. Absent: true. */
  readonly streamsLists?: boolean | 'etcd-3.4' | 'unknown';
  /** Bearer tokens that are taken; absent: none is asked for. */
  readonly tokens?: ReadonlySet<string>;
  readonly tls?: TlsOptions;
  /** Absent: only `bookmark()` sends them. */
  readonly bookmarkIntervalMs?: number;
}

interface Entry {
  readonly version: number;
  /** Made when it is asked for: fifty thousand need not be in memory. */
  readonly object: () => FakeObject;
}

interface Change {
  readonly version: number;
  readonly key: string;
  readonly before: Entry | null;
  readonly after: Entry | null;
}

interface Kept {
  readonly kind: KubeKind;
  readonly entries: Map<string, Entry>;
  readonly changes: Change[];
}

interface ListedPage {
  readonly version: number;
  readonly rest: readonly Entry[];
}

interface OneFault {
  readonly when: (request: FakeRequest) => boolean;
  readonly fault: Fault;
  timesLeft: number;
}

/** A watch that is open. */
export class FakeWatch {
  readonly request: FakeRequest;
  readonly kept: Kept;
  readonly #response: ServerResponse;
  isLive = false;

  constructor(request: FakeRequest, kept: Kept, response: ServerResponse) {
    this.request = request;
    this.kept = kept;
    this.#response = response;
  }

  /** Anything, as it stands. */
  send(text: string): void {
    this.#response.write(text);
  }

  event(type: string, object: unknown): boolean {
    return this.#response.write(`${JSON.stringify({ type, object })}\n`);
  }

  end(): void {
    this.#response.end();
  }

  reset(): void {
    this.#response.destroy();
  }

  get isOpen(): boolean {
    return !this.#response.writableEnded && !this.#response.destroyed;
  }

  drained(): Promise<void> {
    return drained(this.#response);
  }

  bookmark(version: number, isInitialEnd = false): void {
    const { group, version: apiVersion, kind } = this.kept.kind;
    const annotations = isInitialEnd
      ? { annotations: { 'k8s.io/initial-events-end': 'true' } }
      : {};
    this.event('BOOKMARK', {
      kind,
      apiVersion: group === '' ? apiVersion : `${group}/${apiVersion}`,
      metadata: { resourceVersion: String(version), creationTimestamp: null, ...annotations },
    });
  }
}

const REQUESTS_KEPT = 10_000;

export class FakeKubeApi {
  readonly server: Server;
  readonly requests: FakeRequest[] = [];
  streamsLists: boolean | 'etcd-3.4' | 'unknown';
  tokens: ReadonlySet<string> | null;
  /** What answers to other paths. */
  handler:
    | ((request: FakeRequest) => { readonly code: number; readonly object: unknown } | null)
    | null = null;
  #isHanging = false;
  #version = 100;
  #compactedTo = 0;
  readonly #isTls: boolean;
  readonly #kept = new Map<string, Kept>();
  readonly #faults: OneFault[] = [];
  readonly #watches = new Set<FakeWatch>();
  readonly #sockets = new Set<Socket>();
  readonly #pages = new Map<string, ListedPage>();
  #pageCount = 0;
  #bookmarks: NodeJS.Timeout | null = null;

  static async start(options: FakeKubeApiOptions = {}): Promise<FakeKubeApi> {
    const api = new FakeKubeApi(options);
    api.server.listen(0, '127.0.0.1');
    await once(api.server, 'listening');
    return api;
  }

  private constructor({
    streamsLists = true,
    tokens,
    tls,
    bookmarkIntervalMs,
  }: FakeKubeApiOptions) {
    this.streamsLists = streamsLists;
    this.tokens = tokens ?? null;
    this.#isTls = tls !== undefined;
    const listener: RequestListener = (request, response) => {
      this.#serve(request, response).catch(() => response.destroy());
    };
    this.server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
    this.server.keepAliveTimeout = 60_000;
    this.server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    if (bookmarkIntervalMs !== undefined) {
      this.#bookmarks = setInterval(() => this.bookmark(), bookmarkIntervalMs);
    }
  }

  async close(): Promise<void> {
    if (this.#bookmarks !== null) clearInterval(this.#bookmarks);
    this.server.close();
    this.resetAll();
    await Promise.resolve();
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get url(): string {
    return `${this.#isTls ? 'https' : 'http'}://127.0.0.1:${this.port}`;
  }

  get connectionCount(): number {
    return this.#sockets.size;
  }

  get version(): number {
    return this.#version;
  }

  get watches(): readonly FakeWatch[] {
    return [...this.#watches].filter((watch) => watch.isOpen);
  }

  watchesOf(kind: KubeKind): readonly FakeWatch[] {
    return this.watches.filter((watch) => watch.kept.kind === kind && watch.isLive);
  }

  /** The kind is installed. */
  serve(kind: KubeKind): void {
    this.#kept.set(pathOf(kind), { kind, entries: new Map(), changes: [] });
  }

  /** The kind goes, with its objects and its watches. */
  unserve(kind: KubeKind): void {
    const kept = this.#keptOf(kind);
    for (const watch of this.watches) if (watch.kept === kept) watch.end();
    this.#kept.delete(pathOf(kind));
  }

  /** As many objects, made when they are asked for. */
  generate(kind: KubeKind, count: number, make: (i: number) => FakeObject): void {
    const { entries } = this.#keptOf(kind);
    for (let i = 0; i < count; i++) {
      this.#version += 1;
      const version = this.#version;
      const { metadata } = make(i);
      const object = (): FakeObject => completed(kind, make(i), version);
      entries.set(nameKeyOf(nameOf(kind, metadata)), { version, object });
    }
  }

  put(kind: KubeKind, object: FakeObject): void {
    this.#version += 1;
    const version = this.#version;
    const stored = completed(kind, object, version);
    const key = nameKeyOf(nameOf(kind, object.metadata));
    this.#change(kind, { version, key, before: null, after: { version, object: () => stored } });
  }

  remove(kind: KubeKind, name: ObjectName): void {
    const key = nameKeyOf(name);
    if (!this.#keptOf(kind).entries.has(key)) return;
    this.#version += 1;
    this.#change(kind, { version: this.#version, key, before: null, after: null });
  }

  objectsOf(kind: KubeKind): ReadonlyMap<string, FakeObject> {
    const { entries } = this.#keptOf(kind);
    return new Map([...entries].map(([key, { object }]) => [key, object()]));
  }

  /** What was before now is forgotten: watches and pages that go on from there get 410. */
  compact(): void {
    this.#compactedTo = this.#version;
    this.#pages.clear();
    for (const { changes } of this.#kept.values()) changes.length = 0;
  }

  /** The store is a backup of an earlier version: what there is now, by versions that come after that one. */
  setBack(version: number): void {
    for (const watch of this.watches) watch.reset();
    this.#version = version;
    for (const { kind, entries, changes } of this.#kept.values()) {
      changes.length = 0;
      for (const { object } of [...entries.values()]) this.put(kind, object());
    }
  }

  fault(when: (request: FakeRequest) => boolean, fault: Fault, times = 1): void {
    this.#faults.push({ when, fault, timesLeft: times });
  }

  clearFaults(): void {
    this.#faults.length = 0;
  }

  /** To all watches that are past their beginning. */
  bookmark(): void {
    for (const watch of this.watches) if (watch.isLive) watch.bookmark(this.#version);
  }

  /** Connections are taken, and nothing is said. */
  hang(): void {
    this.#isHanging = true;
  }

  resume(): void {
    this.#isHanging = false;
  }

  resetAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #keptOf(kind: KubeKind): Kept {
    const kept = this.#kept.get(pathOf(kind));
    if (kept === undefined) throw new Error(`${kind.plural} are not served`);
    return kept;
  }

  #change(kind: KubeKind, change: Change): void {
    const kept = this.#keptOf(kind);
    const done = { ...change, before: kept.entries.get(change.key) ?? null };
    if (done.after === null) kept.entries.delete(change.key);
    else kept.entries.set(change.key, done.after);
    kept.changes.push(done);
    if (this.#isHanging) return;
    for (const watch of this.watches) {
      if (watch.kept === kept && watch.isLive) sendChange(watch, done);
    }
  }

  async #serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const request = await requestOf(message);
    this.requests.push(request);
    if (this.requests.length > REQUESTS_KEPT) this.requests.shift();
    if (this.#isHanging) return;
    if (this.tokens !== null) {
      const token = (request.headers.authorization ?? '').replace('Bearer ', '');
      if (!this.tokens.has(token)) {
        sendStatus(response, 401, 'Unauthorized', 'Unauthorized');
        return;
      }
    }
    const fault = this.#faultOf(request);
    if (fault?.kind === 'hang') return;
    if (fault?.kind === 'slow') await new Promise((done) => setTimeout(done, fault.delayMs));
    if (fault?.kind === 'status') {
      const { code, reason = '', message: text = reason, retryAfterS } = fault;
      sendStatus(response, code, reason, text, retryAfterS);
      return;
    }
    if (fault?.kind === 'text') {
      response.writeHead(fault.code, { 'content-type': 'text/html' }).end(fault.text);
      return;
    }
    if (fault?.kind === 'event') {
      const { code, reason = '', message: text = reason } = fault;
      response.writeHead(200, JSON_TYPE);
      response.end(`${JSON.stringify({ type: 'ERROR', object: statusOf(code, reason, text) })}\n`);
      return;
    }
    if (fault !== null && fault.kind !== 'slow') limitContent(response, fault);
    await this.#answer(request, response);
  }

  #faultOf(request: FakeRequest): Fault | null {
    const found = this.#faults.find(({ when, timesLeft }) => timesLeft > 0 && when(request));
    if (found === undefined) return null;
    found.timesLeft -= 1;
    return found.fault;
  }

  async #answer(request: FakeRequest, response: ServerResponse): Promise<void> {
    const { path } = request;
    const own = this.handler?.(request) ?? null;
    if (own !== null) return sendJson(response, own.code, own.object);
    if (path === '/readyz') {
      response.end('ok');
      return;
    }
    if (path === '/apis') return sendJson(response, 200, this.#groups());
    const resources = this.#resources(path);
    if (resources !== null) return sendJson(response, 200, resources);
    const namespace = /\/namespaces\/([^/]+)\//.exec(path)?.[1] ?? null;
    const kept = this.#kept.get(path.replace(/\/namespaces\/[^/]+(?=\/)/, ''));
    if (kept === undefined) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('404 page not found\n');
      return;
    }
    const selects = selectorOf(request.query, namespace);
    if (request.isWatch) await this.#watch(request, response, kept, selects);
    else await this.#list(request, response, kept, selects);
  }

  #groups(): unknown {
    const versions = [...this.#kept.values()].filter(({ kind }) => kind.group !== '');
    const groupVersions = new Set(versions.map(({ kind }) => `${kind.group}/${kind.version}`));
    return {
      kind: 'APIGroupList',
      apiVersion: 'v1',
      groups: [...groupVersions].map((groupVersion) => {
        const [name = '', version = ''] = groupVersion.split('/');
        const entry = { groupVersion, version };
        return { name, versions: [entry], preferredVersion: entry };
      }),
    };
  }

  #resources(path: string): unknown {
    const groupVersion = /^\/apis\/([^/]+\/[^/]+)$/.exec(path)?.[1];
    const served = [...this.#kept.values()].filter(
      ({ kind }) => `${kind.group}/${kind.version}` === groupVersion,
    );
    if (served.length === 0) return null;
    return {
      kind: 'APIResourceList',
      apiVersion: 'v1',
      groupVersion,
      resources: served.map(({ kind }) => ({
        name: kind.plural,
        singularName: kind.kind.toLowerCase(),
        namespaced: kind.isNamespaced,
        kind: kind.kind,
        verbs: ['get', 'list', 'watch'],
      })),
    };
  }

  async #list(
    { query }: FakeRequest,
    response: ServerResponse,
    { kind, entries }: Kept,
    selects: Selects,
  ): Promise<void> {
    const token = query.get('continue');
    const started = token === null ? undefined : this.#pages.get(token);
    if (token !== null && started === undefined) {
      const text =
        'The provided continue parameter is too old to display a consistent list result.';
      sendStatus(response, 410, 'Expired', text);
      return;
    }
    const { version, rest } = started ?? { version: this.#version, rest: [...entries.values()] };
    const limit = Number(query.get('limit') ?? 0);
    const matching = started === undefined ? rest.filter((entry) => selects(entry)) : rest;
    const page = limit > 0 ? matching.slice(0, limit) : matching;
    const left = matching.slice(page.length);
    const apiVersion = kind.group === '' ? kind.version : `${kind.group}/${kind.version}`;
    const head = {
      kind: `${kind.kind}List`,
      apiVersion,
      metadata: this.#metadata(kind, version, left),
    };
    response.writeHead(200, JSON_TYPE);
    response.write(`${JSON.stringify(head).slice(0, -1)},"items":[`);
    for (let i = 0; i < page.length && !response.destroyed; i++) {
      const object = page[i]?.object();
      // The types of Kubernetes itself have neither in a list.
      const shown =
        kind.group === '' ? { ...object, kind: undefined, apiVersion: undefined } : object;
      if (!response.write(`${i === 0 ? '' : ','}${JSON.stringify(shown)}`)) {
        await drained(response);
      }
    }
    response.end(']}\n');
  }

  #metadata(kind: KubeKind, version: number, left: readonly Entry[]): unknown {
    // A server of custom resources says so of the last page, one of Kubernetes' own kinds says nothing.
    const none = kind.group === '' ? {} : { continue: '' };
    if (left.length === 0) return { ...none, resourceVersion: String(version) };
    this.#pageCount += 1;
    const next = `page-${this.#pageCount}`;
    this.#pages.set(next, { version, rest: left });
    return {
      resourceVersion: String(version),
      continue: next,
      remainingItemCount: left.length,
    };
  }

  async #watch(
    request: FakeRequest,
    response: ServerResponse,
    kept: Kept,
    selects: Selects,
  ): Promise<void> {
    const watch = new FakeWatch(request, kept, response);
    const { query, isStreamingList } = request;
    const isKnown = this.streamsLists === true;
    if (isStreamingList && this.streamsLists === false) {
      sendStatus(response, 422, 'Invalid', NO_STREAMING_LIST);
      return;
    }
    const from = query.get('resourceVersion') ?? '';
    const since = Number(from);
    response.writeHead(200, JSON_TYPE);
    response.flushHeaders();
    if (isStreamingList && this.streamsLists === 'etcd-3.4') {
      watch.event('ERROR', statusOf(500, 'InternalError', NO_PROGRESS));
      watch.end();
      return;
    }
    if (from !== '' && since < this.#compactedTo) {
      const text = `too old resource version: ${from} (${this.#compactedTo})`;
      watch.event('ERROR', statusOf(410, 'Expired', text));
      watch.end();
      return;
    }
    // Without streaming, a server waits for what it has not heard of yet, and says nothing.
    if (isStreamingList && since > this.#version) {
      const text = `Timeout: Too large resource version: ${from}, current: ${this.#version}`;
      watch.event('ERROR', statusOf(504, 'Timeout', text, 1));
      watch.end();
      return;
    }
    watchSelectors.set(watch, selects);
    this.#watches.add(watch);
    const seconds = Number(query.get('timeoutSeconds') ?? 1800);
    const over = setTimeout(() => watch.end(), seconds * 1000);
    response.once('close', () => {
      clearTimeout(over);
      this.#watches.delete(watch);
    });
    if (from === '') {
      const { version } = this;
      await sendAll(watch, [...kept.entries.values()]);
      if (isKnown && isStreamingList) watch.bookmark(version, true);
      for (const change of kept.changes) if (change.version > version) sendChange(watch, change);
    } else {
      for (const change of kept.changes) if (change.version > since) sendChange(watch, change);
    }
    // One from a version that is still to come hears nothing until then.
    watch.isLive = since <= this.#version;
  }
}

type Selects = (entry: Entry) => boolean;

/** Of the watches: a field of theirs would be one of all who use them. */
const watchSelectors = new WeakMap<FakeWatch, Selects>();

const JSON_TYPE = { 'content-type': 'application/json' };

/** As kube-apiserver 1.35 with the feature off, and over etcd 3.4. */
const NO_STREAMING_LIST =
  'ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled';
const NO_PROGRESS =
  'a watch stream was requested by the client but the required storage feature RequestWatchProgress is disabled';

async function sendAll(watch: FakeWatch, entries: readonly Entry[]): Promise<void> {
  for (const entry of entries) {
    if (!watch.isOpen) return;
    if (!(watchSelectors.get(watch)?.(entry) ?? true)) continue;
    if (!watch.event('ADDED', entry.object())) await watch.drained();
  }
}

/** Or closed. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });
}

/** An object that no longer matches is gone for this watch, and one that begins to match is new. */
function sendChange(watch: FakeWatch, { version, before, after }: Change): void {
  const selects = watchSelectors.get(watch) ?? (() => true);
  const was = before !== null && selects(before);
  const is = after !== null && selects(after);
  if (is) watch.event(was ? 'MODIFIED' : 'ADDED', after.object());
  else if (was) watch.event('DELETED', withVersion(before.object(), version));
}

function withVersion(object: FakeObject, version: number): FakeObject {
  return { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
}

function completed(kind: KubeKind, object: FakeObject, version: number): FakeObject {
  const { group, version: apiVersion } = kind;
  const uid = `uid-of-${object.metadata.namespace ?? ''}-${object.metadata.name}`;
  return {
    kind: kind.kind,
    apiVersion: group === '' ? apiVersion : `${group}/${apiVersion}`,
    ...object,
    metadata: { uid, ...object.metadata, resourceVersion: String(version) },
  };
}

function nameOf(kind: KubeKind, metadata: FakeObject['metadata']): ObjectName {
  return {
    namespace: kind.isNamespaced ? (metadata.namespace ?? 'default') : null,
    name: metadata.name,
  };
}

/** "a=b,c=d" of labels; "metadata.name=x" and other paths of fields. */
function selectorOf(query: URLSearchParams, namespace: string | null): Selects {
  const pairs = (name: string): string[][] =>
    (query.get(name) ?? '')
      .split(',')
      .filter(Boolean)
      .map((pair) => pair.split('='));
  const labels = pairs('labelSelector');
  const fields = pairs('fieldSelector');
  if (labels.length === 0 && fields.length === 0 && namespace === null) return () => true;
  return ({ object }) => {
    const made = object();
    if (namespace !== null && made.metadata.namespace !== namespace) return false;
    return (
      labels.every(([key = '', value]) => made.metadata.labels?.[key] === value) &&
      fields.every(([path = '', value]) => fieldAt(made, path) === value)
    );
  };
}

function fieldAt(object: unknown, path: string): unknown {
  return path
    .split('.')
    .reduce((at, key) => (at as Record<string, unknown> | undefined)?.[key], object);
}

async function requestOf(message: IncomingMessage): Promise<FakeRequest> {
  const url = new URL(message.url ?? '/', 'http://fake');
  const query = url.searchParams;
  let body = '';
  for await (const chunk of message) body += String(chunk);
  return {
    method: message.method ?? '',
    path: url.pathname,
    query,
    headers: message.headers,
    isWatch: query.get('watch') === 'true',
    isStreamingList: query.get('sendInitialEvents') === 'true',
    body,
  };
}

function statusOf(code: number, reason: string, message: string, retryAfterS?: number): unknown {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    reason,
    ...(retryAfterS === undefined ? {} : { details: { retryAfterSeconds: retryAfterS } }),
    code,
  };
}

function sendStatus(
  response: ServerResponse,
  code: number,
  reason: string,
  message: string,
  retryAfterS?: number,
): void {
  const field = retryAfterS === undefined ? {} : { 'retry-after': String(retryAfterS) };
  response.writeHead(code, { ...JSON_TYPE, ...field });
  response.end(JSON.stringify(statusOf(code, reason, message, retryAfterS)));
}

function sendJson(response: ServerResponse, code: number, object: unknown): void {
  response.writeHead(code, JSON_TYPE).end(JSON.stringify(object));
}

/** The content goes wrong after so many bytes, wherever that is. */
function limitContent(
  response: ServerResponse,
  { kind, afterBytes }: Fault & { readonly kind: 'cut' | 'end' | 'stall' },
): void {
  let left = afterBytes;
  let isOver = false;
  const write = response.write.bind(response) as (chunk: Buffer) => boolean;
  const end = response.end.bind(response);
  response.write = ((text: string | Buffer) => {
    if (isOver) return true;
    const bytes = Buffer.from(text);
    const sent = bytes.subarray(0, left);
    left -= sent.length;
    if (sent.length > 0) write(sent);
    if (sent.length === bytes.length) return true;
    isOver = true;
    if (kind === 'end') end();
    // What was written must be on its way first.
    if (kind === 'cut') setImmediate(() => response.socket?.destroy());
    return true;
  }) as ServerResponse['write'];
  response.end = ((text?: string) => {
    if (text !== undefined) response.write(text);
    if (!isOver) end();
    return response;
  }) as ServerResponse['end'];
}
