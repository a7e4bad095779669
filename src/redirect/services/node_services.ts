/**
 * Services on this node, from frontends to what sockets get: tables and hooks. What is pinned and attached outlives us.
 */
import { closeLostSockets, type LostSockets } from './lost_sockets.ts';
import {
  type ServicesInForce,
  ServiceTables,
  type ServiceTablesOptions,
  type ServiceUpdate,
} from './service_tables.ts';
import { SocketHooks, type SocketHooksOptions } from './socket_hooks.ts';

export interface NodeServices {
  /** True: another process had made the tables, and what is in them is in force. */
  readonly isReused: boolean;
  /** See `ServiceTables`. */
  apply(wanted: ServicesInForce): ServiceUpdate;
  sweep(): void;
  /** See `closeLostSockets`. */
  closeLost(wanted: ServicesInForce): Promise<LostSockets>;
  /** After the tables say what is to be said. */
  attach(): void;
  close(): void;
}

export interface NodeServicesOptions extends SocketHooksOptions, ServiceTablesOptions {
  /** Of bpf/sockets.bpf.c. */
  readonly socketsObjectPath: string;
  /** Folder of the cgroup: whoever runs below it is translated. */
  readonly cgroup: string;
}

/** Throws when the kernel does not take it. */
export function openNodeServices(options: NodeServicesOptions): NodeServices {
  const hooks = new SocketHooks(options);
  const tables = new ServiceTables(hooks.maps, options);
  return {
    isReused: hooks.isReused,
    apply: (wanted) => tables.apply(wanted),
    sweep: () => tables.sweep(),
    closeLost: (wanted) =>
      closeLostSockets(
        { objectPath: options.socketsObjectPath, connectedFd: hooks.maps.connected.fd },
        wanted,
      ),
    attach: () => hooks.attach(options.cgroup),
    close: () => hooks.close(),
  };
}
