/** A real Envoy on loopback, its HTTP connection managers set as the agent sets those of Cilium's listeners. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../../bench/subjects/process.ts';
import type { Origins } from './origins.ts';
import { rbacPermissions } from './rules.ts';

export interface Envoy {
  readonly http1Port: number;
  readonly http2Port: number;
  stop(): void;
}

const START_TIMEOUT_MS = 30_000;
const RETRY_MS = 50;
const TYPES = 'type.googleapis.com/envoy.extensions';

export async function startEnvoy(binary: string, origins: Origins): Promise<Envoy> {
  const http1Port = await freePort();
  const http2Port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'envoy-'));
  const file = join(folder, 'envoy.json');
  writeFileSync(file, JSON.stringify(config({ http1Port, http2Port, origins })));
  const args = ['--concurrency', '1', '--disable-hot-restart', '--log-level', 'error', '-c', file];
  const child = spawn(binary, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  const stop = (): void => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    for (const port of [http1Port, http2Port]) await untilOpen(port, child);
  } catch (error) {
    stop();
    throw error;
  }
  return { http1Port, http2Port, stop };
}

async function untilOpen(port: number, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!(await isOpen(port))) {
    if (child.exitCode !== null) throw new Error(`envoy ended with ${child.exitCode}`);
    if (Date.now() > deadline) throw new Error('envoy does not listen');
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}

function config(at: { http1Port: number; http2Port: number; origins: Origins }): object {
  const { http1Port, http2Port, origins } = at;
  return {
    static_resources: {
      listeners: [listener('h1', http1Port), listener('h2', http2Port)],
      clusters: [cluster('h1', origins.http1Port), cluster('h2', origins.http2Port)],
    },
  };
}

function listener(name: string, port: number): object {
  return {
    name,
    address: address(port),
    filter_chains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: {
              '@type': `${TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
              stat_prefix: name,
              codec_type: name === 'h1' ? 'HTTP1' : 'HTTP2',
              normalize_path: true,
              merge_slashes: true,
              path_with_escaped_slashes_action: 'UNESCAPE_AND_REDIRECT',
              generate_request_id: false,
              upgrade_configs: [{ upgrade_type: 'websocket' }],
              http_filters: [rbac(), router()],
              route_config: routes(name),
            },
          },
        ],
      },
    ],
  };
}

function rbac(): object {
  const policies = { rules: { permissions: rbacPermissions(), principals: [{ any: true }] } };
  return {
    name: 'envoy.filters.http.rbac',
    typed_config: {
      '@type': `${TYPES}.filters.http.rbac.v3.RBAC`,
      rules: { action: 'ALLOW', policies },
    },
  };
}

function router(): object {
  return {
    name: 'envoy.filters.http.router',
    typed_config: {
      '@type': `${TYPES}.filters.http.router.v3.Router`,
      suppress_envoy_headers: true,
    },
  };
}

function routes(name: string): object {
  const routes = [{ match: { prefix: '/' }, route: { cluster: name } }];
  return { virtual_hosts: [{ name, domains: ['*'], routes }] };
}

function cluster(name: string, port: number): object {
  const options = { explicit_http_config: { http2_protocol_options: {} } };
  const http2 = {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': `${TYPES}.upstreams.http.v3.HttpProtocolOptions`,
      ...options,
    },
  };
  return {
    name,
    type: 'STATIC',
    ...(name === 'h2' ? { typed_extension_protocol_options: http2 } : {}),
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }],
    },
  };
}

function address(port: number): object {
  return { socket_address: { address: '127.0.0.1', port_value: port } };
}
