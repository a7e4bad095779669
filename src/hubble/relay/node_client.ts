/** Connections to nodes: whom to trust there, and calls of them. */
import { readFileSync } from 'node:fs';
import { fromBinary, type Message, toBinary } from '@bufbuild/protobuf';
import type { GenMessage } from '@bufbuild/protobuf/codegenv2';
import {
  type ChannelCredentials,
  Client,
  type ClientReadableStream,
  credentials,
} from '@grpc/grpc-js';

/** Paths. */
export interface NodeTlsFiles {
  readonly authorities: readonly string[];
  readonly cert: string;
  readonly key: string;
}

export interface NodeTrust {
  /** Null: plain text. */
  readonly tls: NodeTlsFiles | null;
  /** Plain text beyond this machine, too. */
  readonly isPlainEverywhere: boolean;
  readonly responseBytesMax: number;
}

const LOOPBACK = /^(unix:|127\.|localhost:|\[::1\]:)/;
const UNIX = /^unix:/;

/** Files are read for each connection. Throws when they cannot be, or when it would not be safe. */
export function connect(address: string, serverName: string, trust: NodeTrust): Client {
  const { tls, isPlainEverywhere, responseBytesMax } = trust;
  const options = { 'grpc.max_receive_message_length': responseBytesMax };
  // Who may open a socket of the machine is a matter of its permissions.
  if (UNIX.test(address) || tls === null) {
    if (!isPlainEverywhere && !LOOPBACK.test(address)) {
      throw new Error(`${address}: without certificates only loopback addresses are asked`);
    }
    return new Client(address, credentials.createInsecure(), options);
  }
  return new Client(address, credentialsOf(tls), {
    ...options,
    'grpc.ssl_target_name_override': serverName,
    'grpc.default_authority': serverName,
  });
}

function credentialsOf({ authorities, cert, key }: NodeTlsFiles): ChannelCredentials {
  const roots = Buffer.concat(authorities.map((path) => readFileSync(path)));
  return credentials.createSsl(roots, readFileSync(key), readFileSync(cert));
}

export interface Method<In extends Message, Out extends Message> {
  readonly path: string;
  readonly input: GenMessage<In>;
  readonly output: GenMessage<Out>;
}

export function ask<In extends Message, Out extends Message>(
  client: Client,
  { path, input, output }: Method<In, Out>,
  request: In,
  timeoutMs: number,
): Promise<Out> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      (message: In) => Buffer.from(toBinary(input, message)),
      (bytes) => fromBinary(output, bytes),
      request,
      { deadline: Date.now() + timeoutMs },
      (error, answer) => {
        if (error === null && answer !== undefined) resolve(answer);
        else reject(error ?? new Error('no answer'));
      },
    );
  });
}

/** As bytes: what is passed on is not taken apart. */
export function readBytes<In extends Message>(
  client: Client,
  path: string,
  input: GenMessage<In>,
  request: In,
): ClientReadableStream<Buffer> {
  return client.makeServerStreamRequest(
    path,
    (message: In) => Buffer.from(toBinary(input, message)),
    (bytes) => bytes,
    request,
  );
}
