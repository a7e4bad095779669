/**
 * Node's own HTTP parser (llhttp, with its default strictness) as an oracle: what an upstream built
 * on Node would read out of a stream. Reached as node:http reaches it.
 */
interface NativeParser {
  initialize(type: number, resource: object): void;
  execute(bytes: Buffer): number | (Error & { readonly code?: string });
  finish(): unknown;
  close(): void;
  [callback: number]: (...args: never[]) => unknown;
}

interface HttpCommon {
  readonly HTTPParser: {
    new (): NativeParser;
    readonly REQUEST: number;
    readonly RESPONSE: number;
    readonly kOnHeaders: number;
    readonly kOnHeadersComplete: number;
    readonly kOnBody: number;
    readonly kOnMessageComplete: number;
  };
  readonly methods: readonly string[];
}

// No types are published for it; its shape is checked by every test that uses it.
const common = process.getBuiltinModule('_http_common') as unknown as HttpCommon;

export interface OracleMessage {
  readonly method: string;
  readonly target: string;
  readonly status: number;
  /** Flat [name, value, ...]. */
  readonly fields: readonly string[];
  readonly isUpgrade: boolean;
  readonly isKeptAlive: boolean;
  body: string;
  isComplete: boolean;
}

export interface OracleRun {
  readonly messages: OracleMessage[];
  /** llhttp's error code, '' when there was none. */
  readonly error: string;
}

export const KNOWN_METHODS: readonly string[] = common.methods;

export function runLlhttp(stream: Buffer, kind: 'request' | 'response'): OracleRun {
  const { HTTPParser } = common;
  const parser = new HTTPParser();
  parser.initialize(kind === 'request' ? HTTPParser.REQUEST : HTTPParser.RESPONSE, {});
  const messages: OracleMessage[] = [];
  let pendingFields: string[] = [];
  let pendingTarget = '';
  // Called when a head has more lines than one call can hand over.
  parser[HTTPParser.kOnHeaders] = (fields: readonly string[], target: string) => {
    pendingFields.push(...fields);
    pendingTarget += target;
  };
  parser[HTTPParser.kOnHeadersComplete] = (
    _major: number,
    _minor: number,
    fields: readonly string[] | undefined,
    method: number | undefined,
    target: string | undefined,
    status: number | undefined,
    _reason: string,
    isUpgrade: boolean,
    isKeptAlive: boolean,
  ) => {
    messages.push({
      method: method === undefined ? '' : (common.methods[method] ?? String(method)),
      target: target ?? pendingTarget,
      status: status ?? 0,
      fields: fields ?? pendingFields,
      isUpgrade,
      isKeptAlive,
      body: '',
      isComplete: false,
    });
    pendingFields = [];
    pendingTarget = '';
    return 0;
  };
  parser[HTTPParser.kOnBody] = (bytes: Buffer) => {
    const last = messages.at(-1);
    if (last !== undefined) last.body += bytes.toString('latin1');
  };
  parser[HTTPParser.kOnMessageComplete] = () => {
    const last = messages.at(-1);
    if (last !== undefined) last.isComplete = true;
    // Trailers, if there were any, are not part of the next head.
    pendingFields = [];
    pendingTarget = '';
  };
  const outcome = parser.execute(stream);
  // A response may be ended by the end of the connection.
  if (kind === 'response' && typeof outcome === 'number') parser.finish();
  parser.close();
  return { messages, error: typeof outcome === 'number' ? '' : (outcome.code ?? outcome.message) };
}
