/** Exchanges with one peer: which ports they leave from, and that each hears its own answer. */
import { afterEach, describe, expect, it } from 'vitest';
import { parseSocketAddress, type SocketAddress } from '../../../src/model/address.ts';
import type { DatagramDoor, DatagramEnds, DatagramLink } from '../../../src/platform/datagrams.ts';
import { nativeDatagrams } from '../../../src/platform/native/native_datagrams.ts';
import { ManualPlatform } from '../../support/manual_platform.ts';
import { Signal } from '../../support/signal.ts';

const LOOPBACK = parseSocketAddress('127.0.0.1:0') as SocketAddress;
/** More than are given a port of their own at once. */
const MANY = 600;

class Peer {
  readonly time = new ManualPlatform();
  readonly datagrams = nativeDatagrams({
    platform: this.time,
    answerMark: 0,
    onBound: () => {},
  });
  readonly asked: { readonly id: number; readonly ends: DatagramEnds }[] = [];
  readonly signal = new Signal();
  door!: DatagramDoor;

  async start(): Promise<void> {
    this.door = await this.datagrams.bind({
      address: LOOPBACK,
      isPortShared: false,
      isTransparent: false,
      onDatagram: (bytes, ends) => {
        this.asked.push({ id: bytes.readUInt16BE(0), ends });
        this.signal.raise();
      },
      onError: () => {},
    });
  }

  /** Asks and hears nothing yet; `heard` gets what comes. */
  ask(id: number, heard: number[] = []): DatagramLink {
    const link = this.datagrams.connect(this.door.address, {
      sender: null,
      id,
      onDatagram: (bytes) => {
        heard.push(bytes.readUInt16BE(0));
        this.signal.raise();
      },
      onError: (error) => {
        throw error;
      },
    });
    link.send(numbered(id));
    return link;
  }

  async untilAsked(count: number): Promise<void> {
    await this.signal.until(
      () => this.asked.length >= count,
      () => `${count} questions`,
    );
  }

  answer({ ends }: { readonly ends: DatagramEnds }, id: number): void {
    this.door.send(numbered(id), { source: ends.destination, destination: ends.source });
  }

  /** In this second as many have had a port of their own as may. */
  async spendFresh(): Promise<void> {
    for (let sent = 0; sent < MANY; sent += 100) {
      for (let i = 0; i < 100; i++) this.ask(i).close();
      await this.untilAsked(sent + 100);
    }
    this.asked.length = 0;
  }
}

const peers: Peer[] = [];

async function startPeer(): Promise<Peer> {
  const peer = new Peer();
  peers.push(peer);
  await peer.start();
  return peer;
}

afterEach(async () => {
  for (const peer of peers.splice(0)) await peer.door.close();
});

const portsOf = (peer: Peer): ReadonlySet<number> =>
  new Set(peer.asked.map(({ ends }) => ends.source.port));

describe('exchanges with one peer', () => {
  it('have a port each, while few are asked for', async () => {
    const peer = await startPeer();
    const links = Array.from({ length: 200 }, (_, id) => peer.ask(id));
    await peer.untilAsked(200);
    expect(portsOf(peer).size).toBe(200);
    for (const link of links) link.close();
  });

  it('share ports while many are, and each hears what has its id', async () => {
    const peer = await startPeer();
    await peer.spendFresh();
    const heard = Array.from({ length: 150 }, (): number[] => []);
    const links = heard.map((own, id) => peer.ask(id, own));
    await peer.untilAsked(150);
    expect(portsOf(peer).size).toBeLessThan(150);
    expect(portsOf(peer).size).toBeGreaterThanOrEqual(16);
    for (const asked of peer.asked) peer.answer(asked, asked.id);
    await peer.signal.until(
      () => heard.every((own) => own.length === 1),
      () => 'all answers',
    );
    expect(heard).toEqual(heard.map((_, id) => [id]));
    for (const link of links) link.close();
  });

  it('all hear at a shared port what has nobody’s id: a forger is seen by whom he would deceive', async () => {
    const peer = await startPeer();
    await peer.spendFresh();
    const heard = Array.from({ length: 300 }, (): number[] => []);
    const links = heard.map((own, id) => peer.ask(id, own));
    await peer.untilAsked(300);
    const [first] = peer.asked as [(typeof peer.asked)[number]];
    const mates = peer.asked.filter(({ ends }) => ends.source.port === first.ends.source.port);
    expect(mates.length).toBeGreaterThan(1);
    peer.answer(first, 0xffff);
    await peer.signal.until(
      () => mates.every(({ id }) => heard[id]?.length === 1),
      () => 'all at the port',
    );
    const ids = new Set(mates.map(({ id }) => id));
    expect(heard.every((own, id) => own.length === (ids.has(id) ? 1 : 0))).toBe(true);
    for (const link of links) link.close();
  });

  it('hear nothing at a shared port of what comes too late for another', async () => {
    const peer = await startPeer();
    await peer.spendFresh();
    const heard = Array.from({ length: 300 }, (): number[] => []);
    const links = heard.map((own, id) => peer.ask(id, own));
    await peer.untilAsked(300);
    const [first] = peer.asked as [(typeof peer.asked)[number]];
    const mates = peer.asked.filter(({ ends }) => ends.source.port === first.ends.source.port);
    expect(mates.length).toBeGreaterThan(1);
    links[first.id]?.close();
    // As a slow server does.
    for (let times = 0; times < 3; times++) peer.answer(first, first.id);
    for (const mate of mates.slice(1)) peer.answer(mate, mate.id);
    await peer.signal.until(
      () => mates.slice(1).every(({ id }) => (heard[id]?.length ?? 0) > 0),
      () => 'the answers of the others',
    );
    for (const { id } of mates) expect(heard[id]).toEqual(id === first.id ? [] : [id]);
    for (const link of links) link.close();
  });

  it('hear nothing of a socket that was closed in the same turn, whose descriptor they have got', async () => {
    const peer = await startPeer();
    const told: string[] = [];
    const open = (name: string, id: number, onDatagram: () => void): DatagramLink => {
      const link = peer.datagrams.connect(peer.door.address, {
        sender: null,
        id,
        onDatagram,
        onError: ({ message }) => told.push(`${name}: ${message}`),
      });
      link.send(numbered(id));
      return link;
    };
    // Whichever is heard first closes the other, and a third comes: of the other there is word of something to read.
    const pair: DatagramLink[] = [];
    let third: DatagramLink | null = null;
    const replace = (other: number): void => {
      if (third !== null) return;
      pair[other]?.close();
      third = open('third', 3, () => {
        told.push('third: answered');
        peer.signal.raise();
      });
    };
    pair.push(open('first', 0, () => replace(1)));
    pair.push(open('second', 1, () => replace(0)));
    await peer.untilAsked(2);
    for (const asked of peer.asked) peer.answer(asked, asked.id);
    await peer.untilAsked(3);
    peer.answer(peer.asked[2] as (typeof peer.asked)[number], 3);
    await peer.signal.until(
      () => told.length > 0,
      () => 'the third one’s answer',
    );
    expect(told).toEqual(['third: answered']);
    for (const link of [...pair, third]) (link as DatagramLink | null)?.close();
  });

  it('have ports of their own again a while later', async () => {
    const peer = await startPeer();
    await peer.spendFresh();
    await peer.time.advance(1000);
    const links = Array.from({ length: 200 }, (_, id) => peer.ask(id));
    await peer.untilAsked(200);
    expect(portsOf(peer).size).toBe(200);
    for (const link of links) link.close();
  });
});

function numbered(id: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt16BE(id);
  return bytes;
}
