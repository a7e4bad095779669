/** Real connections over a node: what is redirected, what is not, and what happens when things go away. */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Identity } from '../../../src/model/identity.ts';
import {
  decodeRecord,
  encodeTuple,
  IP_PROTOCOLS,
  identityMark,
  MARK_PROXY_EGRESS,
  MARK_PROXY_INGRESS,
  MARK_TO_PROXY,
  RECORD_BYTES,
  VERDICT_ALLOW,
  VERDICT_REDIRECT,
} from '../../../src/redirect/layout.ts';
import { Netns } from '../root/netns.ts';
import { DROP, PASS, type Rule } from './lab.ts';
import { ACK, FIN, frame, icmp, RST, tcp, udp } from './packets.ts';
import {
  ask,
  askAgain,
  askBy,
  CLIENT,
  describeSocket,
  SERVER,
  Street,
  sendRaw,
  setMark,
} from './street.ts';

const { TCP, UDP } = IP_PROTOCOLS;
const [REDIRECTED, DIRECT, DENIED] = [80, 81, 82];
const BURST = 2000;
const AT_ONCE = 100;

const INGRESS: readonly Rule[] = [
  { protocol: TCP, port: REDIRECTED, verdict: VERDICT_REDIRECT },
  { protocol: TCP, port: DIRECT, verdict: VERDICT_ALLOW },
  { protocol: UDP, port: 5300, verdict: VERDICT_ALLOW },
];
const EGRESS: readonly Rule[] = [{ protocol: 0, verdict: VERDICT_ALLOW }];

let street: Street;
const listeners = new Map<4 | 6, Server>();
const held = new Set<Socket>();
const others: Netns[] = [];
let servedConnections = 0;

/** A namespace that goes at the end, whatever becomes of its test. */
function another(label: string): Netns {
  const netns = new Netns(`spA-${label}`);
  others.push(netns);
  return netns;
}

/** Tells what it sees and closes first, so that TIME_WAIT is the proxy's; "hold" keeps the connection. */
function answer(prefix: string, socket: Socket): void {
  socket.once('data', (data) => {
    if (data.toString().startsWith('hold')) {
      held.add(socket);
      socket.on('data', (more) => socket.write(`${prefix} ${more}`));
      socket.write(`${prefix} held`);
    } else socket.end(`${prefix} ${describeSocket(socket)}`);
  });
}

beforeAll(async () => {
  street = new Street('street');
  for (const port of [REDIRECTED, DIRECT, DENIED])
    await street.serve(port, (socket) => {
      servedConnections++;
      answer('server', socket);
    });
  street.lab.apply(street.tables(EGRESS, INGRESS));
  street.attach();
  await startProxy();
});
afterAll(() => {
  for (const socket of held) socket.destroy();
  street.dispose();
  for (const netns of others) netns.dispose();
});

/** The record of the last accepted connection, as the proxy finds it at that moment. */
let accepted: Buffer | null = null;

function recordOf(socket: Socket): Buffer | null {
  const { remoteAddress, remotePort, localAddress, localPort } = socket;
  const side = (ip = '', port = 0): never =>
    ({ ip, family: ip.includes(':') ? 6 : 4, port }) as never;
  const key = encodeTuple(side(remoteAddress, remotePort), side(localAddress, localPort));
  return street.lab.datapath.maps.records.lookup(key);
}

async function startProxy(): Promise<void> {
  for (const family of [4, 6] as const) {
    const server = await street.listen(family, 15_080, (socket) => {
      accepted = recordOf(socket);
      answer('proxy', socket);
    });
    street.register(server, family);
    listeners.set(family, server);
  }
}

function stopProxy(): void {
  for (const server of listeners.values()) server.close();
}

const to = (port: number, family: 4 | 6 = 4): { ip: string; port: number } => ({
  ip: family === 4 ? SERVER.ip4 : SERVER.ip6,
  port,
});

const counted = (name: 'redirected' | 'assigned' | 'passed'): number =>
  Number(street.lab.datapath.counters()[name]);

describe.each([4, 6] as const)('IPv%i', (family) => {
  const own = family === 4 ? CLIENT.ip4 : CLIENT.ip6;

  it('a redirected connection reaches the proxy as if it were the server', async () => {
    const seen = await ask(
      street.client,
      to(REDIRECTED, family),
      { ip: own, port: 41_000 },
      'hello',
    );
    expect(seen).toBe(`proxy ${own} 41000 > ${to(REDIRECTED, family).ip} ${REDIRECTED}`);
    expect(decodeRecord(accepted as unknown as Buffer)).toMatchObject({
      source: { identity: CLIENT.identity, endpoint: CLIENT.endpoint },
      destination: { identity: SERVER.identity, endpoint: SERVER.endpoint },
    });
  });

  it('another port goes to the server itself, from the client itself', async () => {
    const seen = await ask(street.client, to(DIRECT, family), { ip: own, port: 41_001 }, 'hello');
    expect(seen).toBe(`server ${own} 41001 > ${to(DIRECT, family).ip} ${DIRECT}`);
  });

  it('a denied one is told at once', async () => {
    await expect(ask(street.client, to(DENIED, family))).rejects.toThrow('ECONNREFUSED');
  });

  it('datagrams and their answers pass, also in fragments', async () => {
    const echo = await street.server.udp({ ip: to(0, family).ip, port: 5300 });
    echo.on('message', (text, sender) => echo.send(text, sender.port, sender.address));
    const socket = await street.client.udp({ ip: own, port: 0 });
    for (const bytes of [5, 4000]) {
      socket.send(Buffer.alloc(bytes, 'x'), 5300, to(0, family).ip);
      const [answered] = await once(socket, 'message');
      expect((answered as Buffer).length).toBe(bytes);
    }
    echo.close();
    socket.close();
  });

  it('the proxy reaches the server from the client’s address', async () => {
    const mark = identityMark(MARK_PROXY_INGRESS, CLIENT.identity as Identity);
    const seen = await askBy(street.upstream(own, mark), to(REDIRECTED, family), 'hello');
    expect(seen).toMatch(`server ${own} `);
    // Nor does one that has not asked for the receiver's L7 rules.
    const unasked = identityMark(MARK_PROXY_EGRESS, CLIENT.identity as Identity);
    await expect(askBy(street.upstream(own, unasked), to(REDIRECTED, family))).rejects.toThrow(
      'ECONNREFUSED',
    );
    // What the policy denies, a proxy that errs does not reach either.
    await expect(askBy(street.upstream(own, mark), to(DENIED, family))).rejects.toThrow(
      'ECONNREFUSED',
    );
  });

  it('the same port again and again, over TIME_WAIT', async () => {
    const before = counted('redirected');
    for (let i = 0; i < 50; i++) {
      const seen = await askAgain(street.client, to(REDIRECTED, family), { ip: own, port: 40_000 });
      expect(seen).toMatch('proxy');
    }
    // One SYN each: none was lost and sent again.
    expect(counted('redirected') - before).toBe(50);
  });

  it('SYN cookies', async () => {
    street.lab.node.sysctl('net.ipv4.tcp_syncookies', 2);
    for (let i = 0; i < 20; i++)
      expect(await ask(street.client, to(REDIRECTED, family), null, 'hello')).toMatch('proxy');
    street.lab.node.sysctl('net.ipv4.tcp_syncookies', 1);
  });
});

it(`${BURST} connections at once are all served`, async () => {
  const before = counted('redirected');
  let started = 0;
  const one = async (): Promise<void> => {
    while (started++ < BURST)
      expect(
        await ask(street.client, to(REDIRECTED, started % 2 === 0 ? 4 : 6), null, 'x'),
      ).toMatch('proxy');
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  expect(counted('redirected') - before).toBe(BURST);
});

it('records of connections that ended are gone', async () => {
  const { records } = street.lab.datapath.maps;
  for (const key of [...records.keys()]) records.delete(key);
  for (let i = 0; i < 20; i++) await ask(street.client, to(REDIRECTED), null, 'x');
  const socket = street.client.client(4);
  socket.connect({ host: SERVER.ip4, port: REDIRECTED }, () => socket.write('hold'));
  await once(socket, 'data');
  expect([...records.keys()].length).toBe(1);
  socket.resetAndDestroy();
  while ([...records.keys()].length > 0) await sleep(5);
});

it('a record that was pushed out by others ends its connection', async () => {
  const { records } = street.lab.datapath.maps;
  const socket = street.client.client(4);
  socket.connect({ host: SERVER.ip4, port: REDIRECTED }, () => socket.write('hold'));
  await once(socket, 'data');
  for (const key of [...records.keys()]) records.delete(key);
  const before = street.lab.datapath.counters()['record-lost'];
  socket.write('more');
  const [error] = await once(socket, 'error').catch((failure) => [failure]);
  expect((error as NodeJS.ErrnoException).code).toBe('ECONNRESET');
  expect(street.lab.datapath.counters()['record-lost']).toBeGreaterThan(before);
});

/** Offset of `ifindex` in a record. */
const RECORD_INTERFACE = 60;

describe('when the proxy goes', () => {
  it('what it has goes on, what comes is refused at once, and the next proxy is found', async () => {
    const socket = street.client.client(4);
    socket.setEncoding('utf8');
    socket.connect({ host: SERVER.ip4, port: REDIRECTED }, () => socket.write('hold'));
    expect((await once(socket, 'data'))[0]).toBe('proxy held');
    const reached = servedConnections;
    stopProxy();
    await expect(ask(street.client, to(REDIRECTED, 4))).rejects.toThrow('ECONNREFUSED');
    await expect(ask(street.client, to(REDIRECTED, 6))).rejects.toThrow('ECONNREFUSED');
    socket.write('still');
    expect((await once(socket, 'data'))[0]).toBe('proxy still');
    expect(servedConnections).toBe(reached);
    await startProxy();
    expect(await ask(street.client, to(REDIRECTED, 4), null, 'x')).toMatch('proxy');
    socket.write('again');
    expect((await once(socket, 'data'))[0]).toBe('proxy again');
    socket.destroy();
  });

  it('a reset or an end that is made up does not take its record away', async () => {
    const local = { ip: CLIENT.ip4, port: 44_000 };
    const socket = street.client.client(4, local);
    socket.connect({ host: SERVER.ip4, port: REDIRECTED }, () => socket.write('hold'));
    await once(socket, 'data');
    const [{ ifindex }] = JSON.parse(street.client.run(['ip', '-j', 'link', 'show', 'eth0']));
    const { owned } = street.lab.datapath.counters();
    for (const flags of [RST, RST | ACK, FIN | ACK]) {
      const payload = tcp({ from: local.port, to: REDIRECTED, flags, seq: 12 });
      const leg = { from: CLIENT.ip4, to: SERVER.ip4, protocol: TCP };
      sendRaw(street.client, ifindex, frame({ ...leg, payload }));
    }
    while (street.lab.datapath.counters().owned < owned + 3n) await sleep(5);
    socket.write('more');
    expect(String((await once(socket, 'data'))[0])).toBe('proxy more');
    const side = (ip: string, port: number): never => ({ ip, family: 4, port }) as never;
    const key = encodeTuple(side(local.ip, local.port), side(SERVER.ip4, REDIRECTED));
    const { records } = street.lab.datapath.maps;
    expect(records.lookup(key)).not.toBeNull();
    // The client's own does: it has the number that the socket waits for.
    socket.resetAndDestroy();
    while (records.lookup(key) !== null) await sleep(5);
  });

  it('a socket that vanished is told to its client', async () => {
    const socket = street.client.client(4);
    socket.connect({ host: SERVER.ip4, port: REDIRECTED }, () => socket.write('hold'));
    await once(socket, 'data');
    const [last] = [...held].slice(-1);
    last?.resetAndDestroy();
    const [error] = await once(socket, 'error').catch((failure) => [failure]);
    expect((error as NodeJS.ErrnoException).code).toBe('ECONNRESET');
  });
});

describe('nothing passes by the proxy', () => {
  it('not with a mark that a pod sets on its own packets', async () => {
    const fd = street.client.socket('tcp', 4, null);
    setMark(fd, MARK_PROXY_EGRESS | 0x0f00);
    const { Socket: NodeSocket } = await import('node:net');
    const options = { fd, allowHalfOpen: true, manualStart: true };
    expect(await askBy(new NodeSocket(options), to(REDIRECTED), 'x')).toMatch('proxy');
  });

  it('not behind a VLAN tag that the node has taken off already', async () => {
    const linkAddress = (of: Netns, name: string): Buffer => {
      const [link] = JSON.parse(of.run(['ip', '-j', 'link', 'show', name]));
      return Buffer.from(link.address.replaceAll(':', ''), 'hex');
    };
    const payload = udp(1000, 5300);
    const plain = frame({ from: CLIENT.ip4, to: SERVER.ip4, protocol: UDP, payload });
    const [{ ifindex }] = JSON.parse(street.client.run(['ip', '-j', 'link', 'show', 'eth0']));
    const addresses = [linkAddress(street.lab.node, 'lxcC'), linkAddress(street.client, 'eth0')];
    const tagged = Buffer.concat([
      ...addresses,
      Buffer.from('81000005', 'hex'),
      plain.subarray(12),
    ]);
    const { vlan, passed } = street.lab.datapath.counters();
    sendRaw(street.client, ifindex, Buffer.concat([...addresses, plain.subarray(12)]));
    while (street.lab.datapath.counters().passed === passed) await sleep(5);
    sendRaw(street.client, ifindex, tagged);
    while (street.lab.datapath.counters().vlan === vlan) await sleep(5);
  });

  it('not when the node’s rules are gone', async () => {
    const reached = servedConnections;
    street.removeRules();
    try {
      const socket = street.client.client(4);
      const failed = once(socket, 'error').catch((error) => [error]);
      socket.setTimeout(1500, () => socket.destroy(new Error('no answer')));
      socket.connect({ host: SERVER.ip4, port: REDIRECTED });
      await failed;
      expect(servedConnections).toBe(reached);
    } finally {
      street.addRules();
    }
  });

  it('not by a connection that is older than the rule', async () => {
    const socket = street.client.client(4);
    socket.connect({ host: SERVER.ip4, port: DIRECT }, () => socket.write('hold'));
    await once(socket, 'data');
    const redirected: Rule = { protocol: TCP, port: DIRECT, verdict: VERDICT_REDIRECT };
    street.lab.apply(street.tables(EGRESS, [redirected]));
    socket.write('more');
    const [error] = await once(socket, 'error').catch((failure) => [failure]);
    expect((error as NodeJS.ErrnoException).code).toBe('ECONNRESET');
    expect(await ask(street.client, to(DIRECT), null, 'x')).toMatch('proxy');
    street.lab.apply(street.tables(EGRESS, INGRESS));
    expect(await ask(street.client, to(DIRECT), null, 'x')).toMatch('server');
  });
});

describe('the node itself', () => {
  it('reaches its endpoints, and they reach it only where they may', async () => {
    expect(await ask(street.lab.node, to(DIRECT), null, 'x')).toMatch('server');
    street.lab.apply(street.tables([{ protocol: UDP, verdict: VERDICT_ALLOW }], INGRESS));
    await expect(ask(street.client, { ip: '10.77.1.1', port: 22 })).rejects.toThrow('ECONNREFUSED');
    expect(street.lab.datapath.refusals()[0]).toMatchObject({
      destinationPort: 22,
      reason: 'denied-egress',
    });
    street.lab.apply(street.tables(EGRESS, INGRESS));
  });
});

describe('the node itself, judged like others', () => {
  it.each([4, 6] as const)('goes through the proxy as the host, IPv%i', async (family) => {
    street.lab.apply(street.tables(EGRESS, INGRESS), 'redirected');
    street.lab.node.sysctl('net.ipv4.conf.lxcS.accept_local', 1);
    const before = servedConnections;
    expect(await ask(street.lab.node, to(REDIRECTED, family), null, 'x')).toMatch('proxy');
    expect(decodeRecord(accepted as unknown as Buffer)).toMatchObject({
      source: { identity: 1, endpoint: 0 },
      ...{ isEgressJudged: false, isIngressJudged: true, ifindex: street.serverIfindex },
    });
    expect(servedConnections).toBe(before);
    expect(await ask(street.lab.node, to(DIRECT, family), null, 'x')).toMatch('server');
    await expect(ask(street.lab.node, to(DENIED, family))).rejects.toThrow('ECONNREFUSED');
    const own = family === 4 ? '10.77.2.1' : 'fd77:2::1';
    const mark = identityMark(MARK_PROXY_INGRESS, 1 as Identity);
    const upstream = street.upstream(own, mark);
    expect(await askBy(upstream, to(REDIRECTED, family), 'x')).toMatch(`server ${own} `);
    street.lab.apply(street.tables(EGRESS, INGRESS));
  });
});

describe('an interface that has no programs of ours', () => {
  it('brings answers to the proxy all the same, and to endpoints what they asked for', async () => {
    const outside = another('outside');
    const ifindex = street.connect('out', outside, 3);
    const server = createServer((socket) => answer('outside', socket));
    await outside.listen(server, { ip: '10.77.3.2', port: REDIRECTED });
    const at = { ip: '10.77.3.2', port: REDIRECTED };
    expect(await ask(street.client, at, { ip: CLIENT.ip4, port: 43_000 }, 'x')).toBe(
      `outside ${CLIENT.ip4} 43000 > 10.77.3.2 ${REDIRECTED}`,
    );
    // Early demux gives the packet to the proxy's socket, and forwarding drops what has a socket.
    street.lab.node.sysctl('net.ipv4.tcp_early_demux', 0);
    const mark = identityMark(MARK_PROXY_EGRESS, CLIENT.identity as Identity);
    expect(await askBy(street.upstream(CLIENT.ip4, mark), at, 'x')).toMatch('outside');
    const asking = outside.client(4);
    asking.setTimeout(500, () => asking.destroy(new Error('no answer')));
    asking.connect({ host: SERVER.ip4, port: REDIRECTED });
    await expect(once(asking, 'connect')).rejects.toThrow('no answer');
    expect(street.lab.datapath.refusals()[0]).toMatchObject({ reason: 'unredirectable' });
    // A record speaks for what comes by the interface of its SYN, and for nothing else.
    const side = (ip: string, port: number): never => ({ ip, family: 4, port }) as never;
    const key = encodeTuple(side('10.77.3.2', 45_000), side('10.77.1.1', 9999));
    const knock = (): Promise<string> =>
      ask(outside, { ip: '10.77.1.1', port: 9999 }, { ip: '10.77.3.2', port: 45_000 }, 'x');
    const record = Buffer.alloc(RECORD_BYTES);
    record.writeUInt32LE(street.clientIfindex, RECORD_INTERFACE);
    street.lab.datapath.maps.records.update(key, record);
    await expect(knock()).rejects.toThrow('ECONNREFUSED');
    record.writeUInt32LE(ifindex, RECORD_INTERFACE);
    street.lab.datapath.maps.records.update(key, record);
    expect(await knock()).toMatch('proxy');
    server.close();
  });
});

describe('a program of the node', () => {
  it('is reached by endpoints that may, and no longer when they may not', async () => {
    const service = createServer((socket) => answer('node', socket));
    await street.lab.node.listen(service, { ip: '10.77.1.1', port: 9000 });
    const socket = street.client.client(4);
    socket.connect({ host: '10.77.1.1', port: 9000 }, () => socket.write('hold'));
    expect(String((await once(socket, 'data'))[0])).toBe('node held');
    street.lab.apply(street.tables([], INGRESS));
    socket.write('more');
    const [error] = await once(socket, 'error').catch((failure) => [failure]);
    expect((error as NodeJS.ErrnoException).code).toBe('ECONNRESET');
    street.lab.apply(street.tables(EGRESS, INGRESS));
    service.close();
  });
});

describe('an error about a packet of the proxy', () => {
  it('reaches the proxy, when it comes from who was sent the packet', async () => {
    const socket = street.client.client(4, { ip: CLIENT.ip4, port: 44_000 });
    socket.connect({ host: SERVER.ip4, port: REDIRECTED }, () => socket.write('hold'));
    await once(socket, 'data');
    const payload = tcp({ from: REDIRECTED, to: 44_000, flags: ACK });
    const sent = frame({ from: SERVER.ip4, to: CLIENT.ip4, protocol: TCP, payload });
    const tooLarge = (quoted: Buffer): Buffer =>
      frame({
        ...{ from: CLIENT.ip4, to: SERVER.ip4, protocol: 1 },
        payload: icmp(3, 4, 0, quoted.subarray(14)),
      });
    street.lab.apply(street.tables([], INGRESS));
    const send = (packet: Buffer) =>
      street.lab.send('from_interface', packet, { ifindex: street.clientIfindex });
    expect(send(tooLarge(sent))).toMatchObject({ result: PASS });
    expect(send(tooLarge(sent)).mark & 0xf00).toBe(MARK_TO_PROXY);
    const other = tcp({ from: REDIRECTED, to: 44_001, flags: ACK });
    const foreign = frame({ from: SERVER.ip4, to: CLIENT.ip4, protocol: TCP, payload: other });
    expect(send(tooLarge(foreign))).toMatchObject({ result: DROP });
    street.lab.apply(street.tables(EGRESS, INGRESS));
    socket.destroy();
  });
});

describe('an address that another pod has now', () => {
  it('begins with its own identity, and inherits no connection', async () => {
    const old = street.client.client(4, { ip: CLIENT.ip4, port: 42_000 });
    old.connect({ host: SERVER.ip4, port: REDIRECTED }, () => old.write('hold'));
    await once(old, 'data');

    const heir = { ...CLIENT, endpoint: 29, identity: 5009 };
    const pod = another('heir');
    street.lab.node.ip('addr flush dev lxcC');
    const ifindex = street.connect('lxcH', pod, 1);
    street.lab.inside(() => street.lab.datapath.attachInterface(ifindex));
    const tables = street.tables(EGRESS, INGRESS, heir);
    street.lab.apply({
      ...tables,
      interfaces: new Map([
        [street.serverIfindex, SERVER.endpoint],
        [ifindex, heir.endpoint],
      ]),
    });

    // Its port is the other's: a SYN on a connection that the proxy still has.
    await expect(ask(pod, to(REDIRECTED), { ip: CLIENT.ip4, port: 42_000 })).rejects.toThrow(
      'ECONNREFUSED',
    );
    expect(await ask(pod, to(REDIRECTED), { ip: CLIENT.ip4, port: 42_001 }, 'x')).toMatch('proxy');
    expect(decodeRecord(accepted as unknown as Buffer)).toMatchObject({
      source: { identity: heir.identity, endpoint: heir.endpoint },
    });
    old.destroy();
  });
});
