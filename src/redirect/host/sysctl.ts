/** Settings of the network namespace that the redirect depends on (/proc/sys). */
import { readFileSync, writeFileSync } from 'node:fs';

export interface Sysctl {
  /** Null: this kernel has no such setting. */
  read(name: string): string | null;
  /** Null, or why it cannot be written. */
  write(name: string, value: string): string | null;
}

/**
 * A listener that closes hands connections that it has not accepted yet to another one of its group:
 * without it a restart of the proxy resets those that arrive in the moment.
 */
export const TCP_MIGRATE_REQ = 'net.ipv4.tcp_migrate_req';

export const IPV6_OFF_ON_LOOPBACK = 'net.ipv6.conf.lo.disable_ipv6';

export function procSysctl(): Sysctl {
  return {
    read: (name) => {
      try {
        return readFileSync(pathOf(name), 'utf8').trim();
      } catch {
        return null;
      }
    },
    write: (name, value) => {
      try {
        writeFileSync(pathOf(name), value);
        return null;
      } catch (error) {
        return error instanceof Error && 'code' in error ? String(error.code) : String(error);
      }
    },
  };
}

function pathOf(name: string): string {
  return `/proc/sys/${name.replaceAll('.', '/')}`;
}
