/** Requests to one API server over undici: fields that say who we are, time-outs, bounds, and failures as values. */
import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import type { Limits } from '../model/limits.ts';
import type { Platform, Timers } from '../platform/platform.ts';
import type { DocumentLimits } from '../text/document_bounds.ts';
import { parseJson } from '../text/json_value.ts';
import type { KubeAccess } from './access/access.ts';
import type { KubeClient, KubeFailure, KubeReply, KubeRequest, KubeStreamReply } from './client.ts';
import {
  type Refusal,
  refusalOfStatus,
  refusalOfText,
  retryAfterMsOf,
  unreachable,
} from './failure.ts';
import { Heartbeat } from './heartbeat.ts';
import { type BodyEnd, readBody } from './read_body.ts';
import { type Route, Transport, type TransportLimits } from './transport.ts';

export type ClientLimits = TransportLimits &
  DocumentLimits &
  Pick<Limits, 'kubeObjectBytesMax' | 'kubeSilenceMaxMs'>;

export interface ApiClientOptions {
  readonly platform: Platform;
  readonly limits: ClientLimits;
  /** "sallyport/0.1.0 (linux/x64)". */
  readonly userAgent: string;
}

type Answer = { readonly kind: 'answer'; readonly data: Dispatcher.ResponseData } | KubeFailure;

export class ApiClient implements KubeClient {
  readonly server: string;
  readonly #origin: string;
  /** Of the API below the origin; "" mostly. */
  readonly #basePath: string;
  readonly #limits: ClientLimits;
  readonly #userAgent: string;
  readonly #timers: Timers;
  readonly #transport: Transport;
  readonly #heartbeat: Heartbeat;
  /** Requests and streams that have not ended. */
  #openCount = 0;
  #isClosed = false;

  constructor(access: KubeAccess, { platform, limits, userAgent }: ApiClientOptions) {
    const url = new URL(access.server);
    this.server = access.server;
    this.#origin = url.origin;
    this.#basePath = url.pathname === '/' ? '' : url.pathname;
    this.#limits = limits;
    this.#userAgent = userAgent;
    this.#timers = platform.timers;
    this.#transport = new Transport(access, limits);
    this.#heartbeat = new Heartbeat({
      clock: platform.clock,
      timers: platform.timers,
      silenceMaxMs: limits.kubeSilenceMaxMs,
      probe: (signal) => this.#isAlive(signal),
      dead: () => this.#transport.reset('it does not answer: all connections to it are closed'),
    });
  }

  async request(request: KubeRequest): Promise<KubeReply> {
    if (this.#isFull) return this.#tooMany();
    this.#begin();
    try {
      const answer = await this.#answer(request);
      if (answer.kind !== 'answer') return answer;
      const { statusCode: status, body } = answer.data;
      const read = await this.#content(body);
      if (read.kind !== 'text') return read;
      return { kind: 'ok', status, object: this.#objectOf(read.text) };
    } finally {
      this.#end();
    }
  }

  async stream(request: KubeRequest): Promise<KubeStreamReply> {
    if (this.#isFull) return this.#tooMany();
    this.#begin();
    const answer = await this.#answer(request);
    if (answer.kind !== 'answer') {
      this.#end();
      return answer;
    }
    const { body } = answer.data;
    if (body.closed) this.#end();
    else body.once('close', () => this.#end());
    // It may fail before anybody reads it; who reads it is told all the same.
    body.on('error', () => {});
    return { kind: 'stream', body };
  }

  close(): Promise<void> {
    this.#isClosed = true;
    this.#transport.reset('the client is closed');
    return Promise.resolve();
  }

  get #isFull(): boolean {
    return this.#openCount >= this.#limits.kubeConnectionCountMax;
  }

  /** It would wait for one of them to end, without a bound. */
  #tooMany(): KubeFailure {
    const { kubeConnectionCountMax } = this.#limits;
    return {
      kind: 'unreachable',
      message: `more is asked of the API server at once than kubeConnectionCountMax allows (${kubeConnectionCountMax})`,
    };
  }

  #begin(): void {
    this.#openCount += 1;
    this.#heartbeat.begin();
  }

  #end(): void {
    this.#openCount -= 1;
    this.#heartbeat.end();
  }

  /** With a head that says yes. */
  async #answer(request: KubeRequest): Promise<Answer> {
    const route = await this.#transport.route();
    if (route.kind === 'error') return { kind: 'unreachable', message: route.message };
    const first = await this.#sent(request, route);
    if (first.kind !== 'refused' || first.status !== 401) return first;
    // A token may have been replaced since we read it.
    if (!this.#transport.renew(route.credential)) return first;
    const next = await this.#transport.route();
    if (next.kind === 'error') return { kind: 'unreachable', message: next.message };
    return await this.#sent(request, next);
  }

  async #sent(request: KubeRequest, route: Route): Promise<Answer> {
    if (this.#isClosed) return unreachable(this.server, new Error('the client is closed'));
    try {
      const data = await this.#heard(route.dispatcher).request({
        origin: this.#origin,
        path: `${this.#basePath}${request.path}${queryOf(request.query)}`,
        method: request.method,
        headers: {
          accept: 'application/json',
          'user-agent': this.#userAgent,
          ...route.fields,
          ...(request.body === undefined
            ? {}
            : { 'content-type': request.contentType ?? 'application/json' }),
        },
        body: request.body === undefined ? null : JSON.stringify(request.body),
        ...(request.signal === undefined ? {} : { signal: request.signal }),
      });
      const isGood = data.statusCode >= 200 && data.statusCode < 300;
      return isGood ? { kind: 'answer', data } : await this.#refusal(data);
    } catch (error) {
      // A certificate that does not fit may have been replaced.
      this.#transport.rereadTrust();
      return unreachable(this.server, error);
    }
  }

  /** Tells the heartbeat of each part that arrives. */
  #heard(dispatcher: Dispatcher): Dispatcher {
    const { heard } = this.#heartbeat;
    return dispatcher.compose((dispatch) => (options, handler) => {
      const { onResponseStart, onResponseData } = handler;
      handler.onResponseStart = (...values) => {
        heard();
        onResponseStart?.apply(handler, values);
      };
      handler.onResponseData = (...values) => {
        heard();
        onResponseData?.apply(handler, values);
      };
      return dispatch(options, handler);
    });
  }

  async #refusal({ statusCode, headers, body }: Dispatcher.ResponseData): Promise<Refusal> {
    const retryAfterMs = retryAfterMsOf(headers['retry-after']);
    const read = await this.#content(body);
    const text = read.kind === 'text' ? read.text : '';
    const refusal =
      refusalOfStatus(this.#objectOf(text), statusCode) ?? refusalOfText(text, statusCode);
    return { ...refusal, retryAfterMs: refusal.retryAfterMs ?? retryAfterMs };
  }

  async #content(
    body: Readable,
  ): Promise<{ readonly kind: 'text'; readonly text: string } | KubeFailure> {
    const { kubeObjectBytesMax, kubeRequestTimeoutMs } = this.#limits;
    const chunks: Buffer[] = [];
    let byteCount = 0;
    const quietMaxMs = (): number => kubeRequestTimeoutMs;
    const bounds = { timers: this.#timers, quietMaxMs, lifeMaxMs: null };
    const end = await readBody(body, bounds, (chunk) => {
      byteCount += chunk.length;
      chunks.push(chunk);
      return byteCount <= kubeObjectBytesMax;
    });
    if (end.kind !== 'end') {
      return unreachable(this.server, new Error(contentProblem(end, this.#limits)));
    }
    return { kind: 'text', text: Buffer.concat(chunks, byteCount).toString('utf8') };
  }

  /** The text itself, where it is no JSON: "ok" of `/readyz`. */
  #objectOf(text: string): unknown {
    if (text === '') return null;
    const parsed = parseJson(text, this.#limits);
    return parsed.kind === 'value' ? parsed.value : text;
  }

  async #isAlive(signal: AbortSignal): Promise<boolean> {
    const answer = await this.#answer({ method: 'GET', path: '/readyz', signal });
    if (answer.kind === 'answer') await this.#content(answer.data.body);
    return answer.kind !== 'unreachable';
  }
}

function queryOf(query: ReadonlyMap<string, string> | undefined): string {
  return query === undefined || query.size === 0 ? '' : `?${new URLSearchParams([...query])}`;
}

function contentProblem(end: BodyEnd, limits: ClientLimits): string {
  switch (end.kind) {
    case 'cut':
      return end.message;
    case 'enough':
      return `its answer has more bytes than kubeObjectBytesMax allows (${limits.kubeObjectBytesMax})`;
    default:
      return `its answer does not go on within kubeRequestTimeoutMs (${limits.kubeRequestTimeoutMs})`;
  }
}
