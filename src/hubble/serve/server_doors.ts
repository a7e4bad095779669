/** The sockets of the server: one of the node, and TCP, by certificates where others reach it. */
import { type ConnectionInjector, type Server, ServerCredentials } from '@grpc/grpc-js';
import type { HubbleServeSettings, HubbleTcp } from '../../model/hubble_settings.ts';
import { type Door, type DoorOptions, openDoor } from './door.ts';
import { TlsCredentials } from './tls_files.ts';

export interface OpenServer {
  readonly addresses: readonly string[];
  close(): void;
}

export interface DoorsOptions {
  readonly settings: Pick<HubbleServeSettings, 'socket' | 'tcp'>;
  readonly connectionCountMax: number;
  readonly onProblem: (problem: string) => void;
}

/** A socket that another proxy has may be free when that one has ended. */
const RETRY_MS = 2000;

export async function openServer(server: Server, options: DoorsOptions): Promise<OpenServer> {
  const { settings, connectionCountMax, onProblem } = options;
  const wanted: DoorOptions[] = [];
  const plain = (): ConnectionInjector => {
    made ??= server.createConnectionInjector(ServerCredentials.createInsecure());
    return made;
  };
  let made: ConnectionInjector | null = null;
  if (settings.socket !== null) {
    const place = { kind: 'unix', ...settings.socket } as const;
    wanted.push({ place, injector: plain, connectionCountMax });
  }
  if (settings.tcp !== null) {
    const { ip, port } = settings.tcp.address;
    const injector = tcpInjector(server, settings.tcp, plain, onProblem);
    if (injector !== null) {
      wanted.push({ place: { kind: 'tcp', ip, port }, injector, connectionCountMax });
    }
  }
  return await openAll(wanted, onProblem);
}

async function openAll(
  wanted: readonly DoorOptions[],
  onProblem: (problem: string) => void,
): Promise<OpenServer> {
  const doors: Door[] = [];
  const addresses: string[] = [];
  const timers = new Set<NodeJS.Timeout>();
  let isClosed = false;
  const open = async (one: DoorOptions, problemBefore: string): Promise<void> => {
    const opened = await openDoor(one);
    if (opened.kind === 'open') {
      if (isClosed) opened.door.close();
      else doors.push(opened.door);
      addresses.push(opened.address);
      return;
    }
    if (opened.message !== problemBefore) onProblem(opened.message);
    if (isClosed) return;
    const timer = setTimeout(() => {
      timers.delete(timer);
      void open(one, opened.message);
    }, RETRY_MS).unref();
    timers.add(timer);
  };
  for (const one of wanted) await open(one, '');
  return {
    addresses,
    close: () => {
      isClosed = true;
      for (const timer of timers) clearTimeout(timer);
      for (const door of doors) door.close();
    },
  };
}

/** Null: nobody could be let in, and it was said why. */
function tcpInjector(
  server: Server,
  { tls, address }: HubbleTcp,
  plain: () => ConnectionInjector,
  onProblem: (problem: string) => void,
): (() => ConnectionInjector) | null {
  if (tls === null) return plain;
  const tell = (problem: string): void => onProblem(`hubble: ${address.ip}: TLS: ${problem}`);
  try {
    const credentials = new TlsCredentials(tls, tell);
    let used = credentials.current();
    let injector = server.createConnectionInjector(used);
    return () => {
      const current = credentials.current();
      if (current !== used) {
        // Connections of before go on with theirs.
        used = current;
        injector = server.createConnectionInjector(used);
      }
      return injector;
    };
  } catch (error) {
    tell(error instanceof Error ? error.message : String(error));
    return null;
  }
}
