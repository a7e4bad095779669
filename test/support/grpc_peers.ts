/** A gRPC service of bytes on @grpc/grpc-js, and calls of every kind that tell all that they got. */
import {
  type CallOptions,
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  compressionAlgorithms,
  credentials,
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type StatusObject,
  type sendUnaryData,
} from '@grpc/grpc-js';

type Bytes = Buffer<ArrayBufferLike>;
type Kind = 'unary' | 'clientStream' | 'serverStream' | 'duplex';

export interface CallResult {
  readonly code: number;
  readonly details: string;
  /** Initial metadata and trailers that begin with "x-", in text. */
  readonly metadata: Record<string, string[]>;
  readonly trailers: Record<string, string[]>;
  readonly messages: readonly string[];
}

export interface Call {
  readonly kind: Kind;
  readonly method: string;
  readonly messages: readonly Bytes[];
  readonly metadata?: Readonly<Record<string, string | Buffer>>;
  readonly options?: CallOptions;
  /** Cancels before the first message, or after so many responses. */
  readonly cancelAfter?: number;
}

const identity = (bytes: Bytes): Bytes => bytes;

function definition(name: string, kind: Kind): MethodDefinition<Bytes, Bytes> {
  return {
    path: `/test.Bytes/${name}`,
    requestStream: kind === 'clientStream' || kind === 'duplex',
    responseStream: kind === 'serverStream' || kind === 'duplex',
    requestSerialize: identity,
    requestDeserialize: identity,
    responseSerialize: identity,
    responseDeserialize: identity,
  };
}

/**
 * Unary echoes; Fail gives a status and a message; Sleep never answers; Count sums; Split sends its
 * bytes apart.
 */
export async function startGrpcServer(
  atPort = 0,
): Promise<{ readonly port: number; stop(): void }> {
  const server = new Server({ 'grpc.max_receive_message_length': -1 });
  server.addService(
    {
      Echo: definition('Echo', 'unary'),
      Fail: definition('Fail', 'unary'),
      Sleep: definition('Sleep', 'unary'),
      Count: definition('Count', 'clientStream'),
      Split: definition('Split', 'serverStream'),
      PingPong: definition('PingPong', 'duplex'),
    },
    { Echo: echo, Fail: fail, Sleep: () => {}, Count: count, Split: split, PingPong: pingPong },
  );
  const port = await new Promise<number>((resolve, reject) => {
    const ready = (error: Error | null, bound: number) => (error ? reject(error) : resolve(bound));
    server.bindAsync(`127.0.0.1:${atPort}`, ServerCredentials.createInsecure(), ready);
  });
  return { port, stop: () => server.forceShutdown() };
}

function echo(call: ServerUnaryCall<Bytes, Bytes>, done: sendUnaryData<Bytes>): void {
  const own = new Metadata();
  const trailers = new Metadata();
  for (const value of call.metadata.get('x-initial')) own.add('x-initial', value);
  for (const value of call.metadata.get('x-trailing-bin')) trailers.add('x-trailing-bin', value);
  call.sendMetadata(own);
  done(null, call.request, trailers);
}

function fail(call: ServerUnaryCall<Bytes, Bytes>, done: sendUnaryData<Bytes>): void {
  const own = call.request.subarray(1).toString();
  const details = own === '' ? 'test status, 100 % — \t\nwith whitespace' : own;
  done({ code: call.request[0] ?? 2, details });
}

function count(call: ServerReadableStream<Bytes, Bytes>, done: sendUnaryData<Bytes>): void {
  let byteLength = 0;
  call.on('data', (bytes: Bytes) => {
    byteLength += bytes.length;
  });
  call.on('end', () => done(null, Buffer.from(`${byteLength}`)));
}

function split(call: ServerWritableStream<Bytes, Bytes>): void {
  for (const size of call.request) call.write(Buffer.alloc(size * 1000, size));
  call.end();
}

function pingPong(call: ServerDuplexStream<Bytes, Bytes>): void {
  call.on('data', (bytes: Bytes) => call.write(bytes));
  call.on('end', () => call.end());
}

export class GrpcClient {
  readonly #client: Client;

  constructor(port: number, { isCompressed = false } = {}) {
    this.#client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
      'grpc.max_receive_message_length': -1,
      'grpc.enable_retries': 0,
      // Each has a connection of its own.
      'grpc.use_local_subchannel_pool': 1,
      'grpc.default_compression_algorithm': isCompressed
        ? compressionAlgorithms.gzip
        : compressionAlgorithms.identity,
    });
  }

  close(): void {
    this.#client.close();
  }

  /** Every kind as a stream both ways: what is on the wire is the same. */
  call({ method, messages, metadata, options, cancelAfter }: Call): Promise<CallResult> {
    const sent = new Metadata();
    for (const [name, value] of Object.entries(metadata ?? {})) sent.add(name, value);
    const path = method.startsWith('/') ? method : `/test.Bytes/${method}`;
    const stream = this.#client.makeBidiStreamRequest<Bytes, Bytes>(
      path,
      identity,
      identity,
      sent,
      options ?? {},
    );
    const result = collect(stream, cancelAfter);
    if (cancelAfter === 0) stream.cancel();
    for (const message of messages) stream.write(message);
    // What is cancelled from outside must still be open then.
    if (cancelAfter === undefined) stream.end();
    return result;
  }

  /** A stream both ways that stays open between messages. */
  open(method: string): OpenCall {
    return new OpenCall(
      this.#client.makeBidiStreamRequest<Bytes, Bytes>(
        `/test.Bytes/${method}`,
        identity,
        identity,
        new Metadata(),
        {},
      ),
    );
  }
}

export class OpenCall {
  readonly status: Promise<number>;
  readonly #stream: ClientDuplexStream<Bytes, Bytes>;

  constructor(stream: ClientDuplexStream<Bytes, Bytes>) {
    this.#stream = stream;
    stream.on('error', () => {});
    this.status = new Promise((resolve) => {
      stream.on('status', ({ code }: StatusObject) => resolve(code));
    });
  }

  /** Sends a message and waits for the next one. */
  exchange(message: Buffer): Promise<Bytes> {
    const answer = new Promise<Bytes>((resolve) => this.#stream.once('data', resolve));
    this.#stream.write(message);
    return answer;
  }

  end(): Promise<number> {
    this.#stream.on('data', () => {});
    this.#stream.end();
    return this.status;
  }
}

function collect(
  stream: ClientReadableStream<Bytes>,
  cancelAfter: number | undefined,
): Promise<CallResult> {
  const messages: string[] = [];
  let initial: Record<string, string[]> = {};
  return new Promise((resolve) => {
    stream.on('metadata', (metadata) => {
      initial = ownFields(metadata);
    });
    stream.on('data', (bytes: Bytes) => {
      messages.push(`${bytes.length}:${bytes.subarray(0, 8).toString('hex')}`);
      if (messages.length === cancelAfter) stream.cancel();
    });
    stream.on('error', () => {});
    stream.on('status', ({ code, details, metadata }: StatusObject) => {
      const trailers = ownFields(metadata);
      // All messages are told before the status is.
      resolve({ code, details, metadata: initial, trailers, messages });
    });
  });
}

function ownFields(metadata: Metadata): Record<string, string[]> {
  const names = Object.keys(metadata.getMap()).filter((name) => name.startsWith('x-'));
  const textOf = (value: string | Buffer) =>
    typeof value === 'string' ? value : value.toString('hex');
  return Object.fromEntries(names.map((name) => [name, metadata.get(name).map(textOf)]));
}
