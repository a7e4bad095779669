/** gRPC calls by @grpc/grpc-js, the client that users of Node have. It takes far more CPU than what it measures. */
import { join } from 'node:path';
import { ROOT } from '../measure/machine.ts';
import { OwnedProcess } from '../subjects/process.ts';
import type { LoadRun } from './load.ts';

export interface GrpcOptions {
  /** "/package.Service/Method" */
  readonly method: string;
  readonly kind: 'unary' | 'server-stream';
  readonly connections: number;
  /** Under way at once on each connection. */
  readonly calls: number;
  /** Of every call: 0 is OK, 7 PERMISSION_DENIED. */
  readonly expectedStatus: number;
}

/** A "request" is a call; of a stream its messages are the content. */
export function grpcLoad(options: GrpcOptions): LoadRun {
  const { method, kind, connections, calls, expectedStatus } = options;
  const words = [method, kind, ...[connections, calls, expectedStatus].map(String)];
  return {
    description: `node bench/loads/grpc_js_main.ts URL SECONDS ${words.join(' ')}`,
    run: async (url, seconds) => {
      const program = join(ROOT, 'bench/loads/grpc_js_main.ts');
      const command = [process.execPath, program, url, String(seconds), ...words];
      return JSON.parse(await new OwnedProcess({ place: 'other', command }).output());
    },
  };
}
