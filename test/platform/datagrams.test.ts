/** Datagrams with both of their ends. */
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { parseSocketAddress, type SocketAddress } from '../../src/model/address.ts';
import type { DatagramDoor, DatagramEnds, Datagrams } from '../../src/platform/datagrams.ts';
import { DATAGRAM_FORMS, NATIVE_DATAGRAMS } from '../support/datagram_forms.ts';
import { Signal } from '../support/signal.ts';

/** Of messages that begin with these letters. */
const EXCHANGE = { sender: null, id: 0x6162 };

interface Side {
  readonly door: DatagramDoor;
  readonly heard: { readonly text: string; readonly ends: DatagramEnds }[];
  readonly signal: Signal;
}

async function side(datagrams: Datagrams, host: string): Promise<Side> {
  const heard: Side['heard'] = [];
  const signal = new Signal();
  const door = await datagrams.bind({
    address: addressOf(`${host}:0`),
    isPortShared: false,
    isTransparent: false,
    onDatagram: (bytes, ends) => {
      heard.push({ text: bytes.toString(), ends });
      signal.raise();
    },
    onError: (error) => {
      throw error;
    },
  });
  return { door, heard, signal };
}

describe.each(DATAGRAM_FORMS)('a datagram: %s', (_, datagrams) => {
  it.each(['127.0.0.1', '[::1]'])(
    'comes with both ends, and is answered from its own: %s',
    async (host) => {
      const [client, server] = [await side(datagrams, host), await side(datagrams, host)];
      const ends = { source: client.door.address, destination: server.door.address };
      client.door.send(Buffer.from('question'), ends);
      await server.signal.until(
        () => server.heard.length === 1,
        () => 'a question',
      );
      expect(server.heard).toEqual([{ text: 'question', ends }]);
      server.door.send(Buffer.from('answer'), {
        source: ends.destination,
        destination: ends.source,
      });
      await client.signal.until(
        () => client.heard.length === 1,
        () => 'an answer',
      );
      expect(client.heard).toEqual([
        { text: 'answer', ends: { source: ends.destination, destination: ends.source } },
      ]);
      await Promise.all([client.door.close(), server.door.close()]);
    },
  );

  it('is sent from no other port', async () => {
    const { door } = await side(datagrams, '127.0.0.1');
    const source = addressOf('127.0.0.1:53');
    const destination = door.address;
    expect(() => door.send(Buffer.from('x'), { source, destination })).toThrow('own');
    await door.close();
  });

  it.each(['127.0.0.1', '[::1]'])('is heard on a link from its peer alone: %s', async (host) => {
    const [peer, stranger] = [await side(datagrams, host), await side(datagrams, host)];
    const heard: string[] = [];
    const signal = new Signal();
    const link = datagrams.connect(peer.door.address, {
      ...EXCHANGE,
      onDatagram: (bytes) => {
        heard.push(bytes.toString());
        signal.raise();
      },
      onError: (error) => {
        throw error;
      },
    });
    link.send(Buffer.from('question'));
    await peer.signal.until(
      () => peer.heard.length === 1,
      () => 'a question',
    );
    const { source, destination } = (peer.heard[0] as Side['heard'][number]).ends;
    stranger.door.send(Buffer.from('ab forged'), {
      source: stranger.door.address,
      destination: source,
    });
    peer.door.send(Buffer.from('ab answer'), { source: destination, destination: source });
    await signal.until(
      () => heard.length === 1,
      () => 'an answer',
    );
    expect(heard).toEqual(['ab answer']);
    link.close();
    link.close();
    await Promise.all([peer.door.close(), stranger.door.close()]);
  });

  it('that nobody takes is told as an error of its link', async () => {
    const gone = await side(datagrams, '127.0.0.1');
    const { address } = gone.door;
    await gone.door.close();
    const errors: string[] = [];
    const signal = new Signal();
    const link = datagrams.connect(address, {
      ...EXCHANGE,
      onDatagram: () => {},
      onError: (error) => {
        errors.push((error as NodeJS.ErrnoException).code ?? '');
        signal.raise();
      },
    });
    link.send(Buffer.from('question'));
    await signal.until(
      () => errors.length === 1,
      () => 'an error',
    );
    expect(errors).toEqual(['ECONNREFUSED']);
    link.close();
  });

  it('that the system does not take is told as an error of its link, unless that is closed', async () => {
    const { door } = await side(datagrams, '127.0.0.1');
    const errors: string[] = [];
    const signal = new Signal();
    const options = {
      ...EXCHANGE,
      onDatagram: () => {},
      onError: (error: NodeJS.ErrnoException) => {
        errors.push(error.code ?? '');
        signal.raise();
      },
    };
    // More than a datagram can have.
    const tooLong = Buffer.alloc(65_508);
    const closed = datagrams.connect(door.address, options);
    closed.send(tooLong);
    closed.close();
    errors.length = 0;
    const link = datagrams.connect(door.address, options);
    link.send(tooLong);
    await signal.until(
      () => errors.length > 0,
      () => 'an error',
    );
    expect(errors).toEqual(['EMSGSIZE']);
    link.close();
    await door.close();
  });

  it('for which no socket is to be had leaves nothing behind', () => {
    const form = datagrams === NATIVE_DATAGRAMS ? 'native' : 'plain';
    const script = new URL('../support/links_without_files.ts', import.meta.url).pathname;
    const limited = 'ulimit -n 100 && exec "$0" "$1" "$2"';
    const told = execFileSync('/bin/sh', ['-c', limited, process.execPath, script, form]);
    expect(told.toString()).toBe('EMFILE 0\n');
  });

  it('is not waited for where the address is taken', async () => {
    const { door } = await side(datagrams, '127.0.0.1');
    const { ip, port } = door.address;
    const options = {
      address: addressOf(`${ip}:${port}`),
      isPortShared: false,
      isTransparent: false,
      onDatagram: () => {},
      onError: () => {},
    };
    await expect(datagrams.bind(options)).rejects.toThrow('EADDRINUSE');
    await door.close();
  });
});

describe('a datagram to all addresses of the machine', () => {
  it.each([
    ['0.0.0.0', '127.0.0.1', '127.9.8.7'],
    ['[::]', '[::1]', '[::1]'],
  ])('is answered from the one that it came to: %s', async (all, own, asked) => {
    const server = await side(NATIVE_DATAGRAMS, all);
    const client = await side(NATIVE_DATAGRAMS, own);
    const destination = addressOf(`${asked}:${server.door.address.port}`);
    client.door.send(Buffer.from('question'), { source: client.door.address, destination });
    await server.signal.until(
      () => server.heard.length === 1,
      () => 'a question',
    );
    expect(server.heard[0]?.ends).toEqual({ source: client.door.address, destination });
    server.door.send(Buffer.from('answer'), {
      source: destination,
      destination: client.door.address,
    });
    await client.signal.until(
      () => client.heard.length === 1,
      () => 'an answer',
    );
    expect(client.heard[0]?.ends.source).toEqual(destination);
    await Promise.all([client.door.close(), server.door.close()]);
  });
});

function addressOf(text: string): SocketAddress {
  const address = parseSocketAddress(text);
  if (address === null) throw new Error(text);
  return address;
}
