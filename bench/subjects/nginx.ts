/**
 * nginx, one process: as a proxy with a location for each rule, and as the origin of HTTP/1.1. Its access log
 * is JSON, written in pieces of 64 KiB as its users do. It speaks HTTP/1.1 only to upstreams, so it does not
 * take part in HTTP/2.
 */
import { freePort } from './process.ts';
import { HERE, startSubject } from './start.ts';
import type { BenchRule, Order, OriginOrder, Subject, SubjectKind } from './subject.ts';
import { isInstalled, versionOf } from './tools.ts';

export const NGINX: SubjectKind = {
  name: 'nginx',
  speaks: ['h1'],
  find: async () => {
    if (!isInstalled('nginx')) {
      return { name: 'nginx', why: 'nginx is not installed; `npm run bench:peers` tells how' };
    }
    return { version: versionOf(['nginx', '-v']), start: startNginx };
  },
};

/** Answers every request with `content` and 200. */
export async function startNginxOrigin(
  { directory, place }: OriginOrder,
  options: { readonly name: string; readonly content: string },
): Promise<Subject> {
  const port = await freePort();
  return startSubject({
    name: options.name,
    version: `nginx ${versionOf(['nginx', '-v'])}`,
    directory,
    files: { 'nginx.conf': originConfig(port, options.content) },
    command: nginxCommand,
    at: { port },
    place,
    isOrigin: true,
  });
}

async function startNginx(order: Order): Promise<Subject> {
  const port = await freePort();
  return startSubject({
    name: 'nginx',
    version: versionOf(['nginx', '-v']),
    directory: order.directory,
    files: { 'nginx.conf': nginxConfig(port, order) },
    command: nginxCommand,
    at: { port },
  });
}

function nginxCommand(pathOf: (name: string) => string): readonly string[] {
  return ['nginx', '-p', pathOf(''), '-e', 'stderr', '-c', pathOf('nginx.conf')];
}

/** Content is streamed as the other proxies do: never held in a file. */
export function nginxConfig(port: number, order: Order): string {
  return wholeConfig(`${logLines(order.hasAccessLog)}
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  upstream origin {
    server ${new URL(order.originUrl).host};
    keepalive 1024;
    keepalive_requests 1000000000;
    keepalive_time 1d;
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header Connection $connection_upgrade;
    proxy_set_header Upgrade $http_upgrade;
    proxy_max_temp_file_size 0;
    proxy_request_buffering off;
    client_max_body_size 0;
    location / { return 403; }
${locations(order.rules)}
  }`);
}

function originConfig(port: number, content: string): string {
  return wholeConfig(`  access_log off;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / { default_type text/plain; return 200 "${content}"; }
  }`);
}

/** Methods of one path share its location; not `limit_except`, which lets HEAD pass with GET. */
function locations(rules: readonly BenchRule[]): string {
  const methods = new Map<string, Set<string>>();
  for (const { method, path, isPattern } of rules) {
    const place = isPattern ? `~ "^(?:${path})$"` : `= "${path}"`;
    methods.set(place, (methods.get(place) ?? new Set()).add(method));
  }
  return [...methods]
    .map(([place, of]) => {
      const test = of.size === 1 ? `!= ${[...of].join('')}` : `!~ "^(?:${[...of].join('|')})$"`;
      return `    location ${place} { if ($request_method ${test}) { return 403; } proxy_pass http://origin; }`;
    })
    .join('\n');
}

function logLines(hasAccessLog: boolean): string {
  if (!hasAccessLog) return '  access_log off;';
  return `  log_format bench escape=json '{"time":"$time_iso8601","source":"$remote_addr:$remote_port","method":"$request_method",'
    '"path":"$uri","host":"$http_host","version":"$server_protocol","status":$status,"upstream":"$upstream_addr",'
    '"bytes_in":$request_length,"bytes_out":$bytes_sent,"seconds":$request_time}';
  access_log ${HERE}/access.log bench buffer=64k flush=1s;`;
}

function wholeConfig(http: string): string {
  return `daemon off;
master_process off;
pid ${HERE}/nginx.pid;
worker_rlimit_nofile 24000;
events { worker_connections 24000; }
http {
  keepalive_requests 1000000000;
  keepalive_timeout 300s;
  keepalive_time 1d;
  large_client_header_buffers 8 16k;
  client_body_temp_path ${HERE}/body;
  proxy_temp_path ${HERE}/proxy;
  fastcgi_temp_path ${HERE}/fastcgi;
  uwsgi_temp_path ${HERE}/uwsgi;
  scgi_temp_path ${HERE}/scgi;
${http}
}
`;
}
