/** Where an API server keeps its objects: etcd of the system, or kine with SQLite. */
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { programPath } from '../../../peers/kube/build.ts';
import { until } from '../../../support/until.ts';
import { freePorts, Part } from './part.ts';

/**
 * They differ as clients see them. Debian's etcd 3.4 tells no progress of a watch, so a streaming list ends in an error;
 * kine has it.
 */
export type StoreKind = 'etcd' | 'kine';

export class Store {
  readonly kind: StoreKind;
  readonly url: string;
  readonly part: Part;

  private constructor(kind: StoreKind, url: string, part: Part) {
    this.kind = kind;
    this.url = url;
    this.part = part;
  }

  static async create(kind: StoreKind, folder: string): Promise<Store> {
    const [port = 0, peerPort = 0] = await freePorts(2);
    const url = `http://127.0.0.1:${port}`;
    const peer = `http://127.0.0.1:${peerPort}`;
    const command: readonly [string, ...string[]] =
      kind === 'kine'
        ? [
            programPath('kine'),
            ...['--endpoint', `sqlite://${join(folder, 'kine.db')}?_journal=WAL`],
            ...['--listen-address', `127.0.0.1:${port}`, '--metrics-bind-address', '0'],
            // Keeps few old versions, and says so soon.
            ...['--compact-interval', '2s', '--compact-min-retain', '50'],
            // An API server waits for it before it answers from its caches.
            ...['--watch-progress-notify-interval', '1s'],
          ]
        : [
            etcdPath(),
            ...['--data-dir', join(folder, 'etcd'), '--unsafe-no-fsync'],
            ...['--listen-client-urls', url, '--advertise-client-urls', url],
            ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
            ...['--initial-cluster', `default=${peer}`],
          ];
    return new Store(kind, url, new Part(command, join(folder, 'store.log')));
  }

  /**
   * Forgets all versions but the present ones. A client that goes on from an older one is told 410, once the API server
   * does not remember it either. kine does so by itself, every two seconds.
   */
  async compact(): Promise<void> {
    if (this.kind === 'kine') throw new Error('kine compacts by itself');
    const { header } = await this.#ask('/v3/kv/range', { key: base64('/') });
    const { revision } = header as { readonly revision: string };
    await this.#ask('/v3/kv/compaction', { revision, physical: true });
  }

  async ready(): Promise<void> {
    if (this.kind === 'kine') {
      await until(() => isOpen(Number(new URL(this.url).port)));
      return;
    }
    await until(async () => {
      if (!this.part.isRunning) throw new Error(`etcd ended: ${this.part.log}`);
      return await fetch(`${this.url}/health`).then(
        (reply) => reply.ok,
        () => false,
      );
    });
  }

  async #ask(path: string, body: object): Promise<{ readonly header?: object }> {
    const reply = await fetch(`${this.url}${path}`, { method: 'POST', body: JSON.stringify(body) });
    const answer = await reply.text();
    if (!reply.ok) throw new Error(`etcd ${path}: ${reply.status} ${answer}`);
    return JSON.parse(answer);
  }
}

function etcdPath(): string {
  const found = ['/usr/bin/etcd', '/usr/local/bin/etcd'].find((path) => existsSync(path));
  if (found === undefined) throw new Error('etcd is needed (Debian: etcd-server)');
  return found;
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
