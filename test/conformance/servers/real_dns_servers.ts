/** Real DNS servers with one small zone: example.net, with answers that are longer than a datagram. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, PeerProcess } from './peer_process.ts';

export interface RealDnsServer {
  readonly port: number;
  /** Questions of dig for zone transfers, where it gives any. */
  readonly transfers: readonly string[];
  readonly stop: () => Promise<void>;
}

export const REAL_DNS_SERVERS: Readonly<Record<string, (dir: string) => Promise<RealDnsServer>>> = {
  bind: startBind,
  unbound: startUnbound,
  dnsmasq: startDnsmasq,
};

/** Texts of about so many bytes in all. */
function texts(count: number): readonly string[] {
  return Array.from({ length: count }, (_, i) => String(i).padStart(200, 'x'));
}

const LONG = texts(8);
/** With its header of 12 bytes each, nearly what a message by TCP may have. */
const HUGE = texts(300);

export function zone(): string {
  const lines = [
    '$TTL 60',
    '@ IN SOA ns hostmaster 1 3600 600 86400 60',
    '@ IN NS ns',
    'ns IN A 127.0.0.1',
    'www IN A 192.0.2.10',
    'other IN A 192.0.2.10',
    'www IN AAAA 2001:db8::10',
    'www IN TXT "a text"',
    'www IN MX 10 www',
    'www IN HTTPS 1 . alpn=h2 ipv4hint=192.0.2.10',
    'alias IN CNAME www',
    ...LONG.map((text) => `long IN TXT "${text}"`),
    ...HUGE.map((text) => `huge IN TXT "${text}"`),
    ...Array.from({ length: 2000 }, (_, i) => `host-${i} IN A 192.0.2.${i % 250}`),
  ];
  return `${lines.join('\n')}\n`;
}

async function startBind(dir: string): Promise<RealDnsServer> {
  const port = await freePort();
  writeFileSync(join(dir, 'zone'), zone());
  writeFileSync(
    join(dir, 'named.conf'),
    `options {
       directory "${dir}"; pid-file none; session-keyfile none; listen-on-v6 { none; };
       listen-on port ${port} { 127.0.0.1; }; recursion no; allow-transfer { any; };
       rrset-order { order none; }; dnssec-validation no;
       max-records-per-type 0;
     };
     controls { };
     zone "example.net" { type primary; file "zone"; };\n`,
  );
  const peer = await PeerProcess.start({
    command: 'named',
    args: ['-f', '-c', join(dir, 'named.conf'), '-n', '1'],
    port,
  });
  const transfers = ['example.net AXFR +tcp', 'example.net IXFR=0 +tcp', 'example.net IXFR=1 +tcp'];
  return { port, transfers, stop: () => peer.stop() };
}

async function startUnbound(dir: string): Promise<RealDnsServer> {
  const port = await freePort();
  writeFileSync(join(dir, 'zone'), zone());
  writeFileSync(
    join(dir, 'unbound.conf'),
    `server:
  directory: "${dir}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  interface: 127.0.0.1
  port: ${port}
  module-config: "iterator"
  num-threads: 1
  rrset-roundrobin: no
auth-zone:
  name: "example.net"
  for-upstream: yes
  for-downstream: yes
  zonefile: "${join(dir, 'zone')}"\n`,
  );
  const args = ['-d', '-c', join(dir, 'unbound.conf')];
  const peer = await PeerProcess.start({ command: 'unbound', args, port });
  return { port, transfers: [], stop: () => peer.stop() };
}

async function startDnsmasq(dir: string): Promise<RealDnsServer> {
  const port = await freePort();
  const records = [
    'host-record=www.example.net,192.0.2.10,2001:db8::10',
    'host-record=other.example.net,192.0.2.10',
    'cname=alias.example.net,www.example.net',
    'txt-record=www.example.net,a text',
    'mx-host=www.example.net,www.example.net,10',
    ...LONG.map((text) => `txt-record=long.example.net,${text}`),
    ...HUGE.map((text) => `txt-record=huge.example.net,${text}`),
  ];
  writeFileSync(
    join(dir, 'dnsmasq.conf'),
    [
      `port=${port}`,
      'listen-address=127.0.0.1',
      'bind-interfaces',
      'no-resolv',
      'no-hosts',
      'local=/example.net/',
      'pid-file=',
      ...records,
      '',
    ].join('\n'),
  );
  const peer = await PeerProcess.start({
    command: 'dnsmasq',
    args: ['--keep-in-foreground', `--conf-file=${join(dir, 'dnsmasq.conf')}`, '--user=root'],
    port,
  });
  return { port, transfers: [], stop: () => peer.stop() };
}
