/**
 * hot path
 *
 * What a record tells of its request, as it may be shown. One object for all records of a worker: a text is worked
 * out when it is asked for, so that what no sink reads costs nothing.
 */
import type { LoggedHeader } from '../../model/decision.ts';
import type { GrpcFacts, HttpFacts, TraceFacts } from '../../model/flow.ts';
import type { RequestRecord } from '../../model/record.ts';
import type { HttpVersion } from '../../model/request_head.ts';
import type { Redaction } from './redaction.ts';
import { parseTraceparent } from './trace_context.ts';

export interface ShownOptions {
  /** Request fields whose values are shown, lower case. */
  readonly headers: readonly string[];
  readonly isQueryLogged: boolean;
}

const NO_HEADERS: readonly LoggedHeader[] = Object.freeze([]);

export class RecordHttpFacts implements HttpFacts {
  readonly kind = 'http';
  readonly #headerNames: readonly string[];
  readonly #isQueryShown: boolean;
  #redaction: Redaction;
  #record!: RequestRecord;
  /** Most requests are for the host of the one before. */
  #authority = '';
  #host = '';

  constructor(options: ShownOptions, redaction: Redaction) {
    this.#headerNames = [...new Set(options.headers)];
    this.#isQueryShown = options.isQueryLogged;
    this.#redaction = redaction;
  }

  redactBy(redaction: Redaction): void {
    this.#redaction = redaction;
    this.#authority = '';
    this.#host = '';
  }

  take(record: RequestRecord): void {
    this.#record = record;
  }

  get seen(): HttpFacts['seen'] {
    const { head, partial } = this.#record;
    if (head !== null) return 'whole';
    return partial !== null ? 'part' : 'nothing';
  }

  get version(): HttpVersion | '' {
    const { head, partial } = this.#record;
    return head?.version ?? partial?.version ?? '';
  }

  get method(): string {
    const { head, partial } = this.#record;
    return head?.method ?? partial?.method ?? '';
  }

  get scheme(): string {
    return this.#record.head?.scheme ?? '';
  }

  get host(): string {
    const { head, partial } = this.#record;
    const authority = head?.authority ?? partial?.authority ?? '';
    if (authority !== this.#authority) {
      this.#host = this.#redaction.text(authority);
      this.#authority = authority;
    }
    return this.#host;
  }

  get path(): string {
    const { head, partial } = this.#record;
    const path = head?.path ?? partial?.path ?? '';
    const query = this.#isQueryShown ? -1 : path.indexOf('?');
    return this.#redaction.text(query === -1 ? path : path.slice(0, query));
  }

  get isCut(): boolean {
    const { head, partial } = this.#record;
    return head === null && partial?.isCut === true;
  }

  get status(): number {
    return this.#record.status;
  }

  get serverName(): string {
    return this.#record.serverName;
  }

  get isGrpc(): boolean {
    const { head, grpcStatus } = this.#record;
    return head !== null && (grpcStatus !== null || head.isGrpc);
  }

  get grpc(): GrpcFacts | null {
    return this.isGrpc ? grpcCall(this.path, this.#record.grpcStatus) : null;
  }

  get trace(): TraceFacts | null {
    const traceparent = this.#record.head?.field('traceparent') ?? null;
    return traceparent === null ? null : parseTraceparent(traceparent);
  }

  get headers(): readonly LoggedHeader[] {
    const { head } = this.#record;
    if (head === null || this.#headerNames.length === 0) return NO_HEADERS;
    const shown: LoggedHeader[] = [];
    for (const name of this.#headerNames) {
      const value = head.field(name);
      if (value !== null) shown.push([name, this.#redaction.field(name, value)]);
    }
    return shown;
  }
}

/** "/package.Service/Method". */
function grpcCall(path: string, status: number | null): GrpcFacts {
  const slash = path.indexOf('/', 1);
  const query = path.indexOf('?');
  const end = query === -1 ? path.length : query;
  const service = path.slice(1, slash === -1 ? end : slash);
  const method = slash === -1 ? '' : path.slice(slash + 1, end);
  return { service, method, status };
}
