/** Flows of a server: of a node, or of a relay. */
import { readFileSync } from 'node:fs';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { type ChannelCredentials, Client, credentials } from '@grpc/grpc-js';
import {
  type GetFlowsRequest,
  GetFlowsRequestSchema,
  type GetFlowsResponse,
  GetFlowsResponseSchema,
} from '../../hubble/generated/observer/observer_pb.ts';

export interface ServerOptions {
  /** "unix:///path", "host:port". */
  readonly address: string;
  /** Null: without TLS. */
  readonly tls: TlsOptions | null;
  readonly connectTimeoutMs: number;
}

export interface TlsOptions {
  /** Paths. Empty: who the system trusts. */
  readonly authorities: readonly string[];
  readonly certificate: string | null;
  readonly key: string | null;
  /** Null: that of the address. */
  readonly serverName: string | null;
  /** Whoever it is. */
  readonly isInsecure: boolean;
}

export interface FlowCall {
  readonly responses: AsyncIterable<GetFlowsResponse>;
  /** The responses end. */
  cancel(): void;
  close(): void;
}

const GET_FLOWS = '/observer.Observer/GetFlows';
const MESSAGE_BYTES_MAX = 64 * 1024 * 1024;

/** Throws when nobody answers. */
export async function getFlows(
  request: GetFlowsRequest,
  options: ServerOptions,
): Promise<FlowCall> {
  const { address, tls, connectTimeoutMs } = options;
  const client = new Client(address, credentialsOf(tls), {
    'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
    ...(tls === null || tls.serverName === null
      ? {}
      : { 'grpc.ssl_target_name_override': tls.serverName }),
  });
  try {
    await connected(client, connectTimeoutMs);
  } catch {
    client.close();
    throw new Error(`nobody answers within ${connectTimeoutMs} ms`);
  }
  const call = client.makeServerStreamRequest<GetFlowsRequest, GetFlowsResponse>(
    GET_FLOWS,
    (message) => Buffer.from(toBinary(GetFlowsRequestSchema, message)),
    (bytes) => fromBinary(GetFlowsResponseSchema, bytes),
    request,
  );
  return {
    responses: call,
    cancel: () => call.cancel(),
    close: () => client.close(),
  };
}

function connected(client: Client, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    client.waitForReady(Date.now() + timeoutMs, (error) =>
      error === undefined || error === null ? resolve() : reject(error),
    );
  });
}

function credentialsOf(tls: TlsOptions | null): ChannelCredentials {
  if (tls === null) return credentials.createInsecure();
  const { authorities, certificate, key, isInsecure } = tls;
  const roots = authorities.map((path) => readFileSync(path));
  return credentials.createSsl(
    roots.length === 0 ? null : Buffer.concat(roots),
    key === null ? null : readFileSync(key),
    certificate === null ? null : readFileSync(certificate),
    { rejectUnauthorized: !isInsecure },
  );
}
