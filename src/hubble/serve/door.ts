/** A socket that clients of gRPC connect to, bounded in their number. */
import { chmodSync, chownSync, lstatSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { ConnectionInjector } from '@grpc/grpc-js';
import { listening } from '../../platform/sockets.ts';
import { freeSocketPath, socketErrorText } from '../../platform/unix_socket.ts';

export type DoorPlace =
  | {
      readonly kind: 'unix';
      readonly path: string;
      /** Who may connect beside the owner; null: nobody. */
      readonly group: number | null;
    }
  | { readonly kind: 'tcp'; readonly ip: string; readonly port: number };

export interface DoorOptions {
  readonly place: DoorPlace;
  /** For each connection: certificates may have changed. */
  readonly injector: () => ConnectionInjector;
  readonly connectionCountMax: number;
}

export type DoorStart =
  | { readonly kind: 'open'; readonly door: Door; readonly address: string }
  | { readonly kind: 'failed'; readonly message: string };

const OWNER_ONLY = 0o600;
const OWNER_AND_GROUP = 0o660;

export async function openDoor(options: DoorOptions): Promise<DoorStart> {
  const { place, connectionCountMax } = options;
  const server = createServer();
  server.maxConnections = connectionCountMax;
  server.on('connection', (socket) => admit(socket, options));
  try {
    const address =
      place.kind === 'unix' ? await atPath(server, place) : await atPort(server, place);
    // One connection that could not be taken, as without a descriptor: the next may be.
    server.on('error', () => {});
    return { kind: 'open', door: new Door(server), address };
  } catch (error) {
    // It may listen already, without the permissions that it is to have.
    server.close();
    const at = place.kind === 'unix' ? place.path : `${place.ip}:${place.port}`;
    return { kind: 'failed', message: `hubble: ${at}: ${textOf(error, place)}` };
  }
}

export class Door {
  readonly #server: Server;

  constructor(server: Server) {
    this.#server = server;
  }

  /** Connections go on. */
  close(): void {
    this.#server.close();
  }
}

function admit(socket: Socket, { injector }: DoorOptions): void {
  socket.on('error', () => socket.destroy());
  socket.setNoDelay(true);
  injector().injectConnection(socket);
}

/** Nobody connects before it has its permissions: it gets them in a folder that is the owner's alone (mkdtemp(3)). */
async function atPath(
  server: Server,
  { path, group }: Extract<DoorPlace, { kind: 'unix' }>,
): Promise<string> {
  const taken = await freeSocketPath(path);
  if (taken !== null) throw new Error(taken);
  const folder = mkdtempSync(`${path}.`);
  try {
    const made = join(folder, 's');
    await listening(server, { path: made, exclusive: true });
    if (group !== null) chownSync(made, -1, group);
    chmodSync(made, group === null ? OWNER_ONLY : OWNER_AND_GROUP);
    renameSync(made, path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const { ino } = lstatSync(path);
  server.once('close', () => {
    // Not that of a proxy that has taken over meanwhile.
    if (lstatSync(path, { throwIfNoEntry: false })?.ino === ino) rmSync(path, { force: true });
  });
  return `unix:${path}`;
}

async function atPort(
  server: Server,
  { ip, port }: Extract<DoorPlace, { kind: 'tcp' }>,
): Promise<string> {
  await listening(server, { host: ip, port, exclusive: true });
  const bound = server.address();
  const at = typeof bound === 'object' && bound !== null ? bound.port : port;
  return ip.includes(':') ? `[${ip}]:${at}` : `${ip}:${at}`;
}

function textOf(error: unknown, place: DoorPlace): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : null;
  if (code === null) return error instanceof Error ? error.message : String(error);
  return place.kind === 'unix' ? socketErrorText(code) : `cannot be bound (${code})`;
}
