/** Datagrams with both of their ends. */
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { parseSocketAddress, type SocketAddress } from '../../src/model/address.ts';
import {
  type DatagramDoor,
  type DatagramEnds,
  PLAIN_DATAGRAMS,
} from '../../src/platform/datagrams.ts';
import { Signal } from '../support/signal.ts';

interface Side {
  readonly door: DatagramDoor;
  readonly heard: { readonly text: string; readonly ends: DatagramEnds }[];
  readonly signal: Signal;
}

async function side(host: string): Promise<Side> {
  const heard: Side['heard'] = [];
  const signal = new Signal();
  const door = await PLAIN_DATAGRAMS.bind({
    address: addressOf(`${host}:0`),
    isPortShared: false,
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

describe('a datagram', () => {
  it.each(['127.0.0.1', '[::1]'])(
    'comes with both ends, and is answered from its own: %s',
    async (host) => {
      const [client, server] = [await side(host), await side(host)];
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

  it('is sent from no other end', async () => {
    const { door } = await side('127.0.0.1');
    const source = addressOf('127.0.0.2:53');
    const destination = door.address;
    expect(() => door.send(Buffer.from('x'), { source, destination })).toThrow('own address');
    await door.close();
  });

  it.each(['127.0.0.1', '[::1]'])('is heard on a link from its peer alone: %s', async (host) => {
    const [peer, stranger] = [await side(host), await side(host)];
    const heard: string[] = [];
    const signal = new Signal();
    const link = PLAIN_DATAGRAMS.connect(peer.door.address, {
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
    stranger.door.send(Buffer.from('forged'), {
      source: stranger.door.address,
      destination: source,
    });
    peer.door.send(Buffer.from('answer'), { source: destination, destination: source });
    await signal.until(
      () => heard.length === 1,
      () => 'an answer',
    );
    expect(heard).toEqual(['answer']);
    link.close();
    link.close();
    await Promise.all([peer.door.close(), stranger.door.close()]);
  });

  it('that nobody takes is told as an error of its link', async () => {
    const gone = await side('127.0.0.1');
    const { address } = gone.door;
    await gone.door.close();
    const errors: string[] = [];
    const signal = new Signal();
    const link = PLAIN_DATAGRAMS.connect(address, {
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
    const { door } = await side('127.0.0.1');
    const errors: string[] = [];
    const signal = new Signal();
    const options = {
      onDatagram: () => {},
      onError: (error: NodeJS.ErrnoException) => {
        errors.push(error.code ?? '');
        signal.raise();
      },
    };
    // More than a datagram can have.
    const tooLong = Buffer.alloc(65_508);
    const closed = PLAIN_DATAGRAMS.connect(door.address, options);
    closed.send(tooLong);
    closed.close();
    const link = PLAIN_DATAGRAMS.connect(door.address, options);
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
    const script = new URL('../support/links_without_files.ts', import.meta.url).pathname;
    const limited = 'ulimit -n 100 && exec "$0" "$1"';
    const told = execFileSync('/bin/sh', ['-c', limited, process.execPath, script]);
    expect(told.toString()).toBe('EMFILE 0\n');
  });

  it('is not waited for where the address is taken', async () => {
    const { door } = await side('127.0.0.1');
    const { ip, port } = door.address;
    const options = {
      address: addressOf(`${ip}:${port}`),
      isPortShared: false,
      onDatagram: () => {},
      onError: () => {},
    };
    await expect(PLAIN_DATAGRAMS.bind(options)).rejects.toThrow('EADDRINUSE');
    await door.close();
  });
});

function addressOf(text: string): SocketAddress {
  const address = parseSocketAddress(text);
  if (address === null) throw new Error(text);
  return address;
}
